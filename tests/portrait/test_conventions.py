"""What conventions ask of a photo, and what the page of the docs says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from portraits import draw_portrait

from latentedit import defaults
from latentedit.attributes import ATTRIBUTES
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.classifiers.portrait import QUALITIES, PortraitConfig, PortraitNetwork
from latentedit.errors import LatentEditError
from latentedit.inference.judges import Judges
from latentedit.photos.align import cut
from latentedit.portrait.assessor import CANNOT_TELL, GOOD, POOR, PortraitAssessor
from latentedit.portrait.conventions import CONVENTIONS, find_convention

PHOTO = draw_portrait((300, 320), (150.0, 150.0), 60.0)
DOCS = Path(__file__).parents[2] / "docs" / "portrait.md"


def assessor(*poor: str, worn: str | None = None) -> PortraitAssessor:
    """One that finds some qualities poor, and one attribute worn, in everything."""
    torch.manual_seed(0)
    network = PortraitNetwork(PortraitConfig(stem=4, widths=(8, 8), blocks=(1, 1)))
    network.scale.zero_()
    network.shift.copy_(torch.tensor([3.0 if name in poor else -3.0 for name in QUALITIES]))
    classifier = AttributeClassifier(ClassifierConfig(16, 4, (4, 8), (1, 1)))
    with torch.no_grad():
        classifier.head.weight.zero_()
        classifier.head.bias.copy_(torch.tensor([4.0 if n == worn else -4.0 for n in ATTRIBUTES]))
    return PortraitAssessor(network, judges=Judges(classifier, device="cpu"))


def test_conventions_name_what_there_is() -> None:
    assert defaults.CONVENTION in CONVENTIONS
    for name, convention in CONVENTIONS.items():
        assert find_convention(name) is find_convention(convention) is convention
        assert set(convention.asked) <= set(QUALITIES)
        assert set(convention.worn) <= set(ATTRIBUTES)
        assert set(convention.most_degrees) <= {"yaw", "pitch", "roll"}
    with pytest.raises(LatentEditError, match="portrait or passport"):
        find_convention("beauty")


def test_the_docs_have_the_same_table() -> None:
    text = DOCS.read_text(encoding="utf-8")
    table = text.partition("| quality | `portrait` | `passport` |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()[2:]]
    assert [row[1] for row in rows] == list(QUALITIES)
    for _, quality, *told, _ in rows:
        assert told == [each.asked.get(quality, "does not count") for each in CONVENTIONS.values()]


def test_a_smile_and_make_up_suit_a_portrait_alone() -> None:
    judge = assessor("make-up", "expression")
    assert judge.assess(PHOTO).is_clean
    assert judge.assess(PHOTO, "passport").having(POOR) == ["make-up", "expression"]


@pytest.mark.parametrize(("worn", "word"), [("Eyeglasses", "glasses"), ("Wearing_Hat", "a hat")])
def test_what_is_worn_is_no_fault_of_a_portrait(worn: str, word: str) -> None:
    judge = assessor("occlusion", worn=worn)
    occlusion = judge.assess(PHOTO).qualities["occlusion"]
    assert occlusion.verdict == CANNOT_TELL
    assert occlusion.advice is not None
    assert occlusion.advice.startswith(word)
    assert judge.assess(PHOTO, "passport").qualities["occlusion"].verdict == POOR
    assert assessor("occlusion").assess(PHOTO).qualities["occlusion"].verdict == POOR
    assert assessor(worn=worn).assess(PHOTO).qualities["occlusion"].verdict == GOOD


@pytest.mark.parametrize(("degrees", "verdict"), [(3.0, GOOD), (13.0, POOR)])
def test_a_passport_bears_no_leaning_head(degrees: float, verdict: str) -> None:
    leaning = cut(PHOTO, np.array((150.0, 160.0)), 320.0, 320, degrees=degrees)
    assert assessor().assess(leaning).qualities["pose"].verdict == GOOD
    pose = assessor().assess(leaning, "passport").qualities["pose"]
    assert pose.verdict == verdict
    assert (pose.advice is None) == (verdict == GOOD)
