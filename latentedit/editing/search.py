"""Searching, face by face, for the step whose picture looks as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.attributes import AGE_ATTRIBUTE
from latentedit.editing.editor import FaceEditor
from latentedit.editing.recipes import Hold
from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array

Float64Array = NDArray[np.float64]
Measure = Callable[[UInt8Array], ArrayLike]
"""Images uint8 [N, H, W, 3] -> a number for each, [N]."""

_GRID = 13
_HALVINGS = 7


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

    A grid of steps over the limits finds where the measure first passes the goal on either side;
    halving finds the place. Where it never does, the grid's nearest step is given.

    Args:
        editor: renders.
        z: float [N, D], or [N, L, D].
        attribute: what moves.
        measure: looks at pictures; see `Measure`.
        goals: [N], or one for all.
        hold: what must not change.
        limits: lowest and highest step; by default the attribute's safe range.
        rising: 1 or -1, the sign of the steps that are to raise the measure, so that no face moves
            the other way where that happens to bring it nearer; 0 allows both.
        layers: that move; see `FaceEditor.edit`.

    Raises:
        LatentEditError: see `FaceEditor.edit`.
    """
    z = editor.lay_out(z, layers)
    low, high = limits or editor.boundaries.safe_range(attribute)

    def measured(steps: Float64Array) -> Float64Array:
        moved = editor.edit(z, {attribute: tuple(steps.tolist())}, hold, layers=layers)
        return np.asarray(measure(editor.render(moved, editor.judged_size)), dtype=np.float64)

    before = measured(np.zeros(len(z)))
    wanted = np.broadcast_to(np.asarray(goals, np.float64), before.shape)
    sides = [np.linspace(0, end, _GRID // 2 + 1)[1:] for end in (low, high) if end]
    grid = np.concatenate(([0.0], *sides))
    missing = np.stack(
        [before if step == 0 else measured(np.full(len(z), step)) for step in grid], axis=1
    )
    missing -= wanted[:, None]  # [N, G]: how far each grid step is from the goal
    if rising:
        astray = rising * grid * missing[:, :1] > 0
        missing = np.where(astray, missing[:, :1], missing)  # no better than standing still
    near, far = _brackets(grid, missing, [len(side) for side in sides])
    found = np.isfinite(far)
    nearest = grid[np.argmin(np.abs(missing), axis=1)]
    near, far = np.where(found, near, nearest), np.where(found, far, nearest)
    at_start = missing[:, 0] > 0  # up to the near end every step is on the unedited face's side
    for _ in range(_HALVINGS if found.any() else 0):
        middle = (near + far) / 2
        short = (measured(middle) - wanted > 0) == at_start
        near, far = np.where(short, middle, near), np.where(short, far, middle)
    steps = (near + far) / 2
    return FoundSteps(steps, wanted.copy(), before, measured(steps))


def _brackets(
    grid: Float64Array, missing: Float64Array, sides: list[int]
) -> tuple[Float64Array, Float64Array]:
    """The smallest grid interval, by magnitude of its end, in which the goal is passed.

    Returns:
        Its ends nearer to and farther from 0, [N] each; NaN where there is none.
    """
    near, far = np.full(len(missing), np.nan), np.full(len(missing), np.nan)
    first = 1
    for count in sides:
        columns = [0, *range(first, first + count)]
        first += count
        passed = (missing[:, columns] > 0) != (missing[:, :1] > 0)
        for face in np.flatnonzero(passed.any(axis=1)):
            place = int(np.argmax(passed[face]))
            end = grid[columns[place]]
            if not abs(far[face]) <= abs(end):
                near[face], far[face] = grid[columns[place - 1]], end
    return near, far


def search_age(
    editor: FaceEditor,
    z: ArrayLike,
    *,
    by: float | None = None,
    to: float | None = None,
    hold: Hold = defaults.HOLD,
    limits: tuple[float, float] | None = None,
    layers: Sequence[int] | None = None,
) -> FoundSteps:
    """Find for each face the step along Young at which its estimated age is as asked.

    Older is towards lower steps and younger towards higher ones, for all faces.

    Args:
        editor: with an age estimator.
        z: float [N, D], or [N, L, D].
        by: years to add to each face's own estimate.
        to: instead, the age to reach.
        hold: what must not change.
        limits: lowest and highest step; by default Young's safe range.
        layers: that move; see `FaceEditor.edit`.

    Raises:
        LatentEditError: no age estimator, both or neither of `by` and `to`, or see
            `FaceEditor.edit`.
    """
    if not editor.estimates_age:
        raise LatentEditError(
            f"model {editor.name} has no age estimator, so it cannot aim at an age: use --attr "
            "Young --step, or a model with one"
        )
    z = editor.lay_out(z, layers)
    goals: ArrayLike
    if by is not None and to is None:
        goals = editor.age(editor.render(z, editor.judged_size)) + by
    elif to is not None and by is None:
        goals = to
    else:
        raise LatentEditError("give years to add, or an age to reach")
    return search_steps(
        editor,
        z,
        AGE_ATTRIBUTE,
        editor.age,
        goals,
        hold=hold,
        limits=limits,
        rising=-1,
        layers=layers,
    )
