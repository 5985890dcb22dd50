"""How far sliders may go together, so that the model still draws faces. No Gradio, no torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from latentedit.boundaries.model import Boundaries
from latentedit.editing.projection import discounted_direction
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.steps import Step

TOGETHER = 2**0.5
"""Longest move of all sliders together, in safe ranges.

It is the length of two sliders at their ends, if their directions are at right angles. Three or
more would leave what the model has learned to draw.
"""


def share_left(boundaries: Boundaries, recipe: EditRecipe) -> float:
    """Return the share of its steps that a recipe may go, 0 to 1.

    Each step is a vector: its direction is the edit's, its length is counted in safe ranges of its
    attribute. So sliders that do the same add up fully, and sliders that do different things add up
    like the sides of a right angle. One slider alone is never cut short.
    """
    if len(recipe.steps) < 2:
        return 1.0
    ways, ranges = [], []
    for name, step in recipe.steps.items():
        amount = float(np.ravel(step)[0])
        low, high = boundaries.safe_range(name)
        end = max(high if amount > 0 else -low, 1e-6)
        vector = discounted_direction(boundaries, name, recipe.holds[name]).vector
        ranges.append(abs(amount) / end)
        ways.append(np.sign(amount) * ranges[-1] * vector / np.linalg.norm(vector))
    together = float(np.linalg.norm(np.sum(ways, axis=0)))
    allowed = max(TOGETHER, *ranges)
    return 1.0 if together <= allowed * (1 + 1e-9) else allowed / together


def shortened(boundaries: Boundaries, recipe: EditRecipe) -> EditRecipe:
    """Return the recipe with all its steps cut short by the same share, see `share_left`."""
    share = share_left(boundaries, recipe)
    if share == 1:
        return recipe
    steps: dict[str, Step] = {
        name: float(np.ravel(step)[0]) * share for name, step in recipe.steps.items()
    }
    return replace(recipe, steps=steps)
