"""Keeping what an edit takes from single faces, and the option of the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from age_estimators import Brightness, judged_by
from conftest import exit_code
from numpy.typing import NDArray
from planted_scores import scoring

from latentedit import defaults
from latentedit.editing.editor import FaceEditor
from latentedit.editing.keeping import NEAREST, keep_faces
from latentedit.errors import LatentEditError
from latentedit.generators.latents import MAX_SEED

SEEDS = range(12)


@pytest.fixture
def editor(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> FaceEditor:
    """A model whose gender is how much a picture looks like those moved along Male."""
    editor = judged_by(Brightness(), tiny_bundle, classifies=True)
    z = editor.sample(range(100, 132))
    moved = [editor.render(editor.edit(z, {"Male": step}, "none")) for step in (3.0, -3.0)]
    template = (moved[0].astype(np.float64) - moved[1]).mean(0)
    seen = (editor.render(z) * template).sum((1, 2, 3))

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return 2 * ((images * template).sum((1, 2, 3)) - seen.mean()) / seen.std()

    monkeypatch.setattr(FaceEditor, "score", scoring("Male", logits))
    return editor


def logits_of_male(editor: FaceEditor, z: NDArray[np.float32]) -> NDArray[np.float64]:
    male = editor.score(editor.render(z))[:, editor.attributes.index("Male")].astype(np.float64)
    return np.log(male / (1 - male))


def test_faces_come_back_to_their_own_side(editor: FaceEditor) -> None:
    z = editor.sample(SEEDS)
    recipe = editor.recipe({"Young": -4.0}, "none", seeds=SEEDS, frames=5, psi=0.5)
    kept, lost = keep_faces(editor, z, recipe, reach=2)
    assert kept.steps["Young"] == (-4.0,) * len(z)
    assert kept.balancing == {"Male"}
    assert kept.holds["Young"]["Male"] == 0
    assert (kept.seeds, kept.frames, kept.psi) == (tuple(SEEDS), 5, 0.5)
    before, bare, after = (
        logits_of_male(editor, each) for each in (z, editor.apply(recipe, z), editor.apply(kept, z))
    )
    sides, moved = np.sign(before), np.array(kept.steps["Male"])
    assert {*sides} == {-1, 1}
    assert (sides * bare < 0).any()
    assert (sides * moved >= 0).all()
    assert (sides * after >= sides * bare - 1e-3).all()
    assert (sides * after > 0).sum() > (sides * bare > 0).sum()
    np.testing.assert_array_equal(lost["Male"], sides * after < 0)
    unmoved = sides * bare > np.maximum(np.abs(before) - 1, NEAREST)
    np.testing.assert_array_equal(moved[unmoved], 0)


def test_a_face_does_not_depend_on_the_others(editor: FaceEditor) -> None:
    z = editor.sample(SEEDS)
    recipe = editor.recipe({"Young": -3.0}, "none")
    together, _ = keep_faces(editor, z, recipe)
    for face in SEEDS:
        single, _ = keep_faces(editor, z[[face]], recipe)
        assert single.steps.get("Male", (0.0,))[0] == together.steps["Male"][face]  # type: ignore[index]


def test_what_moves_by_itself_is_not_kept(editor: FaceEditor) -> None:
    z = editor.sample(SEEDS)
    recipe = editor.recipe({"Male": -3.0, "Young": 1.0})
    kept, lost = keep_faces(editor, z, recipe)
    assert kept.steps["Male"] == (-3.0,) * len(z)
    assert kept.holds == recipe.holds
    assert "Male" not in lost
    np.testing.assert_array_equal(editor.apply(kept, z), editor.apply(recipe, z))


def test_distances_to_reach_become_steps(editor: FaceEditor) -> None:
    z = editor.sample(SEEDS)
    recipe = editor.recipe({}, to={"Young": -4.0})
    kept, _ = keep_faces(editor, z, recipe)
    assert kept.to == {}
    alone = replace(kept, steps={**kept.steps, "Male": 0.0})
    assert any(kept.steps["Male"])  # type: ignore[arg-type]
    np.testing.assert_allclose(
        editor.apply(alone, z), editor.apply(recipe, z), rtol=1e-5, atol=1e-5
    )


def test_added_moves_hold_what_the_edit_holds(editor: FaceEditor) -> None:
    z = editor.sample(SEEDS)
    recipe = editor.recipe({"Young": -4.0}, "none")
    kept, _ = keep_faces(editor, z, recipe, hold=("Smiling",), reach=2)
    assert kept.holds["Male"] == {"Smiling": defaults.DISCOUNT}
    with pytest.raises(LatentEditError, match="needs holds"):
        keep_faces(editor, z, recipe, hold="none")


def test_a_model_without_a_classifier_cannot_keep(tiny_bundle: Path) -> None:
    editor = judged_by(Brightness(), tiny_bundle)
    with pytest.raises(LatentEditError, match="cannot keep Eyeglasses or Male"):
        keep_faces(editor, editor.sample([MAX_SEED]), editor.recipe({"Young": -1.0}))


# ---- the command


def test_edit_keeps_where_it_is_asked(
    editor: FaceEditor,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("edit", "--attr", "Young", "--step", "-3", "--seeds", "0-11", "--model", tiny_bundle)
    assert exit_code(*words, "--keep", "--json", "-o", "kept.safetensors") == 0
    seen = capsys.readouterr()
    recipe = json.loads(seen.out)["recipe"]
    assert any(recipe["steps"]["Male"])
    assert set(recipe["steps"]["Young"]) == {-3.0}
    for line in seen.err.splitlines():
        assert "gender looks different" in line
        assert line.startswith(("seed ", "latentedit: seed "))
    assert exit_code(*words, "--json", "-o", "plain.safetensors") == 0
    assert "Male" not in json.loads(capsys.readouterr().out)["recipe"]["steps"]
    assert exit_code(*words, "--keep", "--hold", "none") == 2
    assert "keep needs holds" in capsys.readouterr().err
