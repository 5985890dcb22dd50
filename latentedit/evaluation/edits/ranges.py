"""How far an edit may go before faces break, and what each step of it does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from latentedit.boundaries.calibration import Calibration
from latentedit.evaluation.edits.curves import curve
from latentedit.evaluation.edits.traces import Trace, Typical, crossing

MOST_STRANGE = 0.15
"""A step is safe while at most this share of the edited faces are stranger than typical. It is
three times the share of unedited faces. For attributes that are strange by nature it is larger, see
`allowed_share`."""

STRANGE_AT_FLIP = 2 * MOST_STRANGE
"""Largest share of strange faces on the way to where half flip: an edit has to get that far."""

_LEAST_ALIKE = 30
"""Fewest unedited faces on a side of an attribute that show how strange that side is by nature."""

BACKSLIDE = 0.01
"""A mean probability this close to the farthest one counts as reaching it."""

LEAST_SAFE = 0.5
"""Shortest safe step: a slider has to move at all."""


def strange_shares(trace: Trace, typical: Typical) -> NDArray[np.float64]:
    """Return the share of faces at each step stranger than 95 % of unedited ones, float64 [S]."""
    return np.asarray((trace.strangeness > typical.limit).mean(0))


def allowed_share(typical: Typical, column: int, sign: int) -> float:
    """Return the share of strange faces up to which steps to one side are safe.

    It is `MOST_STRANGE`, or the share among unedited faces on that side if that is larger: faces
    with hats, for example, are strange by nature.

    Args:
        typical: unedited faces.
        column: of the attribute among the classifier's outputs.
        sign: 1 for the side of faces with the attribute, -1 for the other side.
    """
    alike = sign * typical.logits[:, column] > 0
    if alike.sum() < _LEAST_ALIKE:
        return MOST_STRANGE
    return max(MOST_STRANGE, float((typical.strangeness[alike] > typical.limit).mean()))


def safe_range(trace: Trace, typical: Typical, column: int) -> tuple[float, float]:
    """Return the lowest and highest step where pictures look like faces and the edit works.

    Each side ends at the nearer of two steps:

    - The step where more faces are strange than `allowed_share`. If half of the faces flip only
      farther out, the side goes on to there, but not past the step where `STRANGE_AT_FLIP` are
      strange.
    - The step that moves the mean probability farthest. Past it, the edit undoes itself.

    Between measured steps shares are interpolated. Ends are rounded to tenths, towards 0, and are
    at least `LEAST_SAFE` away from 0.

    Args:
        trace: under the attribute's auto holds.
        typical: unedited faces.
        column: of the attribute among the classifier's outputs.
    """
    shares = strange_shares(trace, typical)
    means = trace.probabilities[:, :, column].mean(0)
    half = curve(trace, column).magnitude()
    ends = []
    for sign in (-1, 1):
        side = np.flatnonzero(sign * trace.steps >= 0)
        side = side[np.argsort(np.abs(trace.steps[side]))]
        moved, magnitudes = sign * means[side], np.abs(trace.steps[side])
        farthest = float(magnitudes[np.flatnonzero(moved >= moved.max() - BACKSLIDE)[-1]])
        allowed = allowed_share(typical, column, sign)
        strange = _first(magnitudes, shares[side], allowed)
        if half is not None:
            too_strange = _first(magnitudes, shares[side], max(allowed, STRANGE_AT_FLIP))
            strange = max(strange, min(half, too_strange))
        end = min(strange, farthest)
        ends.append(sign * max(LEAST_SAFE, np.floor(end * 10) / 10))
    return float(ends[0]), float(ends[1])


def _first(magnitudes: NDArray[np.float64], shares: NDArray[np.float64], level: float) -> float:
    """Return the step where the share of strange faces reaches a level; infinity if nowhere."""
    found = crossing(magnitudes, shares, level)
    return np.inf if found is None else found


def calibrate(trace: Trace, column: int) -> Calibration:
    """Fit the monotone map from step to mean probability (isotonic regression).

    Args:
        trace: under the attribute's auto holds.
        column: of the attribute among the classifier's outputs.
    """
    means = trace.probabilities[:, :, column].mean(0)
    rising = IsotonicRegression(y_min=0, y_max=1).fit_transform(trace.steps, means)
    years = (trace.years - trace.years[:, trace.start, None]).mean(0)
    return Calibration(
        tuple(float(step) for step in trace.steps),
        tuple(round(float(value), 4) for value in rising),
        tuple(round(float(year), 2) for year in years) if np.isfinite(years).all() else None,
    )
