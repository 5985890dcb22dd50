"""The re-scoring matrix, from traces with planted responses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_traces import NAMES, make_trace

from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.effects import Effects, frontier, summarize


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
    curves = again("c").curves["none"]
    several = replace(again("c"), modes=("two", "none"), curves={"two": curves, "none": curves})
    both = several.joined(effects)
    assert both.modes == ("none", "two", "auto")
    assert np.isnan(both.curves["two"]["a"].flipped).all()
    assert np.isnan(both.matrix("auto", 2.0)[2]).all()
    lines = frontier(both, (0.3,))
    assert {*lines} == {"none", "auto"}  # the third was compared for one attribute only
    assert lines["none"]["attributes"] == [1]
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
