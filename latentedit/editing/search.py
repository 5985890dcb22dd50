"""Searching for the step of each face after which its picture meets a goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.attributes import find_side
from latentedit.editing.editor import FaceEditor
from latentedit.editing.holds import Hold
from latentedit.errors import LatentEditError
from latentedit.generators.mapped import MappedGenerator
from latentedit.io.images import UInt8Array

Float64Array = NDArray[np.float64]
Measure = Callable[[UInt8Array], ArrayLike]
"""Images uint8 [N, H, W, 3] -> a number for each, [N]."""

Look = Callable[[NDArray[np.float32], Sequence[str]], UInt8Array]
"""Latents [N, ...], and the attributes that were edited -> what the judges look at, uint8
[N, H, W, 3]."""

_GRID = 13
_HALVINGS = 7
_FIRST, _LOOKS = 1 / 12, 8


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
        LatentEditError: a goal that is not finite, or see `FaceEditor.edit`.
    """
    z = editor.lay_out(z, layers)

    def measured(steps: Float64Array) -> Float64Array:
        moved = editor.edit(z, {attribute: tuple(steps.tolist())}, hold, layers=layers)
        return np.asarray(measure(editor.render(moved, editor.judged_size)), dtype=np.float64)

    before = measured(np.zeros(len(z)))
    wanted = np.broadcast_to(np.asarray(goals, np.float64), before.shape).copy()
    if not np.isfinite(wanted).all():
        raise LatentEditError("goals must be finite numbers")
    if limits is None:
        ends = safe_steps(editor, z, attribute, layers=layers)
    else:
        ends = np.tile(limits, (len(z), 1))
    steps, reached = find_steps(measured, before, wanted, ends, rising)
    return FoundSteps(steps, wanted, before, reached)


def find_steps(
    measured: Callable[[Float64Array], Float64Array],
    before: Float64Array,
    wanted: Float64Array,
    limits: Float64Array,
    rising: int,
) -> tuple[Float64Array, Float64Array]:
    """Return the steps at which measures meet goals, [N], and what is measured there, [N].

    It searches as `search_steps` does.

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


def find_enough(
    measured: Callable[[Float64Array, NDArray[np.int64]], Float64Array],
    before: Float64Array,
    wanted: Float64Array,
    ends: Float64Array,
    tolerance: float,
) -> tuple[Float64Array, Float64Array]:
    """Return steps [N] that raise measures to their goals, and what is measured there, [N].

    It takes fewer looks than `find_steps`, for measures that rise all the way. Steps double until
    the goal is passed, then they are interpolated. Where the goal is not passed, the result is the
    step with the highest measure.

    Args:
        measured: steps [M], and the numbers of their faces [M] -> the measure of each, [M].
        before: measures without a step, below the goals, [N].
        wanted: goals, [N].
        ends: the longest steps, [N]; they may be negative.
        tolerance: how far above the goal is near enough.
    """
    near, low = np.zeros(len(before)), before.copy()
    far, high = np.full(len(before), np.nan), np.full(len(before), np.nan)
    steps, reached = np.zeros(len(before)), before.copy()
    for _ in range(_LOOKS):
        passed = np.isfinite(far)
        done = np.where(passed, high - wanted <= tolerance, near == ends)
        rows = np.flatnonzero(~done)
        if not len(rows):
            break
        doubled = np.where(near == 0, _FIRST * ends, 2 * near)
        ahead = np.where(np.abs(doubled) < np.abs(ends), doubled, ends)
        share = np.divide(wanted - low, high - low, out=np.full(len(low), 0.5), where=passed)
        between = near + (far - near) * np.clip(share, 0.1, 0.9)
        tried = np.where(passed, between, ahead)[rows]
        seen = measured(tried, rows)
        enough = seen >= wanted[rows]
        far[rows[enough]], high[rows[enough]] = tried[enough], seen[enough]
        near[rows[~enough]], low[rows[~enough]] = tried[~enough], seen[~enough]
        better = enough | (~passed[rows] & (seen > reached[rows]))
        steps[rows[better]], reached[rows[better]] = tried[better], seen[better]
    return steps, reached


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


def _of_mean(editor: FaceEditor) -> Float64Array:
    """Return signed distances of the model's mean latent to all boundaries, [K]."""
    boundaries, generator = editor.boundaries, editor.generator
    if boundaries.whitening is None and editor.space == "w":
        assert isinstance(generator, MappedGenerator)
        return boundaries.distances(generator.mean.cpu().numpy()[None])[0]
    return boundaries.distances_of_mean


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
        name: the attribute, or a word for one of its sides.
        reach: multiple of the safe range.
        layers: those that move; all by default.
    """
    boundaries = editor.boundaries
    low, high = (reach * end for end in boundaries.safe_range(name))
    known, side = find_side(name, boundaries.names)
    row = boundaries.index(known)
    ahead = editor.distances(z, layers=layers)[:, row] - _of_mean(editor)[row]
    ahead = side * ahead
    lows = np.clip(low - np.minimum(ahead, 0), low, 0)
    highs = np.clip(high - np.maximum(ahead, 0), 0, high)
    return np.stack((lows, highs), axis=1)
