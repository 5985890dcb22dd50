"""Faces under an edit, as the judges see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit.editing.editor import FaceEditor
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.search import Float64Array, Look, safe_steps
from latentedit.inference.judges import log_odds
from latentedit.io.images import UInt8Array

Rows = NDArray[np.int64]

Steps = Mapping[str, Float64Array]
"""Steps of N faces by attribute, [N] each."""


@dataclass(frozen=True, eq=False)
class WatchedFaces:
    """What the judges see of N faces after steps.

    Attributes:
        editor: with the judges.
        latents: of the faces, [N, ...].
        look: shows edits to the judges; None lets the generator draw them. In photos,
            `PhotoEditor.looks`.
        layers: those that move; see `FaceEditor.edit`.
        holds: by name, of each attribute that may move: {name: discount} of what it must not
            change.
        fixed: steps that the faces take in any case.
    """

    editor: FaceEditor
    latents: NDArray[np.float32]
    look: Look | None
    layers: Sequence[int] | None
    holds: Mapping[str, Mapping[str, float]]
    fixed: Steps = field(default_factory=dict)

    def some(self, rows: Rows) -> WatchedFaces:
        """Some of the faces."""
        return replace(self, latents=self.latents[rows], fixed=rows_of(self.fixed, rows))

    def unedited(self) -> UInt8Array:
        """Pictures of the faces without any step, uint8 [N, H, W, 3]."""
        return self._shown(self.latents, ())

    def seen(self, steps: Steps) -> UInt8Array:
        """Pictures of the faces, each after its own steps, uint8 [N, H, W, 3]."""
        moves = {name: each.tolist() for name, each in {**steps, **self.fixed}.items()}
        recipe = recipe_of(self.editor, moves, self.holds, layers=self.layers)
        return self._shown(self.editor.apply(recipe, self.latents), recipe.edited)

    def ages(self, steps: Steps) -> Float64Array:
        """Estimated ages after steps, [N]."""
        return np.asarray(self.editor.age(self.seen(steps)), np.float64)

    def logits(self, pictures: UInt8Array, names: Sequence[str]) -> dict[str, Float64Array]:
        """The classifier's logits of some attributes in pictures: by attribute, [N] each."""
        if not names:
            return {}
        logits = log_odds(self.editor.score(pictures).astype(np.float64))
        return {name: logits[:, self.editor.attributes.index(name)] for name in names}

    def limits(self, name: str, reach: float) -> Float64Array:
        """See `safe_steps`."""
        return safe_steps(self.editor, self.latents, name, reach, layers=self.layers)

    def _shown(self, latents: NDArray[np.float32], names: Sequence[str]) -> UInt8Array:
        if self.look is None:
            return self.editor.render(latents, self.editor.judged_size)
        return self.look(latents, names)


def rows_of(steps: Steps, rows: Rows) -> Steps:
    """Some faces' steps."""
    return {name: each[rows] for name, each in steps.items()}


def recipe_of(
    editor: FaceEditor,
    steps: Mapping[str, Sequence[float]],
    holds: Mapping[str, Mapping[str, float]],
    **described: Any,
) -> EditRecipe:
    """Return the recipe of steps whose holds are known already.

    Args:
        editor: the model.
        steps: by attribute, of each face.
        holds: by attribute, of those that move at least.
        described: further fields; see `FaceEditor.recipe`.
    """
    recipe = editor.recipe(steps, "none", **described)
    return replace(recipe, holds={name: dict(holds[name]) for name in recipe.edited})
