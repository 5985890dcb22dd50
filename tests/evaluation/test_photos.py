"""Photos are inverted and edited, and every one is accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st
from photo_models import draw_photo, write_bundle
from PIL import Image

from latentedit.evaluation.photos import likeness, mse
from latentedit.io.images import open_image

pytest.importorskip("dlib", reason="dlib is missing: pip install 'latentedit[photos]'")
pytest.importorskip("face_recognition_models", reason="pip install 'latentedit[photos]'")


def test_the_table_of_a_folder(run: Run, tmp_path: Path) -> None:
    """Takes over five seconds: faces are found, inverted and described, each several times."""
    bundle, folder = write_bundle(tmp_path / "model"), tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(draw_photo()).save(folder / "me.png")
    Image.new("RGB", (100, 100)).save(folder / "nobody.png")
    words = ("--json", "report.json", "--sheet", "sheet.png", "--refine", 1, "--model", bundle)
    done = run("evaluate", "photos", folder, *words)
    assert done.code == 0, done.err
    assert "nobody.png" in done.err
    assert "1 photos" in done.out
    report = json.loads(Path("report.json").read_text())
    (row,) = report["photos"]
    assert row["photo"] == "me.png"
    assert set(row["edits"]) == {"Smiling", "Young"}
    assert row["ms_ssim"]["pasted"] == pytest.approx(1)  # nothing was edited
    assert report["means"]["identity"]["refined"] == pytest.approx(
        row["identity"]["refined"], abs=1e-3
    )
    assert list(report["left_out"]) == ["nobody.png"]
    assert open_image("sheet.png").shape[1] > 5 * 256
    report_of = ("evaluate", "all", "--part", "photos", "-o", "rep", "--model", bundle)
    assert "give --photos" in run(*report_of).err
    Path("report.png").write_bytes(Path("sheet.png").read_bytes())
    assert run(*report_of, "--photos", "report.json").code == 0
    page = Path("rep/index.html").read_text()
    assert "<h2>Photos</h2>" in page
    assert page.count("<img") == 1
    Path("report.json").write_text(json.dumps({**report, "generator_hash": "0" * 16}))
    done = run(*report_of, "--photos", "report.json")
    assert (done.code, "not of this generator" in done.err) == (2, True)
    Path("report.json").write_text(json.dumps({"generator_hash": report["generator_hash"]}))
    done = run(*report_of, "--photos", "report.json")
    assert (done.code, "is no report of" in done.err) == (2, True)


def test_a_folder_without_faces(run: Run, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "model")
    Image.new("RGB", (100, 100)).save("nobody.png")
    done = run("evaluate", "photos", ".", "--json", "report.json", "--model", bundle)
    assert done.code == 2
    assert "no face" in done.err


@pytest.mark.parametrize("amount", [5.0, 60.0])
def test_likeness_is_one_for_the_same_and_less_for_others(amount: float) -> None:
    random = np.random.RandomState(0)
    one = random.randint(60, 196, (176, 176, 3)).astype(np.uint8)
    other = (one + random.uniform(-amount, amount, one.shape)).clip(0, 255).astype(np.uint8)
    assert likeness(one, one) == pytest.approx(1)
    assert likeness(one, other) < 1


@given(st.integers(0, 2**32 - 1), st.floats(2, 60))
def test_errors_grow_with_what_differs(seed: int, amount: float) -> None:
    random = np.random.RandomState(seed)
    one = random.randint(60, 196, (8, 8, 3)).astype(np.uint8)
    other = (one + random.uniform(-amount, amount, one.shape)).clip(0, 255).astype(np.uint8)
    assert mse(one, one) == 0
    assert 0 < mse(one, other) <= ((amount + 1) / 127.5) ** 2
