"""Whitening: coordinates in which a generator's latents vary more alike in every direction.

z lies evenly on a sphere, so a step of one unit is one standard deviation whichever way it goes.
w does not: some directions vary a hundred times more than others. Boundaries of W are therefore
found, and projected, in coordinates u, with w = mean + basis u, and a step is measured in standard
deviations of the latents along its direction.

With the basis the square root of the latents' covariance, a step along a boundary's normal would
be the pattern that goes with the attribute in real latents, correlates and all; with no whitening
it is the filter that detects the attribute (Haufe et al. 2014, "On the interpretation of weight
vectors of linear models in multivariate neuroimaging"). `POWER` chooses in between, by what edits
change besides (docs/decisions.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit.errors import LatentEditError

Float64Array = NDArray[np.float64]

POWER = 0.5
"""Of the covariance whose square root is the basis: 0 leaves latents as they are, 1 whitens."""

LEAST_SPREAD = 1e-4
"""Smallest standard deviation, in those of the widest direction, that is taken for real."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """An affine change of coordinates, u = (w - mean) basis^-1.

    Attributes:
        mean: float64 [D], where u is 0.
        basis: float64 [D, D], symmetric and of full rank.
        covariance: float64 [D, D], of the coordinates of the model's latents.

    Raises:
        LatentEditError: parts that do not fit together, or no full rank.
    """

    mean: Float64Array
    basis: Float64Array
    covariance: Float64Array

    def __post_init__(self) -> None:
        dim = len(self.mean)
        if self.mean.ndim != 1 or {self.basis.shape, self.covariance.shape} != {(dim, dim)}:
            raise LatentEditError(
                f"a whitening does not fit together: mean {list(self.mean.shape)}, basis "
                f"{list(self.basis.shape)}"
            )
        finite = all(np.isfinite(part).all() for part in (self.mean, self.basis, self.covariance))
        if not finite or not np.allclose(self.basis, self.basis.T) or not self._has_full_rank():
            raise LatentEditError("a whitening is damaged: fit the boundaries again")

    def _has_full_rank(self) -> bool:
        # a tenth of the time that eigenvalues take; every basis is the root of a covariance
        try:
            np.linalg.cholesky(self.basis)
        except np.linalg.LinAlgError:
            return False
        return True

    @classmethod
    def of(cls, latents: ArrayLike, power: float = POWER) -> Whitening:
        """That of the covariance of latents [N, D].

        Coordinates have a variance of 1 in the mean over directions, whatever the power.
        Directions that hardly vary are taken to vary by `LEAST_SPREAD` of the widest one.

        Raises:
            LatentEditError: fewer than two latents, or all are the same.
        """
        wide = np.asarray(latents, dtype=np.float64)
        if wide.ndim != 2 or len(wide) < 2 or not np.ptp(wide, axis=0).any():
            raise LatentEditError("a whitening needs two latents or more that are not the same")
        variances, axes = np.linalg.eigh(np.cov(wide, rowvar=False).reshape(2 * wide.shape[1:]))
        spreads = np.sqrt(np.maximum(variances, 0))
        spreads = np.maximum(spreads, LEAST_SPREAD * spreads.max())
        rest = spreads ** (1 - power)
        scale = np.sqrt(np.square(rest).mean())
        basis = (axes * (spreads**power * scale)) @ axes.T
        covariance = (axes * np.square(rest / scale)) @ axes.T
        return cls(wide.mean(0), (basis + basis.T) / 2, (covariance + covariance.T) / 2)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> Self | None:
        """That of `tensors`, or of whole matrices, or None where there is none among them.

        Raises:
            LatentEditError: parts that do not fit together.
        """
        if not {"mean", "basis", "covariance"} <= tensors.keys():
            return None
        basis, covariance = (_whole(tensors[name]) for name in ("basis", "covariance"))
        return cls(tensors["mean"], basis, covariance)

    def tensors(self) -> dict[str, Float64Array]:
        """What a file keeps: mean [D], and the lower triangles of both matrices, [D (D+1) / 2]."""
        return {
            "mean": np.ascontiguousarray(self.mean),
            "basis": _triangle(self.basis),
            "covariance": _triangle(self.covariance),
        }

    @cached_property
    def _inverse(self) -> Float64Array:
        return np.asarray(np.linalg.inv(self.basis), dtype=np.float64)

    def coordinates(self, latents: ArrayLike) -> Float64Array:
        """Latents [..., D] -> whitened coordinates, float64 of the same shape."""
        centred = np.asarray(latents, dtype=np.float64) - self.mean
        return self.undone(centred)

    def spread(self, vectors: ArrayLike) -> Float64Array:
        """Standard deviation of the latents' coordinates along vectors [..., D] -> [...].

        For unit vectors; for others, of their product with the coordinates.
        """
        rows = np.asarray(vectors, dtype=np.float64)
        return np.asarray(np.sqrt(((rows @ self.covariance) * rows).sum(-1)))

    def moves(self, steps: ArrayLike) -> Float64Array:
        """Displacements in whitened coordinates [..., D] -> displacements of latents."""
        return np.asarray(np.asarray(steps, dtype=np.float64) @ self.basis)

    def undone(self, rows: ArrayLike) -> Float64Array:
        """Rows [..., D] times the inverse of the basis.

        Displacements of latents become those of coordinates; normals in whitened coordinates become
        normals of the same planes in latents. The basis is symmetric, so both are one product.
        """
        return np.asarray(np.asarray(rows, dtype=np.float64) @ self._inverse)

    def same_as(self, other: Whitening | None) -> bool:
        """Whether both are the same change of coordinates."""
        return other is not None and bool(
            np.array_equal(self.mean, other.mean)
            and np.array_equal(self.basis, other.basis)
            and np.array_equal(self.covariance, other.covariance)
        )


class WhitenedLatents:
    """Latents that are whitened as they are read, by rows; see `boundaries.finder.Latents`."""

    def __init__(self, latents: Any, whitening: Whitening) -> None:
        self._latents = latents
        self._whitening = whitening
        self.shape: tuple[int, ...] = tuple(latents.shape)

    def __len__(self) -> int:
        return len(self._latents)

    def __getitem__(self, rows: Any, /) -> NDArray[np.float32]:
        return self._whitening.coordinates(self._latents[rows]).astype(np.float32)


def _triangle(matrix: Float64Array) -> Float64Array:
    """A symmetric matrix [D, D] as its lower triangle, row by row; another one as it is."""
    if not np.array_equal(matrix, matrix.T):
        return np.ascontiguousarray(matrix)
    return matrix[np.tril_indices(len(matrix))]


def _whole(values: NDArray[Any]) -> NDArray[Any]:
    """The matrix that `_triangle` was given."""
    if values.ndim != 1:
        return values
    dim = (math.isqrt(8 * len(values) + 1) - 1) // 2
    if dim * (dim + 1) // 2 != len(values):
        raise LatentEditError(f"{len(values)} values are no triangle: fit the boundaries again")
    matrix = np.empty((dim, dim), values.dtype)
    matrix[np.tril_indices(dim)] = values
    matrix.T[np.tril_indices(dim)] = values
    return matrix
