"""What the page shows of faces: pictures, and what the judges see in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit import defaults
from latentedit.demo.controls import Control
from latentedit.demo.recipes import latent_of
from latentedit.demo.replies import Picture, Reply, picture_of
from latentedit.demo.session import View
from latentedit.demo.sitters import Sitter
from latentedit.editing.editor import FaceEditor
from latentedit.editing.photos import PhotoEditor, Portrait, ground_of
from latentedit.editing.search import Look
from latentedit.io.images import UInt8Array, reduced
from latentedit.photos.paste import Ground

SHOWN_EDGE = 1024
"""Longest edge in pixels of pictures on the page; saved pictures have full size."""

DRAWN_EDGE = 256
"""Edge in pixels of faces that are drawn while a slider moves."""

GALLERY = 12
"""Faces on one page of the gallery: the sharpest of twice as many seeds."""

FIRST_FACES = {"ffhq1024": 0, "faces128": 0}
"""Seed of the first face by model, for the shipped models; chosen by eye."""

LEARNED_AT = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Places of a slider at which its effect is measured, as shares of the way to its ends."""


@dataclass(frozen=True, eq=False)
class ScoredFace:
    """One picture, and what the networks see in it.

    Attributes:
        picture: the picture as the page shows it.
        scores: probabilities by attribute.
        age: estimated age in years, or None if the model has no age estimator.
    """

    picture: Picture
    scores: Mapping[str, float]
    age: float | None

    def years_to(self, edited: ScoredFace) -> tuple[float, float] | None:
        """Return the ages before and after an edit, or None without an age estimator."""
        if self.age is None or edited.age is None:
            return None
        return self.age, edited.age


class Viewer:
    """Draws faces and looks at them; it remembers only faces of seeds, the same for everyone.

    What it finds out about a photo is kept by the photo's `Sitter`.

    Args:
        editor: the model.
        photos: the same model for photos, or None if it takes no photos.
        controls: the page's sliders by attribute.

    Attributes:
        first: seed of the first face.
    """

    def __init__(
        self, editor: FaceEditor, photos: PhotoEditor | None, controls: Mapping[str, Control]
    ) -> None:
        self._editor, self._photos, self._controls = editor, photos, controls
        self.first = FIRST_FACES.get(editor.name, defaults.SEED)
        self.original = lru_cache(maxsize=64)(self._draw_original)
        self.gallery = lru_cache(maxsize=16)(self._draw_gallery)
        self._learned_of_seed = lru_cache(maxsize=256)(self._learn_of_seed)

    def view(self, view: View, sitter: Sitter | None, *, preview: bool = False) -> ScoredFace:
        """Return the picture of a view, and what the judges see in it.

        Args:
            view: the face, and its edit.
            sitter: the photo's, or None for a seed.
            preview: draw small and fast, for a slider that moves.
        """
        size = min(DRAWN_EDGE if preview else SHOWN_EDGE, self._editor.resolution)
        if sitter is not None:
            return self._view_photo(sitter, view, size, preview=preview)
        if not view.steps:
            return self.original(view.seed)
        drawn = self._editor.render(latent_of(self._editor, view), size, quick=preview)[0]
        return self._scored(picture_of(drawn), drawn)

    def learned(self, view: View, sitter: Sitter | None, name: str) -> Reply:
        """Return a slider's steps, and the years or probabilities of the view's face there."""
        if sitter is None:
            return self._learned_of_seed(view.seed, name)
        key = ("learned", name)
        if key not in sitter.seen:
            assert self._photos is not None
            if "look" not in sitter.seen:
                sitter.seen["look"] = self._photos.looks(sitter.portrait, quick=True)
            sitter.seen[key] = self._learn(sitter.latents, name, sitter.seen["look"])
        learned: Reply = sitter.seen[key]
        return learned

    def _view_photo(self, sitter: Sitter, view: View, size: int, *, preview: bool) -> ScoredFace:
        """Return the photo with an edit in it; the judges look at the face in the photo."""
        assert self._photos is not None
        if not view.steps:
            if "original" not in sitter.seen:
                picture = picture_of(sitter.upload.shown.pixels, sitter.upload.icc)
                face = sitter.portrait.aligned(self._editor.judged_size)
                sitter.seen["original"] = self._scored(picture, face)
            original: ScoredFace = sitter.seen["original"]
            return original
        latents = latent_of(self._editor, view, sitter)
        drawn = self._editor.render(latents, size, quick=preview)[0]
        portrait = sitter.small() if preview else sitter.portrait
        ground = self._ground(sitter, portrait, size)
        pixels = self._photos.put_back(portrait, latents[0], view.steps, drawn=drawn, ground=ground)
        face = portrait.face.alignment.cut(pixels, self._editor.judged_size)
        return self._scored(picture_of(pixels, sitter.upload.icc), face)

    def _ground(self, sitter: Sitter, portrait: Portrait, size: int) -> Ground:
        """Return what edited faces of a size are pasted into, see `ground_of`."""
        key = ("ground", size, portrait.photo.pixels.shape)
        if key not in sitter.seen:
            drawn = self._editor.render(sitter.latents, size)[0]
            sitter.seen[key] = ground_of(portrait, drawn)
        ground: Ground = sitter.seen[key]
        return ground

    def _draw_original(self, seed: int) -> ScoredFace:
        size = min(SHOWN_EDGE, self._editor.resolution)
        drawn = self._editor.render(self._editor.sample([seed]), size)[0]
        return self._scored(picture_of(drawn), drawn)

    def _scored(self, picture: Picture, face: UInt8Array) -> ScoredFace:
        """Judge an aligned face, uint8 [S, S, 3]."""
        editor = self._editor
        images = face[None]
        if len(face) > editor.judged_size:
            images = reduced(face, editor.judged_size)[None]
        scores = dict(zip(editor.attributes, editor.score(images)[0].tolist(), strict=True))
        age = float(editor.age(images)[0]) if editor.estimates_age else None
        return ScoredFace(picture, scores, age)

    def _learn_of_seed(self, seed: int, name: str) -> Reply:
        return self._learn(self._editor.sample([seed]), name)

    def _learn(self, latents: NDArray[np.float32], name: str, look: Look | None = None) -> Reply:
        """Measure what a slider does to latents [1, ...], at the places `LEARNED_AT`.

        `look` shows edits in a photo; without it, the generator draws them.
        """
        editor, control = self._editor, self._controls[name]
        steps = [share * (control.high if share > 0 else -control.low) for share in LEARNED_AT]
        ways = [
            editor.apply(editor.recipe({name: step}), latents) if step else latents
            for step in steps
        ]
        moved = np.concatenate(ways)
        if look is None:
            images = editor.render(moved, editor.judged_size, quick=True)
        else:
            images = look(moved, [name])
        if name == "Young" and editor.estimates_age:
            return {"steps": steps, "years": editor.age(images).tolist()}
        if name not in editor.attributes:
            return {"steps": steps}
        column = editor.attributes.index(name)
        return {"steps": steps, "probabilities": editor.score(images)[:, column].tolist()}

    def _draw_gallery(self, page: int) -> dict[str, Any]:
        """Return the sharpest faces of some seeds; the first page has the start face among them."""
        editor = self._editor
        seeds = list(range(2 * GALLERY * page, 2 * GALLERY * (page + 1)))
        images = editor.render(editor.sample(seeds), editor.judged_size)
        order = np.arange(len(seeds))
        if "Blurry" in editor.attributes:
            blur = editor.score(images)[:, editor.attributes.index("Blurry")]
            order = np.argsort(blur, kind="stable")
        chosen = sorted(order[:GALLERY].tolist())
        pictures = {seeds[row]: picture_of(images[row]) for row in chosen}
        if page == 0 and self.first not in pictures:
            pictures.popitem()
            pictures[self.first] = self.original(self.first).picture
        faces = [{"seed": seed, "picture": picture} for seed, picture in pictures.items()]
        return {"page": page, "faces": faces}
