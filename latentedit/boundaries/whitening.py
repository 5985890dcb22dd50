"""Whitening: coordinates in which a generator's latents vary more evenly in all directions.

z lies evenly on a sphere, so a step of one unit is one standard deviation in every direction. w
does not: it varies a hundred times more in some directions than in others. Therefore boundaries of
W are found and projected in coordinates u, with w = mean + basis u. A step is measured in standard
deviations of the latents along its direction.

If the basis were the square root of the latents' covariance, a step along a boundary's normal would
be a pattern: the attribute with everything that goes together with it in real latents. Without
whitening, it is a filter: what detects the attribute (Haufe et al. 2014, "On the interpretation of
weight vectors of linear models in multivariate neuroimaging"). `POWER` lies in between. It was
chosen by how much edits change other attributes (docs/decisions.md).
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
"""The basis is the square root of the covariance to this power: 0 leaves latents as they are, 1
whitens fully."""

LEAST_SPREAD = 1e-4
"""Smallest standard deviation that counts as real, as a share of the widest direction's."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """An affine change of coordinates, u = (w - mean) basis^-1.

    Attributes:
        mean: float64 [D], the latent where u is 0.
        basis: float64 [D, D], symmetric and of full rank.
        covariance: float64 [D, D], of the model's latents in the coordinates u.

    Raises:
        LatentEditError: parts that do not fit together, or a basis without full rank.
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
        # this suffices for the root of a covariance; eigenvalues take ten times as long
        try:
            np.linalg.cholesky(self.basis)
        except np.linalg.LinAlgError:
            return False
        return True

    @classmethod
    def of(cls, latents: ArrayLike, power: float = POWER) -> Whitening:
        """Make the whitening of latents [N, D] from their covariance.

        For every power, the coordinates have a mean variance of 1 over all directions. Directions
        that hardly vary are treated as if they vary by `LEAST_SPREAD` of the widest one.

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
        """Read what `tensors` gave, or whole matrices; return None where there is no whitening.

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

        For vectors of another length than 1, it is that of their product with the coordinates.
        """
        rows = np.asarray(vectors, dtype=np.float64)
        return np.asarray(np.sqrt(((rows @ self.covariance) * rows).sum(-1)))

    def moves(self, steps: ArrayLike) -> Float64Array:
        """Displacements in whitened coordinates [..., D] -> displacements of latents."""
        return np.asarray(np.asarray(steps, dtype=np.float64) @ self.basis)

    def undone(self, rows: ArrayLike) -> Float64Array:
        """Return rows [..., D] times the inverse of the basis.

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
    """Latents whose rows are whitened when they are read; see `boundaries.fitting.Latents`."""

    def __init__(self, latents: Any, whitening: Whitening) -> None:
        self._latents = latents
        self._whitening = whitening
        self.shape: tuple[int, ...] = tuple(latents.shape)

    def __len__(self) -> int:
        return len(self._latents)

    def __getitem__(self, rows: Any, /) -> NDArray[np.float32]:
        return self._whitening.coordinates(self._latents[rows]).astype(np.float32)


def _triangle(matrix: Float64Array) -> Float64Array:
    """A symmetric matrix [D, D] as its lower triangle, row by row; any other matrix as it is."""
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
