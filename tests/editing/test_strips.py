"""Film strips: frames, captions, recipes inside the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved import read_recipe

from latentedit.editing import strips
from latentedit.editing.editor import FaceEditor
from latentedit.editing.strips import EditStrip, edit_strip, save_strip
from latentedit.errors import LatentEditError
from latentedit.io import images
from latentedit.io.images import open_image, save_image
from latentedit.photos.marks import GENERATED, Marks
from latentedit.photos.photograph import read_marks


@pytest.fixture
def editor(tiny_bundle: Path) -> FaceEditor:
    return FaceEditor.load(tiny_bundle, device="cpu")


def make(editor: FaceEditor, seeds: tuple[int, ...] = (0, 4), **options: Any) -> EditStrip:
    recipe = editor.recipe({"Young": -3.0}, **{"seeds": seeds, "frames": 4, **options})
    return edit_strip(editor, editor.sample(seeds), recipe)


def test_frames_lead_from_the_face_to_its_edit(editor: FaceEditor) -> None:
    strip = make(editor)
    z = editor.sample([0, 4])
    edited = editor.edit(z, {"Young": -3.0})
    assert strip.images.shape == (2, 4, 16, 16, 3)
    assert strip.scores.shape == strip.distances.shape == (2, 4, 40)
    np.testing.assert_array_equal(strip.images[:, 0], editor.render(z))
    np.testing.assert_array_equal(strip.images[:, -1], editor.render(edited))
    np.testing.assert_array_equal(strip.scores[:, -1], editor.score(editor.render(edited)))
    np.testing.assert_array_equal(strip.distances[:, 0], editor.distances(z))
    young = strip.distances[:, :, editor.boundaries.index("Young")]
    steps = np.diff(young, axis=1)
    assert np.all(steps < 0)
    np.testing.assert_allclose(steps, steps[:, :1] * np.ones(3), atol=1e-5)


def test_the_summary_is_plain_data(editor: FaceEditor) -> None:
    strip = make(editor, to={"Smiling": 1.0})
    summary = json.loads(json.dumps(strip.summary(), allow_nan=False))
    assert summary["recipe"] == strip.recipe.as_dict()
    assert [face["seed"] for face in summary["faces"]] == [0, 4]
    young = summary["faces"][1]["attributes"]["Young"]
    column = editor.boundaries.index("Young")
    assert young["probability"] == [
        round(float(strip.scores[1, frame, column]), 4) for frame in (0, -1)
    ]
    assert young["distance"] == [
        round(float(strip.distances[1, frame, column]), 4) for frame in (0, -1)
    ]
    assert summary["faces"][0]["attributes"]["Smiling"]["distance"][1] == pytest.approx(1, abs=1e-3)
    assert len(summary["faces"][0]["attributes"]) == 40


def test_latents_without_seeds(editor: FaceEditor) -> None:
    recipe = editor.recipe({"Young": 1.0}, frames=2)
    strip = edit_strip(editor, editor.sample([5])[0], recipe)
    assert strip.summary()["faces"][0]["seed"] is None
    assert strip.draw().dtype == np.uint8


def captions(strip: EditStrip, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[list[str]]]:
    """The title and captions that a strip is drawn with."""
    seen: dict[str, Any] = {}

    def watch(rows: Any, **options: Any) -> Any:
        seen.update(options)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(strips, "film_strip", watch)
    strip.draw()
    assert seen["marked"] == 0
    return seen["title"], seen["captions"]


def test_captions_say_step_and_probability(
    editor: FaceEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    strip = make(editor)
    title, rows = captions(strip, monkeypatch)
    assert title.startswith("Young -3; ")
    assert "holding 2 attributes" in title
    assert "tiny, 2 faces" in title
    shown = strip.scores[1, :, editor.boundaries.index("Young")]
    places = ["original", "-1", "-2", "-3"]
    assert rows[1] == [f"{place}  p={p:.2f}" for place, p in zip(places, shown, strict=True)]


def test_captions_of_several_edits_are_shares(
    editor: FaceEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    strip = make(editor, seeds=(3,), hold="none", to={"black hair": 1.5}, frames=3)
    title, rows = captions(strip, monkeypatch)
    assert title.startswith("Young -3, Black hair to +1.5; ")
    assert "nothing held" in title
    assert "tiny, seed 3" in title
    shown = strip.scores[0][:, [strip.attributes.index(name) for name in ("Young", "Black_Hair")]]
    assert rows[0] == [
        f"{place}\nYoung  p={young:.2f}\nBlack hair  p={black:.2f}"
        for place, (young, black) in zip(("original", "50%", "100%"), shown, strict=True)
    ]


# ---- files


def test_a_png_carries_its_recipe_and_the_recipe_makes_it_again(
    editor: FaceEditor, tiny_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "edit.png"
    strip = make(editor, hold={"Male": 0.5}, to={"Smiling": 1.0})
    save_strip(path, strip)
    recipe = read_recipe(path)
    assert recipe == strip.recipe
    another = FaceEditor.load(tiny_bundle, device="cpu")
    assert recipe.seeds is not None
    again = edit_strip(another, another.sample(recipe.seeds), recipe)
    np.testing.assert_array_equal(again.draw(), open_image(path))


def test_other_formats_carry_it_too(editor: FaceEditor, tmp_path: Path) -> None:
    strip = make(editor)
    for name in ("edit.jpg", "edit.webp"):
        save_strip(tmp_path / name, strip)
        assert open_image(tmp_path / name).ndim == 3
        assert read_marks(tmp_path / name) == Marks(strip.recipe.to_json(), GENERATED)


def test_pictures_without_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    save_image(path, np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(LatentEditError, match="carries no recipe"):
        read_recipe(path)
    save_image(path, np.zeros((4, 4, 3), np.uint8), metadata={images.RECIPE_KEY: "{}"})
    with pytest.raises(LatentEditError, match="not an edit recipe"):
        read_recipe(path)
    with pytest.raises(LatentEditError, match="cannot read"):
        read_recipe(tmp_path / "missing.png")


# ---- what is refused


def test_faces_that_are_not_the_recipes(editor: FaceEditor) -> None:
    recipe = editor.recipe({"Young": 1.0}, seeds=[1, 2])
    with pytest.raises(LatentEditError, match="for 2 faces, 3 are given"):
        edit_strip(editor, editor.sample(range(3)), recipe)


def test_more_pictures_than_a_sheet_holds(editor: FaceEditor) -> None:
    seeds = range(strips.MAX_PICTURES // 7 + 1)
    recipe = editor.recipe({"Young": 1.0}, seeds=seeds)
    with pytest.raises(LatentEditError, match="at most 285 faces"):
        edit_strip(editor, editor.sample(seeds), recipe)


def test_latents_of_another_shape(editor: FaceEditor) -> None:
    with pytest.raises(LatentEditError, match=r"shape \[N, 64\]"):
        edit_strip(editor, np.zeros((1, 512)), editor.recipe({"Young": 1.0}))
