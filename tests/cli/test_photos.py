"""`latentedit edit PHOTO`, `invert` and `info`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from photo_models import draw_photo, write_bundle
from PIL import Image

from latentedit.io.images import open_image
from latentedit.photos.marks import GENERATED, Marks
from latentedit.photos.photograph import save_marked

pytest.importorskip("dlib", reason="dlib is missing: pip install 'latentedit[photos]'")
pytest.importorskip("face_recognition_models", reason="pip install 'latentedit[photos]'")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return draw_photo(2)


@pytest.fixture
def photo(tmp_path: Path, pixels: np.ndarray) -> Path:
    path = tmp_path / "me.jpg"
    exif = Image.Exif()
    exif[0x010E] = "the two of us"
    Image.fromarray(pixels).save(path, quality=80, exif=exif)
    return path


def test_a_photo_comes_back_edited(run: Run, bundle: Path, photo: Path) -> None:
    words = ("--attr", "Smiling", "--step", 2, "--hold", "none", "--refine", 2)
    done = run("edit", photo, *words, "-o", "smiling.jpg", "--model", bundle)
    assert done.code == 0, done.err
    assert "Smiling" in done.out
    assert "2 faces" in done.err
    before, after = open_image(photo), open_image("smiling.jpg")
    assert after.shape == before.shape
    assert (after != before).any()
    with Image.open("smiling.jpg") as picture:
        assert picture.getexif()[0x010E] == "the two of us"
    told = run("info", "smiling.jpg", "--json")
    facts = json.loads(told.out)
    assert facts["digital_source_type"].endswith("compositeWithTrainedAlgorithmicMedia")
    (edit,) = facts["recipe"]["edits"]
    assert edit["steps"] == {"Smiling": 2.0}
    assert edit["face"] == 2


def test_an_edit_imports_no_compiler(bundle: Path, photo: Path, tmp_path: Path) -> None:
    """PyTorch's compiler takes more than a second to import, and some optimisers import it."""
    words = ["edit", str(photo), "--attr", "Smiling", "--step", "1", "--refine", "1"]
    words += ["-o", str(tmp_path / "smiling.png"), "--model", str(bundle)]
    code = (
        "import sys\nfrom latentedit.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "sys.exit(' '.join(sys.modules.keys() & {'torch._dynamo', 'torch._inductor'}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "smiling.png").is_file()


def test_every_face_where_all_are_asked_for(run: Run, bundle: Path, photo: Path) -> None:
    words = ("--attr", "Male", "--step", 2, "--hold", "none", "--refine", 0, "--face", "all")
    done = run("edit", photo, *words, "-o", "all.png", "--json", "--model", bundle)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert [face["face"] for face in told["faces"]] == [1, 2]
    before, after = (open_image(path).astype(int) for path in (photo, "all.png"))
    changed = np.abs(after - before).max((0, 2)) > 0
    assert changed[:300].any()
    assert changed[300:].any()


def test_a_step_of_zero_gives_the_pixels_back(run: Run, bundle: Path, photo: Path) -> None:
    words = ("--attr", "Male", "--step", 0, "--refine", 0, "-o", "same.png")
    assert run("edit", photo, *words, "--model", bundle).code == 0
    np.testing.assert_array_equal(open_image("same.png"), open_image(photo))


def test_the_photo_itself_is_not_written_over(run: Run, bundle: Path, photo: Path) -> None:
    kept = photo.read_bytes()
    words = ("--attr", "Male", "--step", 1, "--refine", 0, "--model", bundle)
    refused = run("edit", photo, *words, "-o", photo)
    assert (refused.code, "--force" in refused.err) == (2, True)
    assert photo.read_bytes() == kept
    words = ("-o", "me.npy", "--picture", photo, "--refine", 0, "--model", bundle)
    refused = run("invert", photo, *words)
    assert (refused.code, "photo itself" in refused.err) == (2, True)
    assert "--force" not in refused.err
    assert photo.read_bytes() == kept
    words = ("--attr", "Male", "--step", 1, "--refine", 0, "--model", bundle)
    assert run("edit", photo, *words, "-o", photo, "--force").code == 0


def test_a_file_of_boundaries_is_not_written_over(run: Run, tiny_bundle: Path) -> None:
    mine = Path("mine.safetensors")
    for name in ("safetensors", "json"):
        shutil.copy(tiny_bundle / f"boundaries.{name}", f"mine.{name}")
    kept = mine.read_bytes()
    words = ("--attr", "Young", "--step", 1, "--boundaries", mine, "--model", tiny_bundle)
    refused = run("edit", *words, "-o", mine)
    assert (refused.code, "file of boundaries itself" in refused.err) == (2, True)
    assert mine.read_bytes() == kept


def test_latents_of_a_photo_go_on(run: Run, bundle: Path, photo: Path) -> None:
    done = run("invert", photo, "-o", "me.safetensors", "--refine", 1, "--model", bundle)
    assert done.code == 0, done.err
    assert "face 2" in done.out
    words = ("--latents", "me.safetensors", "--attr", "Young", "--step", -1, "--frames", 3)
    done = run("edit", *words, "-o", "strip.png", "--model", bundle)
    assert done.code == 0, done.err
    assert open_image("strip.png").ndim == 3
    words = ("--face", "all", "--refine", 0, "--picture", "both.png", "--json")
    done = run("invert", photo, "-o", "us.npy", *words, "--model", bundle)
    assert len(json.loads(done.out)["faces"]) == 2
    assert np.load("us.npy").shape == (2, 8, 16)
    assert open_image("both.png").shape[0] > 2 * 32


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--face", "3"), "no face 3"),
        (("--face", "left"), "--face"),
        (("--face", "0"), "--face"),
        (("--seed", "3"), "--seed"),
        (("--frames", "1"), "2 to 120 frames"),
        (("--frames", "3", "-o", "me.tiff"), "end its name in .png"),
        (("--frames", "3", "--face-only"), "--frames is for strips and films"),
        (("--frames", "3", "-o", "me.npy"), "--frames is for pictures and films"),
        (("--face-only", "-o", "me.safetensors"), "--face-only is for pictures and films"),
        (("-o", "missing/me.jpg"), "does not exist"),
        (("-o", "me.bmp"), "end its name in .png"),
        (("-o", "me"), ".gif or .mp4 (films)"),
        (("--hold", "Mael"), "Male"),
    ],
)
def test_what_a_photo_is_not_edited_with(
    run: Run, bundle: Path, photo: Path, words: tuple[str, ...], message: str
) -> None:
    edit = ("edit", photo, "--attr", "Male", "--step", 1, "--refine", 0, "--model", bundle)
    refused = run(*edit, *words)
    assert refused.code == 2
    assert message in refused.err
    assert refused.err.count("\n") <= 2


def test_what_no_photo_is(run: Run, bundle: Path, tiny_bundle: Path, photo: Path) -> None:
    def refusal(*words: object) -> str:
        done = run("edit", *words, "--attr", "Male", "--step", 1)
        assert done.code == 2
        return done.err

    assert "does not exist" in refusal("nobody.jpg", "--model", bundle)
    Path("text.jpg").write_text("no picture")
    assert "text.jpg" in refusal("text.jpg", "--model", bundle)
    Image.new("RGB", (200, 200)).save("black.jpg")
    assert "no face" in refusal("black.jpg", "--model", bundle)
    assert "one latent" in refusal(photo, "--model", tiny_bundle)
    assert "--face is for photos" in refusal("--face", "2", "--model", bundle)


def test_info_of_what_says_nothing(run: Run, photo: Path) -> None:
    done = run("info", photo)
    assert done.code == 2
    assert "says nothing" in done.err


def test_info_names_latentedit_only_where_there_is_a_recipe(run: Run, photo: Path) -> None:
    save_marked(Path("drawn.jpg"), open_image(photo), Marks(None, GENERATED))
    done = run("info", "drawn.jpg")
    assert done.code == 0, done.err
    assert "was drawn by a program that it does not name" in done.out
    assert "latentedit" not in done.out


@pytest.mark.parametrize("recipe", ["[" * 3000, "9" * 5000, "{"])
def test_info_of_a_damaged_recipe(run: Run, photo: Path, recipe: str) -> None:
    save_marked(Path("drawn.png"), open_image(photo), Marks(recipe, GENERATED))
    done = run("info", "drawn.png")
    assert (done.code, "damaged" in done.err, done.err.count("\n")) == (2, True, 1)
