"""Photos become faces as FFHQ aligns them; what is left out is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from photo_models import draw_photo
from PIL import Image

from latentedit.data.aligned import prepare_aligned
from latentedit.data.face_file import open_face_data
from latentedit.errors import LatentEditError

pytest.importorskip("dlib", reason="dlib is missing: pip install 'latentedit[photos]'")
pytest.importorskip("face_recognition_models", reason="pip install 'latentedit[photos]'")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in ("one/1.png", "one/2.png", "two/1.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_photo()).save(root / name)
    Image.new("RGB", (100, 100)).save(root / "black.png")
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


def test_faces_are_aligned_and_the_rest_is_counted(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "faces.safetensors"
    report = prepare_aligned([folder], output, resolution=64, per_person=1)
    assert report.written == 2
    assert dict(report.dropped) == {
        "more than 1 of one person": 1,
        "no face that can be aligned": 1,
    }
    assert len(report.bad) == 1
    data = open_face_data(output)
    assert data.images.shape == (2, 64, 64, 3)
    assert data.ids == ("one/1.png", "two/1.png")
    np.testing.assert_array_equal(data.images[0], data.images[1])


def test_the_command(run: Run, folder: Path) -> None:
    done = run("prepare", "aligned", folder, "-o", "faces.safetensors", "--resolution", 64)
    assert done.code == 0, done.err
    assert "3 faces of 64x64" in done.out
    assert "broken.jpg" in done.err


def test_a_card_names_only_the_first_of_many_folders(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "faces.safetensors"
    prepare_aligned([folder / "one"] * 12, output, resolution=16)
    assert open_face_data(output).source.startswith(
        "photos of " + "one; " * 8 + "and 4 more folders"
    )


def test_folders_without_photos(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="not a folder"):
        prepare_aligned([tmp_path / "nowhere"], tmp_path / "faces.safetensors")
    with pytest.raises(LatentEditError, match="no photo"):
        prepare_aligned([tmp_path], tmp_path / "faces.safetensors")
