"""What an edit is written to: kinds by ending, and what each draws of faces."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentedit.editing.editor import FaceEditor
from latentedit.editing.outputs import OUTPUTS, Asked, find_output
from latentedit.editing.outputs.faces import EditedFaces
from latentedit.editing.saved import read_recipe
from latentedit.errors import LatentEditError
from latentedit.generators.latents import load_latents
from latentedit.io.images import open_image
from latentedit.photos.marks import GENERATED
from latentedit.photos.photograph import read_marks


@pytest.fixture
def edited(tiny_bundle: Path) -> EditedFaces:
    editor = FaceEditor.load(tiny_bundle, device="cpu")
    way = editor.recipe({"Young": -3.0}, seeds=[4, 5, 6], frames=3)
    return EditedFaces(editor, editor.sample([4, 5, 6]), way)


def save(edited: EditedFaces, path: Path, **asked: object) -> list[str]:
    wanted = Asked(path, **asked)
    return find_output(wanted).save(edited, wanted)


def test_each_ending_belongs_to_one_kind() -> None:
    endings = [ending for output in OUTPUTS for ending in output.endings]
    assert len(endings) == len(set(endings))
    assert all(ending == ending.lower() and ending.startswith(".") for ending in endings)
    with pytest.raises(LatentEditError) as refused:
        find_output(Asked(Path("edit.txt")))
    for ending in (".png", ".jpg", ".gif", ".mp4", ".npy", ".safetensors"):
        assert ending in str(refused.value)


def test_a_strip(edited: EditedFaces, tmp_path: Path) -> None:
    assert save(edited, tmp_path / "edit.PNG") == []
    np.testing.assert_array_equal(open_image(tmp_path / "edit.PNG"), edited.strip.draw())


def test_faces_alone(edited: EditedFaces, tmp_path: Path) -> None:
    save(edited, tmp_path / "faces.png", alone=True)
    shown = open_image(tmp_path / "faces.png")
    assert shown.shape == (2 * 16 + 2, 2 * 16 + 2, 3)
    after = edited.editor.render(edited.editor.edit(edited.z, {"Young": -3.0}))
    np.testing.assert_array_equal(shown[:16, 18:], after[1])
    one = EditedFaces(edited.editor, edited.z[:1], edited.editor.recipe({"Young": -3.0}, seeds=[4]))
    save(one, tmp_path / "face.png", alone=True)
    np.testing.assert_array_equal(open_image(tmp_path / "face.png"), after[0])


@pytest.mark.parametrize(
    "ending",
    [
        "png",
        "jpg",
        "webp",
        "gif",
        pytest.param("mp4", marks=pytest.mark.skipif(find_spec("av") is None, reason="no PyAV")),
    ],
)
def test_all_that_is_drawn_says_how(edited: EditedFaces, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"edit.{ending}"
    save(edited, path)
    marks = read_marks(path)
    assert json.loads(marks.recipe or "") == edited.recipe
    assert marks.source_type == GENERATED
    (saved,) = read_recipe(path).edits
    assert saved.recipe == edited.way


def test_a_film_goes_there_and_back(edited: EditedFaces, tmp_path: Path) -> None:
    (note,) = save(edited, tmp_path / "edit.gif")
    assert "256 x 256 pixels, 3 frames" in note
    with Image.open(tmp_path / "edit.gif") as film:
        assert (film.n_frames, film.size) == (4, (256, 256))
    frames = edited.film(20, alone=False)
    assert frames.shape == (3, 20, 20, 3)


def test_latents_go_on(edited: EditedFaces, tmp_path: Path) -> None:
    assert save(edited, tmp_path / "z.safetensors") == []
    (note,) = save(edited, tmp_path / "z.npy")
    assert "recipe" in note
    after = edited.editor.edit(edited.z, {"Young": -3.0})
    for name in ("z.npy", "z.safetensors"):
        np.testing.assert_array_equal(load_latents(tmp_path / name, 64), after)


def test_nothing_is_drawn_for_latents(
    edited: EditedFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaceEditor, "render", lambda *_: pytest.fail("it drew"))
    save(edited, tmp_path / "z.npy")
    assert (tmp_path / "z.npy").is_file()


def test_what_is_seen_does_not_depend_on_the_output(edited: EditedFaces) -> None:
    short = edited.summary()
    assert short["recipe"]["frames"] == 3
    edited.picture(Asked(Path("a.png")))
    assert edited.strip.summary()["faces"] == short["faces"]
