"""How far an edit may go before faces break, and what each step of it does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from latentedit.boundaries import Calibration
from latentedit.evaluation.traces import Trace, Typical, crossing

TYPICAL_SHARE = 0.95
"""Unedited faces that count as typical."""

MOST_STRANGE = 0.15
"""A step is safe while no more of the edited faces than this are stranger than typical: three
times as many as of unedited ones."""

BACKSLIDE = 0.01
"""A mean probability this close to the farthest one counts as reaching it."""

LEAST_SAFE = 0.5
"""Shortest safe step: a slider has to move at all."""


def strange_shares(trace: Trace, typical: Typical) -> NDArray[np.float64]:
    """Share of faces at each step that are stranger than 95 % of unedited ones, float64 [S]."""
    return np.asarray((trace.strangeness > typical.limit(TYPICAL_SHARE)).mean(0))


def safe_range(trace: Trace, typical: Typical, column: int) -> tuple[float, float]:
    """Lowest and highest step at which faces hold together and the edit still does what it says.

    A side ends where more than 15 % of faces are strange (between measured steps the share is
    interpolated), or after the step that moves the mean probability farthest: past it the attribute
    comes back. Ends are rounded to tenths, towards 0.

    Args:
        trace: under the attribute's auto holds.
        typical: unedited faces.
        column: of the attribute among the classifier's outputs.
    """
    shares = strange_shares(trace, typical)
    means = trace.probabilities[:, :, column].mean(0)
    ends = []
    for sign in (-1, 1):
        side = np.flatnonzero(sign * trace.steps >= 0)
        side = side[np.argsort(np.abs(trace.steps[side]))]
        moved, magnitudes = sign * means[side], np.abs(trace.steps[side])
        farthest = float(magnitudes[np.flatnonzero(moved >= moved.max() - BACKSLIDE)[-1]])
        strange = crossing(magnitudes, shares[side], MOST_STRANGE)
        end = farthest if strange is None else min(strange, farthest)
        ends.append(sign * max(LEAST_SAFE, np.floor(end * 10) / 10))
    return float(ends[0]), float(ends[1])


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
