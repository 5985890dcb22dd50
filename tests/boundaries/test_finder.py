"""Finding boundaries: the estimator by scikit-learn's own checks, and planted directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from latentedit.boundaries.finder import BoundaryFinder

DIM = 32


@parametrize_with_checks([BoundaryFinder(), BoundaryFinder(C=1.0)])
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def planted(
    count: int, bias: float = 0.0, dim: int = DIM
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Latents, on which side of a hidden boundary each lies, and the boundary's normal."""
    random = np.random.RandomState(0)
    normal = unit(random.standard_normal(dim))
    z = random.standard_normal((count, dim))
    return z, z @ normal + bias > 0, normal


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_finds_a_planted_boundary(bias: float) -> None:
    z, labels, normal = planted(4000, bias)
    finder = BoundaryFinder(C=1e-2).fit(z, labels)
    assert finder.normal_ @ normal > 0.99
    assert abs(finder.bias_ - bias) < 0.1
    assert np.linalg.norm(finder.normal_) == pytest.approx(1, abs=1e-12)
    assert (finder.predict(z) == labels).mean() > 0.97


def test_moving_all_latents_moves_the_boundary_with_them() -> None:
    z, labels, _ = planted(400)
    here, there = BoundaryFinder().fit(z, labels), BoundaryFinder().fit(z + 100, labels)
    np.testing.assert_allclose(there.normal_, here.normal_, atol=1e-6)
    np.testing.assert_allclose(
        there.decision_function(z + 100), here.decision_function(z), atol=1e-4
    )


def test_distances_are_signed_towards_the_second_class() -> None:
    z, labels, _ = planted(400)
    finder = BoundaryFinder().fit(z, np.where(labels, "young", "old"))
    assert finder.classes_.tolist() == ["old", "young"]
    distances = finder.decision_function(z)
    np.testing.assert_array_equal(finder.predict(z) == "young", distances > 0)
    np.testing.assert_allclose(distances, z @ finder.normal_ + finder.bias_)


def test_agrees_in_direction_with_the_kernel_svm_of_interfacegan() -> None:
    z, labels, normal = planted(400)
    z += np.where(labels, 1.0, -1.0)[:, None] * normal  # a gap between the classes
    slow = SVC(kernel="linear", C=1000.0).fit(z, labels)
    fast = BoundaryFinder(C=1000.0, tol=1e-9).fit(z, labels)
    assert slow.score(z, labels) == fast.score(z, labels) == 1.0
    assert fast.normal_ @ unit(slow.coef_[0]) > 0.999
    bias = slow.intercept_[0] / np.linalg.norm(slow.coef_)
    assert fast.bias_ == pytest.approx(bias, abs=0.01)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 2]])
def test_a_boundary_needs_two_classes(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="binary"):
        BoundaryFinder().fit(np.eye(3), labels)
