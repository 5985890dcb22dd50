"""Portraits for training: flags, strengths, and the split by faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from latentedit.attributes import ATTRIBUTES
from latentedit.classifiers.portrait import QUALITIES
from latentedit.data.face_file import FaceData, open_face_data
from latentedit.data.portraits import COLUMNS, _labels, as_taken, prepare_portraits, split_faces
from latentedit.errors import LatentEditError


@pytest.fixture
def portraits(celeba_folder: Path, tmp_path: Path) -> FaceData:
    prepare_portraits(celeba_folder, tmp_path / "p.faces", seed=3)
    return open_face_data(tmp_path / "p.faces")


def test_three_portraits_of_each_face(portraits: FaceData) -> None:
    assert portraits.images.shape == (18, 96, 96, 3)
    assert portraits.label_names == COLUMNS
    assert portraits.ids[:4] == (
        "000001.jpg#0",
        "000001.jpg#1",
        "000001.jpg#2",
        "000002.jpg#0",
    )
    plain = as_taken(portraits)
    assert plain.tolist() == [0, 3, 6, 9, 12, 15]
    strengths = portraits.labels[:, len(QUALITIES) : len(QUALITIES) + 3]
    assert (strengths[plain] <= 0).all()
    assert (strengths > 0).any()
    assert strengths.max() <= 100


def test_a_file_is_made_again_to_the_byte(
    celeba_folder: Path, portraits: FaceData, tmp_path: Path
) -> None:
    again = tmp_path / "again.faces"
    report = prepare_portraits(celeba_folder, again, seed=3, limit=2)
    assert (report.faces, report.rows, report.skipped) == (2, 6, ())
    np.testing.assert_array_equal(open_face_data(again).images, portraits.images[:6])
    np.testing.assert_array_equal(open_face_data(again).labels, portraits.labels[:6])


def test_missing_pictures_are_named_and_the_rest_is_done(
    celeba_folder: Path, tmp_path: Path
) -> None:
    (celeba_folder / "img_align_celeba" / "000002.jpg").unlink()
    report = prepare_portraits(celeba_folder, tmp_path / "p.faces", variants=1)
    assert report.faces == 5
    assert "000002.jpg does not exist" in report.skipped[0]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="neither CelebA's folder nor WFLW's"):
        prepare_portraits(tmp_path, tmp_path / "p.faces")


NOTHING = dict.fromkeys(ATTRIBUTES, 0)
UNSPOILT = {"blur": 0.0, "occlusion": 0.0, "illumination": 0.0}


def labels(
    attributes: dict[str, int] | None = None,
    strengths: dict[str, float] | None = None,
    turn: float = 0.0,
) -> dict[str, int]:
    rows = _labels({**NOTHING, **(attributes or {})}, {**UNSPOILT, **(strengths or {})}, turn)
    return dict(zip(COLUMNS, rows, strict=True))


def test_a_plain_face_has_no_fault() -> None:
    assert set(labels().values()) == {0}


@pytest.mark.parametrize(
    ("attributes", "column", "value"),
    [
        ({"Blurry": 1}, "blur", 1),
        ({"Blurry": 1}, "blur strength", -1),
        ({"Heavy_Makeup": 1}, "make-up", 1),
        ({"Eyeglasses": 1}, "occlusion", 1),
        ({"Wearing_Hat": 1}, "occlusion strength", -1),
        ({"Smiling": 1, "Mouth_Slightly_Open": 1}, "expression", 1),
        ({"Smiling": 1}, "expression", -1),
        ({"Mouth_Slightly_Open": 1}, "expression", -1),
    ],
)
def test_celebas_flags(attributes: dict[str, int], column: str, value: int) -> None:
    assert labels(attributes)[column] == value


def test_strengths_flag_from_a_threshold_on() -> None:
    assert labels(strengths={"blur": 0.24})["blur"] == 0
    spoilt = labels(strengths={"blur": 0.26, "occlusion": 0.16, "illumination": 0.29})
    assert (spoilt["blur"], spoilt["occlusion"], spoilt["illumination"]) == (1, 1, 0)
    assert (spoilt["blur strength"], spoilt["occlusion strength"]) == (26, 16)


def test_poses() -> None:
    assert labels(turn=19.0)["pose"] == 0
    assert labels(turn=30.0)["pose"] == 1
    assert labels(turn=30.0)["pose strength"] == 50
    assert labels(turn=-1.0)["pose"] == labels(turn=-1.0)["pose strength"] == -1


def test_faces_are_split_whole(portraits: FaceData) -> None:
    parts = split_faces(portraits, 2, 1)
    assert [len(part) for part in parts] == [9, 6, 3]
    assert parts[1].ids[0] == "000004.jpg#0"
    with pytest.raises(LatentEditError, match="cannot hold out 6 of 6 faces"):
        split_faces(portraits, 5, 1)


def test_other_training_files_are_refused(face_file: Path) -> None:
    with pytest.raises(LatentEditError, match="prepare portraits"):
        split_faces(open_face_data(face_file), 10)
