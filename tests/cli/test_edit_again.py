"""`latentedit edit --recipe`: of seeds, of latents and of photos, into other kinds of files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from photo_models import draw_photo, write_bundle
from PIL import Image

from latentedit.checkpoints.latent_files import read_latents
from latentedit.io.images import open_image

YOUNG = ("--attr", "Young", "--step", -2, "--attr", "Male", "--to", 0.5, "--force")


def test_seeds_again_from_what_was_written(run: Run, tiny_bundle: Path) -> None:
    model = ("--model", tiny_bundle)
    words = ("edit", *YOUNG, "--hold", "Bald=0.5", "--seeds", "3", "--seed", "5", "--psi", 1)
    assert run(*words, "--frames", 3, *model).code == 0
    told = run("info", "edit.png", "--json")
    Path("kept.json").write_text("\ufeff" + told.out)
    Path("plain.json").write_text(json.dumps(json.loads(told.out)["recipe"]))
    assert run(*words, "-o", "film.gif", "--frames", 3, *model).code == 0
    for recipe in ("edit.png", "kept.json", "plain.json", "film.gif"):
        assert run("edit", "--recipe", recipe, "-o", "again.png", *model).code == 0
        assert Path("again.png").read_bytes() == Path("edit.png").read_bytes()
    assert run("edit", "--recipe", "edit.png", "-o", "z.safetensors", *model).code == 0
    kept = read_latents("z.safetensors")
    assert kept.metadata["recipe"] == json.loads(told.out)["recipe"]
    assert kept.values.shape == (2, 64)


def test_a_recipe_for_other_faces(run: Run, tiny_bundle: Path) -> None:
    model = ("--model", tiny_bundle)
    run("edit", *YOUNG, "--seed", 3, "-o", "three.png", *model)
    run("edit", *YOUNG, "--seeds", "8-9", "--frames", 2, "-o", "eight.png", *model)
    words = ("--recipe", "three.png", "--seeds", "8-9", "--frames", 2)
    assert run("edit", *words, "-o", "also.png", *model).code == 0
    assert Path("also.png").read_bytes() == Path("eight.png").read_bytes()


def test_latents_again(run: Run, tiny_bundle: Path) -> None:
    model = ("--model", tiny_bundle)
    run("sample", "--seeds", "3-4", "--save-latents", "z.npy", *model)
    assert run("edit", *YOUNG, "--latents", "z.npy", "-o", "one.png", *model).code == 0
    words = ("--recipe", "one.png", "--latents", "z.npy", "-o", "two.png")
    assert run("edit", *words, *model).code == 0
    assert Path("two.png").read_bytes() == Path("one.png").read_bytes()


def test_a_recipes_own_model_is_taken(run: Run) -> None:
    words = ("--attr", "Young", "--step", 1, "--frames", 2, "--model", "faces128")
    assert run("edit", *words).code == 0
    done = run("edit", "--recipe", "edit.png", "-o", "again.png")
    assert (done.code, done.out) == (0, "1 face in again.png\n")


# ---- photos


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("dlib", reason="dlib is missing: pip install 'latentedit[photos]'")
    pytest.importorskip("face_recognition_models", reason="pip install 'latentedit[photos]'")
    return write_bundle(tmp_path_factory.mktemp("model"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "me.jpg"
    Image.fromarray(draw_photo(2)).save(path, quality=90)
    return path


MOVES = ("--attr", "Smiling", "--step", 2, "--hold", "none", "--refine", 2)


def test_a_photo_again(run: Run, bundle: Path, photo: Path) -> None:
    model = ("--model", bundle)
    words = (*MOVES, "--face", "all", "-o", "smiling.jpg", "--json", *model)
    first = run("edit", photo, *words)
    assert first.code == 0, first.err
    done = run("edit", photo, "--recipe", "smiling.jpg", "-o", "again.jpg", "--json", *model)
    assert done.code == 0, done.err
    assert Path("again.jpg").read_bytes() == Path("smiling.jpg").read_bytes()
    assert json.loads(done.out) | {"file": ""} == json.loads(first.out) | {"file": ""}
    line = run("edit", photo, "--recipe", "smiling.jpg", "--face", 1, "-o", "one.jpg", *model)
    assert (line.code, "leave out --face" in line.err) == (2, True)
    done = run("edit", photo, "--recipe", "smiling.jpg", "-o", "us.safetensors", *model)
    assert done.code == 0, done.err
    assert read_latents("us.safetensors").values.shape == (2, 8, 16)


def test_films_and_strips_of_a_photo(run: Run, bundle: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(draw_photo()).resize((900, 900)).save(large)
    words = ("edit", large, *MOVES, "--frames", 3, "--model", bundle)
    film = run(*words, "-o", "smiling.gif")
    assert film.code == 0, film.err
    assert "720 x 720 pixels, 3 frames" in film.err
    with Image.open("smiling.gif") as frames:
        assert (frames.n_frames, frames.size) == (4, (720, 720))
        first = np.array(frames.convert("RGB")).astype(int)
    plain = np.array(Image.open(large).resize((720, 720), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(first - plain).mean() < 6  # 256 colours
    again = run("edit", large, "--recipe", "smiling.gif", "-o", "strip.png", "--frames", 3,
                "--model", bundle)  # fmt: skip
    assert again.code == 0, again.err
    assert "720 x 720" in again.err
    height, width = open_image("strip.png").shape[:2]
    assert width > 3 * 720
    assert height > 720
    told = json.loads(run("info", "strip.png", "--json").out)
    assert told["recipe"]["edits"][0]["frames"] == 3
    assert told["digital_source_type"].endswith("compositeWithTrainedAlgorithmicMedia")


def test_the_face_of_a_photo_alone(run: Run, bundle: Path, photo: Path) -> None:
    words = ("edit", photo, *MOVES, "--face-only", "--model", bundle)
    done = run(*words, "-o", "face.png")
    assert done.code == 0, done.err
    assert open_image("face.png").shape == (32, 32, 3)  # as large as the model draws
    assert json.loads(run("info", "face.png", "--json").out)["recipe"]["photo"] == "me.jpg"


def test_a_recipe_of_a_seed_in_a_photo(run: Run, bundle: Path, photo: Path) -> None:
    model = ("--model", bundle)
    words = ("--attr", "Smiling", "--step", 2, "--hold", "none")
    assert run("edit", *words, "--seed", 1, "-o", "seed.png", *model).code == 0
    done = run("edit", photo, "--recipe", "seed.png", "--refine", 2, "-o", "one.png", *model)
    assert done.code == 0, done.err
    assert "made for another face" in done.err
    assert run("edit", photo, *words, "--refine", 2, "-o", "two.png", *model).code == 0
    np.testing.assert_array_equal(open_image("one.png"), open_image("two.png"))
