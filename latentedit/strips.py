"""Film strips of edits: rendering the way from a face to its edit, with its recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit import editing
from latentedit.attributes import display_name
from latentedit.editing import EditRecipe, Hold
from latentedit.editor import FaceEditor
from latentedit.images import UInt8Array, film_strip, save_image

RECIPE_KEY = "latentedit"
"""Name of the PNG text chunk that carries an edit's recipe."""


@dataclass(frozen=True)
class EditStrip:
    """An edit and the frames on the way to it.

    Attributes:
        recipe: how to make it again.
        images: uint8 [N, F, H, W, 3]; frame 0 is the original.
        fractions: float64 [F], share of the edit at each frame.
        scores: float32 [N, F, K] probabilities.
        distances: float64 [N, F, K] signed distances from the boundaries.
        attributes: names of the scores' columns.
        boundaries: names of the distances' columns.
    """

    recipe: EditRecipe
    images: UInt8Array
    fractions: NDArray[np.float64]
    scores: NDArray[np.float32]
    distances: NDArray[np.float64]
    attributes: tuple[str, ...]
    boundaries: tuple[str, ...]

    @property
    def edited(self) -> list[str]:
        """Names of the attributes that were asked to move."""
        return [*self.recipe.steps, *self.recipe.to]

    def summary(self) -> dict[str, Any]:
        """Return recipe and, for each face, probabilities and distances before and after."""
        seeds = self.recipe.seeds or [None] * len(self.images)
        faces = []
        for seed, scores, distances in zip(seeds, self.scores, self.distances, strict=True):
            attributes = {}
            for column, name in enumerate(self.attributes):
                attributes[name] = {
                    "probability": [round(float(scores[i, column]), 4) for i in (0, -1)],
                }
            for column, name in enumerate(self.boundaries):
                values = [round(float(distances[i, column]), 4) for i in (0, -1)]
                attributes.setdefault(name, {})["distance"] = values
            faces.append({"seed": seed, "attributes": attributes})
        return {"recipe": self.recipe.as_dict(), "faces": faces}

    def draw(self) -> UInt8Array:
        """Draw labelled strips, one row a face, the original outlined."""
        return film_strip(
            list(self.images),
            captions=[self._captions(index) for index in range(len(self.images))],
            title=self._title(),
            marked=0,
        )

    def _captions(self, face: int) -> list[str]:
        captions = []
        for frame, fraction in enumerate(self.fractions):
            place = "original" if frame == 0 else self._place(fraction)
            shown = [name for name in self.edited if name in self.attributes][:1]
            for name in shown:
                probability = self.scores[face, frame, self.attributes.index(name)]
                place += f"  p={probability:.2f}"
            captions.append(place)
        return captions

    def _place(self, fraction: float) -> str:
        if len(self.recipe.steps) == 1 and not self.recipe.to:
            (step,) = self.recipe.steps.values()
            return f"{fraction * step:+.2g}"
        return f"{fraction:.0%}"

    def _title(self) -> str:
        moves = [f"{display_name(name)} {step:+g}" for name, step in self.recipe.steps.items()]
        moves += [f"{display_name(name)} to {goal:+g}" for name, goal in self.recipe.to.items()]
        seeds = self.recipe.seeds
        faces = f"seed {seeds[0]}" if seeds and len(seeds) == 1 else f"{len(self.images)} faces"
        held = sorted({name for holds in self.recipe.holds.values() for name in holds})
        holding = f"holding {len(held)} attributes" if held else "nothing held"
        return "   ".join((", ".join(moves), holding, f"{self.recipe.model}, {faces}"))


def edit_strip(
    editor: FaceEditor,
    z: NDArray[np.float32],
    steps: Mapping[str, float],
    *,
    to: Mapping[str, float] | None = None,
    hold: Hold = editing.DEFAULT_HOLD,
    seeds: Sequence[int] | None = None,
    frames: int = editing.DEFAULT_FRAMES,
) -> EditStrip:
    """Render the way from each latent [N, D] to its edit in `frames` frames.

    Raises:
        LatentEditError: see `FaceEditor.edit` and `editing.frame_fractions`.
    """
    fractions = editing.frame_fractions(frames)
    recipe = editor.recipe(steps, hold, to=to, seeds=seeds)
    moved = editor.edit(z, steps, hold, to=to) - z
    way = (z[:, None] + fractions[:, None] * moved[:, None]).astype(np.float32)  # [N, F, D]
    flat = way.reshape(-1, z.shape[1])
    images = editor.render(flat)
    shape = way.shape[:2]
    return EditStrip(
        recipe=recipe,
        images=images.reshape(*shape, *images.shape[1:]),
        fractions=fractions,
        scores=editor.score(images).reshape(*shape, -1),
        distances=editor.distances(flat).reshape(*shape, -1),
        attributes=editor.attributes,
        boundaries=editor.boundaries.names,
    )


def save_strip(path: str | Path, strip: EditStrip) -> None:
    """Draw a strip to a picture; in a PNG its recipe goes along.

    Raises:
        LatentEditError: the path cannot be written.
    """
    png = Path(path).suffix.lower() == ".png"
    metadata = {RECIPE_KEY: strip.recipe.to_json()} if png else None
    save_image(path, strip.draw(), metadata=metadata)
