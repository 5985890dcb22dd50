from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from latentedit.classifiers.age import CHIP_TO_FRAME, EYES_IN_CHIP, EYES_IN_FRAME
from latentedit.data.face_file import open_face_data
from latentedit.data.utkface import as_questions, open_utkface, prepare_utkface, to_shared_frame
from latentedit.errors import LatentEditError

ENDING = "_20170109142408075.jpg.chip.jpg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Drawn chips of ages 1 to 12, as UTKFace names them."""
    folder = tmp_path / "utkface"
    folder.mkdir()
    for age in range(1, 13):
        shade = (20 * age, 100, 100)
        Image.new("RGB", (40, 40), shade).save(folder / f"{age}_{age % 2}_{age % 5}{ENDING}")
    return folder


def test_ages_genders_and_races_are_read_from_the_names(folder: Path, tmp_path: Path) -> None:
    report = prepare_utkface(folder, tmp_path / "faces", resolution=16)
    assert (report.written, report.resolution, report.skipped) == (12, 16, ())
    data = open_face_data(tmp_path / "faces")
    assert data.label_names == ("Age", "Gender", "Race")
    for name, image, labels in zip(data.ids, data.images, data.labels, strict=True):
        age, gender, race = map(int, name.split("_")[:3])
        assert labels.tolist() == [age, gender, race]
        assert abs(int(image[8, 8, 0]) - 20 * age) < 4


def test_genders_and_races_become_questions(folder: Path, tmp_path: Path) -> None:
    (folder / f"50_1_9{ENDING}").write_bytes((folder / f"2_0_2{ENDING}").read_bytes())
    prepare_utkface(folder, tmp_path / "faces", resolution=16)
    data = open_face_data(tmp_path / "faces")
    asked = as_questions(data)
    assert asked.label_names == ("Female", "White", "Black", "Asian", "Indian")
    assert asked.ids == data.ids
    for name, answers in zip(asked.ids, asked.labels.tolist(), strict=True):
        _, gender, race = map(int, name.split("_")[:3])
        unknown = race == 9
        assert answers == [gender, *(-1 if unknown else int(race == place) for place in range(4))]


def test_the_order_is_fixed_and_does_not_follow_age(folder: Path) -> None:
    ages = open_utkface(folder).labels[:, 0].tolist()
    assert sorted(ages) == list(range(1, 13))
    assert ages != sorted(ages)
    assert open_utkface(folder).labels[:, 0].tolist() == ages
    (folder / f"1_1_1{ENDING}").unlink()
    assert open_utkface(folder).labels[:, 0].tolist() == [age for age in ages if age != 1]


@pytest.mark.parametrize("age", ["", "x", "-3", "117", "4.5", "\u0663"])
def test_an_age_that_is_no_number_stops_it_by_name(folder: Path, tmp_path: Path, age: str) -> None:
    bad = folder / f"{age}_0_0{ENDING}"
    Image.new("RGB", (40, 40)).save(bad)
    with pytest.raises(LatentEditError, match="1 entries cannot be used") as caught:
        prepare_utkface(folder, tmp_path / "faces", resolution=16)
    assert bad.name in str(caught.value)
    assert "is no age from 0 to 116" in str(caught.value)
    assert not (tmp_path / "faces").exists()
    report = prepare_utkface(folder, tmp_path / "faces", resolution=16, skip_bad=True)
    assert report.written == 12
    assert len(report.skipped) == 1


def test_damaged_and_oblong_pictures_are_named(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(folder / f"50_0_0{ENDING}")
    (folder / f"51_0_0{ENDING}").write_text("no picture")
    report = prepare_utkface(folder, tmp_path / "faces", resolution=16, skip_bad=True)
    assert report.written == 12
    said = "\n".join(sorted(report.skipped))
    assert "50_0_0" in said
    assert "40x30" in said
    assert "51_0_0" in said


def test_three_of_its_names_lack_the_race(folder: Path) -> None:
    Image.new("RGB", (40, 40)).save(folder / "39_1_20170116174525125.jpg.chip.jpg")
    utkface = open_utkface(folder)
    row = utkface.names.index("39_1_20170116174525125.jpg.chip.jpg")
    assert utkface.labels[row].tolist()[:2] == [39, 1]
    assert utkface.labels[row, 2] == -1


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="is not UTKFace's folder"):
        open_utkface(tmp_path)
    with pytest.raises(LatentEditError, match="is not a folder"):
        open_utkface(tmp_path / "none")


@given(st.integers(16, 80))
def test_chips_lie_in_the_shared_frame_with_the_eyes_where_they_belong(edge: int) -> None:
    chips = np.zeros((1, edge, edge, 3), np.uint8)
    eyes = round(EYES_IN_CHIP * edge)
    chips[0, eyes, edge // 2] = 255
    frames = to_shared_frame(chips)
    size = round(edge * CHIP_TO_FRAME)
    assert frames.shape == (1, size, size, 3)
    rows, columns = np.nonzero(frames[0, :, :, 0])
    lit = np.abs(rows - EYES_IN_FRAME * size).min()
    assert lit <= 1.5
    assert np.abs(columns - size / 2).min() <= 1.5
