"""Searching for the step of each face after which its picture meets a goal, such as an age."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.attributes import AGE_ATTRIBUTE, AGEING_ATTRIBUTES
from latentedit.boundaries.model import Boundaries
from latentedit.editing.editor import FaceEditor
from latentedit.editing.projection import discounted_direction
from latentedit.editing.recipes import EditRecipe, Hold, held_by_name, resolve_holds
from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array

Float64Array = NDArray[np.float64]
Measure = Callable[[UInt8Array], ArrayLike]
"""Images uint8 [N, H, W, 3] -> a number for each, [N]."""

Look = Callable[[NDArray[np.float32], Sequence[str]], UInt8Array]
"""Latents [N, ...], and the attributes that were edited -> what the judges look at, uint8
[N, H, W, 3]."""

Steps = Mapping[str, Float64Array]
"""Steps of N faces by attribute, [N] each."""

_GRID = 13
_HALVINGS = 7

NEAR = 1.0
"""An age counts as reached within so many years; a further attribute has to bring more."""

KEPT, KEPT_WITHIN = "Eyeglasses", 0.5
"""What older or younger faces must not take off, and how far its logit may fall."""

_LEAST_PROBABILITY = 1e-6
"""Nearer to 0 or 1 than this, logits of probabilities mean nothing."""

HELP, HELPERS = 0.4, 2
"""How far attributes may go to help Young, in shares of their safe ranges, and how many may help.
Young is at the end of its own range then, and the ends of several ranges together break faces."""


@dataclass(frozen=True, eq=False)
class FoundSteps:
    """What a search found for N faces.

    Attributes:
        steps: along the attribute, float64 [N].
        goals: what was asked for, [N].
        before: measured on the unedited faces, [N].
        reached: measured after the step, [N].
    """

    steps: Float64Array
    goals: Float64Array
    before: Float64Array
    reached: Float64Array


def search_steps(
    editor: FaceEditor,
    z: ArrayLike,
    attribute: str,
    measure: Measure,
    goals: ArrayLike,
    *,
    hold: Hold = defaults.HOLD,
    limits: tuple[float, float] | None = None,
    rising: int = 0,
    layers: Sequence[int] | None = None,
) -> FoundSteps:
    """Find for each face the smallest step at which a measure of its picture meets a goal.

    First, a grid of steps within the limits shows where the measure first passes the goal on either
    side of 0. Then halving finds the step there. Where the measure never passes the goal, the
    result is the step of the grid that comes nearest.

    Args:
        editor: edits and renders.
        z: float [N, D], or [N, L, D].
        attribute: what moves.
        measure: looks at pictures; see `Measure`.
        goals: [N], or one for all.
        hold: what must not change.
        limits: lowest and highest step; by default see `safe_steps`.
        rising: 1 or -1, the sign of the steps that should raise the measure. No face then moves the
            other way, even where that happens to bring it nearer. 0 allows both ways.
        layers: those that move; see `FaceEditor.edit`.

    Raises:
        LatentEditError: see `FaceEditor.edit`.
    """
    z = editor.lay_out(z, layers)

    def measured(steps: Float64Array) -> Float64Array:
        moved = editor.edit(z, {attribute: tuple(steps.tolist())}, hold, layers=layers)
        return np.asarray(measure(editor.render(moved, editor.judged_size)), dtype=np.float64)

    before = measured(np.zeros(len(z)))
    wanted = np.broadcast_to(np.asarray(goals, np.float64), before.shape).copy()
    if limits is None:
        ends = safe_steps(editor, z, attribute, layers=layers)
    else:
        ends = np.tile(limits, (len(z), 1))
    steps, reached = _search(measured, before, wanted, ends, rising)
    return FoundSteps(steps, wanted, before, reached)


def _search(
    measured: Callable[[Float64Array], Float64Array],
    before: Float64Array,
    wanted: Float64Array,
    limits: Float64Array,
    rising: int,
) -> tuple[Float64Array, Float64Array]:
    """The steps that `search_steps` finds, [N], and what is measured there, [N].

    Args:
        measured: steps [N] -> the measure of each face after its own step, [N].
        before: the same without a step.
        wanted: goals [N].
        limits: each face's lowest and highest step, [N, 2].
        rising: see `search_steps`.
    """
    shares = np.linspace(0, 1, _GRID // 2 + 1)[1:]
    sides = [ends[:, None] * shares for ends in limits.T if ends.any()]
    grid = np.concatenate((np.zeros((len(before), 1)), *sides), axis=1)
    missing = np.stack([measured(steps) if steps.any() else before for steps in grid.T], axis=1)
    missing -= wanted[:, None]  # [N, G]: how far each grid step is from the goal
    if rising:
        astray = rising * grid * missing[:, :1] > 0
        missing = np.where(astray, missing[:, :1], missing)  # a step the wrong way counts as none
    near, far = _brackets(grid, missing)
    found = np.isfinite(far)
    nearest = grid[np.arange(len(grid)), np.argmin(np.abs(missing), axis=1)]
    near, far = np.where(found, near, nearest), np.where(found, far, nearest)
    at_start = missing[:, 0] > 0  # up to the near end every step is on the unedited face's side
    for _ in range(_HALVINGS if found.any() else 0):
        middle = (near + far) / 2
        short = (measured(middle) - wanted > 0) == at_start
        near, far = np.where(short, middle, near), np.where(short, far, middle)
    steps = (near + far) / 2
    return steps, measured(steps)


def _brackets(grid: Float64Array, missing: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the grid interval in which the goal is passed; of several, the one nearest to 0.

    Args:
        grid: steps of each face, [N, G]: 0, then for each side `_GRID` // 2 steps outwards.
        missing: how far each step is from the goal, [N, G].

    Returns:
        Its ends nearer to and farther from 0, [N] each; NaN where there is none.
    """
    near, far = np.full(len(missing), np.nan), np.full(len(missing), np.nan)
    for first in range(1, grid.shape[1], _GRID // 2):
        columns = [0, *range(first, first + _GRID // 2)]
        passed = (missing[:, columns] > 0) != (missing[:, :1] > 0)
        for face in np.flatnonzero(passed.any(axis=1)):
            place = int(np.argmax(passed[face]))
            end = grid[face, columns[place]]
            if not abs(far[face]) <= abs(end):
                near[face], far[face] = grid[face, columns[place - 1]], end
    return near, far


@dataclass(frozen=True, eq=False)
class FoundAges:
    """What a search of ages found for N faces.

    Attributes:
        steps: by attribute, float64 [N] each: Young, further attributes that some faces need, and
            `KEPT` where the others would take it off.
        holds: for each of these attributes {name: discount} of what it must not change.
        goals: ages asked for, [N].
        before: estimated on the unedited faces, [N].
        reached: estimated after the steps, [N]. Where that is not the goal, the search has found
            nothing clearly nearer within its limits.
    """

    steps: Mapping[str, Float64Array]
    holds: Mapping[str, Mapping[str, float]]
    goals: Float64Array
    before: Float64Array
    reached: Float64Array

    @property
    def short(self) -> NDArray[np.bool_]:
        """Which faces stay more than `NEAR` years away from their goals, [N]."""
        return np.abs(self.goals - self.reached) > NEAR

    def recipe(self, editor: FaceEditor, **described: Any) -> EditRecipe:
        """Return the edit in which each face takes its own steps; see `FaceEditor.recipe`."""
        steps = {name: each.tolist() for name, each in self.steps.items()}
        return _recipe(editor, steps, self.holds, **described)


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
    these attributes; what is held by its name, or by "all", does not move. Faces whose glasses fade
    get them back by a step along `KEPT`. A face's steps do not depend on the other faces.

    Args:
        editor: with an age estimator.
        z: float [N, D], or [N, L, D].
        by: years to add to each face's own estimate.
        to: instead, the age to reach.
        hold: what must not change.
        reach: limits of the steps, as a multiple of the attributes' safe ranges.
        layers: those that move; see `FaceEditor.edit`.
        look: shows edits to the age estimator; by default the generator draws them. In photos,
            `PhotoEditor.looks`.

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
    z = editor.lay_out(z, layers)
    look = look or (lambda latents, names: editor.render(latents, editor.judged_size))
    unedited = look(z, ())
    before = np.asarray(editor.age(unedited), dtype=np.float64)
    goals = before + by if by is not None else np.full(len(z), to, dtype=np.float64)
    holds, everyone = _held(editor.boundaries, hold), np.arange(len(z))
    kept_holds = _kept_holds(editor, hold)

    def seen_at(rows: NDArray[np.int64], steps: Steps) -> UInt8Array:
        moves = {name: each.tolist() for name, each in steps.items()}
        recipe = _recipe(editor, moves, {**holds, **kept_holds}, layers=layers)
        return look(editor.apply(recipe, z[rows]), recipe.edited)

    def ages_at(rows: NDArray[np.int64], steps: Steps) -> Float64Array:
        return np.asarray(editor.age(seen_at(rows, steps)), np.float64)

    def kept_at(rows: NDArray[np.int64], steps: Steps) -> Float64Array:
        return _logits(editor, seen_at(rows, steps))

    ends = safe_steps(editor, z, AGE_ATTRIBUTE, reach, layers=layers)
    ends = _gaining(ends, -1, goals - before)
    alone, reached = _search(
        lambda own: ages_at(everyone, {AGE_ATTRIBUTE: own}), before, goals, ends, -1
    )
    short = np.flatnonzero(np.abs(goals - reached) > NEAR)
    steps = {AGE_ATTRIBUTE: alone}
    if len(short):
        low, high = ends[short].T
        far = np.where(goals[short] > before[short], low, high)
        helped, ages = _with_help(
            lambda moves: ages_at(short, moves),
            lambda name: safe_steps(editor, z[short], name, HELP * reach, layers=layers),
            holds,
            far,
            goals[short],
        )
        better = np.abs(goals - reached)[short] - np.abs(goals[short] - ages) > NEAR
        reached[short] = np.where(better, ages, reached[short])
        for name, found in helped.items():
            unhelped = alone[short] if name == AGE_ATTRIBUTE else 0.0
            whole = steps.setdefault(name, np.zeros(len(z)))
            whole[short] = np.where(better, found, unhelped)
        steps = {name: each for name, each in steps.items() if name == AGE_ATTRIBUTE or each.any()}
    if kept_holds:
        highest = reach * editor.boundaries.safe_range(KEPT)[1]
        kept = _kept(kept_at, _logits(editor, unedited), steps, highest)
        if (mended := np.flatnonzero(kept)).size:
            steps[KEPT] = kept
            reached[mended] = ages_at(mended, _of(steps, mended))
    holds |= kept_holds
    return FoundAges(steps, {name: holds[name] for name in steps}, goals, before, reached)


def _of(steps: Steps, rows: NDArray[np.int64]) -> Steps:
    """Some faces' steps."""
    return {name: each[rows] for name, each in steps.items()}


def _logits(editor: FaceEditor, images: UInt8Array) -> Float64Array:
    """The classifier's logit of `KEPT`, [N]."""
    scores = editor.score(images)[:, editor.attributes.index(KEPT)].astype(np.float64)
    limited = np.clip(scores, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.log(limited / (1 - limited))


def _kept_holds(editor: FaceEditor, hold: Hold) -> dict[str, dict[str, float]]:
    """Return the holds of `KEPT`, by its name; none where it cannot be kept, or may not move."""
    known = KEPT in editor.boundaries.names and KEPT in editor.attributes
    if not (known and editor.judges.scores) or KEPT in {
        *held_by_name(editor.boundaries, hold),
        *editor.boundaries.rare,
    }:
        return {}
    return {KEPT: resolve_holds(editor.boundaries, KEPT, [KEPT], hold)}


def _kept(
    logits_at: Callable[[NDArray[np.int64], Steps], Float64Array],
    unedited: Float64Array,
    steps: Steps,
    highest: float,
) -> Float64Array:
    """Return steps along `KEPT` [N] that bring back what other steps take off.

    Args:
        logits_at: rows of faces and their steps -> the classifier's logit of `KEPT`.
        unedited: this logit of the unedited faces, [N].
        steps: of the other attributes.
        highest: longest step.
    """
    after, goals = logits_at(np.arange(len(unedited)), steps), unedited - KEPT_WITHIN
    fading = np.flatnonzero((unedited > 0) & (after < goals))
    kept = np.zeros(len(unedited))
    if len(fading):
        others = _of(steps, fading)
        kept[fading], _ = _search(
            lambda own: logits_at(fading, {**others, KEPT: own}),
            after[fading],
            goals[fading],
            np.tile((0.0, highest), (len(fading), 1)),
            1,
        )
    return kept


def _with_help(
    ages_at: Callable[[Mapping[str, Float64Array]], Float64Array],
    limits: Callable[[str], Float64Array],
    holds: Mapping[str, Mapping[str, float]],
    far: Float64Array,
    goals: Float64Array,
) -> tuple[dict[str, Float64Array], Float64Array]:
    """Return steps by attribute, for faces that Young alone leaves short, and ages there, [N].

    Args:
        ages_at: estimates ages after steps by attribute.
        limits: an attribute's name -> see `safe_steps`.
        holds: of Young and of the attributes that may help it; these are tried.
        far: Young's last step for each face, [N].
        goals: ages, [N].
    """
    steps = {AGE_ATTRIBUTE: far}
    reached = ages_at(steps)
    for name in holds:
        missing = goals - reached
        if name == AGE_ATTRIBUTE or (np.abs(missing) <= NEAR).all():
            continue
        found, ages = _search(
            lambda own, name=name: ages_at({**steps, name: own}),  # type: ignore[misc]
            reached,
            goals,
            _gaining(limits(name), 1, missing),
            1,
        )
        # every attribute changes the face more: use one only where it is needed and helps enough
        nearer = (np.abs(missing) > NEAR) & (np.abs(missing) - np.abs(goals - ages) > NEAR)
        nearer &= sum(moved != 0 for moved in steps.values()) <= HELPERS
        steps[name] = np.where(nearer, found, 0.0)
        reached = np.where(nearer, ages, reached)
    return steps, reached


def _held(boundaries: Boundaries, hold: Hold) -> dict[str, dict[str, float]]:
    """Return the holds of Young, then of each attribute that may help it."""
    by_name = {*held_by_name(boundaries, hold), *boundaries.rare}
    names = [name for name in AGEING_ATTRIBUTES if name in boundaries.names]
    moving = [AGE_ATTRIBUTE, *(name for name in names if name not in by_name)]
    holds = {name: resolve_holds(boundaries, name, moving, hold) for name in moving}
    return {
        name: held
        for name, held in holds.items()
        if name == AGE_ATTRIBUTE or _leave_some(boundaries, name, held)
    }


def _leave_some(boundaries: Boundaries, name: str, holds: Mapping[str, float]) -> bool:
    """Whether holds leave something of a move."""
    try:
        discounted_direction(boundaries, name, holds)
    except LatentEditError:
        return False
    return True


def safe_steps(
    editor: FaceEditor,
    z: NDArray[np.float32],
    name: str,
    reach: float = 1.0,
    *,
    layers: Sequence[int] | None = None,
) -> Float64Array:
    """Return each face's lowest and highest step along an attribute, float64 [N, 2].

    A safe range is how far the mean face can go. A face that is on the way already, such as an old
    one that shall become older, stops where the mean face would: beyond, faces break.

    Args:
        editor: the model.
        z: latents [N, D], or [N, L, D].
        name: the attribute.
        reach: multiple of the safe range.
        layers: those that move; all by default.
    """
    boundaries = editor.boundaries
    low, high = (reach * end for end in boundaries.safe_range(name))
    row = boundaries.index(name)
    ahead = editor.distances(z, layers=layers)[:, row] - boundaries.distances_of_mean[row]
    lows = np.clip(low - np.minimum(ahead, 0), low, 0)
    highs = np.clip(high - np.maximum(ahead, 0), 0, high)
    return np.stack((lows, highs), axis=1)


def _gaining(ends: Float64Array, rising: int, missing: Float64Array) -> Float64Array:
    """Return lowest and highest steps [N, 2], with 0 for a side on which no face gains.

    Args:
        ends: see `safe_steps`.
        rising: 1 or -1, the sign of the steps that add years.
        missing: years to the goal, [N].
    """
    ways = np.sign(missing) * rising
    return ends * ((ways < 0).any(), (ways > 0).any())


def _recipe(
    editor: FaceEditor,
    steps: Mapping[str, Sequence[float]],
    holds: Mapping[str, Mapping[str, float]],
    **described: Any,
) -> EditRecipe:
    recipe = editor.recipe(steps, "none", **described)
    return replace(recipe, holds={name: dict(holds[name]) for name in recipe.edited})
