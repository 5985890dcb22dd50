"""Film strips of edits: rendering the way from a face to its edit, with its recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.attributes import display_name
from latentedit.boundaries.model import Boundaries
from latentedit.editing.displacement import displacement
from latentedit.editing.editor import FaceEditor
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.steps import Step
from latentedit.errors import LatentEditError
from latentedit.io.images import (
    MAX_PIXELS,
    RECIPE_KEY,
    UInt8Array,
    film_strip,
    read_metadata,
)
from latentedit.photos.marks import GENERATED, Marks
from latentedit.photos.photograph import save_marked

MAX_PICTURES = 2000
"""Most pictures in one film strip, faces times frames; no program opens a larger sheet."""


@dataclass(frozen=True, eq=False)
class EditStrip:
    """An edit and the frames on the way to it.

    Attributes:
        recipe: how to make it again.
        images: uint8 [N, F, H, W, 3]; frame 0 is the original, the last is the edit.
        scores: float32 [N, F, K] probabilities.
        distances: float64 [N, F, K] signed distances from the boundaries, over the layers that
            move; see `FaceEditor.distances`.
        attributes: names of the scores' columns.
        boundaries: names of the distances' columns.
        years: estimated ages, float32 [N, F], or None without an age estimator.
    """

    recipe: EditRecipe
    images: UInt8Array
    scores: NDArray[np.float32]
    distances: NDArray[np.float64]
    attributes: tuple[str, ...]
    boundaries: tuple[str, ...]
    years: NDArray[np.float32] | None = None

    def summary(self) -> dict[str, Any]:
        """Return recipe and, for each face, probabilities and distances before and after."""
        seeds = self.recipe.seeds or [None] * len(self.images)
        faces: list[dict[str, Any]] = []
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
        if self.years is not None:
            for face, years in zip(faces, self.years, strict=True):
                face["age"] = [round(float(years[i]), 1) for i in (0, -1)]
        return {"recipe": self.recipe.as_dict(), "faces": faces}

    def draw(self) -> UInt8Array:
        """Draw labelled strips, one row for each face; the original is outlined."""
        return film_strip(
            list(self.images),
            captions=[self._captions(index) for index in range(len(self.images))],
            title=self._title(),
            marked=0,
        )

    def _captions(self, face: int) -> list[str]:
        captions = []
        for frame, fraction in enumerate(self.recipe.fractions):
            place = "original" if frame == 0 else self._place(face, fraction)
            years = ""
            if self.years is not None and "Young" in self.recipe.edited:
                years = f"  {self.years[face, frame]:.0f} y"
            moving = {
                name: f"p={self.scores[face, frame, self.attributes.index(name)]:.2f}"
                for name in self.recipe.edited
                if name in self.attributes
            }
            if len(moving) == 1:
                captions.append("  ".join((place, *moving.values())) + years)
            else:
                lines = [f"{display_name(name)}  {p}" for name, p in moving.items()]
                captions.append("\n".join((place + years, *lines)))
        return captions

    def _place(self, face: int, fraction: float) -> str:
        if len(self.recipe.steps) == 1 and not self.recipe.to:
            (step,) = self.recipe.steps.values()
            own = step[face] if isinstance(step, tuple) else step
            return f"{fraction * own:+.2g}"
        return f"{fraction:.0%}"

    def _title(self) -> str:
        moves = [f"{display_name(name)} {_range(step)}" for name, step in self.recipe.steps.items()]
        moves += [f"{display_name(name)} to {goal:+g}" for name, goal in self.recipe.to.items()]
        seeds = self.recipe.seeds
        faces = (
            f"seed {seeds[0]}" if seeds and len(seeds) == 1 else _counted(len(self.images), "face")
        )
        held = sorted({name for holds in self.recipe.holds.values() for name in holds})
        holding = f"holding {_counted(len(held), 'attribute')}" if held else "nothing held"
        if self.recipe.layers is not None:
            holding += f", {_counted(len(self.recipe.layers), 'layer')}"
        return "; ".join((", ".join(moves), holding, f"{self.recipe.model}, {faces}"))


def _range(step: Step) -> str:
    """A step, or the range of steps of several faces."""
    if not isinstance(step, tuple):
        return f"{step:+g}"
    low, high = (f"{end:+.3g}" for end in (min(step), max(step)))
    return low if low == high else f"{low} to {high}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def edit_strip(
    editor: FaceEditor, z: ArrayLike, recipe: EditRecipe, size: int | None = None
) -> EditStrip:
    """Render the way from each latent to its edit in the recipe's number of frames.

    Args:
        editor: the recipe's model, with a classifier.
        z: float [N, D], or [N, L, D]; ``editor.sample(recipe.seeds)`` gives the recipe's picture
            again.
        recipe: see `FaceEditor.recipe`.
        size: of the pictures; see `FaceEditor.render`.

    Raises:
        LatentEditError: a recipe for another model or other faces, more than `MAX_PICTURES`, or
            see `FaceEditor.edit`.
    """
    z = editor.lay_out(z, recipe.layers)
    if recipe.seeds is not None and len(recipe.seeds) != len(z):
        raise LatentEditError(f"the recipe is for {len(recipe.seeds)} faces, {len(z)} are given")
    if len(z) * recipe.frames > MAX_PICTURES:
        raise LatentEditError(
            f"{len(z)} faces of {recipe.frames} frames are too many for one film strip: "
            f"at most {MAX_PICTURES // recipe.frames} faces fit"
        )
    moved = displacement(editor.boundaries, z, recipe)  # [N, D] or [N, L, D]
    fractions = recipe.fractions.reshape(-1, *(1,) * (z.ndim - 1))
    way = z[:, None] + fractions * moved[:, None]  # [N, F, ...]
    flat = way.reshape(-1, *z.shape[1:]).astype(np.float32)
    images = editor.render(flat, size)
    shape = way.shape[:2]
    return EditStrip(
        recipe=recipe,
        images=images.reshape(*shape, *images.shape[1:]),
        scores=editor.score(images).reshape(*shape, -1),
        distances=editor.distances(flat, layers=recipe.layers).reshape(*shape, -1),
        attributes=editor.attributes,
        boundaries=editor.boundaries.names,
        years=editor.age(images).reshape(shape) if editor.estimates_age else None,
    )


def judged_strip(
    editor: FaceEditor, recipe: EditRecipe, images: UInt8Array, looks: UInt8Array
) -> EditStrip:
    """Return the strip of one face, without distances, from pictures that are drawn already.

    Args:
        editor: with a classifier.
        recipe: of the edit.
        images: to show, uint8 [F, H, W, 3].
        looks: the same for the judges, uint8 [F, S, S, 3].
    """
    return EditStrip(
        recipe,
        images[None],
        editor.score(looks)[None],
        np.zeros((1, len(images), len(editor.boundaries.names))),
        editor.attributes,
        editor.boundaries.names,
        editor.age(looks)[None] if editor.estimates_age else None,
    )


def direction_sheet(
    editor: FaceEditor,
    directions: Boundaries,
    labels: Sequence[Sequence[str]],
    seed: int,
    *,
    frames: int = defaults.FRAMES,
    reach: float = 3.0,
) -> UInt8Array:
    """Draw one face moved along each direction, one film strip for each direction.

    Args:
        directions: K of them, without holds, see `FaceEditor.as_edited`.
        labels: for each direction a few words, drawn under the middle of its strip.
        seed: of the face.
        frames: odd, so that the middle one is the face itself.
        reach: step of the last frame; the first frame has the opposite step.

    Returns:
        uint8 [H, W, 3].
    """
    steps = np.linspace(-reach, reach, frames)
    z = editor.sample([seed])[0]
    rows, captions = [], []
    for name, normal, words in zip(directions.names, directions.normals, labels, strict=True):
        step = directions.moves(normal * directions.spread(normal))
        rows.append(
            editor.render(
                (z + steps[:, None] * step).astype(np.float32),
                editor.judged_size,
            )
        )
        texts = [f"{step:+.1f}" for step in steps]
        texts[0] = f"{name} {steps[0]:+.1f}"
        texts[frames // 2] = f"original\n{', '.join(words)}"
        captions.append(texts)
    return film_strip(
        rows, captions=captions, title=f"{editor.name}, seed {seed}", marked=frames // 2
    )


def save_strip(path: str | Path, strip: EditStrip) -> None:
    """Draw a strip and save it as a picture with its recipe.

    Raises:
        LatentEditError: the path cannot be written, or its format carries no marks.
    """
    save_marked(path, strip.draw(), Marks(strip.recipe.to_json(), GENERATED))


def read_origin(file: str | Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> str:
    """Return what a PNG of ours says about its making: an edit's recipe, or a sample's seeds.

    Args:
        file: a path, or an open file.
        max_pixels: refuse larger pictures.

    Returns:
        JSON; `EditRecipe.from_json` reads an edit's.

    Raises:
        LatentEditError: the file cannot be read, or carries no such text.
    """
    text = read_metadata(file, max_pixels=max_pixels).get(RECIPE_KEY)
    if text is None:
        name = file if isinstance(file, str | Path) else "this picture"
        raise LatentEditError(f"{name} carries no recipe: give a PNG that was saved by latentedit")
    return text
