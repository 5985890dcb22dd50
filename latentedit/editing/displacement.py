"""What a recipe adds to latents: the sum of its attributes' displacements."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from latentedit.boundaries.model import Boundaries, Float64Array
from latentedit.editing.layers import check_layers, mean_over_layers
from latentedit.editing.projection import Direction, discounted_direction
from latentedit.editing.recipes import EditRecipe, check_generator, check_names
from latentedit.editing.steps import Step, step_by_face
from latentedit.errors import LatentEditError


def displacement(boundaries: Boundaries, z: ArrayLike, recipe: EditRecipe) -> Float64Array:
    """Return what an edit adds to each latent: the sum of its attributes' displacements.

    Each attribute moves along its own discounted direction. Directions depend on the set of edits
    alone, so their order does not matter, to the last bit. Distances to reach are met exactly, all
    of them together and after the steps.

    Where latents have a row for each layer, all layers that the recipe names move alike; by default
    all layers do. Distances are those of the mean over these layers.

    Args:
        boundaries: of the generator that the recipe names.
        z: float [N, D], or [N, L, D]. A recipe that names layers needs the latter.
        recipe: what to do.

    Returns:
        float64, shaped as z.

    Raises:
        LatentEditError: a recipe for another generator, latents of another shape, holds that leave
            nothing of an edit, or distances that cannot be reached together.
    """
    check_generator(recipe.generator_hash, recipe.model, boundaries.generator_hash)
    given = _checked(boundaries, z, recipe)
    latents = mean_over_layers(given, recipe.layers)  # [N, D]
    directions = _directions(boundaries, recipe)
    moved = _stepped(latents, recipe, directions)
    if recipe.to:
        names = sorted(recipe.to)
        vectors = np.stack([directions[name].vector for name in names])  # [G, D]
        moved += _reach(boundaries, latents, moved, recipe.to, directions) @ vectors
    moved = boundaries.moves(moved)
    if given.ndim == 2:
        return moved
    added = np.zeros_like(given)
    added[:, slice(None) if recipe.layers is None else recipe.layers] = moved[:, None]
    return added


def steps_to_reach(boundaries: Boundaries, z: ArrayLike, recipe: EditRecipe) -> dict[str, Step]:
    """Return the steps, by attribute and face, that take each latent to a recipe's distances.

    The same recipe with these steps instead of its ``to`` makes the same edit.

    Args:
        boundaries: of the generator that the recipe names.
        z: float [N, D], or [N, L, D]; see `displacement`.
        recipe: with distances to reach.

    Raises:
        LatentEditError: see `displacement`.
    """
    latents = mean_over_layers(_checked(boundaries, z, recipe), recipe.layers)
    directions = _directions(boundaries, recipe)
    moved = _stepped(latents, recipe, directions)
    steps = _reach(boundaries, latents, moved, recipe.to, directions)
    return {
        name: tuple(column.tolist())
        for name, column in zip(sorted(recipe.to), steps.T, strict=True)
    }


def _checked(boundaries: Boundaries, z: ArrayLike, recipe: EditRecipe) -> Float64Array:
    latents = np.asarray(z, dtype=np.float64)
    dim = boundaries.normals.shape[1]
    if latents.ndim not in (2, 3) or latents.shape[-1] != dim:
        raise LatentEditError(f"latents must have shape [N, {dim}], got {list(latents.shape)}")
    check_layers(recipe.layers, latents.shape[1] if latents.ndim == 3 else 1)
    return latents


def _directions(boundaries: Boundaries, recipe: EditRecipe) -> dict[str, Direction]:
    check_names(boundaries, recipe)
    return {
        name: discounted_direction(boundaries, name, recipe.holds[name])
        for name in sorted(recipe.edited)
    }


def _stepped(
    latents: Float64Array, recipe: EditRecipe, directions: Mapping[str, Direction]
) -> Float64Array:
    """Displacement by the recipe's steps, in the coordinates of the normals. [N, D]."""
    moved = np.zeros_like(latents)
    for name in sorted(recipe.steps):
        step = step_by_face(recipe.steps[name], len(latents))
        moved += step[:, None] * directions[name].vector
    return moved


def _reach(
    boundaries: Boundaries,
    latents: Float64Array,
    moved: Float64Array,
    goals: Mapping[str, float],
    directions: Mapping[str, Direction],
) -> Float64Array:
    """Steps along the goals' directions that meet all goals at once. [N, G], in sorted order.

    `moved` is added to the latents first, in the coordinates of the normals.
    """
    names = sorted(goals)
    rows = [boundaries.index(name) for name in names]
    vectors = np.stack([directions[name].vector for name in names])  # [G, D]
    spreads = boundaries.spread(boundaries.normals[rows])
    effect = boundaries.normals[rows] @ vectors.T / spreads[:, None]  # [G, G]: distance per step
    if np.linalg.cond(effect) > 1e6:
        raise LatentEditError(
            f"{' and '.join(names)} cannot be reached together: leave one out or hold fewer"
        )
    distances = boundaries.distances(latents)[:, rows]
    distances = distances + moved @ boundaries.normals[rows].T / spreads
    missing = np.array([goals[name] for name in names]) - distances
    return np.asarray(np.linalg.solve(effect, missing.T).T, dtype=np.float64)
