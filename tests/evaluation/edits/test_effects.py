"""Arithmetic on traces: curves, the matrix, ranges, calibrations, from planted responses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from latentedit.boundaries.model import Boundaries
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.effects import (
    Effects,
    curve,
    frontier,
    matched_leakage,
    mode_holds,
    similar_holds,
    summarize,
)
from latentedit.evaluation.edits.ranges import (
    MOST_STRANGE,
    allowed_share,
    calibrate,
    safe_range,
    strange_shares,
)
from latentedit.evaluation.edits.strangeness import Places
from latentedit.evaluation.edits.traces import Trace, Typical, sigmoid

STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
NAMES = ("a", "b", "c")


def make_trace(
    slopes: NDArray[np.float64], faces: int = 200, name: str = "a", **arrays: Any
) -> Trace:
    """Faces whose logits are normal numbers and follow a step linearly."""
    logits = np.random.RandomState(0).standard_normal((faces, 1, len(slopes)))
    moved = logits + np.array(STEPS)[None, :, None] * slopes
    shape = (faces, len(STEPS))
    parts = {
        "years": np.broadcast_to(-5 * np.array(STEPS), shape),
        "identity": 1 - np.abs(np.broadcast_to(STEPS, shape)) / 10,
        "dlib": np.full(shape, np.nan),
        "strangeness": np.zeros(shape),
        **arrays,
    }
    return Trace(
        name,
        {},
        np.array(STEPS),
        moved.astype(np.float32),
        **{key: np.asarray(value, np.float32) for key, value in parts.items()},
    )


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


def boundaries(**parts: Any) -> Boundaries:
    normals = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [0.1, 0, 0.995]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Boundaries(NAMES, normals, np.zeros(3), "tiny", **parts)


def test_modes_say_what_is_held() -> None:
    known = boundaries(auto={"a": {"c": 0.4}})
    assert similar_holds(known, "a", 1) == {"b": 1.0}
    assert mode_holds(known, "a", "two") == {"b": 1.0, "c": 1.0}
    assert mode_holds(known, "a", "auto") == {"c": 0.4}
    assert mode_holds(known, "b", "auto") == mode_holds(known, "b", "none") == {}
    assert mode_holds(known, "a", "all") == {"b": 1.0, "c": 1.0}


@pytest.fixture
def effects() -> Effects:
    traces = [
        ("none", "a", make_trace(np.array([1.0, 0.5, 0.1]))),
        ("auto", "a", make_trace(np.array([0.8, 0.1, 0.0]))),
        ("none", "b", make_trace(np.array([0.5, 1.0, 0.1]), name="b")),
    ]
    return summarize(
        traces,
        attributes=("a", "b"),
        scored=NAMES,
        modes=("none", "auto"),
        steps=(-2.0, 0.0, 2.0),
        facts={"faces": 200},
    )


def test_the_matrix_holds_mean_changes(effects: Effects) -> None:
    trace = make_trace(np.array([1.0, 0.5, 0.1]))
    change = (trace.probabilities[:, 5] - trace.probabilities[:, 3]).mean(0)
    np.testing.assert_allclose(effects.matrix("none", 2.0)[0], change, atol=1e-6)
    np.testing.assert_allclose(effects.matrix("none", 2.0, "logit")[0], [2, 1, 0.2], atol=1e-5)
    np.testing.assert_allclose(effects.matrix("none", -2.0, "spread")[0], 0, atol=1e-5)
    assert effects.single["age"][0, 0].tolist() == [10, 0, -10]
    assert np.isnan(effects.matrix("auto", 2.0)[1]).all()  # was not measured


def test_at_half_compares_holds(effects: Effects) -> None:
    row = effects.at_half()["a"]
    assert row["share"] == 0.5
    assert row["auto"]["magnitude"] > row["none"]["magnitude"]
    assert row["auto"]["leakage"] < row["none"]["leakage"]
    assert row["auto"]["dlib"] is None
    assert effects.at_half()["b"]["auto"] is None
    lines = frontier(effects, (0.3, 0.5))
    assert lines["auto"]["attributes"] == [1, 1]
    assert lines["auto"]["leakage"][0] < lines["none"]["leakage"][0]  # type: ignore[operator]


def test_effects_are_joined_by_attribute(effects: Effects, tmp_path: Path) -> None:
    def again(name: str, **facts: object) -> Effects:
        return summarize(
            [("none", name, make_trace(np.array([2.0, 2.0, 2.0]), name=name))],
            attributes=(name,),
            scored=NAMES,
            modes=("none", "auto"),
            steps=(-2.0, 0.0, 2.0),
            facts={"faces": 200, **facts},
        )

    for name, names in (("a", ("a", "b")), ("c", ("a", "b", "c"))):
        new = again(name, hold_faces=7)
        both = new.joined(effects)
        both.save(tmp_path / "effects.safetensors")
        both = Effects.load(tmp_path / "effects.safetensors")
        assert both.attributes == names
        at = names.index(name)
        np.testing.assert_array_equal(both.matrix("none", 2.0)[at], new.matrix("none", 2.0)[0])
        np.testing.assert_array_equal(both.matrix("none", 2.0)[1], effects.matrix("none", 2.0)[1])
        np.testing.assert_array_equal(
            both.curves["none"]["b"].leakage, effects.curves["none"]["b"].leakage
        )
    assert again("c", faces=100).joined(effects).faces == {"a": 200, "b": 200, "c": 100}
    older = again("c", lock_faces=7)  # what an earlier version called it
    assert older.joined(effects).attributes == ("a", "b", "c")
    other = again("c", first_seed=100)
    assert other.joined(effects) is other


def test_effects_survive_saving(effects: Effects, tmp_path: Path) -> None:
    path = tmp_path / "effects.safetensors"
    effects.save(path, {"commands": ["none"]})
    loaded = Effects.load(path)
    assert loaded.at_half() == effects.at_half()
    assert json.loads(path.with_suffix(".json").read_text())["facts"] == {"faces": 200}
    for name, values in effects.means.items():
        np.testing.assert_array_equal(loaded.means[name], values)
    with pytest.raises(LatentEditError, match="boundaries measure"):
        Effects.load(tmp_path / "missing.safetensors")
    card = json.loads(path.with_suffix(".json").read_text())
    del card["modes"]
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(LatentEditError, match="damaged"):
        Effects.load(path)


# ---- ranges and calibrations


def make_typical(faces: int = 400) -> Typical:
    """Faces of evenly spread strangeness: every other one has ``a``, the strangest tenth ``b``."""
    strangeness = np.linspace(0, 1, faces).astype(np.float32)
    signs = (np.where(np.arange(faces) % 2, 1, -1), np.where(strangeness > 0.9, 1, -1))
    logits = np.stack(signs, axis=1).astype(np.float32)
    places = Places(np.zeros((1, 1), np.float32), np.ones((1, 1, 1), np.float32))
    nothing = np.zeros(1, np.float32)
    return Typical(nothing, places, strangeness, logits, nothing)


def test_the_safe_range_ends_where_faces_get_strange() -> None:
    typical = make_typical()
    limit = typical.limit
    shares = np.array([0.9, 0.05, 0.05, 0.05, 0.05, 0.25, 0.9])
    ranks = np.linspace(0, 1, 100, endpoint=False)[:, None]
    strange = np.where(ranks < shares, 2 * limit, 0.0)
    trace = make_trace(np.ones(3), faces=100, strangeness=strange)
    np.testing.assert_allclose(strange_shares(trace, typical), shares, atol=1e-6)
    assert safe_range(trace, typical, 0) == (pytest.approx(-2.1), pytest.approx(1.5))
    fine = make_trace(np.ones(3), faces=100)
    assert safe_range(fine, typical, 0) == (-3, 3)
    broken = make_trace(np.ones(3), faces=100, strangeness=np.full((100, 7), 9.0))
    assert safe_range(broken, typical, 0) == (-0.5, 0.5)


def test_an_edit_may_get_to_where_half_of_the_faces_flip() -> None:
    typical = make_typical()
    ranks = np.linspace(0, 1, 100, endpoint=False)[:, None]
    half = curve(slow := make_trace(np.full(3, 0.35), faces=100), 0).magnitude()
    assert half is not None
    for share, end in ((0.25, half), (0.6, 5 / 11)):  # 30 % are strange at 5/11 of the first step
        shares = np.array([share, share, share, 0.05, share, share, share])
        strange = np.where(ranks < shares, 2 * typical.limit, 0.0)
        trace = make_trace(np.full(3, 0.35), faces=100, strangeness=strange)
        low, high = safe_range(trace, typical, 0)
        assert high == -low == max(0.5, np.floor(end * 10) / 10)
    assert safe_range(slow, typical, 0) == (-3, 3)


def test_what_is_strange_by_nature_may_be() -> None:
    typical = make_typical()
    assert allowed_share(typical, 1, 1) == pytest.approx(0.5)
    assert allowed_share(typical, 1, -1) == MOST_STRANGE
    assert allowed_share(make_typical(100), 1, 1) == MOST_STRANGE  # of ten faces nothing is said


def test_the_safe_range_ends_where_the_attribute_comes_back() -> None:
    trace = make_trace(np.array([1.0, 0.0, 0.0]), faces=100)
    trace.logits[:, -1, 0] = trace.logits[:, 4, 0]  # step 3 does what step 1 did
    trace.logits[:, 0, 0] = trace.logits[:, 1, 0] + 0.01  # step -3 hardly more than step -2
    assert safe_range(trace, make_typical(), 0) == (-3, 2)


def test_calibrations_rise() -> None:
    trace = make_trace(np.array([0.7, 0.1, 0.0]))
    found = calibrate(trace, 0)
    means = trace.probabilities[:, :, 0].mean(0)
    np.testing.assert_allclose(found.probabilities, means, atol=1e-4)
    assert found.years is not None
    assert np.interp(2, found.steps, found.years) == pytest.approx(-10)
    falling = calibrate(make_trace(np.array([-0.7, 0.1, 0.0])), 0)
    assert len(set(falling.probabilities)) == 1
    assert calibrate(make_trace(np.ones(3), years=np.full((200, 7), np.nan)), 0).years is None
