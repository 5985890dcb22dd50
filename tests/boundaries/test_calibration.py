"""Calibrations: from a step to a probability, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentedit.boundaries.calibration import Calibration
from latentedit.errors import LatentEditError


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=9).map(sorted),
    st.floats(0, 1),
)
def test_the_step_of_a_probability_reaches_it(heights: list[float], share: float) -> None:
    calibration = Calibration(tuple(range(-1, len(heights) - 1)), tuple(heights))
    goal = heights[0] + share * (heights[-1] - heights[0])
    assert calibration.probability(calibration.step(goal)) == pytest.approx(goal, abs=1e-9)


def test_nan_is_no_step_and_no_probability() -> None:
    calibration = Calibration((-1.0, 0.0, 1.0), (0.1, 0.5, 0.9))
    for ask in (calibration.step, calibration.probability):
        with pytest.raises(LatentEditError, match="NaN"):
            ask(float("nan"))
