"""An edit of faces in a photo."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from latentedit.editing.outputs.base import Asked, Edited, latents_origin
from latentedit.editing.photos import PhotoEditor, Portrait, photo_recipe
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.strips import EditStrip, judged_strip
from latentedit.io.images import UInt8Array, film_strip, sheet, within
from latentedit.photos.marks import COMPOSITE
from latentedit.photos.photograph import Photograph, save_photograph

STRIP_EDGE = 720
"""Largest longer edge in pixels of a photo in a strip."""

FACE_EDGE = 256
"""Smallest edge in pixels of a face that is cut out, where the model draws faces that large."""


@dataclass(frozen=True, eq=False)
class EditedPhoto(Edited):
    """Faces of a photo, and their edits.

    Attributes:
        photos: the model.
        photo: as it is before the edit.
        portraits: of the faces that are edited.
        ways: a recipe for each, all with the same number of frames.
    """

    photos: PhotoEditor
    photo: Photograph
    portraits: Sequence[Portrait]
    ways: Sequence[EditRecipe]

    source_type: ClassVar[str] = COMPOSITE

    @property
    def recipe(self) -> Mapping[str, Any]:
        return photo_recipe(self.photo, zip(self.portraits, self.ways, strict=True))

    @property
    def icc(self) -> bytes | None:
        return self.photo.kept.icc

    def picture(self, asked: Asked) -> UInt8Array:
        if asked.frames is None:
            return self._frame(self.photo.pixels, 1.0)
        frames = self.film(STRIP_EDGE, alone=False)
        if len(self.ways) == 1:
            return self._strip(frames).draw()
        captions = [f"{fraction:.0%}" for fraction in self.ways[0].fractions]
        captions[0] = "original"
        return film_strip([frames], captions=[captions], marked=0)

    def _strip(self, frames: UInt8Array) -> EditStrip:
        """Return the strip of a single face; the judges look at it in the photo."""
        editor, way, portrait = self.photos.editor, self.ways[0], self.portraits[0]
        latents = [_between(portrait, self._ends[0], float(share)) for share in way.fractions]
        looks = self.photos.looks(portrait)(np.stack(latents), way.edited)
        return judged_strip(editor, way, frames, looks)

    def save_picture(self, asked: Asked) -> list[str]:
        if not asked.whole_photo:
            height, width = within(self.photo.pixels, STRIP_EDGE).shape[:2]
            notes = super().save_picture(asked)
            return [*notes, f"each frame shows the photo in {width} x {height} pixels"]
        kept = save_photograph(
            asked.path,
            self.picture(asked),
            self.photo,
            recipe=self.marks.recipe,
            force=asked.force,
        )
        return [note.text for note in kept]

    def faces(self) -> UInt8Array:
        return self._cut(self._frame(self.photo.pixels, 1.0), self._face_edge)

    def film(self, edge: int, *, alone: bool) -> UInt8Array:
        pixels, size = self.photo.pixels, self._face_edge
        if alone:
            size = min(size, edge // math.ceil(math.sqrt(len(self.portraits))))
            largest = max(each.face.alignment.edge for each in self.portraits)
            edge = math.ceil(max(pixels.shape[:2]) * min(1.0, size / largest))
        small = within(pixels, edge)
        moments = (self._frame(small, float(share)) for share in self.ways[0].fractions)
        if alone:
            return np.stack([sheet(self._cut(each, size)) for each in moments])
        return np.stack(list(moments))

    def latents(self) -> NDArray[np.float32]:
        return np.stack(self._ends)

    @property
    def origin(self) -> Mapping[str, Any]:
        return {**latents_origin(self.photos.editor), "photo": self.recipe["photo"]}

    def summary(self) -> dict[str, Any]:
        faces = [
            {**found(portrait), **_seen(self.photos, portrait, drawn, way.edited)}
            for portrait, drawn, way in zip(self.portraits, self._drawn, self.ways, strict=True)
        ]
        return {"recipe": self.recipe, "faces": faces}

    @cached_property
    def _ends(self) -> list[NDArray[np.float32]]:
        """The edited latents of each face, [L, D]."""
        editor = self.photos.editor
        return [
            editor.apply(way, portrait.latents[None])[0]
            for portrait, way in zip(self.portraits, self.ways, strict=True)
        ]

    @cached_property
    def _drawn(self) -> list[UInt8Array]:
        """What the generator draws of the edited latents of each face, [R, R, 3]."""
        return [self.photos.editor.render(end[None])[0] for end in self._ends]

    @property
    def _face_edge(self) -> int:
        """Edge in pixels of faces that are cut out: as in the photo, but no larger than drawn."""
        largest = max(each.face.alignment.edge for each in self.portraits)
        return min(self.photos.editor.resolution, max(FACE_EDGE, round(largest)))

    def _frame(self, pixels: UInt8Array, share: float) -> UInt8Array:
        """The photo, or the photo made smaller, with a share of all edits in it."""
        each = zip(self.portraits, self._ends, self._drawn, self.ways, strict=True)
        for portrait, end, drawn, way in each:
            pixels = self.photos.put_back(
                _in(portrait, pixels),
                _between(portrait, end, share),
                way.edited,
                drawn=drawn if share == 1 else None,
            )
        return pixels

    def _cut(self, pixels: UInt8Array, size: int) -> UInt8Array:
        """All faces cut out of the photo as they are aligned: [N, size, size, 3]."""
        return np.stack([_in(each, pixels).aligned(size) for each in self.portraits])


def _between(portrait: Portrait, end: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Latents on the way from the portrait's own to the edited ones."""
    if share in (0.0, 1.0):
        return end if share else portrait.latents
    return portrait.latents + np.float32(share) * (end - portrait.latents)


def _in(portrait: Portrait, pixels: UInt8Array) -> Portrait:
    """The portrait in its photo with other pixels: edited elsewhere, or made smaller."""
    height, width = pixels.shape[:2]
    photo = replace(portrait.photo, pixels=pixels)
    return replace(portrait, photo=photo, face=portrait.face.scaled(width, height))


def found(portrait: Portrait) -> dict[str, Any]:
    """Return how near a portrait's latents come to its face, and how they were found."""
    return {
        "face": portrait.face.number,
        "identity": round(portrait.identity, 3),
        "inversion": dict(portrait.origin),
    }


def _seen(
    photos: PhotoEditor, portrait: Portrait, drawn: UInt8Array, names: Sequence[str]
) -> dict[str, Any]:
    """Return what classifier and age estimator see in the photo, before and after the edit."""
    editor = photos.editor
    both = np.stack([portrait.aligned(editor.judged_size), photos.shown(portrait, drawn, names)])
    scores = editor.score(both)
    seen = {
        name: [round(float(scores[i, editor.attributes.index(name)]), 3) for i in (0, 1)]
        for name in names
        if name in editor.attributes
    }
    changes: dict[str, Any] = {"probability": seen}
    if editor.estimates_age:
        changes["age"] = [round(float(years), 1) for years in editor.age(both)]
    return changes
