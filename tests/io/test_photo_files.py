"""Photos among whatever else lies in a folder; none of it is passed over in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentedit.io.images import open_image
from latentedit.io.photo_files import few_names, find_photos, in_words

PICTURE = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
FORMATS = {
    "a.jfif": "JPEG", "a.jpe": "JPEG", "a.JPG": "JPEG", "a.avif": "AVIF", "a.tga": "TGA",
    "a.ppm": "PPM", "a.jp2": "JPEG2000", "a.bmp": "BMP", "a.webp": "WEBP", "a.qoi": "QOI",
    "no ending": "PNG", "wrong.dat": "JPEG",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_whatever_pillow_reads_is_a_photo(tmp_path: Path, name: str) -> None:
    Image.init()
    if FORMATS[name] not in Image.SAVE:
        pytest.skip("this Pillow cannot write it")
    PICTURE.save(tmp_path / name, FORMATS[name])
    found = find_photos(tmp_path)
    assert found.photos == [tmp_path / name]
    assert open_image(found.photos[0]).shape == (4, 4, 3)


def test_the_others_are_named_by_what_they_are(tmp_path: Path) -> None:
    names = {
        "b/film.mp4": b"\0\0\0\x18ftypmp42",
        "film": b"\0\0\0\x18ftypmp42",
        "raw.CR2": b"II*\0",
        "notes.txt": b"x",
        "empty": b"",
        "model.pth": b"PK\x03\x04",
        "all.zip": b"PK",
        "a.jpg.crdownload": b"\xff\xd8",
        ".hidden.jpg": b"\xff\xd8",
        "Thumbs.db": b"x",
        "b/report.pdf": b"%PDF-1.4",
    }
    for name, content in names.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    PICTURE.save(tmp_path / "b" / "face.png")
    found = find_photos(tmp_path)
    assert found.photos == [tmp_path / "b" / "face.png"]
    left = {what: {path.name for path in paths} for what, paths in found.left_out.items()}
    assert left["videos"] == {"film.mp4", "film"}
    assert left["no pictures"] == {"notes.txt", "empty", "model.pth"}
    assert left["hidden files and folders"] == {".hidden.jpg", "Thumbs.db"}
    assert sum(map(len, left.values())) == len(names)  # every file is accounted for
    lines = in_words(found.left_out, tmp_path)
    assert "1 file (b/report.pdf): drawings and documents" in lines


def test_few_names() -> None:
    assert few_names(["a"]) == "1 file (a)"
    assert few_names(["a", "b", "c", "d", "e"]) == "5 files (a, b, c and 2 more)"


def test_a_heic_photo_is_named_with_the_extra(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert find_photos(tmp_path).photos == [tmp_path / "IMG_1.HEIC"]


def test_links_are_followed_to_files_and_named_otherwise(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    PICTURE.save(tmp_path / "elsewhere" / "face.png")
    top = tmp_path / "top"
    top.mkdir()
    for name, goal in {
        "face.png": "../elsewhere/face.png",
        "more": "../elsewhere",
        "x": "y",
    }.items():
        (top / name).symlink_to(goal)
    found = find_photos(top)
    assert found.photos == [top / "face.png"]
    left = {what.split(",")[0]: paths for what, paths in found.left_out.items()}
    assert left == {"links to folders": [top / "more"], "links that lead nowhere": [top / "x"]}
