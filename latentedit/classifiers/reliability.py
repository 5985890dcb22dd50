"""Whether probabilities mean what they say: the expected calibration error, and its bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of the expected calibration error, of equal width (Guo et al. 2017)."""


def expected_calibration_error(p: NDArray[np.float64], y: NDArray[np.int8]) -> float:
    """Mean distance between a probability and how often it comes true, over `BINS` bins.

    Args:
        p: probabilities [N].
        y: 0 or 1 [N].
    """
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, p - y, BINS)
    return float(np.abs(gaps).sum() / len(p))


def error_if_calibrated(p: NDArray[np.float64], *, draws: int = 40, seed: int = 0) -> float:
    """What `expected_calibration_error` shows on average where `p` is exactly right.

    By chance alone the answers in a bin differ from its mean probability, and distances do not
    cancel out: with few faces the error is above zero however good the probabilities are (Kumar
    et al. 2019, "Verified uncertainty calibration"). Simulated, with answers drawn from `p`.

    Args:
        p: probabilities [N].
        draws: how often all N answers are drawn.
        seed: of the answers.
    """
    random = np.random.RandomState(seed)
    answers = (random.uniform(size=len(p)) < p for _ in range(draws))
    return float(np.mean([expected_calibration_error(p, y.astype(np.int8)) for y in answers]))
