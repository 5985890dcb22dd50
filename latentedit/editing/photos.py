"""`PhotoEditor`: edits of the user's own photos.

A photo is opened once: its face is found, aligned and inverted. The result is a portrait, which is
plain data. Every edit is a call with that portrait; there is no hidden state.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from latentedit import defaults
from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.whitening import Whitening
from latentedit.editing.editor import FaceEditor
from latentedit.editing.holds import Hold
from latentedit.editing.recipes import EditRecipe
from latentedit.editing.search import Look
from latentedit.errors import LatentEditError
from latentedit.generators.base import FFHQ_FRAME
from latentedit.inference.descriptors import describe, descriptor_network
from latentedit.inference.devices import computes_bfloat16, keep_memory, place
from latentedit.io.images import UInt8Array, reduced
from latentedit.photos.encoder import Encoder, EncoderConfig, mean_answer
from latentedit.photos.faces import PhotoFace, choose_faces
from latentedit.photos.ffhq import Alignment
from latentedit.photos.fields import Field
from latentedit.photos.inversion import (
    Inversion,
    InversionOptions,
    Progress,
    Refinement,
    invert,
)
from latentedit.photos.notes import Note
from latentedit.photos.paste import Ground
from latentedit.photos.photograph import (
    Photograph,
    check_pixels,
    open_photograph,
    save_photograph,
)
from latentedit.photos.regions import keeps_skin, region
from latentedit.photos.resemblance import Resemblance
from latentedit.photos.sketch import Sketch

HAT = "Wearing_Hat"

SAFE_SHARE, SAFE_STEP = 0.6, 3.0
"""An edit of a photo is safe for this share of the safe range, and for this step in any case. Safe
ranges are those of samples; a photo's latents are less typical, so its face breaks sooner."""

SPREAD_SAMPLES = 2000
"""Latents that are sampled to learn how a model's latents vary, where it has no encoder."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """One face of a photo, and the latents that draw it.

    Attributes:
        photo: with all its pixels, and what its file says about it.
        face: where it is, how it is aligned, and what to know about it.
        latents: float32 [L, D].
        reconstruction: what the generator draws from the latents, uint8 [R, R, 3], aligned.
        identity: distance between dlib's descriptors of the photo and of the reconstruction; below
            0.6 both count as one person (King 2017).
        origin: how the latents were found, as JSON values.
        hat: whether the person wears a hat, by the classifier.
    """

    photo: Photograph
    face: PhotoFace
    latents: NDArray[np.float32]
    reconstruction: UInt8Array
    identity: float
    origin: Mapping[str, Any]
    hat: bool = False

    def region(self, names: Iterable[str]) -> Field | None:
        """Where edits of some attributes may change the photo; see `photos.regions.region`."""
        assert self.face.face.points is not None
        return region(names, self.face.face.points, self.face.alignment, hat=self.hat)

    def aligned(self, size: int) -> UInt8Array:
        """The face, cut out of the photo as the generator would draw it: [size, size, 3]."""
        return self.face.alignment.cut(self.photo.pixels, size)

    def within(self, photo: Photograph) -> Portrait:
        """The same portrait in its photo made smaller or larger."""
        height, width = photo.pixels.shape[:2]
        return replace(self, photo=photo, face=self.face.scaled(width, height))


def photo_ranges(boundaries: Boundaries) -> Boundaries:
    """Return the same boundaries with the safe ranges of photos; see `SAFE_SHARE`."""

    def end(of: float) -> float:
        return math.copysign(min(abs(of), max(SAFE_SHARE * abs(of), SAFE_STEP)), of)

    ranges = {name: (end(low), end(high)) for name, (low, high) in boundaries.safe_ranges.items()}
    return replace(boundaries, safe_ranges=ranges)


class PhotoEditor:
    """Finds the latents of faces in photos, and puts edits back into them.

    Args:
        editor: with boundaries and a classifier; its generator takes a latent for each layer.
        encoder: of this generator. Without one, refining begins at the mean face, and takes more
            steps.

    Attributes:
        editor: see above; with `photo_ranges`.
        encoder: see above; without one, `encoder.mean_answer`.
        has_encoder: whether one was given.

    Raises:
        LatentEditError: the model's layers share one latent, or its faces stand in another frame
            than FFHQ's.
    """

    def __init__(self, editor: FaceEditor, encoder: Encoder | None = None) -> None:
        if editor.layers < 2:
            raise LatentEditError(
                f"model {editor.name} has one latent for all its layers, which draws no photo "
                "exactly: use ffhq1024 (latentedit models pull ffhq1024)"
            )
        if editor.generator.frame != FFHQ_FRAME:
            raise LatentEditError(
                f"model {editor.name} does not draw faces as FFHQ aligns them, and photos are "
                "aligned so: use ffhq1024 (latentedit models pull ffhq1024)"
            )
        self.editor = editor = editor.with_ranges(photo_ranges)
        self.has_encoder = encoder is not None
        encoder = encoder or _untrained(editor)
        self.encoder = place(encoder, editor.device).eval().requires_grad_(False)

    @classmethod
    def load(cls, model: str | Path | None = None, **options: Any) -> Self:
        """Load a model, by default the default model.

        Args:
            model: name or folder.
            options: see `FaceEditor.load`.

        Raises:
            LatentEditError: the model's layers share one latent, or see `FaceEditor.load`.
        """
        editor = FaceEditor.load(model, **options)
        assert editor.bundle is not None
        return cls(editor, editor.bundle.encoder())

    def open(
        self,
        photo: str | Path | Photograph | UInt8Array,
        face: int | None = None,
        steps: int | None = None,
        *,
        seconds: float = defaults.REFINE_SECONDS,
        on_step: Callable[[Progress], None] = lambda progress: None,
    ) -> Portrait:
        """Find one face in a photo and invert it.

        Args:
            photo: a file, an opened photo, or pixels uint8 [H, W, 3].
            face: its number from the left, from 1; by default the largest.
            steps: refining steps; 0 for the encoder alone. By default as many as `seconds` allow,
                but at least `defaults.REFINE_LEAST`.
            seconds: time for refining, where no steps are given.
            on_step: called after each refining step; a KeyboardInterrupt ends refining early.

        Raises:
            LatentEditError: no such file or face, or an extra is missing.
        """
        opened = as_photograph(photo)
        (chosen,) = choose_faces(opened.pixels, face)
        return self.invert(opened, chosen, steps, seconds=seconds, on_step=on_step)

    def invert(
        self,
        photo: Photograph,
        face: PhotoFace,
        steps: int | None = None,
        *,
        seconds: float = defaults.REFINE_SECONDS,
        on_step: Callable[[Progress], None] = lambda progress: None,
    ) -> Portrait:
        """Invert a face that was found; see `open`."""
        self.check_steps(steps)
        keep_memory()
        options = InversionOptions(steps=steps, seconds=seconds)
        found = invert(*self._inverted(photo, face), options, on_step)
        return self.portrait(photo, face, found.latents, origin_of(found))

    def check_steps(self, steps: int | None) -> None:
        """Refuse 0 refining steps where there is no encoder.

        Raises:
            LatentEditError: `steps` is 0, and the model has no encoder.
        """
        if steps == 0 and not self.has_encoder:
            raise LatentEditError(
                f"model {self.editor.name} has no encoder that answers at once: refine with "
                "about 60 steps, or leave the number of steps out"
            )

    def refinement(
        self, photo: Photograph, face: PhotoFace, options: InversionOptions
    ) -> Refinement:
        """Return an inversion that goes on step by step; see `Refinement`.

        `portrait` makes portraits from its ``first`` and ``found``; `origin_of` gives their origin.
        """
        keep_memory()
        return Refinement(*self._inverted(photo, face), options)

    def _inverted(
        self, photo: Photograph, face: PhotoFace
    ) -> tuple[UInt8Array, Encoder, Sketch, Resemblance]:
        """Return what an inversion needs: aligned photo, encoder, sketch and resemblance."""
        aligned = face.alignment.cut(photo.pixels, self.encoder.config.resolution)
        return aligned, self.encoder, self._sketch, self._resemblance

    def portrait(
        self,
        photo: Photograph,
        face: PhotoFace,
        latents: NDArray[np.float32],
        origin: Mapping[str, Any],
        drawn: UInt8Array | None = None,
    ) -> Portrait:
        """Make a portrait from latents that were found before.

        Args:
            photo: with the face.
            face: see `choose_faces`.
            latents: [L, D].
            origin: how they were found, as JSON values.
            drawn: what the generator draws from them; drawn here by default.
        """
        if drawn is None:
            drawn = self.editor.render(latents[None])[0]
        size = self.encoder.config.resolution
        shown = np.stack([face.alignment.cut(photo.pixels, size), reduced(drawn, size)])
        one, two = describe(self.editor.judges.cut(shown), device=str(self.editor.device))
        distance = float(np.linalg.norm(one - two))
        hat = self._wears_hat(shown[0])
        return Portrait(photo, face, latents, drawn, distance, dict(origin), hat)

    def _wears_hat(self, face: UInt8Array) -> bool:
        """Whether the classifier sees a hat in an aligned face, uint8 [S, S, 3]."""
        if HAT not in self.editor.attributes:
            return False
        return bool(self.editor.score(face)[0, self.editor.attributes.index(HAT)] > 0.5)

    def edit(
        self,
        portrait: Portrait,
        steps: Mapping[str, float] | None = None,
        hold: Hold = defaults.HOLD,
        *,
        to: Mapping[str, float] | None = None,
        layers: Sequence[int] | None = None,
    ) -> UInt8Array:
        """Edit a portrait and put it back into its photo.

        Args:
            portrait: see `open`.
            steps: signed displacement in standard deviations of the latents, by attribute.
            hold: see `FaceEditor.edit`.
            to: instead, the signed distance from the boundary to reach, by attribute.
            layers: those that move; all by default.

        Returns:
            uint8 [H, W, 3], as large as the photo, and equal to it outside the edit's mask.

        Raises:
            LatentEditError: see `FaceEditor.edit`.
        """
        return self.apply(portrait, self.editor.recipe(steps or {}, hold, to=to, layers=layers))

    def apply(self, portrait: Portrait, recipe: EditRecipe) -> UInt8Array:
        """Make a recipe's edit of a portrait; see `edit`."""
        latents = self.editor.apply(recipe, portrait.latents[None])[0]
        return self.put_back(portrait, latents, recipe.edited)

    def save(
        self,
        path: str | Path,
        portrait: Portrait,
        recipe: EditRecipe,
        *,
        force: bool = False,
    ) -> tuple[Note, ...]:
        """Make a recipe's edit and save the photo with its metadata and the marks of an edit.

        ``latentedit edit --recipe`` and the page can make the edit again from this file.

        Args:
            path: see `save_photograph`.
            portrait: see `open`.
            recipe: see `FaceEditor.recipe`.
            force: see `save_photograph`.

        Returns:
            what the file could not keep of the photo.

        Raises:
            LatentEditError: see `FaceEditor.apply` and `save_photograph`.
        """
        pixels = self.apply(portrait, recipe)
        made = json.dumps(photo_recipe(portrait.photo, [(portrait, recipe)]))
        return save_photograph(path, pixels, portrait.photo, recipe=made, force=force)

    def put_back(
        self,
        portrait: Portrait,
        latents: NDArray[np.float32],
        names: Iterable[str] = (),
        *,
        drawn: UInt8Array | None = None,
        ground: Ground | None = None,
    ) -> UInt8Array:
        """Return the photo with the changes that edited latents make.

        Args:
            portrait: see `open`.
            latents: [L, D].
            names: of the edited attributes. They say which part of the face may change; by default
                all of it may.
            drawn: what the generator draws from the edited latents, uint8 [S, S, 3], of the
                ground's size; drawn here by default, in full size.
            ground: of the portrait; all its edits can share one. Made here by default.

        Returns:
            uint8 [H, W, 3].
        """
        if np.array_equal(latents, portrait.latents):
            return portrait.photo.pixels.copy()
        if drawn is None:
            drawn = self.editor.render(latents[None])[0]
        return _paste(ground or ground_of(portrait), drawn, portrait, names)

    def shown(self, portrait: Portrait, drawn: UInt8Array, names: Iterable[str] = ()) -> UInt8Array:
        """Return the face in the photo after an edit that is drawn in full size already.

        Where the model has previews, `looks` shows nearly the same, and draws faster.

        Args:
            portrait: see `open`.
            drawn: what the generator draws from the edited latents, in full size.
            names: of the edited attributes; see `put_back`.

        Returns:
            uint8 [S, S, 3], aligned; S is `FaceEditor.judged_size`.
        """
        size = self.editor.judged_size
        before, after = (reduced(each, size) for each in (portrait.reconstruction, drawn))
        return _paste(_small_ground(portrait, before), after, portrait, names)

    def looks(self, portrait: Portrait, *, quick: bool = False) -> Look:
        """Return what shows edits of a portrait to the judges, as they look in the photo.

        The latents that the portrait has show the photo's own face.

        Args:
            portrait: see `open`.
            quick: draws in bfloat16 where the device gains by it.
        """
        editor, size = self.editor, self.editor.judged_size

        @cache  # who plans an edit looks only if it searches an age
        def ground() -> Ground:
            return _small_ground(
                portrait, editor.render(portrait.latents[None], size, quick=quick)[0]
            )

        def look(latents: NDArray[np.float32], names: Iterable[str]) -> UInt8Array:
            faces = editor.render(latents, size, quick=quick)
            return np.stack([_paste(ground(), each, portrait, names) for each in faces])

        return look

    @cached_property
    def _sketch(self) -> Sketch:
        halves = computes_bfloat16(self.editor.device)
        dtype = torch.bfloat16 if halves else torch.float32
        return Sketch(self.editor.generator, self.encoder.config.resolution, dtype)

    @cached_property
    def _resemblance(self) -> Resemblance:
        editor = self.editor
        network = descriptor_network(editor.device)
        return Resemblance(editor.classifier, editor.generator.frame, network)


def photo_recipe(photo: Photograph, edits: Iterable[tuple[Portrait, EditRecipe]]) -> dict[str, Any]:
    """Return the recipe of a photo's edits as JSON values; `saved.read_recipe` reads it."""
    return {
        "photo": None if photo.path is None else photo.path.name,
        "edits": [
            {"face": portrait.face.number, **recipe.as_dict(), "inversion": dict(portrait.origin)}
            for portrait, recipe in edits
        ],
    }


def ground_of(portrait: Portrait, drawn: UInt8Array | None = None) -> Ground:
    """Return the ground that edits of a portrait are put into.

    Args:
        portrait: see `PhotoEditor.open`.
        drawn: what the generator draws from its latents, uint8 [S, S, 3], in the size in which
            edits will be drawn; by default the portrait's reconstruction, in full size.
    """
    drawn = portrait.reconstruction if drawn is None else drawn
    return Ground(portrait.photo.pixels, portrait.face.alignment, drawn)


def _small_ground(portrait: Portrait, drawn: UInt8Array) -> Ground:
    """Return a ground of the aligned face alone, in the size of `drawn`, [S, S, 3]."""
    size = len(drawn)
    return Ground(portrait.aligned(size), Alignment.whole(size), drawn)


def _paste(
    ground: Ground, drawn: UInt8Array, portrait: Portrait, names: Iterable[str]
) -> UInt8Array:
    """Put a drawn face into a ground; `names` of edited attributes say what may change."""
    names = set(names)
    return ground.paste(drawn, portrait.region(names), steady=keeps_skin(names))


def _untrained(editor: FaceEditor) -> Encoder:
    """Return a stand-in for a missing encoder: it answers with the mean of the model's samples."""
    samples = editor.generator.truncated(1.0).sample(range(SPREAD_SAMPLES))
    whitening = Whitening.of(samples)
    mean, basis = (
        torch.from_numpy(each.astype(np.float32)) for each in (whitening.mean, whitening.basis)
    )
    edge = min(EncoderConfig.resolution, editor.resolution)
    return mean_answer(mean, basis, editor.layers, edge)


def as_photograph(photo: str | Path | Photograph | UInt8Array) -> Photograph:
    """Open a photo that is not open yet.

    Raises:
        LatentEditError: see `open_photograph`, or pixels of another shape or dtype.
    """
    if isinstance(photo, Photograph):
        return photo
    if isinstance(photo, str | Path):
        return open_photograph(photo)
    check_pixels(photo)
    return Photograph(pixels=photo.copy())  # the caller may use the array again


def origin_of(found: Inversion) -> dict[str, Any]:
    """How latents were found, as JSON values."""
    origin: dict[str, Any] = {"steps": found.steps}
    if found.steps:
        origin["loss"] = round(found.loss, 4)
    return origin
