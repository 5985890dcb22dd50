"""Distances of feature sets against closed forms and limits."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from latentedit.errors import LatentEditError
from latentedit.evaluation.generators.distribution import (
    coverage,
    frechet_distance,
    kernel_distance,
    nearest,
)


@pytest.fixture
def extras() -> None:
    for name in ("torchmetrics", "prdc"):
        pytest.importorskip(name, reason=f"{name} is missing: pip install 'latentedit[evaluate]'")


def normal(seed: int, count: int = 300, width: int = 6) -> NDArray[np.float64]:
    return np.random.RandomState(seed).standard_normal((count, width))


def exactly(
    seed: int, mean: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rows whose sample mean and covariance are these, to rounding."""
    x = normal(seed, width=len(mean))
    x -= x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return white @ np.linalg.cholesky(covariance).T + mean


@pytest.mark.usefixtures("extras")
def test_frechet_distance_of_two_normal_distributions() -> None:
    # covariances with common axes: |m1 - m2|^2 + sum (s1 - s2)^2
    axes = np.linalg.qr(normal(7, 4, 4))[0]
    spread_a, spread_b = np.array([1.0, 2.0, 3.0, 0.5]), np.array([2.0, 2.0, 1.0, 0.1])
    mean_a, mean_b = np.array([1.0, -2.0, 0.0, 5.0]), np.array([0.0, 0.0, 0.0, 4.5])
    a, b = (
        exactly(seed, mean, axes @ np.diag(spread**2) @ axes.T)
        for seed, mean, spread in ((0, mean_a, spread_a), (1, mean_b, spread_b))
    )
    expected = np.square(mean_a - mean_b).sum() + np.square(spread_a - spread_b).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a + 1000, b + 1000) == pytest.approx(expected, rel=1e-6)


@pytest.mark.usefixtures("extras")
def test_frechet_distance_where_covariances_do_not_commute() -> None:
    # in two dimensions tr sqrt(M) = sqrt(tr M + 2 sqrt(det M))
    a, b = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.3], [-0.3, 3.0]])
    product = a @ b
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    found = frechet_distance(exactly(0, np.zeros(2), a), exactly(1, np.ones(2), b))
    assert found == pytest.approx(2 + np.trace(a) + np.trace(b) - 2 * root, rel=1e-6)


@pytest.mark.usefixtures("extras")
def test_identical_sets() -> None:
    x = normal(0)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    figures = coverage(x, x)
    assert figures["precision"] == figures["recall"] == figures["coverage"] == 1
    assert figures["density"] > 0.9


@pytest.mark.usefixtures("extras")
def test_sets_far_apart() -> None:
    figures = coverage(normal(0), normal(1) + 50)
    assert figures == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


@pytest.mark.usefixtures("extras")
def test_one_face_over_and_over_is_precise_and_covers_little() -> None:
    x = normal(0)
    collapsed = np.repeat(x[:1], 50, axis=0) + 1e-3 * normal(1, 50)
    figures = coverage(x, collapsed)
    assert figures["precision"] == 1
    assert figures["recall"] < 0.05
    assert figures["coverage"] < 0.2


@pytest.mark.usefixtures("extras")
def test_kernel_distance() -> None:
    x, y = normal(0), normal(1)
    near, far = kernel_distance(x, y), kernel_distance(x, y + 0.5)
    assert abs(near) < 0.02
    assert far > 10 * abs(near)
    assert kernel_distance(1000 * x, 1000 * (y + 0.5)) == pytest.approx(far)  # any scale


@pytest.mark.usefixtures("extras")
def test_kernel_distance_by_hand() -> None:
    # all features 1: k(x, x) = (1 + 1)^3 = 8; against -1: (1 - 1)^3 = 0
    ones = np.ones((8, 1))
    assert kernel_distance(ones, -ones) == pytest.approx(8 + 8 - 2 * 0)
    assert kernel_distance(ones, ones) == pytest.approx(0)


@pytest.mark.usefixtures("extras")
def test_seeded_and_leaves_the_random_state_alone(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = normal(0, 100), normal(1, 80)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = kernel_distance(x, y, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert kernel_distance(x, y, seed=1) == first
    assert kernel_distance(x, y, seed=2) != first
    coverage(x, y)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("extras")
def test_float32_features() -> None:
    x, y = normal(0), normal(1) + 0.2
    half = (x.astype(np.float32), y.astype(np.float32))
    assert frechet_distance(*half) == pytest.approx(frechet_distance(x, y), rel=1e-4)
    assert kernel_distance(*half) == pytest.approx(kernel_distance(x, y), abs=1e-6)


def test_nearest() -> None:
    features = np.array([[0.0, 0], [3, 4], [1, 0], [0, 2]], np.float32)
    rows, distances = nearest(features[:2], features, 3)
    np.testing.assert_array_equal(rows, [[0, 2, 3], [1, 3, 2]])
    np.testing.assert_allclose(distances[0], [0, 1, 2])
    np.testing.assert_allclose(distances[1], [0, np.sqrt(13), np.sqrt(20)])


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, coverage])
def test_bad_sets(measure: Callable[..., object]) -> None:
    with pytest.raises(LatentEditError, match="two sets of features"):
        measure(normal(0), normal(0)[:, :3])
    with pytest.raises(LatentEditError, match="faces are needed"):
        measure(normal(0), normal(0)[:3])


@pytest.mark.parametrize(
    ("measure", "module"),
    [
        (frechet_distance, "torchmetrics.image.fid"),
        (kernel_distance, "torchmetrics.image.kid"),
        (coverage, "prdc"),
    ],
)
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, measure: Callable[..., object], module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[evaluate\]'"):
        measure(normal(0), normal(1))
