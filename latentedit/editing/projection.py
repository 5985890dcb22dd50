"""Discounted projection: the direction that moves one attribute and spares others. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from latentedit.boundaries.model import Boundaries, Float64Array
from latentedit.errors import LatentEditError

MIN_RESIDUAL = 1e-3
"""Shortest |v| accepted: below it the holds leave nothing of the edit but rounding noise."""

_SAME_SPAN = 1e-12
"""Relative singular value below which a held normal adds nothing to the others' span."""

FIGHTING = 0.6
"""Holds are said to fight a move where they leave less than this share of it."""


@dataclass(frozen=True, eq=False)
class Direction:
    """The direction of one edit.

    Attributes:
        vector: float64 [D], what a step of 1 adds in the coordinates of the normals: a unit vector,
            or, where latents are whitened, a vector of one standard deviation's length.
        residual: |v| before normalising, 0 to 1: what the holds left of the attribute's normal.
        gain: change of the attribute's own signed distance per unit of step, above 0.
        cosine: of the direction and the attribute's normal; the share of the move that is left.
    """

    vector: Float64Array
    residual: float
    gain: float
    cosine: float


def discounted_projection(
    normal: Float64Array, held: Float64Array, discounts: Float64Array
) -> Float64Array:
    """Project one boundary's normal onto what the held boundaries leave free, in proportion.

    With N the held normals of positive discount and L = diag((1 - g) / g), this is

        v = n_p - N^T (N N^T + L)^-1 N n_p,

    the minimiser of |v - n_p|^2 + sum_h (g_h / (1 - g_h)) (n_h . v)^2. Discount 1 is orthogonal
    projection (the conditional manipulation of Shen et al. 2020, for any number of conditions),
    discount 0 leaves an attribute free. Computed from singular values, never from N N^T, so it
    stays accurate where held boundaries are nearly or exactly collinear.

    Args:
        normal: float64 [D], unit length.
        held: float64 [H, D], unit rows; H may be 0.
        discounts: float64 [H], in [0, 1].

    Returns:
        float64 [D], at most unit length; zero where `normal` lies in the span of what is held
        fully.
    """
    full, soft = discounts == 1, (discounts > 0) & (discounts < 1)
    basis = _orthonormal(held[full])
    free = _remove(basis, normal)
    if soft.any():
        weights = np.sqrt(discounts[soft] / (1 - discounts[soft]))
        rows = np.stack([_remove(basis, row) for row in held[soft]])
        free = _remove(basis, _shrink(weights[:, None] * rows, free))
    return free


def _orthonormal(rows: Float64Array) -> Float64Array:
    """An orthonormal basis [R, D] of the rows' span; copies of one row count once."""
    if not len(rows):
        return rows
    _, sizes, basis = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(basis[sizes > _SAME_SPAN * sizes[0]])


def _remove(basis: Float64Array, vector: Float64Array) -> Float64Array:
    """Return the part of `vector` that is orthogonal to an orthonormal basis [R, D]."""
    for _ in range(2):  # twice is enough (Kahan): the rest is orthogonal to machine precision
        vector = vector - basis.T @ (basis @ vector)
    return vector


def _shrink(rows: Float64Array, vector: Float64Array) -> Float64Array:
    """The minimiser of |v - vector|^2 + |rows v|^2."""
    _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    share = np.square(sizes) / (1 + np.square(sizes))
    return np.asarray(vector - axes.T @ (share * (axes @ vector)))


def discounted_direction(
    boundaries: Boundaries, attribute: str, holds: Mapping[str, float]
) -> Direction:
    """Return the direction of an attribute under holds; see `discounted_projection`.

    Args:
        boundaries: normals by name.
        attribute: p, a name in `boundaries`.
        holds: discounts in [0, 1] by name; p itself is ignored.

    Raises:
        LatentEditError: unknown name, discount outside [0, 1], or p lies in the span of the
            held normals; the message then names the holds to release.
    """
    own = boundaries.index(attribute)
    by_row = {boundaries.index(name): discount for name, discount in holds.items()}
    for row, discount in by_row.items():
        if not 0 <= discount <= 1:
            raise LatentEditError(
                f"discount {discount} of {boundaries.names[row]} must lie between 0 and 1"
            )
    rows = sorted(row for row, discount in by_row.items() if row != own and discount > 0)
    discounts = np.array([by_row[row] for row in rows], dtype=np.float64)
    normal = boundaries.normals[own]
    free = discounted_projection(normal, boundaries.normals[rows], discounts)
    residual = float(np.linalg.norm(free))
    if residual < MIN_RESIDUAL:
        culprits = _culprits(normal, boundaries.normals[rows], discounts)
        release = " and ".join(boundaries.names[rows[index]] for index in culprits)
        raise LatentEditError(
            f"{boundaries.names[own]} cannot move while the holds stand, they leave nothing of "
            f"its direction: release {release}"
        )
    unit = free / residual
    cosine, length = float(unit @ normal), float(boundaries.spread(unit))
    gain = cosine * length / float(boundaries.spread(normal))
    return Direction(unit * length, residual, gain, cosine)


def find_hindrance(
    boundaries: Boundaries, attribute: str, holds: Mapping[str, float], among: Collection[str]
) -> tuple[float, str] | None:
    """Return how much holds leave of a move, where that is less than `FIGHTING`.

    Args:
        boundaries: normals by name.
        attribute: what moves.
        holds: discounts in [0, 1] by name.
        among: the holds that may be named, because the user chose them.

    Returns:
        The share of the move that is left (`Direction.cosine`), and which of these holds takes most
        of it; None where more is left, or no hold may be named.

    Raises:
        LatentEditError: see `discounted_direction`.
    """
    left = discounted_direction(boundaries, attribute, holds).cosine
    named = [name for name in holds if name in among]
    if left >= FIGHTING or not named:
        return None
    normal = boundaries.normals[boundaries.index(attribute)]

    def taken(name: str) -> float:
        return holds[name] * abs(float(boundaries.normals[boundaries.index(name)] @ normal))

    return left, max(named, key=taken)


def _culprits(normal: Float64Array, held: Float64Array, discounts: Float64Array) -> list[int]:
    """Return few holds, chosen greedily, whose release lets the attribute move.

    Each time, the hold is chosen whose release leaves most of the move; among equals, the one most
    like the attribute.
    """
    kept, culprits = list(range(len(held))), []
    while True:
        gains = []
        for index in kept:
            others = [other for other in kept if other != index]
            free = discounted_projection(normal, held[others], discounts[others])
            residual = max(float(np.linalg.norm(free)), MIN_RESIDUAL)
            gains.append((residual, abs(float(held[index] @ normal)), index))
        residual, _, best = max(gains)
        culprits.append(best)
        kept.remove(best)
        if residual > MIN_RESIDUAL:
            return culprits
