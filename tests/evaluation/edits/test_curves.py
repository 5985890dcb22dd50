"""Curves of traces with planted responses."""

from __future__ import annotations

import numpy as np
import pytest
from planted_traces import NAMES, make_trace

from latentedit.evaluation.edits.curves import curve, matched_leakage, unmeasured
from latentedit.evaluation.edits.effects import summarize
from latentedit.evaluation.edits.traces import Trace, sigmoid


def test_a_curve_moves_each_face_away_from_its_side() -> None:
    trace = make_trace(np.array([1.0, 0.5, 0.0]))
    found = curve(trace, 0)
    start = trace.logits[:, 3]
    for place, magnitude in enumerate(found.magnitudes):
        assert found.flipped[place] == pytest.approx((np.abs(start[:, 0]) < magnitude).mean())
        side = np.where(start[:, 0] > 0, -1, 1)
        change = np.abs(sigmoid(start[:, 1] + 0.5 * side * magnitude) - sigmoid(start[:, 1]))
        assert found.leakage[place] == pytest.approx(change.mean() / 2, abs=1e-6)
    assert found.magnitudes.tolist() == [0, 1, 2, 3]
    assert found.identity[1] == pytest.approx(0.9)
    half = found.magnitude()
    assert half is not None
    assert 0.5 < half < 1
    assert found.value(found.flipped, half) == pytest.approx(0.5)


def test_a_trace_away_from_each_side_gives_the_same_curve() -> None:
    trace = make_trace(np.array([1.0, 0.5, 0.0]))
    start = trace.logits[:, 3]
    rows, side = np.arange(len(start)), np.where(start[:, 0] > 0, -1, 1)
    columns = [np.searchsorted(trace.steps, side * magnitude) for magnitude in range(4)]
    arrays = {
        name: np.stack([getattr(trace, name)[rows, at] for at in columns], axis=1)
        for name in ("logits", "years", "identity", "dlib", "strangeness")
    }
    away = Trace("a", {}, np.arange(4.0), **arrays)
    assert away.is_away
    found, expected = curve(away, 0), curve(trace, 0)
    for name in ("magnitudes", "flipped", "leakage", "identity"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    effects = summarize(
        [("two", "a", away)],
        attributes=("a",),
        scored=NAMES,
        modes=("two",),
        steps=(-2.0, 0.0, 2.0),
        facts={},
    )
    assert np.isnan(effects.means["logit"]).all()
    assert effects.curves["two"]["a"].magnitude() == expected.magnitude()


def test_a_curve_has_magnitudes_that_were_measured_on_both_sides() -> None:
    trace = make_trace(np.array([1.0, 0.5, 0.0]))
    assert curve(trace.at((-3, -1, 0, 1)), 0).magnitudes.tolist() == [0, 1]
    assert curve(trace.at((-1, 0, 1, 2)), 0).magnitudes.tolist() == [0, 1]


def test_what_never_flips_has_no_magnitude() -> None:
    still = curve(make_trace(np.array([0.0, 1.0, 1.0])), 0)
    assert (still.magnitude(), still.leakage_at()) == (None, None)
    share, leaks = matched_leakage({"none": still, "auto": still})
    assert (share, leaks) == (0.0, {"none": None, "auto": None})


def test_holds_are_compared_where_as_many_flip() -> None:
    strong, weak = (curve(make_trace(np.array([s, 0.4, 0.0])), 0) for s in (0.05, 0.2))
    share, leaks = matched_leakage({"none": strong, "auto": weak})
    assert share == pytest.approx(0.8 * strong.flipped.max())
    assert 0 < leaks["auto"] < leaks["none"]  # type: ignore[operator]


def test_without_a_comparison_holds_count_by_themselves() -> None:
    auto = curve(make_trace(np.array([1.0, 0.4, 0.0])), 0)
    alone = matched_leakage({"auto": auto})
    assert alone == (0.5, {"auto": pytest.approx(auto.leakage_at(0.5))})
    missing = unmeasured(auto.magnitudes)
    assert matched_leakage({"none": missing, "auto": auto}) == (0.5, {"none": None, **alone[1]})
    assert matched_leakage({"none": missing}) == (0.0, {"none": None})
