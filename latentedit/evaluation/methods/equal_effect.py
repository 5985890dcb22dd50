"""Finding the step at which an edit has a wanted effect, with few looks at faces.

Each method has its own unit of steps, so equal steps cannot be compared. Methods are compared at
equal effect: the share of faces in which the target attribute crosses probability 0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentedit.evaluation.edits.traces import crossing

Float64Array = NDArray[np.float64]

GROWTH = 1.6
"""Ratio of a step and the one before it, while the wanted share is not reached."""

INSIDE = 0.15
"""Interpolation keeps out of this part of a bracket at either end, so that it always shrinks."""

REFINED = 4
"""Most looks inside a bracket."""


@dataclass(frozen=True)
class Search:
    """Where a search looked, and what it found.

    Attributes:
        steps: where it looked, increasing, above 0.
        shares: of faces that had crossed there.
        step: the one whose share is nearest to the wanted one; None where no step reached it.
    """

    steps: tuple[float, ...]
    shares: tuple[float, ...]
    step: float | None

    @property
    def most(self) -> float:
        """The largest share."""
        return max(self.shares)


def search_step(
    share_at: Callable[[float], float],
    wanted: float,
    *,
    start: float,
    reach: float,
    tolerance: float,
) -> Search:
    """Find the step at which a share of the faces has crossed.

    It looks at half of the first guess, at the guess, and then at longer steps until the share is
    reached. Then the false position method searches between the first step that reaches the share
    and the step before it. It keeps away from both ends, so that this bracket shrinks.

    Args:
        share_at: step above 0 -> share, 0 to 1; it need not grow with the step.
        wanted: the share, above 0.
        start: a first guess, above 0.
        reach: the longest step that is tried.
        tolerance: difference from `wanted` that is small enough.
    """
    seen: dict[float, float] = {}

    def look(step: float) -> float:
        if step not in seen:
            seen[step] = share_at(step)
        return seen[step]

    step = min(start, reach) / 2
    while look(step) < wanted and step < reach:
        step = min(reach, step * (2 if len(seen) == 1 else GROWTH))
    refined = 0
    while seen[step] >= wanted and refined < REFINED:
        low, high = _bracket(seen, wanted)
        if min(abs(share - wanted) for share in seen.values()) <= tolerance:
            break
        look(_between(low, high, seen, wanted))
        refined += 1
    steps = tuple(sorted(seen))
    shares = tuple(seen[each] for each in steps)
    if max(shares) < wanted:
        return Search(steps, shares, None)
    return Search(steps, shares, min(steps, key=lambda each: (abs(seen[each] - wanted), each)))


def _bracket(seen: dict[float, float], wanted: float) -> tuple[float, float]:
    """Return the step before the first one that reaches the share, or 0, and that first one."""
    high = min(step for step, share in seen.items() if share >= wanted)
    return max((step for step in seen if step < high), default=0.0), high


def _between(low: float, high: float, seen: dict[float, float], wanted: float) -> float:
    places, values = np.array([low, high]), np.array([seen.get(low, 0.0), seen[high]])
    step = crossing(places, values, wanted)
    margin = INSIDE * (high - low)
    return float(np.clip(low if step is None else step, low + margin, high - margin))


def predicted_step(distances: Float64Array, gain: float, share: float) -> float | None:
    """Predict the step at which a share of faces crosses a linear boundary.

    A face at signed distance d crosses when it has moved ``|d| / gain`` steps away from its side.

    Args:
        distances: of the faces, [N].
        gain: change of the distance by a step of 1.
        share: 0 to 1.

    Returns:
        None where the direction does not lead across.
    """
    if gain <= 0:
        return None
    return float(np.quantile(np.abs(distances) / gain, share))


def at_share(
    steps: Float64Array, shares: Float64Array, values: Float64Array, share: float
) -> float:
    """Return a measured value at a share of crossed faces, interpolated between steps.

    Args:
        steps: increasing, [S]; 0, where nothing has changed, is added.
        shares: of faces that crossed, [S].
        values: what was measured at the steps, [S].
        share: 0 to 1.

    Returns:
        NaN where no step reaches the share.
    """
    places = np.concatenate(([0.0], steps))
    step = crossing(places, np.concatenate(([0.0], shares)), share)
    if step is None:
        return float("nan")
    return float(np.interp(step, places, np.concatenate(([0.0], values))))
