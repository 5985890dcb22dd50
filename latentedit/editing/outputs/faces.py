"""An edit of faces that a model draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from latentedit.editing.editor import FaceEditor
from latentedit.editing.outputs.base import Asked, Edited, latents_origin
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.strips import EditStrip, edit_strip
from latentedit.io.images import UInt8Array, sheet, within
from latentedit.photos.marks import GENERATED


@dataclass(frozen=True, eq=False)
class EditedFaces(Edited):
    """Faces of latents, and their edit.

    Attributes:
        editor: the model that draws them.
        z: float32 [N, D] or [N, L, D].
        way: the recipe, with the number of frames of the strip or film.
    """

    editor: FaceEditor
    z: NDArray[np.float32]
    way: EditRecipe

    source_type: ClassVar[str] = GENERATED

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.way.as_dict()

    @cached_property
    def strip(self) -> EditStrip:
        """The faces in all frames."""
        return edit_strip(self.editor, self.z, self.way)

    @cached_property
    def ends(self) -> EditStrip:
        """The faces before and after; in all frames where these are drawn already."""
        if "strip" in self.__dict__:
            return self.strip
        return edit_strip(self.editor, self.z, replace(self.way, frames=2))

    @property
    def seen(self) -> list[dict[str, tuple[float, float]]]:
        """For each face the probabilities before and after, by moved attribute.

        Empty where nothing was drawn yet.
        """
        if not self.__dict__.keys() & {"strip", "ends"}:
            return []
        names = self.ends.attributes
        columns = {name: names.index(name) for name in self.way.edited if name in names}
        return [
            {name: (float(face[0, at]), float(face[-1, at])) for name, at in columns.items()}
            for face in self.ends.scores
        ]

    def picture(self, asked: Asked) -> UInt8Array:
        return self.strip.draw()

    def faces(self) -> UInt8Array:
        return self.ends.images[:, -1]

    def film(self, edge: int, *, alone: bool) -> UInt8Array:
        moments = self.strip.images.swapaxes(0, 1)  # [F, N, H, W, 3]
        return np.stack([within(sheet(faces), edge) for faces in moments])

    def latents(self) -> NDArray[np.float32]:
        return self.editor.apply(self.way, self.z)

    @property
    def origin(self) -> Mapping[str, Any]:
        return latents_origin(self.editor)

    def summary(self) -> dict[str, Any]:
        return {**self.ends.summary(), "recipe": self.recipe}
