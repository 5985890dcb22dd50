"""`latentedit assess`, on photos of every kind that people have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import exit_code as run
from PIL import Image
from portraits import draw_portrait

from latentedit.classifiers.portrait import QUALITIES, PortraitConfig, PortraitNetwork
from latentedit.pretrained.bundles import save_part

PHOTO = Image.fromarray(draw_portrait((300, 320), (150.0, 150.0), 60.0))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A bundle whose network finds every pose poor, and nothing else."""
    torch.manual_seed(0)
    config = PortraitConfig(stem=4, widths=(8, 8), blocks=(1, 1))
    network = PortraitNetwork(config)
    network.scale.zero_()
    network.shift.copy_(torch.tensor([2.0 if name == "pose" else -3.0 for name in QUALITIES]))
    save_part(tmp_path / "model", "portrait", network, config, {})
    return tmp_path / "model"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos that can be judged, and files that cannot."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by a quarter to see it upright
    PHOTO.rotate(90, expand=True).save(folder / "a rotated.jpg", exif=exif)
    PHOTO.convert("L").save(folder / "grey.png")
    PHOTO.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    wide = np.array(PHOTO.convert("L")).astype(np.uint16) * 257
    Image.fromarray(wide).save(folder / "sixteen.png")
    alpha = PHOTO.convert("RGBA")
    alpha.putalpha(255)
    alpha.save(folder / "alpha.png")
    PHOTO.save(folder / "animated.gif", save_all=True, append_images=[PHOTO.rotate(180)])
    PHOTO.save(folder / "more" / "deep.webp", quality=95)
    Image.new("RGB", (1, 1)).save(folder / "one pixel.png")
    Image.new("L", (10_000, 10_000)).save(folder / "huge.png")
    whole = (folder / "alpha.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "no image.jpg").write_text("<html>not found</html>")
    (folder / "notes.txt").write_text("not a photo")
    return folder


JUDGED = {
    *("a rotated.jpg", "grey.png", "cmyk.jpg", "sixteen.png", "alpha.png"),
    *("animated.gif", "deep.webp"),
}


def test_a_folder_is_done_whatever_is_in_it(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("assess", folder, "--json", "--model", model) == 1  # not all of it was judged
    out, err = capsys.readouterr()
    entries = {Path(entry["file"]).name: entry for entry in json.loads(out)}
    assert entries.keys() == {
        *JUDGED,
        *("one pixel.png", "huge.png", "truncated.png", "no image.jpg"),
    }
    for name in JUDGED:
        assert entries[name]["faces"] == 1, name
        qualities = entries[name]["qualities"]
        assert list(qualities) == list(QUALITIES)
        assert qualities["pose"]["verdict"] == "poor"
        assert qualities["pose"]["advice"]
        assert qualities["blur"] == {"score": 0.9526, "verdict": "good", "advice": None}
    assert sum("best" in entry for entry in entries.values()) == 1
    assert entries["one pixel.png"]["faces"] == 0
    assert "no face found" in entries["one pixel.png"]["message"]
    left_out, *lines = err.splitlines()
    assert "1 file (notes.txt): no pictures" in left_out
    assert len(lines) == 3
    for line, (name, words) in zip(
        lines,
        (("huge", "make it smaller"), ("no image", "not an image"), ("truncated", "cut short")),
        strict=True,
    ):
        assert line.startswith("latentedit: ")
        assert name in line
        assert words in line
        assert words in entries[next(n for n in entries if n.startswith(name))]["message"]


def test_words_for_people_and_a_page(
    folder: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "grey.png").rename(folder / "<b>&.png")
    photos = [folder / "<b>&.png", folder / "one pixel.png", folder / "alpha.png", folder / "none"]
    page = tmp_path / "page.html"
    assert run("assess", *photos, "--report", page, "--model", model) == 1
    out, err = capsys.readouterr()
    assert f"{photos[0]}: poor: pose" in out
    assert f"{photos[1]}: no face found" in out
    assert f"best shot: {photos[0]}" in out
    assert f"report in {page}" in out
    assert err.count("\n") == 1
    assert "none does not exist" in err
    html = page.read_text(encoding="utf-8")
    assert html.count("<article>") == 4
    assert html.count("data:image/png;base64,") == 2
    assert "&lt;b&gt;&amp;.png" in html
    assert "<b>&" not in html
    assert html.count('class="best"') == 1
    assert "4 photos, judged for a portrait: 0\ngood" in html
    assert "http" not in html.replace("http-equiv", "")  # needs nothing from elsewhere


def test_nothing_to_judge_is_an_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run("assess", empty, "--model", model) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"latentedit: no photo in {empty}: give a folder with .jpg or .png files"]


def test_what_cannot_be_judged_is_named_before_the_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("assess", tmp_path / "a.png", tmp_path / "b.png", "--model", model) == 2
    lines = capsys.readouterr().err.splitlines()
    assert ["a.png" in lines[0], "b.png" in lines[1]] == [True, True]
    assert len(lines) == 3
    assert "nothing could be assessed" in lines[2]


def test_bad_options_are_refused_before_any_work(
    folder: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = folder / "alpha.png"
    assert run("assess", photo, "--report", tmp_path / "page.pdf", "--model", model) == 2
    assert "end its name in .html" in capsys.readouterr().err
    assert run("assess", photo, "--report", tmp_path / "no" / "page.html", "--model", model) == 2
    assert "does not exist, create it" in capsys.readouterr().err
    assert run("assess", photo, "--model", tmp_path / "nothing") == 2
    assert "no model" in capsys.readouterr().err


@pytest.fixture
def smiling(tmp_path: Path) -> Path:
    """A bundle whose network finds expression and make-up poor, and nothing else."""
    config = PortraitConfig(stem=4, widths=(8, 8), blocks=(1, 1))
    network = PortraitNetwork(config)
    network.scale.zero_()
    poor = ("expression", "make-up")
    network.shift.copy_(torch.tensor([2.0 if name in poor else -3.0 for name in QUALITIES]))
    save_part(tmp_path / "smiling", "portrait", network, config, {})
    return tmp_path / "smiling"


def test_a_convention_is_chosen(
    folder: Path, smiling: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = (folder / "alpha.png", folder / "grey.png")
    assert run("assess", *photos, "--model", smiling) == 0
    out = capsys.readouterr().out
    assert out.count("a good portrait") == 2
    assert "of 2 faces, judged for a portrait: 2 good, 0 with something poor" in out
    page = tmp_path / "page.html"
    words = ("--for", "passport", "--model", smiling)
    assert run("assess", *photos, *words, "--report", page) == 0
    out = capsys.readouterr().out
    assert out.count("poor: make-up, expression") == 2
    assert "judged for a passport: 0 good, 2 with something poor" in out
    assert "needs it: open eyes" in out
    assert "judged for a passport" in page.read_text(encoding="utf-8")
    assert run("assess", *photos, *words, "--json") == 0
    assert {entry["convention"] for entry in json.loads(capsys.readouterr().out)} == {"passport"}
    assert run("assess", *photos, "--for", "beauty") == 2
    assert "choose portrait or passport" in capsys.readouterr().err


def test_only_photos_without_a_face_are_an_error(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("assess", folder / "one pixel.png", "--model", model) == 2
    out, err = capsys.readouterr()
    assert "no face found" in out
    assert "nothing could be assessed" in err


def test_one_photo_has_no_best_shot(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("assess", folder / "alpha.png", "--model", model) == 0
    assert "best shot" not in capsys.readouterr().out
