"""The step of equal effect: found in few looks, and what was measured there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentedit.evaluation.methods.equal_effect import (
    GROWTH,
    REFINED,
    at_share,
    predicted_step,
    search_step,
)

shares = st.floats(0.1, 0.9)
lengths = st.floats(0.05, 50)


@given(wanted=shares, middle=lengths, start=lengths, steepness=st.floats(0.5, 8))
def test_the_share_is_met_where_it_grows_with_the_step(
    wanted: float, middle: float, start: float, steepness: float
) -> None:
    def share(step: float) -> float:
        return float(step**steepness / (step**steepness + middle**steepness))

    reach = 1e9
    found = search_step(share, wanted, start=start, reach=reach, tolerance=0.02)
    assert found.step is not None
    assert found.step in found.steps
    assert found.most >= wanted
    nearest = min(abs(share(step) - wanted) for step in found.steps)
    assert abs(share(found.step) - wanted) == nearest
    assert list(found.steps) == sorted(found.steps)
    assert max(found.steps) <= reach
    assert len(found.steps) <= 2 + REFINED + np.log(reach / start) / np.log(GROWTH) + 1


@given(crossings=st.lists(st.floats(0.01, 7.9), min_size=20, max_size=200), start=st.floats(0.1, 8))
def test_faces_that_cross_one_by_one_are_brought_near_to_half(
    crossings: list[float], start: float
) -> None:
    places = np.array(crossings)
    found = search_step(
        lambda step: float((places <= step).mean()), 0.5, start=start, reach=8, tolerance=0.03
    )
    assert found.step is not None
    below = [share for step, share in zip(found.steps, found.shares, strict=True) if share < 0.5]
    if below:  # the bracket lies around the half
        assert max(below) < 0.5 <= found.most


@given(most=st.floats(0, 0.45), start=lengths, reach=lengths)
def test_what_is_never_reached_is_said_after_the_longest_step(
    most: float, start: float, reach: float
) -> None:
    found = search_step(lambda step: most, 0.5, start=start, reach=reach, tolerance=0.02)
    assert found.step is None
    assert found.most == most
    assert max(found.steps) == reach


def test_no_step_is_looked_at_twice() -> None:
    looks: list[float] = []

    def share(step: float) -> float:
        looks.append(step)
        return min(1.0, step / 3)

    found = search_step(share, 0.5, start=4, reach=8, tolerance=0.001)
    assert len(looks) == len(set(looks))
    assert found.step == pytest.approx(1.5, abs=0.05)


@given(
    distances=st.lists(st.floats(-5, 5), min_size=2, max_size=60),
    gain=st.floats(0.1, 3),
    share=shares,
)
def test_a_linear_boundary_is_crossed_by_as_many_as_predicted(
    distances: list[float], gain: float, share: float
) -> None:
    places = np.array(distances)
    step = predicted_step(places, gain, share)
    assert step is not None
    crossed = (np.abs(places) <= gain * step * (1 + 1e-9) + 1e-9).mean()
    assert crossed >= share - 1 / len(places) - 1e-9


def test_a_direction_that_leads_away_predicts_nothing() -> None:
    assert predicted_step(np.ones(3), -0.5, 0.5) is None
    assert predicted_step(np.ones(3), 0.0, 0.5) is None


@given(slope=st.floats(0.1, 5), share=shares)
def test_values_between_steps_lie_on_the_line(slope: float, share: float) -> None:
    steps = np.array([0.3, 0.5, 1.0])
    value = at_share(steps, steps, slope * steps, share)
    assert value == pytest.approx(slope * share)
    assert np.isnan(at_share(steps, steps / 2, steps, 0.9))
