"""CelebA, UTKFace and WFLW in every layout that people have, and an account of every file."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentedit.attributes import ATTRIBUTES
from latentedit.data.celeba import MAPPING, is_celeba, open_celeba, prepare_celeba
from latentedit.data.face_file import open_face_data
from latentedit.data.utkface import open_utkface, prepare_utkface
from latentedit.data.wflw import open_wflw
from latentedit.errors import LatentEditError

LIST = "list_attr_celeba.txt"


@pytest.fixture
def plain(make_celeba: Callable[..., Path], tmp_path: Path) -> Path:
    """Six faces of full size, as CelebA ships."""
    return make_celeba(tmp_path / "plain", size=(178, 218))


def prepared(folder: Path, output: Path, **options: object):
    report = prepare_celeba(folder, output, **options)
    return report, open_face_data(output)


def as_csv(folder: Path, *, turned: bool = False) -> None:
    """Kaggle's table in place of the list, its columns in another order if `turned`."""
    lines = [line.split() for line in (folder / LIST).read_text().splitlines()[2:]]
    order = list(range(40))[:: -1 if turned else 1]
    with open(folder / "list_attr_celeba.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", *(ATTRIBUTES[at] for at in order)])
        writer.writerows([row[0], *(row[1 + at] for at in order)] for row in lines)
    (folder / LIST).unlink()


def nested(folder: Path) -> None:
    (folder / "img_align_celeba").rename(folder / "inner")
    (folder / "img_align_celeba").mkdir()
    (folder / "inner").rename(folder / "img_align_celeba" / "img_align_celeba")


def byte_order_mark(folder: Path) -> None:
    (folder / LIST).write_bytes(b"\xef\xbb\xbf" + (folder / LIST).read_bytes())


def carriage_returns(folder: Path) -> None:
    (folder / LIST).write_bytes((folder / LIST).read_bytes().replace(b"\n", b"\r\n"))


def inside_a_folder(folder: Path) -> None:
    (folder / "celeba").mkdir()
    for name in (LIST, "img_align_celeba"):
        (folder / name).rename(folder / "celeba" / name)


def renamed(folder: Path) -> None:
    (folder / "img_align_celeba").rename(folder / "pictures")


def as_png(folder: Path) -> None:
    pictures = folder / "img_align_celeba"
    for path in list(pictures.iterdir()):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    pictures.rename(folder / "img_align_celeba_png")


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "csv": as_csv,
    "csv, columns turned": lambda folder: as_csv(folder, turned=True),
    "nested": nested,
    "nested csv": lambda folder: (nested(folder), as_csv(folder))[0],
    "byte-order mark": byte_order_mark,
    "carriage returns": carriage_returns,
    "inside a folder": inside_a_folder,
    "another name": renamed,
    "png": as_png,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_celeba_in_every_layout(plain: Path, tmp_path: Path, layout: str) -> None:
    _, wanted = prepared(plain, tmp_path / "wanted")
    LAYOUTS[layout](plain)
    assert is_celeba(plain)
    report, found = prepared(plain, tmp_path / "found")
    assert report.written == 6
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_array_equal(found.images, wanted.images)


def relabel(folder: Path, change: Callable[[str], str]) -> None:
    lines = (folder / LIST).read_text().splitlines()
    rows = [line.split() for line in lines[2:]]
    text = [" ".join([row[0], *map(change, row[1:])]) for row in rows]
    (folder / LIST).write_text("\n".join([*lines[:2], *text]) + "\n")


def test_labels_of_0_and_1(plain: Path, tmp_path: Path) -> None:
    _, wanted = prepared(plain, tmp_path / "wanted")
    relabel(plain, lambda value: {"-1": "0"}.get(value, value))
    report, found = prepared(plain, tmp_path / "found")
    np.testing.assert_array_equal(found.labels, wanted.labels)
    assert "0 is taken for no" in report.notes[0]


def as_hq(folder: Path, edge: int = 1024) -> None:
    """Squares numbered from 0, in CelebA-HQ's own folder; face 0 is CelebA's last."""
    hq = folder / "CelebA-HQ-img"
    hq.mkdir()
    for number in range(6):
        image = np.array(Image.new("RGB", (edge, edge), (40 * number, 90, 90)))
        Image.fromarray(image).save(hq / f"{number}.jpg")
    shutil.rmtree(folder / "img_align_celeba")


def test_celeba_hq_by_its_mapping(plain: Path, tmp_path: Path) -> None:
    _, wanted = prepared(plain, tmp_path / "wanted", resolution=8)
    as_hq(plain)
    with pytest.raises(LatentEditError, match=MAPPING):
        open_celeba(plain)
    rows = [f"{hq:5d} {5 - hq:10d} {6 - hq:06d}.jpg" for hq in range(6)]
    (plain / MAPPING).write_text("\n".join(["idx orig_idx orig_file", *rows]) + "\n")
    report, found = prepared(plain, tmp_path / "found", resolution=8)
    assert found.ids == tuple(f"{number}.jpg" for number in range(6))
    np.testing.assert_array_equal(found.labels, wanted.labels[::-1])
    assert any("CelebA-HQ's" in note for note in report.notes)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_celeba_mask_hq_has_a_list_of_its_own(plain: Path, tmp_path: Path, ending: str) -> None:
    as_hq(plain)
    for path in list((plain / "CelebA-HQ-img").iterdir()):
        path.rename(path.with_suffix(ending))
    masks = plain / "CelebAMask-HQ-mask-anno" / "0"
    masks.mkdir(parents=True)
    Image.new("L", (8, 8)).save(masks / "00000_hair.png")
    lines = (plain / LIST).read_text().splitlines()
    rows = [line.split() for line in lines[2:]]
    text = [" ".join([f"{number}.jpg ", *row[1:]]) for number, row in enumerate(rows)]
    (plain / "CelebAMask-HQ-attribute-anno.txt").write_text("\n".join([*lines[:2], *text]) + "\n")
    _, found = prepared(plain, tmp_path / "found")
    assert found.ids == tuple(f"{number}{ending}" for number in range(6))
    assert found.images.shape[1] == 512


def test_hq_pictures_are_cut_as_ffhq_is(plain: Path, tmp_path: Path) -> None:
    as_hq(plain, 256)
    rows = [f"{hq} {hq} {hq + 1:06d}.jpg" for hq in range(6)]
    (plain / MAPPING).write_text("\n".join(["idx orig_idx orig_file", *rows]) + "\n")
    marked = np.zeros((256, 256, 3), np.uint8)
    for x in (0.371, 0.621):  # the eyes in FFHQ's frame
        left, top = round(x * 256), round(0.47 * 256)
        marked[top - 3 : top + 3, left - 3 : left + 3] = 255
    Image.fromarray(marked).save(plain / "CelebA-HQ-img" / "0.png")
    (plain / "CelebA-HQ-img" / "0.jpg").unlink()
    _, found = prepared(plain, tmp_path / "found", resolution=128)
    columns = np.flatnonzero(found.images[0].max((0, 2)) > 128)
    apart = (columns[columns > 64].mean() - columns[columns < 64].mean()) / 128
    assert apart == pytest.approx(0.27, abs=0.01)


def test_small_squares_are_taken_whole(plain: Path, tmp_path: Path) -> None:
    for path in (plain / "img_align_celeba").iterdir():
        Image.open(path).resize((64, 64)).save(path)
    report, found = prepared(plain, tmp_path / "found")
    assert found.images.shape == (6, 64, 64, 3)
    assert "already cut to the face" in report.notes[0]


def test_the_first_pictures_reason_is_said(plain: Path, tmp_path: Path) -> None:
    for path in (plain / "img_align_celeba").iterdir():
        Image.new("RGB", (300, 200)).save(path)
    with pytest.raises(LatentEditError, match=r"the first: .*300x200"):
        prepare_celeba(plain, tmp_path / "found")


def test_every_file_of_celebas_folder_is_accounted_for(plain: Path, tmp_path: Path) -> None:
    (plain / "list_eval_partition.txt").write_text("")
    (plain / "notes.docx").write_text("")
    Image.new("RGB", (178, 218)).save(plain / "img_align_celeba" / "999999.jpg")
    report = prepare_celeba(plain, tmp_path / "found")
    assert report.left_out == (
        "1 file (list_eval_partition.txt): lists of CelebA that are not needed",
        "1 file (notes.docx): not of CelebA",
        "1 file (img_align_celeba/999999.jpg): pictures that the list does not name",
    )


# UTKFace --------------------------------------------------------------------------------------


def chips(folder: Path, names: dict[str, tuple[int, int]]) -> Path:
    for name, size in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        form = "PNG" if path.suffix == ".png" else "JPEG"
        Image.new("RGB", size, (90, 60, 60)).save(path, form)
    return folder


def test_utkface_with_every_ending(tmp_path: Path) -> None:
    square = (40, 40)
    names = ["1_0_0_1.jpg.chip.jpg", "2_0_0_2.png", "3_0_0_3.jpeg", "4_0_0_4.JPG", "5_0_0_5.PNG"]
    folder = chips(tmp_path / "utk", dict.fromkeys(names[:4], square))
    Image.new("RGB", square).save(folder / names[4])
    report = prepare_utkface(folder, tmp_path / "found", resolution=16)
    assert (report.written, report.left_out) == (5, ())
    assert sorted(open_face_data(tmp_path / "found").labels[:, 0]) == [1, 2, 3, 4, 5]


def test_utkface_in_parts_with_doubles(tmp_path: Path) -> None:
    square = (40, 40)
    names = {f"UTKFace/{age}_0_0_{age}.jpg.chip.jpg": square for age in range(1, 5)}
    names |= {f"crop_part1/{age}_0_0_{age}.jpg.chip.jpg": square for age in range(3, 7)}
    folder = chips(tmp_path / "utk", names)
    (folder / "README.txt").write_text("")
    report = prepare_utkface(folder, tmp_path / "found", resolution=16)
    assert sorted(open_face_data(tmp_path / "found").labels[:, 0]) == [1, 2, 3, 4, 5, 6]
    assert len(report.left_out) == 2
    assert "1 file (README.txt): no pictures" in report.left_out
    assert any("of the same name" in line for line in report.left_out)


def test_utkface_in_the_wild_is_searched_for_faces(tmp_path: Path, monkeypatch) -> None:
    names = {f"part1/{age}_0_0_{age}.jpg": (60, 40) for age in range(1, 6)}
    folder = chips(tmp_path / "utk", names)
    utkface = open_utkface(folder)
    assert utkface.wild
    assert "photos in the wild" in utkface.notes[0]
    asked = []

    def find(image):
        asked.append(image.shape)
        return ["face"] if len(asked) != 2 else []

    def align(image, face, size):
        rows = np.arange(size, dtype=np.uint8)[:, None, None]
        return np.broadcast_to(rows, (size, size, 3)).copy()

    monkeypatch.setattr("latentedit.data.utkface.find_faces", find)
    monkeypatch.setattr("latentedit.data.utkface.align", align)
    report = prepare_utkface(folder, tmp_path / "found", resolution=20, skip_bad=True)
    assert report.written == 4
    assert "no face is found in it" in report.skipped[0]
    images = open_face_data(tmp_path / "found").images
    assert images.shape == (4, 20, 20, 3)
    assert images[0, 0, 0, 0] == round(0.520 * 28 - 0.303 * 20)  # the chip's place in the frame


@pytest.mark.parametrize("resolution", [16, 20, 64, 100])
def test_chips_from_the_wild_are_square_at_any_size(
    tmp_path: Path, monkeypatch, resolution: int
) -> None:
    names = {f"part1/{age}_0_0_{age}.jpg": (60, 40) for age in (20, 30)}
    monkeypatch.setattr("latentedit.data.utkface.find_faces", lambda image: ["face"])
    monkeypatch.setattr(
        "latentedit.data.utkface.align",
        lambda image, face, size: np.zeros((size, size, 3), np.uint8),
    )
    output = tmp_path / "found"
    assert (
        prepare_utkface(chips(tmp_path / "utk", names), output, resolution=resolution).written == 2
    )


# WFLW -----------------------------------------------------------------------------------------


def line(number: int) -> str:
    points = " ".join(str(number + place) for place in range(196))
    return f"{points} 1 2 30 40 0 0 0 0 0 0 0--Parade/{number}.jpg"


def test_copies_of_wflws_lists_are_taken_once(tmp_path: Path) -> None:
    lists = tmp_path / "WFLW_annotations"
    (tmp_path / "WFLW_images").mkdir()
    (tmp_path / "backup").mkdir()
    lists.mkdir()
    train, test = [line(n) for n in range(3)], [line(n) for n in range(3, 5)]
    (lists / "list_98pt_rect_attr_train.txt").write_text("\n".join([*train, train[0]]))
    for place in (
        lists / "list_98pt_rect_attr_test.txt",
        lists / "list_98pt_rect_attr_test (1).txt",
        tmp_path / "backup" / "list_98pt_rect_attr_test.txt",
    ):
        place.write_text("\n".join(test))
    (tmp_path / "backup" / "list_98pt_rect_attr_train.txt").write_bytes(
        b"\xef\xbb\xbf" + "\r\n".join([*train, line(9)]).encode()
    )
    wflw = open_wflw(tmp_path)
    assert len(wflw.names) == 6
    assert wflw.splits == {"train": 4, "test": 2}
    assert len(wflw.notes) == 4  # a line that stands twice, and three copies
