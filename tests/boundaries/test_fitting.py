"""Fitting the boundaries of a pool: planted directions are found, and figures are true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from latentedit.boundaries.fitting import (
    MIN_POOL,
    _best_threshold,
    _selections,
    fit_boundaries,
    rare_attributes,
)
from latentedit.boundaries.model import Boundaries
from latentedit.errors import LatentEditError

DIM = 32
NAMES = ("Young", "Male", "Bald", "Eyeglasses", "Blurry")
COUNT = 3000


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def make_pool(count: int = COUNT) -> tuple[NDArray[np.float32], NDArray[np.float32], Any]:
    """A pool with planted directions: common, entangled with it, rare, never true, constant."""
    random = np.random.RandomState(3)
    normals = unit(random.standard_normal((4, DIM)))
    normals[1] = unit(0.6 * normals[0] + 0.8 * normals[1])
    z = random.standard_normal((count, DIM)).astype(np.float32)
    distances = z @ normals.T + random.normal(0, 0.2, (count, 4))
    shift = np.array([0.0, 0.5, -2.06, -9.0])  # 2.06: 2 % of a normal distribution
    scores = np.empty((count, 5), dtype=np.float32)
    scores[:, :4] = 1 / (1 + np.exp(-4 * (distances + shift)))
    scores[:, 4] = 0.01
    return z, scores, normals


@pytest.fixture(scope="module")
def fitted() -> tuple[Boundaries, Any, dict[str, Mapping[str, float]]]:
    z, scores, normals = make_pool()
    seen: dict[str, Mapping[str, float]] = {}
    boundaries = fit_boundaries(
        z, scores, NAMES, "tiny", on_attribute=lambda name, figures: seen.update({name: figures})
    )
    return boundaries, normals, seen


def test_planted_directions_are_found(fitted: Any) -> None:
    boundaries, normals, _ = fitted
    cosines = np.sum(boundaries.normals[:4] * normals, axis=1)
    assert cosines[0] > 0.97
    assert cosines[1] > 0.97
    assert cosines[2] > 0.9  # 2 % have it
    assert cosines[3] > 0.9  # nobody has it, some are nearer


def test_few_labels_are_all_learned_from() -> None:
    z, scores, normals = make_pool(600)
    labels = (scores[:, :1] > 0.5).astype(np.float32)
    learned = fit_boundaries(z, labels, NAMES[:1], "tiny")
    unsure = labels * 0.8 + 0.1
    unsure[0] += 0.01  # no label any more, so the held-out faces stay held out
    part = fit_boundaries(z, unsure, NAMES[:1], "tiny")
    assert learned.normals[0] @ normals[0] > part.normals[0] @ normals[0] + 0.01
    above = z @ learned.normals[0] + learned.biases[0] > 0
    assert (above == labels[:, 0]).mean() > 0.8
    assert learned.figures["Young"]["test_size"] == 120


def test_labels_are_all_taken_though_few_have_one() -> None:
    scores = np.zeros(1000, np.float32)
    scores[:30] = 1
    ((rows, low),) = _selections(scores)
    assert sorted(rows) == list(range(1000))
    assert low == 970


def test_rare_attributes_are_known_before_boundaries_are_fitted(fitted: Any) -> None:
    boundaries, _, _ = fitted
    assert rare_attributes(make_pool()[1], NAMES) == list(boundaries.rare)
    assert "Young" not in boundaries.rare
    assert {"Bald", "Eyeglasses", "Blurry"} == set(boundaries.rare)


def test_figures_say_how_well_on_faces_not_fitted_on(fitted: Any) -> None:
    boundaries, _, seen = fitted
    assert seen == boundaries.figures
    assert list(boundaries.figures) == list(NAMES)
    young, bald = boundaries.figures["Young"], boundaries.figures["Bald"]
    assert young["accuracy"] > 0.9
    assert young["f1"] > 0.9
    assert young["roc_auc"] > 0.97
    assert 0.4 < young["prevalence"] < 0.6
    assert young["test_size"] == COUNT // 5
    assert 0.01 < bald["prevalence"] < 0.04
    assert bald["roc_auc"] > 0.95
    assert bald["f1"] > 0.3
    never, constant = boundaries.figures["Eyeglasses"], boundaries.figures["Blurry"]
    for figures in (never, constant):
        assert figures["prevalence"] == 0
        assert figures["f1"] == 0
        assert figures["roc_auc"] == 0.5
    for figures in boundaries.figures.values():
        assert all(np.isfinite(value) for value in figures.values())


def test_the_figures_are_those_of_the_boundary(fitted: Any) -> None:
    boundaries, _, _ = fitted
    z, scores, _ = make_pool()
    test = slice(COUNT - COUNT // 5, COUNT)
    distances, truth = boundaries.distances(z[test]), scores[test] > 0.5
    for column in range(3):
        figures = boundaries.figures[NAMES[column]]
        accuracy = ((distances[:, column] > 0) == truth[:, column]).mean()
        assert figures["accuracy"] == pytest.approx(accuracy, abs=1e-4)
        auc = roc_auc_score(truth[:, column], distances[:, column])
        assert figures["roc_auc"] == pytest.approx(auc, abs=1e-4)


def test_fitting_again_gives_the_same_boundaries(fitted: Any) -> None:
    z, scores, _ = make_pool()
    again = fit_boundaries(z, scores[:, :2], NAMES[:2], "tiny")
    np.testing.assert_array_equal(again.normals, fitted[0].normals[:2])
    np.testing.assert_array_equal(again.biases, fitted[0].biases[:2])


def test_auto_holds_are_the_entangled_ones(fitted: Any) -> None:
    boundaries, _, _ = fitted
    assert "Male" in boundaries.auto["Young"]
    assert "Young" in boundaries.auto["Male"]
    assert all(name not in holds for name, holds in boundaries.auto.items())


def test_pools_that_cannot_be_fitted() -> None:
    z, scores, _ = make_pool(MIN_POOL)
    with pytest.raises(LatentEditError, match=f"at least {MIN_POOL}"):
        fit_boundaries(z[:-1], scores[:-1], NAMES, "tiny")
    with pytest.raises(LatentEditError, match="or label as many"):
        fit_boundaries(z[:10], scores[:10], NAMES, "tiny")
    with pytest.raises(LatentEditError, match="cannot fit"):
        fit_boundaries(z[:-1], scores, NAMES, "tiny")
    with pytest.raises(LatentEditError, match="cannot fit 4 boundaries"):
        fit_boundaries(z, scores, NAMES[:4], "tiny")
    for array in (z, scores):
        spoilt = array.copy()
        spoilt[7, 0] = np.nan
        given = (spoilt, scores) if array is z else (z, spoilt)
        with pytest.raises(LatentEditError, match="NaN"):
            fit_boundaries(*given, NAMES, "tiny")


def test_the_smallest_pool_is_enough() -> None:
    z, scores, normals = make_pool(MIN_POOL)
    boundaries = fit_boundaries(z, scores, NAMES, "tiny")
    assert boundaries.normals[0] @ normals[0] > 0.9


@pytest.mark.parametrize("seed", range(40))
def test_the_threshold_is_the_best_of_all(seed: int) -> None:
    random = np.random.RandomState(seed)
    truth = random.uniform(size=60) < 0.1
    truth[0] = True
    distances = random.standard_normal(60) + 0.3 * truth  # hard: often nothing is found at the top

    def worth(threshold: float) -> float:
        found = distances >= threshold
        return float(accuracy_score(truth, found) + f1_score(truth, found, zero_division=0.0))

    best = max(worth(threshold) for threshold in distances)
    assert worth(_best_threshold(truth, distances)) == pytest.approx(best)


def test_boundaries_that_are_chance_are_weak_and_never_held():
    from latentedit.boundaries.model import entangled_holds, is_weak

    def figures(auc: float, share: float = 0.4, count: int = 100) -> dict[str, float]:
        return {"roc_auc": auc, "prevalence": share, "test_size": count}

    assert is_weak(figures(0.5))
    assert is_weak(figures(0.6))  # of a hundred faces this may be chance
    assert not is_weak(figures(0.6, count=10_000))
    assert is_weak(figures(0.54, count=1_000_000))
    assert not is_weak(figures(0.9))
    assert is_weak(figures(0.75, share=0.03))
    assert not is_weak({"imported": 1.0})
    normals = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [0.6, 0, 0.8]])
    names = ("a", "b", "c")
    scores = {"a": figures(0.9), "b": figures(0.5), "c": figures(0.9)}
    assert set(entangled_holds(names, normals)["a"]) == {"b", "c"}
    holds = entangled_holds(names, normals, figures=scores)
    assert [set(holds[name]) for name in names] == [{"c"}, {"a", "c"}, {"a"}]


def test_a_fit_on_noise_holds_nothing():
    random = np.random.RandomState(0)
    z = random.randn(600, 8).astype(np.float32)
    scores = random.uniform(size=(600, 3)).astype(np.float32)
    scores[:, 0] = 1 / (1 + np.exp(-4 * z[:, 0]))
    found = fit_boundaries(z, scores, ("real", "chance", "luck"), "f" * 16)
    assert found.auto["real"] == {}
