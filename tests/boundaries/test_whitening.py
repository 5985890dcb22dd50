from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from latentedit.boundaries.whitening import WhitenedLatents, Whitening
from latentedit.errors import LatentEditError


def stretched(count: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    """Latents that vary a hundred times more in some directions than in others."""
    random = np.random.RandomState(seed)
    axes, _ = np.linalg.qr(random.standard_normal((dim, dim)))
    spreads = np.logspace(-1, 1, dim)
    latents = random.standard_normal((count, dim)) * spreads @ axes.T + random.standard_normal(dim)
    return latents.astype(np.float32)


def test_whitened_latents_vary_alike_in_every_direction() -> None:
    latents = stretched(4000, 6)
    u = Whitening.of(latents, power=1).coordinates(latents)
    np.testing.assert_allclose(u.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.cov(u, rowvar=False), np.eye(6), atol=1e-6)


@pytest.mark.parametrize("power", [0, 0.5, 1])
def test_the_covariance_is_that_of_the_coordinates(power: float) -> None:
    latents = stretched(4000, 6)
    whitening = Whitening.of(latents, power)
    found = np.cov(whitening.coordinates(latents), rowvar=False)
    np.testing.assert_allclose(whitening.covariance, found, atol=1e-6)
    assert np.trace(found) / 6 == pytest.approx(1)
    way = np.eye(6)[1:3]
    np.testing.assert_allclose(whitening.spread(way) ** 2, np.diag(found)[1:3], atol=1e-6)


@given(st.integers(1, 8), st.integers(0, 50))
def test_moves_undo_coordinates(dim: int, seed: int) -> None:
    latents = stretched(40, dim, seed)
    whitening = Whitening.of(latents)
    back = whitening.mean + whitening.moves(whitening.coordinates(latents))
    np.testing.assert_allclose(back, latents, atol=1e-6)


def test_a_unit_along_a_direction_is_one_standard_deviation_of_what_it_measures() -> None:
    latents = stretched(5000, 5)
    whitening = Whitening.of(latents)
    normal = np.eye(5)[2]
    distances = whitening.coordinates(latents) @ normal
    moved = latents + whitening.moves(normal * whitening.spread(normal))
    shift = whitening.coordinates(moved) @ normal - distances
    np.testing.assert_allclose(shift, distances.std(ddof=1), rtol=1e-6)


def test_directions_that_never_vary_do_no_harm() -> None:
    latents = stretched(100, 4)
    latents[:, 3] = 1.5
    whitening = Whitening.of(latents)
    assert np.isfinite(whitening.coordinates(latents)).all()


def test_latents_are_whitened_as_they_are_read() -> None:
    latents = stretched(30, 3)
    whitening = Whitening.of(latents)
    read = WhitenedLatents(latents, whitening)
    assert (len(read), read.shape) == (30, (30, 3))
    assert read[np.array([2, 5])].dtype == np.float32
    np.testing.assert_allclose(read[10:20], whitening.coordinates(latents[10:20]), atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "basis"),
    [
        (np.zeros(2), np.eye(3)),
        (np.zeros(2), np.zeros((2, 2))),
        (np.array([0, np.nan]), np.eye(2)),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    mean: NDArray[np.float64], basis: NDArray[np.float64]
) -> None:
    with pytest.raises(LatentEditError, match="whitening"):
        Whitening(mean, basis, basis)


@pytest.mark.parametrize("latents", [np.zeros((1, 3)), np.ones((5, 3)), np.zeros(4)])
def test_too_little_to_learn_from_is_refused(latents: NDArray[np.float64]) -> None:
    with pytest.raises(LatentEditError, match="two latents"):
        Whitening.of(latents)


@given(st.integers(1, 6), st.integers(0, 100))
def test_a_file_keeps_triangles_and_gives_back_every_bit(dim: int, seed: int) -> None:
    whitening = Whitening.of(stretched(dim + 20, dim, seed))
    kept = whitening.tensors()
    assert kept["basis"].shape == kept["covariance"].shape == (dim * (dim + 1) // 2,)
    again = Whitening.from_tensors(kept)
    assert again is not None
    assert again.same_as(whitening)
    whole = {name: getattr(whitening, name) for name in ("mean", "basis", "covariance")}
    assert whitening.same_as(Whitening.from_tensors(whole)), "files of before"


def test_a_matrix_that_is_not_quite_symmetric_is_kept_whole() -> None:
    basis = np.eye(3) + np.array([[0, 1e-12, 0], [0, 0, 0], [0, 0, 0]])
    whitening = Whitening(np.zeros(3), basis, np.eye(3))
    assert whitening.same_as(Whitening.from_tensors(whitening.tensors()))


def test_tensors_without_a_whitening_or_with_a_broken_one() -> None:
    assert Whitening.from_tensors({"normals": np.eye(2)}) is None
    with pytest.raises(LatentEditError, match="no triangle"):
        Whitening.from_tensors({"mean": np.zeros(2), "basis": np.ones(4), "covariance": np.ones(3)})
