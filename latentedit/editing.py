"""Discounted projection, steps and recipes: what an edit is, in numbers. No torch here.

The commands, the sliders and the scripts read their defaults from this module.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit.attributes import find_attribute
from latentedit.boundaries import Boundaries, Float64Array
from latentedit.errors import LatentEditError

DEFAULT_HOLD = "auto"
DEFAULT_FRAMES = 7
DEFAULT_SEED = 0
DEFAULT_DISCOUNT = 1.0
"""Discount of an attribute that is held by name alone: held fully."""

MIN_RESIDUAL = 1e-3
"""Shortest |v| accepted: below it the holds leave nothing of the edit but rounding noise."""

Hold = str | Sequence[str] | Mapping[str, float]
"""What ``hold=`` accepts: "auto", "all", "none", a name, names, or {name: discount}."""


@dataclass(frozen=True)
class Direction:
    """Where one edit leads.

    Attributes:
        vector: float64 [D], unit length.
        residual: |v| before normalising, 0 to 1: what the holds left of the attribute's normal.
        gain: change of the attribute's own signed distance per unit of step (n_p . vector).
    """

    vector: Float64Array
    residual: float
    gain: float


def discounted_direction(
    boundaries: Boundaries, attribute: str, holds: Mapping[str, float]
) -> Direction:
    """Discounted projection of one boundary's normal onto what the holds leave free.

    With N the held normals and L = diag((1 - g) / g),

        v = n_p - N^T (N N^T + L)^-1 N n_p,

    the minimiser of |v - n_p|^2 + sum_h (g_h / (1 - g_h)) (n_h . v)^2. Discount 1 is orthogonal
    projection (the conditional manipulation of Shen et al. 2020, for any number of conditions),
    discount 0 leaves an attribute free. Solved as a least-squares problem in [sqrt(w) N; I], which
    stays accurate where held boundaries are nearly collinear.

    Args:
        attribute: p, a name in `boundaries`.
        holds: discounts g in [0, 1] by name; p itself is ignored.

    Raises:
        LatentEditError: unknown name, discount outside [0, 1], or p lies in the span of the
            held normals.
    """
    own = boundaries.index(attribute)
    normal = boundaries.normals[own]
    discounts = {
        row: discount
        for name, discount in _checked_holds(boundaries, holds).items()
        if (row := boundaries.index(name)) != own and discount > 0
    }
    full = [row for row, discount in discounts.items() if discount == 1]
    soft = [row for row, discount in discounts.items() if discount < 1]
    basis = _orthonormal(boundaries.normals[full])
    free = _remove(basis, normal)
    if soft:
        # within the space the full holds leave free, the soft ones are a ridge problem:
        # minimise |v - free|^2 + |S v|^2, S = sqrt(g / (1 - g)) * held normals
        held = np.stack([_remove(basis, boundaries.normals[row]) for row in soft])
        weights = np.sqrt([discounts[row] / (1 - discounts[row]) for row in soft])
        system = np.vstack((np.eye(len(normal)), weights[:, None] * held))
        target = np.concatenate((free, np.zeros(len(soft))))
        free = _remove(basis, np.linalg.lstsq(system, target, rcond=None)[0])
    residual = float(np.linalg.norm(free))
    if residual < MIN_RESIDUAL:
        culprit = max(discounts, key=lambda row: abs(float(boundaries.normals[row] @ normal)))
        raise LatentEditError(
            f"{boundaries.names[own]} cannot move while the holds stand: nothing of its direction "
            f"is left; free {boundaries.names[culprit]}, the closest of them"
        )
    vector = free / residual
    return Direction(vector, residual, float(vector @ normal))


def _orthonormal(rows: Float64Array) -> Float64Array:
    """An orthonormal basis [R, D] of the rows' span; near-copies of one row count once."""
    if not len(rows):
        return rows
    _, sizes, basis = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(basis[sizes > 1e-9 * sizes[0]])


def _remove(basis: Float64Array, vector: NDArray[Any]) -> Float64Array:
    for _ in range(2):  # twice is enough (Kahan): the rest is orthogonal to machine precision
        vector = vector - basis.T @ (basis @ vector)
    return vector


def _checked_holds(boundaries: Boundaries, holds: Mapping[str, float]) -> dict[str, float]:
    checked = {}
    for name, discount in holds.items():
        known = find_attribute(name, boundaries.names)
        if not (isinstance(discount, int | float) and 0 <= discount <= 1):
            raise LatentEditError(f"discount {discount!r} of {known} must lie between 0 and 1")
        checked[known] = float(discount)
    return checked


def resolve_holds(
    boundaries: Boundaries, attribute: str, edited: Sequence[str], hold: Hold
) -> dict[str, float]:
    """Return {name: discount} that `hold` means for one edit; edited attributes are never held.

    Args:
        attribute: the attribute that moves.
        edited: all attributes that move together.
        hold: see `Hold`.

    Raises:
        LatentEditError: unknown word, name or discount.
    """
    if isinstance(hold, Mapping):
        holds = _checked_holds(boundaries, hold)
    elif hold == "none":
        holds = {}
    elif hold == "all":
        holds = dict.fromkeys(boundaries.names, DEFAULT_DISCOUNT)
    elif hold == "auto":
        holds = dict(boundaries.auto.get(find_attribute(attribute, boundaries.names), {}))
    else:
        named = [hold] if isinstance(hold, str) else list(hold)
        holds = {find_attribute(name, boundaries.names): DEFAULT_DISCOUNT for name in named}
    free = {find_attribute(name, boundaries.names) for name in (attribute, *edited)}
    return {name: discount for name, discount in holds.items() if name not in free}


def parse_hold(text: str) -> Hold:
    """Read ``auto``, ``all``, ``none`` or ``NAME[=DISCOUNT],...`` as typed on the command line.

    Raises:
        LatentEditError: a discount that is not a number.
    """
    if text.strip().lower() in ("auto", "all", "none"):
        return text.strip().lower()
    holds = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            holds[name.strip()] = float(value) if equals else DEFAULT_DISCOUNT
        except ValueError:
            raise LatentEditError(
                f"cannot read hold {part!r}: write NAME or NAME=DISCOUNT, say Male=0.8"
            ) from None
    return holds


def displacement(
    boundaries: Boundaries,
    z: ArrayLike,
    steps: Mapping[str, float],
    *,
    to: Mapping[str, float] | None = None,
    hold: Hold = DEFAULT_HOLD,
) -> Float64Array:
    """Return what an edit adds to each latent: the sum of its attributes' displacements.

    Each attribute moves along its own discounted direction, holding everything that `hold` names
    except the attributes edited with it. Directions depend on the set of edits alone, so their
    order does not matter.

    Args:
        z: float [N, D].
        steps: signed displacement by attribute, in latent units, relative to each face.
        to: instead, the signed distance from the boundary to reach, by attribute. Several targets
            are met together.
        hold: what must not change.

    Returns:
        float64 [N, D].

    Raises:
        LatentEditError: no edit, an attribute edited twice, a value that is not finite, or see
            `discounted_direction`.
    """
    steps = {find_attribute(name, boundaries.names): value for name, value in steps.items()}
    goals = {find_attribute(name, boundaries.names): value for name, value in (to or {}).items()}
    twice = sorted(steps.keys() & goals.keys())
    if twice:
        raise LatentEditError(f"{twice[0]} has both a step and a distance to reach: give one")
    for name, value in (*steps.items(), *goals.items()):
        if not isinstance(value, int | float | np.number) or not math.isfinite(value):
            raise LatentEditError(f"step {value!r} of {name} is not a finite number")
    edited = [*steps, *goals]
    if not edited:
        raise LatentEditError("no attribute to edit: name at least one")
    directions = {
        name: discounted_direction(boundaries, name, resolve_holds(boundaries, name, edited, hold))
        for name in sorted(edited)
    }
    latents = np.asarray(z, dtype=np.float64)
    moved = np.zeros_like(latents)
    for name in sorted(steps):
        moved += steps[name] * directions[name].vector
    if goals:
        moved += _reach(boundaries, latents + moved, goals, directions)
    return moved


def _reach(
    boundaries: Boundaries,
    latents: Float64Array,
    goals: Mapping[str, float],
    directions: Mapping[str, Direction],
) -> Float64Array:
    """Displacement along the goals' directions that meets all goals at once. [N, D]."""
    names = sorted(goals)
    rows = [boundaries.index(name) for name in names]
    vectors = np.stack([directions[name].vector for name in names])  # [G, D]
    effect = boundaries.normals[rows] @ vectors.T  # [G, G]: of each step on each distance
    if np.linalg.cond(effect) > 1e6:
        raise LatentEditError(
            f"{' and '.join(names)} cannot be reached together: hold fewer attributes"
        )
    missing = np.array([goals[name] for name in names]) - boundaries.distances(latents)[:, rows]
    return np.asarray(np.linalg.solve(effect, missing.T).T @ vectors, dtype=np.float64)


@dataclass(frozen=True)
class EditRecipe:
    """Everything needed to make an edit again; stored in pictures as JSON.

    Attributes:
        model: name of the bundle.
        generator_hash: of its generator.
        seeds: of the faces, or None where latents were given.
        steps: signed displacement by attribute.
        to: distance to reach by attribute.
        holds: for each edited attribute the resolved {name: discount}.
    """

    model: str
    generator_hash: str
    seeds: tuple[int, ...] | None
    steps: dict[str, float]
    to: dict[str, float]
    holds: dict[str, dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, marked with the format's version."""
        return {"latentedit": 1, **asdict(self)}

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(self.as_dict())

    @classmethod
    def from_json(cls, text: str) -> EditRecipe:
        """Read `to_json`'s output.

        Raises:
            LatentEditError: not JSON, not a recipe, or values out of range.
        """
        try:
            values: dict[str, Any] = json.loads(text, parse_constant=_refuse)
            if values.pop("latentedit") != 1:
                raise ValueError
            seeds = values["seeds"]
            return cls(
                model=str(values["model"]),
                generator_hash=str(values["generator_hash"]),
                seeds=None if seeds is None else tuple(int(seed) for seed in seeds),
                steps=_finite(values["steps"]),
                to=_finite(values["to"]),
                holds={str(name): _finite(held) for name, held in values["holds"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise LatentEditError("this is not an edit recipe of latentedit") from None


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    numbers = {str(name): float(value) for name, value in values.items()}
    if not all(math.isfinite(value) for value in numbers.values()):
        raise ValueError
    return numbers


def frame_fractions(frames: int) -> NDArray[np.float64]:
    """Shares of the edit shown in a film strip of `frames` frames: 0 (the original) to 1.

    Raises:
        LatentEditError: fewer than 2 frames.
    """
    if frames < 2:
        raise LatentEditError(f"a film strip needs at least 2 frames, not {frames}")
    return np.linspace(0, 1, frames)


def make_recipe(
    boundaries: Boundaries,
    steps: Mapping[str, float],
    hold: Hold = DEFAULT_HOLD,
    *,
    to: Mapping[str, float] | None = None,
    seeds: Sequence[int] | None = None,
    model: str = "unnamed",
) -> EditRecipe:
    """Describe an edit with names spelt canonically and holds resolved.

    Raises:
        LatentEditError: unknown names or discounts.
    """
    known = {find_attribute(name, boundaries.names): value for name, value in steps.items()}
    goals = {find_attribute(name, boundaries.names): value for name, value in (to or {}).items()}
    edited = sorted({*known, *goals})
    return EditRecipe(
        model=model,
        generator_hash=boundaries.generator_hash,
        seeds=None if seeds is None else tuple(seeds),
        steps=known,
        to=goals,
        holds={name: resolve_holds(boundaries, name, edited, hold) for name in edited},
    )
