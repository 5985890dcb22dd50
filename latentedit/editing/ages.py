"""Searching for the steps after which faces look as old as asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.attributes import AGE_ATTRIBUTE, AGEING_ATTRIBUTES
from latentedit.editing.editor import FaceEditor
from latentedit.editing.holds import Hold, held_by_name, resolve_holds
from latentedit.editing.keeping import Lost, keep, keepable, leaves_some, which_lost
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.search import Float64Array, Look, find_steps
from latentedit.editing.watched import Steps, WatchedFaces, recipe_of, rows_of
from latentedit.errors import LatentEditError

NEAR = 1.0
"""An age counts as reached within so many years; a further attribute has to bring more."""

OLDEST = 80.0
"""Faces are not aimed at more years than this: the generator has seen few older faces, and on the
way there it breaks them."""

HELP, HELPERS = 0.4, 2
"""How far attributes may go to help Young, in shares of their safe ranges, and how many may help.
Young is at the end of its own range then, and the ends of several ranges together break faces."""


@dataclass(frozen=True, eq=False)
class FoundAges:
    """What a search of ages found for N faces.

    Attributes:
        steps: by attribute, float64 [N] each: Young, further attributes that some faces need, and
            those of `keeping.KEPT` that some faces would lose.
        holds: for each of these attributes {name: discount} of what it must not change.
        goals: ages asked for, [N].
        before: estimated on the unedited faces, [N].
        reached: estimated after the steps, [N]. Where that is not the goal, the search has found
            nothing clearly nearer within its limits.
        lost: which faces lose something of `keeping.KEPT` all the same.
    """

    steps: Mapping[str, Float64Array]
    holds: Mapping[str, Mapping[str, float]]
    goals: Float64Array
    before: Float64Array
    reached: Float64Array
    lost: Lost

    @property
    def short(self) -> NDArray[np.bool_]:
        """Which faces stay more than `NEAR` years away from their goals, [N]."""
        return np.abs(self.goals - self.reached) > NEAR

    def recipe(self, editor: FaceEditor, **described: Any) -> EditRecipe:
        """Return the edit in which each face takes its own steps; see `FaceEditor.recipe`."""
        steps = {name: each.tolist() for name, each in self.steps.items()}
        return recipe_of(editor, steps, self.holds, **described)


def search_age(
    editor: FaceEditor,
    z: ArrayLike,
    *,
    by: float | None = None,
    to: float | None = None,
    hold: Hold = defaults.HOLD,
    reach: float = 1.0,
    layers: Sequence[int] | None = None,
    look: Look | None = None,
) -> FoundAges:
    """Find for each face the steps at which its estimated age is as asked.

    Faces move along Young alone, where that is enough. Other faces go to the end of Young's range,
    and also along `AGEING_ATTRIBUTES`, one after the other, as far as each is needed and `HELP` and
    `HELPERS` allow. Where that is no nearer than Young alone, they stay at Young's best step. For
    all faces, older means lower steps of Young and higher steps of the others. "auto" holds none of
    these attributes; what is held by its name, or by "all", does not move. No face is aimed at more
    than `OLDEST` years. A face that would lose something of `keeping.KEPT`, such as glasses, also
    moves along it, as far as keeps it; then its age is searched once more. With no holds at all,
    nothing is kept. A face's steps do not depend on the other faces.

    Args:
        editor: with an age estimator.
        z: float [N, D], or [N, L, D].
        by: years to add to each face's own estimate.
        to: instead, the age to reach.
        hold: what must not change.
        reach: limits of the steps, as a multiple of the attributes' safe ranges. Above 1, `OLDEST`
            does not count.
        layers: those that move; see `FaceEditor.edit`.
        look: shows edits to the judges; see `WatchedFaces`.

    Raises:
        LatentEditError: no age estimator, both or neither of `by` and `to`, or see
            `FaceEditor.edit`.
    """
    if not editor.estimates_age:
        raise LatentEditError(
            f"model {editor.name} has no age estimator, so it cannot aim at an age: use --attr "
            "Young --step, or a model with one"
        )
    if (by is None) == (to is None):
        raise LatentEditError("give years to add, or an age to reach")
    if not np.isfinite([each for each in (by, to) if each is not None]).all():
        raise LatentEditError("years must be a finite number")
    z = editor.lay_out(z, layers)
    keeps = {} if hold == "none" else keepable(editor, hold, held_by_name(editor.boundaries, hold))
    faces = WatchedFaces(editor, z, look, layers, {**_holds(editor, hold), **keeps})
    unedited = faces.unedited()
    before = np.asarray(editor.age(unedited), dtype=np.float64)
    goals = before + by if by is not None else np.full(len(z), to, dtype=np.float64)
    oldest = np.maximum(before, OLDEST if reach <= 1 else np.inf)
    aims = np.minimum(goals, oldest)
    steps, reached = _aged(faces, before, aims, reach)
    own = faces.logits(unedited, tuple(keeps))
    kept, after = keep(faces, own, steps, reach)
    rows = np.flatnonzero(np.any([np.zeros(len(z)), *kept.values()], axis=0))
    if len(rows):
        some = replace(faces.some(rows), fixed=rows_of(kept, rows))
        adjusted, reached[rows] = _aimed_again(some, rows_of(steps, rows), aims[rows], reach)
        for name, found in adjusted.items():
            steps.setdefault(name, np.zeros(len(z)))[rows] = found
        steps |= kept
        after = faces.logits(faces.seen(steps), tuple(keeps))
    # a discount of 0 changes no direction; it marks what moves only to stay as it is
    marked = {name: 0.0 for name in kept if name in steps}
    holds = {
        name: dict(faces.holds[name]) if name in kept else {**marked, **faces.holds[name]}
        for name in steps
    }
    return FoundAges(steps, holds, goals, before, reached, which_lost(own, after))


def _aged(
    faces: WatchedFaces, before: Float64Array, goals: Float64Array, reach: float
) -> tuple[dict[str, Float64Array], Float64Array]:
    """Return steps by attribute that bring faces to the ages of `goals`, and ages there, [N]."""
    ends = _gaining(faces.limits(AGE_ATTRIBUTE, reach), -1, goals - before)
    alone, reached = find_steps(
        lambda own: faces.ages({AGE_ATTRIBUTE: own}), before, goals, ends, -1
    )
    steps = {AGE_ATTRIBUTE: alone}
    short = np.flatnonzero(np.abs(goals - reached) > NEAR)
    if len(short):
        low, high = ends[short].T
        far = np.where(goals[short] > before[short], low, high)
        helped, ages = _with_help(faces.some(short), far, goals[short], reach)
        better = np.abs(goals - reached)[short] - np.abs(goals[short] - ages) > NEAR
        reached[short] = np.where(better, ages, reached[short])
        for name, found in helped.items():
            unhelped = alone[short] if name == AGE_ATTRIBUTE else 0.0
            whole = steps.setdefault(name, np.zeros(len(goals)))
            whole[short] = np.where(better, found, unhelped)
        steps = {name: each for name, each in steps.items() if name == AGE_ATTRIBUTE or each.any()}
    return steps, reached


def _with_help(
    faces: WatchedFaces, far: Float64Array, goals: Float64Array, reach: float
) -> tuple[dict[str, Float64Array], Float64Array]:
    """Return steps by attribute, for faces that Young alone leaves short, and ages there, [N].

    Args:
        faces: those that are short.
        far: Young's last step for each, [N].
        goals: ages, [N].
        reach: see `search_age`.
    """
    steps = {AGE_ATTRIBUTE: far}
    reached = faces.ages(steps)
    for name in faces.holds:
        missing = goals - reached
        if name not in AGEING_ATTRIBUTES or (np.abs(missing) <= NEAR).all():
            continue
        found, ages = find_steps(
            lambda own, name=name: faces.ages({**steps, name: own}),  # type: ignore[misc]
            reached,
            goals,
            _gaining(faces.limits(name, HELP * reach), 1, missing),
            1,
        )
        # every attribute changes the face more: use one only where it is needed and helps enough
        nearer = (np.abs(missing) > NEAR) & (np.abs(missing) - np.abs(goals - ages) > NEAR)
        helping = (moved != 0 for other, moved in steps.items() if other != AGE_ATTRIBUTE)
        nearer &= sum(helping, np.zeros(len(goals), np.int64)) < HELPERS
        steps[name] = np.where(nearer, found, 0.0)
        reached = np.where(nearer, ages, reached)
    return steps, reached


def _aimed_again(
    faces: WatchedFaces, steps: Steps, goals: Float64Array, reach: float
) -> tuple[dict[str, Float64Array], Float64Array]:
    """Return steps that fit the goals better where fixed steps changed the age, and ages, [N].

    Args:
        faces: with fixed steps.
        steps: that fitted without the fixed ones.
        goals: ages, [N].
        reach: see `search_age`.
    """
    reached = faces.ages(steps)
    again, ages = _aged(faces, faces.ages({}), goals, reach)
    better = np.abs(goals - reached) - np.abs(goals - ages) > NEAR
    better &= again[AGE_ATTRIBUTE] != 0  # else the fixed steps alone seem to do it, by chance
    none = np.zeros(len(goals))
    adjusted = {
        name: np.where(better, again.get(name, none), steps.get(name, none))
        for name in {**steps, **again}
    }
    return adjusted, np.where(better, ages, reached)


def _holds(editor: FaceEditor, hold: Hold) -> dict[str, dict[str, float]]:
    """Return the holds of Young, and of the attributes that may help it."""
    boundaries = editor.boundaries
    by_name = {*held_by_name(boundaries, hold), *boundaries.rare}
    names = [name for name in AGEING_ATTRIBUTES if name in boundaries.names]
    moving = [AGE_ATTRIBUTE, *(name for name in names if name not in by_name)]
    holds = {name: resolve_holds(boundaries, name, moving, hold) for name in moving}
    return {
        name: held
        for name, held in holds.items()
        if name == AGE_ATTRIBUTE or leaves_some(boundaries, name, held)
    }


def _gaining(ends: Float64Array, rising: int, missing: Float64Array) -> Float64Array:
    """Return lowest and highest steps [N, 2], with 0 for the side on which a face gains nothing.

    Args:
        ends: see `safe_steps`.
        rising: 1 or -1, the sign of the steps that add years.
        missing: years to the goal, [N].
    """
    ways = np.sign(missing) * rising
    return ends * np.stack((ways < 0, ways > 0), axis=1)
