"""The portrait assessor: verdicts, what cannot be judged, advice."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from portraits import SKINS, draw_portrait

from latentedit.classifiers.portrait import QUALITIES, PortraitConfig, PortraitNetwork
from latentedit.errors import LatentEditError
from latentedit.io.images import save_image
from latentedit.photos import align as faces
from latentedit.photos.align import HeadPose, cut, find_faces
from latentedit.portrait.assessor import (
    CANNOT_TELL,
    GOOD,
    NOT_ASKED,
    POOR,
    Assessment,
    PortraitAssessor,
    Quality,
    best_shot,
    illumination_advice,
    occlusion_advice,
    pose_advice,
)
from latentedit.portrait.degradations import degrade

TINY = PortraitConfig(resolution=96, stem=4, widths=(8, 8), blocks=(1, 1))


def assessor(logits: dict[str, float] | None = None) -> PortraitAssessor:
    """One that answers the same to everything: a logit for what is poor, -3 by default."""
    torch.manual_seed(0)
    network = PortraitNetwork(TINY)
    network.scale.zero_()
    network.shift.copy_(torch.tensor([(logits or {}).get(name, -3.0) for name in QUALITIES]))
    return PortraitAssessor(network)


PHOTO = draw_portrait((300, 320), (150.0, 150.0), 60.0)


def test_a_good_portrait() -> None:
    found = assessor().assess(PHOTO)
    assert found.faces == 1
    assert found.message is None
    assert tuple(found.qualities) == QUALITIES
    sure = pytest.approx(1 / (1 + math.exp(-3)))
    for name, quality in found.qualities.items():
        verdict = NOT_ASKED if name in ("make-up", "expression") else GOOD
        assert quality == Quality(sure, verdict, None)
    assert found.is_clean
    passport = assessor().assess(PHOTO, "passport")
    assert passport.convention == "passport"
    assert all(q == Quality(sure, GOOD, None) for q in passport.qualities.values())
    assert found.portrait is not None
    assert found.portrait.shape == (96, 96, 3)


def test_what_is_poor_gets_advice_and_what_is_unsure_none() -> None:
    found = assessor({"pose": 2.0, "make-up": 0.1}).assess(PHOTO, "passport")
    pose, makeup = found.qualities["pose"], found.qualities["make-up"]
    assert pose.verdict == POOR
    assert pose.score == pytest.approx(1 / (1 + math.exp(2)))
    assert pose.advice
    assert makeup == Quality(pytest.approx(0.475, abs=1e-3), CANNOT_TELL, None)
    assert not found.is_clean


def test_a_small_face_is_not_judged() -> None:
    small = cut(PHOTO, np.array((150.0, 160.0)), 320.0, 62)
    verdicts = {n: q.verdict for n, q in assessor({"blur": 3.0}).assess(small).qualities.items()}
    assert verdicts["blur"] == CANNOT_TELL
    assert verdicts["illumination"] == GOOD
    advice = assessor().assess(small).qualities["blur"].advice
    assert advice is not None
    assert "pixels wide: come closer" in advice


def test_a_blurred_face_tells_nothing_of_make_up() -> None:
    found = assessor({"blur": 6.0, "make-up": 4.0}).assess(PHOTO, "passport").qualities
    assert found["blur"].verdict == POOR
    assert found["make-up"].verdict == CANNOT_TELL
    assert found["make-up"].advice == "the picture is too blurred to say: take a sharper one"
    assert found["pose"].verdict == GOOD


def test_none_and_several_faces_are_refused_by_name() -> None:
    noise = RandomState(0).randint(0, 256, (200, 200, 3), dtype=np.uint8)
    for image in (noise, np.zeros((1, 1, 3), np.uint8)):
        found = assessor().assess(image)
        assert (found.faces, found.qualities) == (0, {})
        assert found.message is not None
        assert found.message.startswith("no face found: ")
        assert not found.is_clean
    pair = np.concatenate((PHOTO, draw_portrait((300, 320), (150.0, 150.0), 50.0)), axis=1)
    found = assessor().assess(pair)
    assert (found.faces, found.qualities) == (2, {})
    assert found.message.startswith("2 faces")


def test_somebody_small_behind_does_not_matter() -> None:
    behind = draw_portrait((160, 320), (80.0, 90.0), 20.0, skin=SKINS[1])
    assert assessor().assess(np.concatenate((PHOTO, behind), axis=1)).faces == 1


def test_files_and_wrong_arrays(tmp_path: Path) -> None:
    save_image(tmp_path / "photo.png", PHOTO)
    assert assessor().assess(tmp_path / "photo.png") == assessor().assess(PHOTO)
    with pytest.raises(LatentEditError, match="does not exist"):
        assessor().assess(tmp_path / "none.png")
    with pytest.raises(LatentEditError, match=r"float64 \[4, 4, 3\]"):
        assessor().assess(np.zeros((4, 4, 3)))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    faces._dlib.cache_clear()
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[faces\]'"):
        assessor().assess(PHOTO)


def test_json_is_as_promised() -> None:
    entry = json.loads(json.dumps(assessor({"blur": 2.0}).assess(PHOTO).as_json()))
    assert entry["faces"] == 1
    assert list(entry["qualities"]) == list(QUALITIES)
    for quality in entry["qualities"].values():
        assert set(quality) == {"score", "verdict", "advice"}
        assert 0 <= quality["score"] <= 1
    assert entry["qualities"]["blur"]["verdict"] == "poor"
    assert entry["qualities"]["pose"]["advice"] is None


def test_scores_are_those_of_single_portraits() -> None:
    torch.manual_seed(0)
    judge = PortraitAssessor(PortraitNetwork(TINY))
    portraits = RandomState(0).randint(0, 256, (5, 96, 96, 3), dtype=np.uint8)
    together = judge.scores(portraits, batch_size=2)
    assert together.shape == (5, 6)
    assert together.dtype == np.float32
    alone = np.concatenate([judge.scores(portrait[None]) for portrait in portraits])
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    assert judge.scores(portraits[:0]).shape == (0, 6)


def test_the_share_of_clean_faces() -> None:
    faces64 = RandomState(0).randint(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    assert assessor().clean_share(faces64) == 1.0
    assert assessor({"pose": 1.0}).clean_share(faces64) == 0.0


def shot(*scores: float, detail: float = 1.0) -> Assessment:
    """Scores above 1 are those of what cannot be told."""
    rows = [Quality(s, CANNOT_TELL if s > 1 else POOR if s < 0.4 else GOOD) for s in scores]
    return Assessment(1, dict(zip(QUALITIES, rows, strict=False)), detail=detail)


def test_what_cannot_be_told_is_not_good() -> None:
    known, unknown, poor = shot(0.7, 0.7, 0.7), shot(1.1, 0.99, 0.99), shot(0.1, 0.99, 0.99)
    assert best_shot([unknown, known]) == 1
    assert best_shot([poor, unknown]) == 1  # as many good, and nothing known to be poor
    assert best_shot([shot(1.1, 1.1, 0.99), poor]) == 1  # more is known to be good
    assert best_shot([shot(1.1, 1.1, 1.1)]) is None
    assert best_shot([shot(0.9, 0.9, detail=0.6), shot(0.8, 0.8)]) == 1  # a small copy
    assert known.is_clean
    assert not unknown.is_clean
    assert unknown.summary == "nothing poor was found; cannot tell: blur"
    assert shot(0.1, 1.1, 0.9).summary == "poor: blur; cannot tell: occlusion"


def test_a_small_copy_is_not_the_best_shot() -> None:
    judge = assessor()
    small = cut(PHOTO, np.array((150.0, 160.0)), 320.0, 62)
    shots = [judge.assess(small), judge.assess(PHOTO)]
    assert shots[0].qualities["blur"].verdict == CANNOT_TELL
    assert best_shot(shots) == 1
    middling = judge.assess(cut(PHOTO, np.array((150.0, 160.0)), 320.0, 100))  # all of it judged
    assert middling.is_clean
    assert best_shot([middling, shots[1]]) == 1


def test_the_best_shot_has_fewest_faults_then_the_best_scores() -> None:
    none = Assessment(0, {}, "no face found")
    assert best_shot([none]) is None
    assert best_shot([]) is None
    assert best_shot([none, shot(0.9, 0.1), shot(0.5, 0.5), shot(0.6, 0.6), none]) == 3


def test_occlusions_are_named_by_their_place() -> None:
    def at(y: int, x: int) -> str:
        covered = np.full((6, 6), -1.0, np.float32)
        covered[y, x] = 4
        return occlusion_advice(covered)

    assert "forehead" in at(1, 3)
    assert "mouth" in at(4, 2)
    assert "left of the picture" in at(3, 1)
    assert "right of the picture" in at(3, 4)
    both = np.full((6, 6), -1.0, np.float32)
    both[3, 1:5] = 2
    assert "eyes" in occlusion_advice(both)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("under-exposure", "too dark"),
        ("over-exposure", "too bright"),
        ("side light", "turn towards the window"),  # where most lies in shadow, it is too dark
        ("back light", "from behind"),
        ("colour cast", "has a colour"),
    ],
)
def test_advice_on_light_fits_what_was_done(kind: str, words: str) -> None:
    portrait = draw_portrait((96, 96), (48.0, 48.0), 21.0, ground=(120, 130, 140))
    for seed in range(4):
        spoilt = degrade(portrait, "illumination", kind, 0.8, RandomState(seed))
        assert words in illumination_advice(spoilt), seed


def test_the_shadow_is_named_by_its_side() -> None:
    portrait = draw_portrait((96, 96), (48.0, 48.0), 21.0)
    dark = portrait.copy()
    dark[:, :48] //= 4
    assert "the left of the picture" in illumination_advice(dark)
    assert "the right of the picture" in illumination_advice(dark[:, ::-1])


def test_advice_on_pose_names_the_larger_angle() -> None:
    assert pose_advice(HeadPose(30, 0, 5)).endswith("it looks to the right of the picture")
    assert pose_advice(HeadPose(-30, 0, 5)).endswith("it looks to the left of the picture")
    assert pose_advice(HeadPose(5, 0, 30)).endswith("it leans to the right of the picture")


def test_advice_on_pose_names_what_is_beyond_a_conventions_limit() -> None:
    most = {"yaw": 15.0, "roll": 8.0}
    assert "leans" in pose_advice(HeadPose(12, 0, 9), most)
    assert "turn the head" in pose_advice(HeadPose(16, 0, 7), most)


@pytest.mark.parametrize("degrees", [-20.0, 0.0, 15.0])
def test_a_turned_picture_is_a_leaning_head(degrees: float) -> None:
    turned = cut(PHOTO, np.array((150.0, 160.0)), 320.0, 320, degrees=degrees)
    (face,) = find_faces(turned)
    assert face.pose.roll == pytest.approx(degrees, abs=4)
    assert abs(face.pose.yaw) < 8


def test_a_nose_to_the_right_looks_right() -> None:
    (face,) = find_faces(PHOTO)
    moved = face.landmarks.copy()
    moved[4, 0] += 20
    turned = faces.Face(face.box, face.score, moved)
    assert turned.pose.yaw > face.pose.yaw + 20
    centre, edge = face.portrait_frame
    assert edge == pytest.approx(face.frame_edge * faces.PORTRAIT_EDGE)
    assert np.abs(centre - (150, 150)).max() < 40


@pytest.mark.parametrize("size", [40, 96, 500])
def test_a_cut_shows_its_square(size: int) -> None:
    y, x = np.mgrid[:200, :300]
    ramp = np.stack((x * 255 // 300, y * 255 // 200, np.zeros_like(x)), -1).astype(np.uint8)
    square = cut(ramp, np.array((150.0, 100.0)), 120.0, size).astype(float)
    assert square.shape == (size, size, 3)
    places = (np.arange(size) + 0.5) * 120 / size  # of the result's pixels in the square
    np.testing.assert_allclose(square[size // 2, :, 0], (90 + places) * 255 / 300, atol=3)
    np.testing.assert_allclose(square[:, size // 2, 1], (40 + places) * 255 / 200, atol=4)
    outside = cut(ramp, np.array((0.0, 0.0)), 80.0, 80)  # mirrored
    np.testing.assert_allclose(outside[:, :38], outside[:, :41:-1], atol=3)
