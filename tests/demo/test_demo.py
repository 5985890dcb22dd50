"""The demo's plain parts: controls, sessions, and what is said about an edit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentedit.attributes import ATTRIBUTES, FAVOURITES
from latentedit.boundaries.model import Boundaries
from latentedit.demo import controls as controls_module
from latentedit.demo.controls import OTHERS, RARE, in_words, make_controls
from latentedit.demo.limits import share_left, shortened
from latentedit.demo.session import MAX_HISTORY, Session, View, checked_steps, moved, with_seed
from latentedit.demo.story import MAX_OTHERS, find_changes, find_fights, find_slips, tell
from latentedit.editing.recipes import make_recipe
from latentedit.errors import LatentEditError


def axes(names: tuple[str, ...] = ATTRIBUTES, **options: Any) -> Boundaries:
    return Boundaries(
        names, np.eye(len(names), 64), np.zeros(len(names)), generator_hash="abc", **options
    )


CONTROLS = make_controls(axes())

# ---- controls


def test_every_attribute_has_one_slider_in_plain_words() -> None:
    assert sorted(CONTROLS) == sorted(ATTRIBUTES)
    groups = list(dict.fromkeys(control.group for control in CONTROLS.values()))
    assert groups[0] == FAVOURITES
    assert len(groups) == 7
    assert OTHERS not in groups
    labels = [control.label for control in CONTROLS.values()]
    assert len(set(labels)) == 40
    assert not any("_" in label for label in labels)
    assert list(CONTROLS)[:3] == ["Young", "Smiling", "No_Beard"]


def test_ranges_come_from_the_boundaries() -> None:
    boundaries = axes(safe_ranges={"Young": (-2.5, 1.5)})
    young = make_controls(boundaries)["Young"]
    assert (young.low, young.high, young.limit) == (-2.5, 1.5, 5.0)
    other = make_controls(boundaries)["Male"]
    assert (other.low, other.high) == boundaries.safe_range("Male")


def test_rare_attributes_come_last_and_own_ones_are_shown() -> None:
    names = ("Wearing_Hat", "has_freckles", "Young")
    controls = make_controls(axes(names, rare=("Wearing_Hat",)))
    assert [(c.attribute, c.group) for c in controls.values()] == [
        ("Young", FAVOURITES),
        ("has_freckles", OTHERS),
        ("Wearing_Hat", RARE),
    ]
    assert controls["has_freckles"].label == "Has freckles"


def test_older_is_to_the_right() -> None:
    age = CONTROLS["Young"]
    assert (age.flipped, age.right, age.probability(0.9)) == (True, "older", pytest.approx(0.1))
    assert CONTROLS["Smiling"].probability(0.9) == 0.9


@given(st.floats(0, 1))
def test_words_grow_with_the_probability(probability: float) -> None:
    words = [word for _, word in controls_module.WORDS]
    assert words.index(in_words(probability)) <= words.index(in_words(min(1, probability + 0.1)))
    assert (in_words(0), in_words(0.5), in_words(1)) == ("very unlikely", "maybe", "very likely")


# ---- sessions


@given(st.lists(st.sampled_from(["push", "undo", "redo"]), max_size=40))
def test_undo_and_redo_walk_a_line(moves: list[str]) -> None:
    session, line, at = Session((View(0),)), [0], 0
    for number, move in enumerate(moves, 1):
        if move == "push":
            session, line = session.push(View(number)), [*line[: at + 1], number]
            at = len(line) - 1
        else:
            assert session.can_undo == (at > 0)
            assert session.can_redo == (at < len(line) - 1)
            session = session.undo() if move == "undo" else session.redo()
            at = max(at - 1, 0) if move == "undo" else min(at + 1, len(line) - 1)
        assert session.view == View(line[at])
        assert [view.seed for view in session.views] == line


def test_the_same_view_again_is_no_move() -> None:
    session = Session((View(0),)).push(View(1)).undo()
    assert session.push(View(0)) is session
    assert session.can_redo


def test_history_is_bounded() -> None:
    session = Session((View(0),))
    for seed in range(1, MAX_HISTORY + 50):
        session = session.push(View(seed))
    assert len(session.views) == MAX_HISTORY
    assert session.view.seed == MAX_HISTORY + 49


def test_a_move_takes_steps_and_locks() -> None:
    request = {
        "steps": {"Male": 0, "Smiling": 1, "Young": -2.5},
        "auto": False,
        "locks": ["Bald", "Male", "Male"],
        "strictness": 0.5,
    }
    view = moved(View(7), request, CONTROLS)
    assert view == View(7, {"Young": -2.5, "Smiling": 1.0}, False, ("Male", "Bald"), 0.5)
    assert list(view.steps) == ["Young", "Smiling"]  # the page's order


def test_holds_of_a_recipe_last_until_a_lock_is_touched() -> None:
    view = View(7, {"Young": 1.0}, given={"Young": {"Male": 0.3}})
    assert moved(view, {"steps": {"Young": 2}}, CONTROLS).given == view.given
    for touch in ({"given": False}, {"auto": False}, {"locks": ["Bald"]}, {"strictness": 0.5}):
        assert moved(view, {"steps": {"Young": 2}, **touch}, CONTROLS).given is None


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"steps": None},
        {"steps": [1]},
        {"steps": {"Yuong": 1}},
        {"steps": {"Young": "1"}},
        {"steps": {"Young": math.nan}},
        {"steps": {"Young": math.inf}},
        {"steps": {"Young": True}},
        {"steps": {"Young": 1e6}},
        {"steps": {"Young": 10**400}},
        {"steps": {}, "auto": "yes"},
        {"steps": {}, "locks": "Male"},
        {"steps": {}, "locks": ["Mael"]},
        {"steps": {}, "locks": [["Male"]]},
        {"steps": {}, "strictness": 2},
        {"steps": {}, "strictness": math.nan},
        {"steps": {}, "strictness": None},
    ],
)
def test_unreadable_moves_are_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(LatentEditError):
        moved(View(0), request_, CONTROLS)


def test_another_face_keeps_locks_and_if_asked_sliders() -> None:
    view = View(1, {"Young": 1.0}, held=("Male",), given={"Young": {}})
    assert with_seed(view, 2, keep=False) == View(2, held=("Male",))
    assert with_seed(view, 2.0, keep=True) == replace(view, seed=2)
    for seed in (-1, 2**32, 1.5, math.nan, "3", None, True):
        with pytest.raises(LatentEditError, match="seed"):
            with_seed(view, seed, keep=False)
    with pytest.raises(LatentEditError, match="a number from 0 to 4294967295"):
        with_seed(view, 2**32, keep=False)


def test_steps_beyond_the_range_are_taken_up_to_a_limit() -> None:
    limit = CONTROLS["Young"].limit
    assert checked_steps({"Young": -limit}, CONTROLS) == {"Young": -limit}
    with pytest.raises(LatentEditError, match="Age must be a number"):
        checked_steps({"Young": limit * 1.01}, CONTROLS)


# ---- what is said

BEFORE = dict.fromkeys(ATTRIBUTES, 0.5)


def test_changes_tell_asked_for_from_not_asked_for() -> None:
    after = {**BEFORE, "Young": 0.05, "Gray_Hair": 0.9, "Male": 0.53, "Bald": 0.2, "Smiling": 0.52}
    changes = find_changes(CONTROLS, BEFORE, after, ["Young", "Smiling"])
    assert [(change.trait, change.asked) for change in changes] == [
        ("looks older", True),
        ("smiling", True),
        ("grey hair", False),
        ("bald", False),
    ]
    assert (changes[0].before, changes[0].after) == (0.5, pytest.approx(0.95))
    assert changes[0].words == ("maybe", "very likely")
    assert tell(changes, (27.2, 51.6)) == (
        "Estimated age: 27, now 52. You asked for: looks older 50% to 95%, smiling 50% to 52%. "
        "Also changed: grey hair 50% to 90%, bald 50% to 20%. This face hardly changed in: smiling."
    )


def test_little_is_called_nothing_and_much_is_cut() -> None:
    changes = find_changes(CONTROLS, BEFORE, {**BEFORE, "Young": 0.1}, ["Young"])
    assert (
        tell(changes, None) == "You asked for: looks older 50% to 90%. Nothing else changed much."
    )
    upside_down = dict.fromkeys(ATTRIBUTES, 0.1)
    assert len(find_changes(CONTROLS, BEFORE, upside_down, ["Young"])) == 1 + MAX_OTHERS


def fights(cosine: float, view: View) -> list[str]:
    """What is said where Gray_Hair's boundary lies at an angle to Young's."""
    normals = np.eye(2, 64)
    normals[1, :2] = [cosine, math.sqrt(1 - cosine**2)]
    boundaries = Boundaries(("Young", "Gray_Hair"), normals, np.zeros(2), generator_hash="abc")
    locks = dict.fromkeys(view.held, view.strictness)
    recipe = make_recipe(boundaries, view.steps, view.given["Young"] if view.given else locks)
    return find_fights(boundaries, make_controls(boundaries), view, recipe)


def test_a_lock_that_hinders_is_named() -> None:
    view = View(0, {"Young": -2.0}, held=("Gray_Hair",))
    (sentence,) = fights(-0.95, view)
    assert (
        sentence
        == "“Age: older” fights your locks, “Grey hair” most of all. 31% of the move is left."
    )
    (sentence,) = fights(-0.95, replace(view, steps={"Young": 2.0}))
    assert "“Age: younger”" in sentence
    assert fights(-0.2, view) == []
    assert fights(-0.95, replace(view, strictness=0.2)) == []
    given_ = replace(view, held=(), given={"Young": {"Gray_Hair": 1.0}})
    assert len(fights(-0.95, given_)) == 1


def test_a_locked_slider_that_is_moved_is_named() -> None:
    (sentence,) = fights(0.0, View(0, {"Young": 1.0}, held=("Young",)))
    assert "“Age” is locked" in sentence


def test_a_lock_that_did_not_hold_is_said() -> None:
    after = {**BEFORE, "Male": 0.95, "Gray_Hair": 0.6, "Bald": 0.1}
    assert find_slips(CONTROLS, BEFORE, after, ["Gray_Hair", "Bald", "Male"]) == [
        {"name": "Male", "words": "maybe → very likely"},
        {"name": "Bald", "words": "maybe → unlikely"},
    ]


def test_sliders_share_what_the_model_knows() -> None:
    boundaries = axes(("Young", "Male", "Smiling", "Bald"))

    def share(**steps: float) -> float:
        return share_left(boundaries, make_recipe(boundaries, steps, "none"))

    assert share(Young=6.0) == share(Young=-3.0, Male=3.0) == 1
    assert share(Young=3.0, Male=3.0, Smiling=-3.0, Bald=3.0) == pytest.approx(2**0.5 / 2)
    twins = replace(boundaries, normals=np.ones((4, 4)) / 2)
    recipe = make_recipe(twins, {"Young": 3.0, "Male": 3.0}, "none")
    assert share_left(twins, recipe) == pytest.approx(2**0.5 / 2)  # they do the same
    short = shortened(twins, recipe)
    assert short.steps == pytest.approx({"Young": 3 / 2**0.5, "Male": 3 / 2**0.5})
    assert shortened(twins, short).steps == pytest.approx(short.steps)
    assert share_left(twins, make_recipe(twins, {"Young": 3.0, "Male": -3.0}, "none")) == 1
