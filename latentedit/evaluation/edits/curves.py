"""Curves: what an edit does at each magnitude, and where edits are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentedit.evaluation.edits.traces import Trace, crossing, sigmoid

Float64Array = NDArray[np.float64]

HALF = 0.5
"""Share of flipped faces at which holds are compared."""

OF_MOST = 0.8
"""If an edit without holds never flips half of the faces, holds are compared at this part of the
largest share that it flips. At the largest share itself, longer steps only leak more."""

LEAST_SHARE = 0.05
"""If an edit without holds flips a smaller share than this, nothing can be compared."""


@dataclass(frozen=True, eq=False)
class Curve:
    """What an edit does at each magnitude; each face moves away from its own side of the attribute.

    Attributes:
        magnitudes: float64 [M], from 0.
        flipped: share of faces whose probability of the attribute crossed 0.5, [M].
        leakage: mean absolute change of the other attributes' probabilities, [M].
        identity: mean cosine of the classifier's features, [M].
        dlib: mean cosine of dlib's descriptors, [M], or NaN.
    """

    magnitudes: Float64Array
    flipped: Float64Array
    leakage: Float64Array
    identity: Float64Array
    dlib: Float64Array

    def magnitude(self, share: float = HALF) -> float | None:
        """Return the magnitude at which this share is flipped, interpolated; None if never."""
        return crossing(self.magnitudes, self.flipped, share)

    def leakage_at(self, share: float = HALF) -> float | None:
        """Return the leakage where this share is flipped, or None if it is never reached."""
        magnitude = self.magnitude(share)
        return None if magnitude is None else self.value(self.leakage, magnitude)

    def value(self, column: Float64Array, magnitude: float) -> float:
        """Return a column's value at a magnitude, interpolated between measured ones."""
        return float(np.interp(magnitude, self.magnitudes, column))


def curve(trace: Trace, column: int, weights: NDArray[np.float32] | None = None) -> Curve:
    """Turn a trace into a curve by magnitude.

    Args:
        trace: with steps on both sides of 0, or away from each face's side.
        column: of the attribute among the classifier's outputs.
        weights: weight of each output in the leakage, [K]; all equal by default.
    """
    both = {s for s in trace.steps if s >= 0} & {-s for s in trace.steps if s <= 0}
    magnitudes = trace.steps.tolist() if trace.is_away else sorted(both)
    before = sigmoid(trace.logits[:, trace.start])  # [N, K]
    side = np.where(before[:, column] > 0.5, -1.0, 1.0)  # away from where the face is
    others = np.arange(before.shape[1]) != column
    weighed = None if weights is None else weights[others]
    rows, figures = np.arange(len(before)), []
    for magnitude in magnitudes:
        signed = np.full(len(rows), magnitude) if trace.is_away else side * magnitude
        at = np.searchsorted(trace.steps, signed)
        after = sigmoid(trace.logits[rows, at])
        crossed = (after[:, column] > 0.5) != (before[:, column] > 0.5)
        leaked = np.zeros(len(rows))
        if others.any():
            leaked = np.average(np.abs(after - before)[:, others], axis=1, weights=weighed)
        columns = (crossed, leaked, trace.identity[rows, at], trace.dlib[rows, at])
        figures.append([float(values.mean()) for values in columns])
    flipped, leakage, identity, dlib = np.array(figures).T
    return Curve(np.array(magnitudes), flipped, leakage, identity, dlib)


def compared_share(most: float) -> float:
    """Return the share of flipped faces at which holds are compared.

    Args:
        most: the largest share that flips without holds.
    """
    return HALF if most >= HALF else OF_MOST * most


def matched_leakage(curves: Mapping[str, Curve]) -> tuple[float, dict[str, float | None]]:
    """Return each mode's leakage at one share of flipped faces.

    Args:
        curves: by mode.

    Returns:
        The share, see `compared_share`, and the leakage there by mode; None where a mode was not
        measured, or does not reach the share. Where ``none`` was not measured, the share is that
        of the first mode that was.
    """
    ordered = [curves[mode] for mode in ("none", *curves) if mode in curves]
    most = next((float(found.flipped.max()) for found in ordered if _is_whole(found)), 0.0)
    share = compared_share(most)
    comparable = share >= LEAST_SHARE
    return share, {
        name: found.leakage_at(share) if comparable and _is_whole(found) else None
        for name, found in curves.items()
    }


def is_measured(curves: Mapping[str, Curve], *, whole: bool = False) -> bool:
    """Return whether any of these curves was measured, or, with `whole`, all of them."""
    measured = [_is_whole(found) for found in curves.values()]
    return all(measured) if whole else any(measured)


def _is_whole(found: Curve) -> bool:
    return bool(np.isfinite(found.flipped).all())


def unmeasured(magnitudes: Float64Array) -> Curve:
    """Return a curve that was not measured: NaN at these magnitudes."""
    return Curve(magnitudes, *(np.full(len(magnitudes), np.nan) for _ in range(4)))


def of_one_length(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Return the same curves; unmeasured ones get the magnitudes of measured ones."""
    whole = [found for found in curves.values() if _is_whole(found)]
    magnitudes = (whole or list(curves.values()))[0].magnitudes
    return {
        name: found if found in whole else unmeasured(magnitudes) for name, found in curves.items()
    }
