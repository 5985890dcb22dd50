"""Views as recipes and back, and everything that is dropped on the page by mistake or malice."""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from latentedit.attributes import ATTRIBUTES
from latentedit.demo.controls import Control, make_controls
from latentedit.demo.recipes import MAX_RECIPE_BYTES, latent_of, recipe_json, recipe_of, view_of
from latentedit.demo.session import View
from latentedit.demo.takeaways import Shown, take
from latentedit.editing.editor import FaceEditor
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.strips import edit_strip, save_strip
from latentedit.errors import LatentEditError
from latentedit.generators.latents import load_latents
from latentedit.io.images import RECIPE_KEY


@pytest.fixture(scope="module")
def editor(_bundle: Path) -> FaceEditor:
    return FaceEditor.load(_bundle, device="cpu")


@pytest.fixture(scope="module")
def controls(editor: FaceEditor) -> dict[str, Control]:
    return make_controls(editor.boundaries)


names = st.sampled_from(ATTRIBUTES)
views = st.builds(
    View,
    seed=st.integers(0, 2**32 - 1),
    steps=st.dictionaries(names, st.floats(-3, 3).filter(bool), min_size=1, max_size=3),
    auto=st.booleans(),
    held=st.lists(names, max_size=3, unique=True).map(tuple),
    strictness=st.floats(0, 1),
)


# ---- there and back


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(views)
def test_a_recipe_restores_what_was_made(
    editor: FaceEditor, controls: dict[str, Control], view: View
) -> None:
    recipe = recipe_of(editor, view)
    restored = view_of(editor, controls, recipe.to_json().encode())
    assert restored.seed == view.seed
    assert restored.steps == pytest.approx(recipe.steps)  # cut short, where they went too far
    again = recipe_of(editor, restored)
    assert {p: {h: g for h, g in held.items() if g} for p, held in again.holds.items()} == {
        p: {h: g for h, g in held.items() if g} for p, held in recipe.holds.items()
    }
    np.testing.assert_allclose(latent_of(editor, restored), latent_of(editor, view), atol=1e-5)


def test_locks_come_back_as_locks(editor: FaceEditor, controls: dict[str, Control]) -> None:
    view = View(3, {"Young": -2.0, "Smiling": 1.5}, held=("Bald", "Wearing_Hat"), strictness=0.8)
    assert set(recipe_of(editor, view).holds["Young"]) == {"Male", "Gray_Hair", *view.held}
    restored = view_of(editor, controls, recipe_json(editor, view).encode())
    assert (set(restored.held), restored.strictness) == ({"Bald", "Wearing_Hat"}, 0.8)
    assert (restored.auto, restored.given) == (True, None)


def test_a_lock_replaces_an_automatic_hold_and_a_moved_one_waits(editor: FaceEditor) -> None:
    view = View(3, {"Young": -2.0, "Bald": 1.0}, held=("Male", "Bald"), strictness=0.0)
    assert recipe_of(editor, view).holds == {
        "Young": {"Male": 0.0, "Gray_Hair": 0.5},
        "Bald": {"Male": 0.0},
    }


def test_holds_that_locks_cannot_say_are_kept_as_given(
    editor: FaceEditor, controls: dict[str, Control]
) -> None:
    recipe = editor.recipe({"Young": -2.0}, {"Male": 0.3, "Bald": 0.9}, seeds=[4])
    view = view_of(editor, controls, recipe.to_json().encode())
    assert view.given == recipe.holds
    assert recipe_of(editor, view).holds == recipe.holds


def test_a_move_holds_what_another_one_balances_until_a_slider_moves(
    editor: FaceEditor, controls: dict[str, Control]
) -> None:
    recipe = editor.recipe({"Young": -2.0, "Eyeglasses": 0.5}, "none", seeds=[4])
    recipe = replace(recipe, holds={"Young": {"Eyeglasses": 0.9, "Bald": 0.5}, "Eyeglasses": {}})
    view = view_of(editor, controls, recipe.to_json().encode())
    assert recipe_of(editor, view).holds == recipe.holds
    np.testing.assert_allclose(
        latent_of(editor, view), editor.apply(recipe, editor.sample([4])), atol=1e-5
    )
    moved = replace(view, steps={**view.steps, "Bald": 1.0})
    assert recipe_of(editor, moved).holds["Young"] == {"Eyeglasses": 0.9}


def test_distances_to_reach_become_steps(editor: FaceEditor, controls: dict[str, Control]) -> None:
    goals = {"Young": -0.4, "Smiling": 0.3}
    distances = editor.distances(editor.sample([5]))[0]
    near = {name: distances[editor.boundaries.index(name)] + goal for name, goal in goals.items()}
    recipe = editor.recipe({"Bald": 0.5}, to=near, seeds=[5])
    view = view_of(editor, controls, recipe.to_json().encode())
    assert set(view.steps) == {"Young", "Smiling", "Bald"}
    assert view.steps["Bald"] == pytest.approx(0.5)
    np.testing.assert_allclose(
        latent_of(editor, view), editor.apply(recipe, editor.sample([5])), atol=1e-5
    )


def test_strips_of_the_command_line_open_at_their_first_face(
    editor: FaceEditor, controls: dict[str, Control], tmp_path: Path
) -> None:
    recipe = editor.recipe({"Young": -3.0}, seeds=[8, 9], frames=3)
    save_strip(tmp_path / "a.png", edit_strip(editor, editor.sample([8, 9]), recipe))
    view = view_of(editor, controls, (tmp_path / "a.png").read_bytes())
    assert view == View(8, {"Young": -3.0})
    by_face = editor.recipe({"Young": [-1.0, 2.0], "Bald": [0.0, 1.0]}, "none", seeds=[8, 9])
    view = view_of(editor, controls, by_face.to_json().encode())
    assert (view.seed, view.steps) == (8, {"Young": -1.0})


# ---- taking home


def test_what_is_taken_home(
    editor: FaceEditor, controls: dict[str, Control], tmp_path: Path
) -> None:
    view = View(6, {"Young": -2.0, "Smiling": 1.0}, held=("Bald",))
    picture = take(Shown(editor, view), "picture")
    assert (picture.name, picture.type) == ("face-6-edited.png", "image/png")
    pixels = np.array(Image.open(io.BytesIO(picture.content)))
    np.testing.assert_array_equal(pixels, editor.render(latent_of(editor, view))[0])
    for what in ("picture", "strip", "recipe"):
        assert view_of(editor, controls, take(Shown(editor, view), what).content) == view
    with Image.open(io.BytesIO(take(Shown(editor, view), "animation").content)) as film:
        assert (film.format, film.n_frames, film.size) == ("GIF", 16, (256, 256))
        assert film.info["loop"] == 0
    if find_spec("av") is not None:
        video = take(Shown(editor, view), "video")
        assert (video.name, video.type) == ("face-6-edited-film.mp4", "video/mp4")
        assert video.content[4:8] == b"ftyp"
    (tmp_path / "z.safetensors").write_bytes(take(Shown(editor, view), "latent").content)
    z = load_latents(tmp_path / "z.safetensors", editor.latent_dim)
    np.testing.assert_array_equal(z, latent_of(editor, view))


def test_an_unedited_face_can_be_taken_home_too(
    editor: FaceEditor, controls: dict[str, Control]
) -> None:
    for what in ("picture", "recipe"):
        file = take(Shown(editor, View(6)), what)
        assert file.name.startswith("face-6")
        assert view_of(editor, controls, file.content) == View(6)
    assert take(Shown(editor, View(6)), "latent").content
    for what in ("strip", "animation", "video"):
        with pytest.raises(LatentEditError, match="move a slider first"):
            take(Shown(editor, View(6)), what)
    with pytest.raises(LatentEditError, match="no such thing"):
        take(Shown(editor, View(6)), "../../etc/passwd")


# ---- what is refused, in words


def png(text: str | None = None, size: tuple[int, int] = (4, 4)) -> bytes:
    buffer, chunks = io.BytesIO(), PngImagePlugin.PngInfo()
    if text is not None:
        chunks.add_itxt(RECIPE_KEY, text)
    Image.new("RGB", size).save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, format="JPEG")
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def recipe(editor: FaceEditor, **changed: Any) -> bytes:
    values = editor.recipe({"Young": -2.0}, "none", seeds=[1]).as_dict()
    return json.dumps({**values, **changed}).encode()


def refused(editor: FaceEditor, data: bytes) -> str:
    with pytest.raises(LatentEditError) as caught:
        view_of(editor, make_controls(editor.boundaries), data)
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)
    return str(caught.value)


def test_files_that_are_no_recipes(editor: FaceEditor) -> None:
    for junk in (
        b"",
        b"hello, I am called face.png",
        jpeg(),
        b"\xff\xfe\x00",
        b"[1]",
        b"{" + b" " * MAX_RECIPE_BYTES,
        png(),
        bomb(),
        png("{}")[:60],
        jpeg()[:200],
    ):
        assert "neither a picture or film with a recipe" in refused(editor, junk)
    assert "recipe" in refused(editor, png("not JSON"))


def test_a_picture_of_any_size_is_opened_undecoded(
    editor: FaceEditor, controls: dict[str, Control]
) -> None:
    seed = recipe_json(editor, View(7))
    assert view_of(editor, controls, png(seed, size=(4001, 4000))) == View(7)


def test_a_face_of_another_psi_is_another_face(
    editor: FaceEditor, controls: dict[str, Control], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sample(**origin: Any) -> bytes:
        values = json.loads(recipe_json(editor, View(3)))
        values["sample"] |= origin
        return json.dumps(values).encode()

    assert view_of(editor, controls, sample(psi=1)) == View(3)  # the model's own
    for asked in ({"psi": 0.3}, {"psi": "x"}):
        assert "psi" in refused(editor, sample(**asked))
    assert "demo --psi 0.4" in refused(editor, recipe(editor, psi=0.4))

    monkeypatch.setattr(editor, "own_psi", 0.7)  # the page was started with --psi 1
    for view in (View(3), View(3, {"Young": -2.0}, auto=False)):
        saved = recipe_json(editor, view)
        assert '"psi": 1' in saved
        assert view_of(editor, controls, saved.encode()) == view
    assert "demo --psi 0.7" in refused(editor, sample(psi=0.7))
    monkeypatch.undo()


def test_recipes_that_do_not_fit(editor: FaceEditor) -> None:
    plain = recipe(editor)
    assert view_of(editor, make_controls(editor.boundaries), plain) == View(
        1, {"Young": -2.0}, False
    )
    assert "not JSON" in refused(editor, plain.replace(b"-2.0", b"NaN"))
    assert "step of Young" in refused(editor, plain.replace(b"-2.0", b"-1e999"))
    assert "step of Young" in refused(editor, recipe(editor, steps={"Young": 1e9}))
    assert "Age must be" in refused(editor, recipe(editor, steps={"Young": 500.0}))
    assert "another version" in refused(editor, recipe(editor, generator_hash="0" * 12))
    other = recipe(editor, generator_hash="0" * 12, model="faces128")
    assert "demo --model faces128" in refused(editor, other)
    assert "of a seed" in refused(editor, recipe(editor, seeds=None))
    assert "some layers only" in refused(editor, recipe(editor, layers=[0, 1]))
    assert "seed" in refused(editor, recipe(editor, seeds=[-1]))
    unknown = recipe(editor, steps={"Yuong": 1.0}, holds={"Yuong": {}})
    assert "'Yuong'" in refused(editor, unknown)
    held = recipe(editor, holds={"Young": {"../../etc/passwd": 1.0}})
    assert "passwd" in refused(editor, held)
    assert "recipe" in refused(editor, recipe(editor, command="rm -rf /"))
    assert "not JSON" in refused(editor, b'{"a":' * 5000)
    far = editor.recipe({"Smiling": 0.0}, to={"Young": 900.0}, seeds=[1]).to_json().encode()
    assert "Age must be" in refused(editor, far)


def test_samples_that_do_not_fit(editor: FaceEditor) -> None:
    def sample(**changed: Any) -> bytes:
        origin = {"model": "m", "generator_hash": editor.generator_hash, "seeds": [1]}
        return json.dumps({"sample": {**origin, **changed}}).encode()

    assert view_of(editor, make_controls(editor.boundaries), sample()) == View(1)
    assert "another model" in refused(editor, sample(generator_hash="x"))
    for seeds in (None, [], "1", {}):
        assert "which face" in refused(editor, sample(seeds=seeds))
    for seeds in (["1"], [1.5], [-1], [None], [[1]]):
        assert "seed" in refused(editor, sample(seeds=seeds))
    assert refused(editor, b'{"sample": 3}')


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_break_the_reader(editor: FaceEditor, data: bytes) -> None:
    for content in (data, b"\x89PNG\r\n\x1a\n" + data, b"{" + data):
        refused(editor, content)


def test_the_json_of_an_edit_is_the_recipe_of_the_command_line(editor: FaceEditor) -> None:
    text = recipe_json(editor, View(2, {"Young": -1.0}))
    assert EditRecipe.from_json(text) == editor.recipe({"Young": -1.0}, seeds=[2])
