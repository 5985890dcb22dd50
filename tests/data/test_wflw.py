"""WFLW's reader, on a fixture in its exact format with drawn pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from portraits import draw_portrait

from latentedit.classifiers.portrait import QUALITIES
from latentedit.data.face_file import open_face_data
from latentedit.data.portraits import COLUMNS, prepare_portraits, split_faces
from latentedit.data.wflw import FLAGS, flags_as, is_wflw, open_wflw, parse_line
from latentedit.errors import LatentEditError
from latentedit.io.images import save_image
from latentedit.photos.align import find_faces

LISTS = Path(__file__).parent / "wflw"
TRAIN = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt"


@pytest.fixture
def wflw_folder(tmp_path: Path) -> Path:
    """WFLW's layout: the lists of the fixture, and the faces drawn where they say."""
    folder = Path(shutil.copytree(LISTS, tmp_path / "wflw"))
    wflw_images = folder / "WFLW_images"
    two = draw_portrait((420, 300), (125.0, 120.0), 40.0)
    two[:, 220:] = draw_portrait((200, 300), (90.0, 130.0), 34.0)
    pictures = {
        "0--Parade/0_Parade_drawn_0_1.jpg": two,
        "37--Soccer/37_Soccer_drawn_37_45.jpg": draw_portrait(
            (280, 320), (140.0, 150.0), 52.0, angle=-17.0
        ),
        "2--Demonstration/2_Demonstration_drawn_2_7.jpg": draw_portrait(
            (180, 170), (90.0, 80.0), 20.0
        ),
        "51--Dresses/51_Dresses_drawn_51_3.jpg": draw_portrait((250, 260), (125.0, 125.0), 44.0),
        "51--Dresses/51_Dresses_drawn_51_9.jpg": draw_portrait((120, 120), (60.0, 60.0), 16.0),
    }
    for name, picture in pictures.items():
        (wflw_images / name).parent.mkdir(parents=True, exist_ok=True)
        save_image(wflw_images / name, picture)
    return folder


def test_everything_is_read(wflw_folder: Path) -> None:
    assert is_wflw(wflw_folder)
    assert not is_wflw(wflw_folder / "WFLW_images")
    wflw = open_wflw(wflw_folder)
    assert wflw.splits == {"train": 4, "test": 2}
    assert wflw.names[1] == "0--Parade/0_Parade_drawn_0_1.jpg"
    assert wflw.landmarks.shape == (6, 98, 2)
    first = [float(word) for word in (LISTS / TRAIN).read_text().split()[:2]]
    assert wflw.landmarks[0, 0].tolist() == first
    assert wflw.flags.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 0, 1, 0, 0],
        [1, 0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 0, 1, 0, 0],
        [1, 1, 1, 1, 1, 1],
    ]
    # the box holds the landmarks
    assert (wflw.boxes[:, :2] <= wflw.landmarks.min(1)).all()
    assert (wflw.boxes[:, 2:] >= wflw.landmarks.max(1)).all()


def test_faces_come_out_in_the_portrait_frame(wflw_folder: Path) -> None:
    wflw = open_wflw(wflw_folder)
    for row in (0, 4):
        portrait = wflw.read(row, 256)
        assert portrait.shape == (256, 256, 3)
        (face,) = find_faces(portrait)
        centre, edge = face.portrait_frame  # where the landmarks put it
        assert np.abs(centre / 256 - 0.5).max() < 0.12
        assert 0.8 < edge / 256 < 1.25


def test_flags_in_another_order() -> None:
    assert flags_as([1, 2, 3, 4, 5, 6], QUALITIES) == [6, 5, 4, 3, 2, 1]
    assert set(FLAGS) == set(QUALITIES)


GOOD = (LISTS / TRAIN).read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[1:], "expected 206 numbers and a picture's name"),
        (lambda f: f[:-1], "expected 206 numbers and a picture's name"),
        (lambda f: ["x", *f[1:]], "could not convert"),
        (lambda f: ["nan", *f[1:]], "not finite"),
        (lambda f: [*f[:200], "2", *f[201:]], "flags must be 0 or 1"),
        (lambda f: [*f[:198], "0", "0", *f[200:]], "the box is empty"),
        (lambda f: f[:3], "got 3 fields"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(
    wflw_folder: Path, change: object, message: str
) -> None:
    path = wflw_folder / TRAIN
    lines = path.read_text().splitlines()
    lines[2] = " ".join(change(lines[2].split()))  # type: ignore[operator]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(LatentEditError, match=rf"rect_attr_train\.txt, line 3: .*{message}"):
        open_wflw(wflw_folder)


@given(
    numbers=st.lists(st.floats(-1e4, 1e4), min_size=196, max_size=196),
    corner=st.tuples(st.integers(0, 500), st.integers(0, 500)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    flags=st.lists(st.integers(0, 1), min_size=6, max_size=6),
    name=st.from_regex(r"[A-Za-z0-9_\-]{1,9}/[A-Za-z0-9_ \-]{0,9}[a-z]\.jpg", fullmatch=True),
)
def test_what_is_written_is_read(
    numbers: list[float],
    corner: tuple[int, int],
    size: tuple[int, int],
    flags: list[int],
    name: str,
) -> None:
    box = [*corner, corner[0] + size[0], corner[1] + size[1]]
    line = " ".join([*(f"{x:.6f}" for x in numbers), *map(str, box), *map(str, flags), name])
    values, read = parse_line(line)
    assert read == name
    np.testing.assert_allclose(values[:196], numbers, atol=1e-6)
    assert values[196:] == [*box, *flags]


@given(st.text(max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(LatentEditError):
        parse_line(text)


def test_missing_parts_are_named(wflw_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="is not WFLW's folder"):
        open_wflw(tmp_path / "nothing")
    shutil.rmtree(wflw_folder / "WFLW_images")
    with pytest.raises(LatentEditError, match="WFLW_images/ is not in it"):
        open_wflw(wflw_folder)


def test_a_training_file_keeps_the_flags_and_the_split(wflw_folder: Path, tmp_path: Path) -> None:
    (wflw_folder / "WFLW_images" / "2--Demonstration" / "2_Demonstration_drawn_2_7.jpg").unlink()
    report = prepare_portraits(wflw_folder, tmp_path / "wflw.faces")
    assert (report.faces, report.rows) == (5, 5)
    assert len(report.skipped) == 1
    assert "2_Demonstration_drawn_2_7.jpg does not exist" in report.skipped[0]
    data = open_face_data(tmp_path / "wflw.faces")
    assert data.label_names == COLUMNS
    assert data.source == "WFLW (4 train, 2 test)"
    assert data.labels[1].tolist() == [0, 0, 1, 0, 1, 0, -1, -1, -1, -1]
    train, test = split_faces(data, 2)
    assert (len(train), len(test)) == (3, 2)  # two faces of one picture are two faces
    with Image.open(wflw_folder / "WFLW_images" / "0--Parade" / "0_Parade_drawn_0_1.jpg") as image:
        assert image.size == (420, 300)
