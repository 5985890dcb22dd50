"""Searching ages: what helps Young, what it must not take off, and the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from age_estimators import Brightness, Steep, judged_by
from conftest import exit_code
from numpy.typing import NDArray
from planted_scores import scoring
from saved import read_recipe

from latentedit.attributes import AGEING_ATTRIBUTES
from latentedit.classifiers.age import AgeConfig, AgeEstimator
from latentedit.editing import ages
from latentedit.editing.ages import NEAR, search_age
from latentedit.editing.editor import FaceEditor
from latentedit.editing.search import safe_steps, search_steps
from latentedit.errors import LatentEditError
from latentedit.pretrained.bundles import save_part


@pytest.fixture
def editor(tiny_bundle: Path) -> FaceEditor:
    return judged_by(Brightness(), tiny_bundle)


@pytest.fixture
def steep(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> FaceEditor:
    monkeypatch.setattr(ages, "OLDEST", np.inf)
    return judged_by(Steep(), tiny_bundle)


def test_years_are_added_to_each_faces_own(editor: FaceEditor) -> None:
    z = editor.sample(range(4))
    added, reached = search_age(editor, z, by=1.0), search_age(editor, z, to=50.0)
    np.testing.assert_allclose(added.goals, added.before + 1, rtol=1e-6)
    np.testing.assert_array_equal(reached.goals, 50)


def test_what_comes_with_age_helps_where_young_alone_does_not_suffice(steep: FaceEditor) -> None:
    z = steep.sample(range(5))
    alone = search_steps(steep, z, "Young", steep.age, 1e6, hold="none", rising=-1)
    found = search_age(steep, z, to=1e6, hold="none")
    assert {*found.steps} <= {"Young", *AGEING_ATTRIBUTES}
    assert found.short.all()
    others = [steps != 0 for name, steps in found.steps.items() if name != "Young"]
    helped = np.any(others, axis=0)
    assert helped.any()
    assert (found.reached[helped] > alone.reached[helped] + NEAR).all()
    ends = safe_steps(steep, z, "Young")[:, 0]
    np.testing.assert_array_equal(found.steps["Young"][helped], ends[helped])
    np.testing.assert_array_equal(found.steps["Young"][~helped], alone.steps[~helped])
    np.testing.assert_array_equal(found.reached[~helped], alone.reached[~helped])
    for name, steps in found.steps.items():
        low, high = steep.boundaries.safe_range(name)
        assert ((steps <= 0) if name == "Young" else (steps >= 0)).all()
        assert ((low <= steps) & (steps <= high)).all()
    edited = steep.apply(found.recipe(steep), z)
    np.testing.assert_array_equal(steep.age(steep.render(edited)), found.reached)


def test_young_alone_moves_where_that_is_enough(steep: FaceEditor) -> None:
    z = steep.sample(range(5))
    far = search_age(steep, z, to=1e6, hold="none")
    alone = search_steps(steep, z, "Young", steep.age, 1e6, hold="none", rising=-1)
    for face in range(len(z)):
        found = search_age(steep, z[[face]], to=float(alone.reached[face]), hold="none")
        assert {*found.steps} == {"Young"}
        assert not found.short.any()
        assert search_age(steep, z[[face]], to=1e6, hold="none").reached == far.reached[face]


def test_ages_of_faces_do_not_depend_on_the_others(steep: FaceEditor) -> None:
    z = steep.sample(range(4))
    together = search_age(steep, z, by=20.0)
    assert "Gray_Hair" not in together.holds["Young"]  # auto does not hold what helps
    assert together.holds["Young"] == {"Male": 0.8}
    for face in range(len(z)):
        single = search_age(steep, z[face : face + 1], by=20.0)
        np.testing.assert_array_equal(single.reached, together.reached[face : face + 1])
        for name, steps in together.steps.items():
            assert steps[face] == single.steps.get(name, np.zeros(1))[0]


def test_what_is_held_by_name_does_not_help(steep: FaceEditor) -> None:
    z = steep.sample(range(3))
    assert {*search_age(steep, z, to=1e6, hold="all").steps} == {"Young"}
    found = search_age(steep, z, to=1e6, hold=("auto", "grey hair", "Bald"))
    assert not {*found.steps} & {"Gray_Hair", "Bald"}
    for held in found.holds.values():
        assert held["Gray_Hair"] == held["Bald"] == 1
    assert found.holds["Young"]["Male"] == 0.8


def test_what_cannot_be_searched(editor: FaceEditor, tiny_bundle: Path) -> None:
    z = editor.sample([0])
    with pytest.raises(LatentEditError, match="no age estimator"):
        search_age(FaceEditor.load(tiny_bundle), z, by=10)
    for words in ({}, {"by": 1.0, "to": 2.0}):
        with pytest.raises(LatentEditError, match="years to add, or an age"):
            search_age(editor, z, **words)


@pytest.mark.parametrize("asked", [{"to": float("nan")}, {"by": float("inf")}])
def test_years_are_finite(editor: FaceEditor, asked: dict[str, float]) -> None:
    with pytest.raises(LatentEditError, match="years"):
        search_age(editor, editor.sample([0]), **asked)


def test_a_step_of_nothing_needs_no_search(editor: FaceEditor) -> None:
    z = editor.sample(range(2))
    found = search_age(editor, z, by=0.0)
    np.testing.assert_allclose(found.reached, found.before, atol=0.2)


def test_ages_are_those_of_what_is_looked_at(editor: FaceEditor) -> None:
    z, shown = editor.sample(range(2)), []

    def look(latents: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.uint8]:
        shown.append(tuple(names))
        return 255 - editor.render(latents)

    found = search_age(editor, z, by=0.5, hold="none", look=look)
    np.testing.assert_array_equal(found.before, editor.age(255 - editor.render(z)))
    assert shown[0] == ()
    assert all(names[0] == "Young" for names in shown[1:])


def test_no_face_becomes_older_than_the_oldest(
    steep: FaceEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = steep.sample(range(5))
    before = steep.age(steep.render(z))
    monkeypatch.setattr(ages, "OLDEST", float(np.median(before)))
    found = search_age(steep, z, by=1e3, hold="none")
    np.testing.assert_allclose(found.goals, before + 1e3, rtol=1e-6)
    assert (found.reached <= np.maximum(before, ages.OLDEST) + NEAR).all()
    assert found.short.all()
    old = np.flatnonzero(before >= ages.OLDEST)
    for steps in found.steps.values():
        np.testing.assert_array_equal(steps[old], 0)
    forced = search_age(steep, z, by=1e3, hold="none", reach=1.5)
    assert (forced.reached > found.reached).any()


def test_glasses_stay_on(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ages, "OLDEST", np.inf)

    score = scoring("Eyeglasses", lambda images: 52.0 - images[..., 2].mean((1, 2)))
    monkeypatch.setattr(FaceEditor, "score", score)
    editor = judged_by(Steep(), tiny_bundle, classifies=True)
    z, column = editor.sample(range(6)), editor.attributes.index("Eyeglasses")
    found = search_age(editor, z, by=40)
    moved = found.recipe(editor)
    without = replace(moved, steps={**moved.steps, "Eyeglasses": (0.0,) * len(z)})
    before, bare, after = (
        editor.score(editor.render(each))[:, column]
        for each in (z, editor.apply(without, z), editor.apply(moved, z))
    )
    kept = found.steps["Eyeglasses"]
    assert (kept >= 0).all()
    assert (kept[before < 0.5] == 0).all()
    assert (kept > 0).any()
    assert (after[kept > 0] > bare[kept > 0]).all()
    # it moves only to stay as it is, whatever Young holds
    assert "Eyeglasses" in moved.balancing
    alone = search_age(editor, z, by=40, hold="Male").recipe(editor)
    assert "Eyeglasses" in alone.balancing
    assert "Eyeglasses" not in alone.wanted
    drawn = editor.render(editor.apply(moved, z))
    np.testing.assert_allclose(found.reached, editor.age(drawn), rtol=1e-5)
    for face in range(len(z)):
        single = search_age(editor, z[[face]], by=40)
        for name, steps in found.steps.items():
            assert steps[face] == single.steps.get(name, np.zeros(1))[0]
    assert "Eyeglasses" not in search_age(editor, z, by=40, hold=("auto", "glasses")).steps
    assert "Eyeglasses" not in search_age(editor, z, by=40, hold="none").steps


def test_both_sides_of_gender_stay(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ages, "OLDEST", np.inf)

    score = scoring("Male", lambda images: images.mean((1, 2, 3)) / 2 - 37.0)
    monkeypatch.setattr(FaceEditor, "score", score)
    editor = judged_by(Steep(), tiny_bundle, classifies=True)
    z, column = editor.sample(range(12)), editor.attributes.index("Male")
    found = search_age(editor, z, by=60)
    before, after = (
        editor.score(editor.render(each))[:, column]
        for each in (z, editor.apply(found.recipe(editor), z))
    )
    sides = np.where(before > 0.5, 1, -1)
    np.testing.assert_array_equal(found.lost["Male"], sides * (after - 0.5) < 0)
    assert (sides * found.steps["Male"] >= 0).all()
    assert found.steps["Male"].any()


# ---- the command


def test_edit_by_age_says_what_it_reached(
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> int:
        return exit_code("edit", *words, "--model", tiny_bundle)

    assert call("--age", "+20") == 2
    assert "has no age estimator" in capsys.readouterr().err
    torch.manual_seed(0)
    config = AgeConfig(resolution=16, stem=4, widths=(8,), blocks=(1,))
    save_part(tiny_bundle, "age", AgeEstimator(config), config, {})
    assert call("--age", "+20", "--seeds", "3-4", "--json") == 0
    seen = capsys.readouterr()
    result = json.loads(seen.out)
    steps = result["recipe"]["steps"]["Young"]
    assert len(steps) == 2
    assert all(abs(step) <= 3 for step in steps)
    assert seen.err.count(" years at ") == 2
    # its ages differ by a year or so
    assert seen.err.count("is out of this face's reach within the safe ranges") == 2
    for face in result["faces"]:
        assert len(face["age"]) == 2
    strip = read_recipe("edit.png")
    assert list(strip.steps["Young"]) == steps  # type: ignore[arg-type]
    assert json.loads(strip.to_json()) == result["recipe"]
    assert call("--age-to", "60", "--seed", "3", "--frames", "2", "-o", "a.png") == 0
    assert call("--age", "5", "--age-to", "60") == 2
    assert call("--age", "5", "--attr", "Young") == 2
    assert call("--age", "nan") == 2
