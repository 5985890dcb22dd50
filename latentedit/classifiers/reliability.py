"""Whether probabilities mean what they say: the expected calibration error, and its bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of the expected calibration error, of equal width (Guo et al. 2017)."""


def expected_calibration_error(p: NDArray[np.float64], y: NDArray[np.int8]) -> float:
    """Return the mean distance between a probability and how often it comes true, in `BINS` bins.

    Args:
        p: probabilities [N].
        y: 0 or 1 [N].
    """
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, p - y, BINS)
    return float(np.abs(gaps).sum() / len(p))


def error_if_calibrated(p: NDArray[np.float64], *, draws: int = 40, seed: int = 0) -> float:
    """Return the average `expected_calibration_error` if `p` were exactly right.

    By chance alone the answers in a bin differ from its mean probability, and distances do not
    cancel out. So with few faces the error is above zero even for perfect probabilities (Kumar et
    al. 2019, "Verified uncertainty calibration"). This is simulated with answers drawn from `p`.

    Args:
        p: probabilities [N].
        draws: how often all N answers are drawn.
        seed: seed of the answers.
    """
    random = np.random.RandomState(seed)
    answers = (random.uniform(size=len(p)) < p for _ in range(draws))
    return float(np.mean([expected_calibration_error(p, y.astype(np.int8)) for y in answers]))
