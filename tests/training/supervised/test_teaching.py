from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_CLASSIFIER

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.data.face_file import open_face_data
from latentedit.training.supervised import teaching
from latentedit.training.supervised.loop import LabelledFaces
from latentedit.training.supervised.teaching import SOFT_TARGETS, Teaching, taught
from latentedit.training.workers import Workers

ALONE = Workers("cpu")


def teacher(logit: float) -> AttributeClassifier:
    """A classifier that gives every attribute the same logit, whatever it sees."""
    torch.manual_seed(0)
    network = AttributeClassifier(TINY_CLASSIFIER).eval()
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.constant_(network.head.bias, logit)
    return network


def test_teachers_mix_with_labels_and_alone_label_the_unlabelled(
    face_file: Path, tmp_path: Path
) -> None:
    data = open_face_data(face_file)
    labels = torch.tensor(data.labels[:6])
    labels[0, :3] = -1
    faces = LabelledFaces(data.images[:6], labels, "some")
    more, _ = data.split(230)
    teachers = [teacher(0.0), teacher(math.log(3))]  # 0.5 and 0.75
    lesson = Teaching(teachers, weight=0.4, unlabelled=more)
    result = taught(faces, lesson, tmp_path, ALONE, bf16=False)
    assert len(result.images) == 16
    expected = torch.where(labels >= 0, 0.6 * labels.float() + 0.4 * 0.625, 0.625)
    torch.testing.assert_close(result.targets[:6], expected)
    torch.testing.assert_close(result.targets[6:], torch.full((10, 40), 0.625))
    assert result.source.startswith("some; beside them, unlabelled: drawn discs")
    assert np.array_equal(result.images[np.array([0, 5, 6, 15])][2], more.images[0])


def test_teachers_are_asked_once(
    face_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_face_data(face_file)
    ask, asked = teaching._ask, []
    monkeypatch.setattr(teaching, "_ask", lambda *given: (asked.append(1), ask(*given))[1])

    def targets(logit: float, count: int = 6) -> torch.Tensor:
        faces = LabelledFaces(data.images[:count], torch.tensor(data.labels[:count]), "some")
        lesson = Teaching([teacher(logit)])
        return taught(faces, lesson, tmp_path / "run", ALONE, bf16=False).targets

    first = targets(0.0)
    assert torch.equal(targets(0.0), first)
    assert len(asked) == 1
    assert not torch.equal(targets(1.0), first)  # another teacher
    assert len(targets(1.0, count=4)) == 4  # other faces
    (tmp_path / "run" / SOFT_TARGETS).write_bytes(b"cut short")
    assert torch.equal(targets(0.0), first)
    assert len(asked) == 4
