"""Files that users save: pictures, animations, latents and recipes, as bytes in memory.

Making them takes a while, so each piece of work with the networks takes a turn of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from latentedit import defaults
from latentedit.demo.recipes import latent_of, origin_latents, recipe_json, recipe_of
from latentedit.demo.session import View
from latentedit.demo.sitters import Sitter, whole, within
from latentedit.editing.editor import FaceEditor
from latentedit.editing.photos import PhotoEditor, ground_of
from latentedit.editing.strips import judged_strip
from latentedit.errors import LatentEditError
from latentedit.generators.latents import latents_bytes
from latentedit.io.animations import animation_bytes
from latentedit.io.images import UInt8Array, in_srgb, reduced
from latentedit.photos.marks import COMPOSITE, GENERATED, Marks, write_marks
from latentedit.photos.photograph import Photograph, photograph_bytes, read_marks

FILM_FRAMES = 9
"""Frames from the original to the edit, in the page's film and in animations."""

FILM_EDGE = 512
"""Longest edge of a frame in pixels."""

TYPES = {
    "picture": ("", ".png", "image/png"),
    "jpeg": ("", ".jpg", "image/jpeg"),
    "strip": ("-strip", ".png", "image/png"),
    "animation": ("-film", ".gif", "image/gif"),
    "video": ("-film", ".mp4", "video/mp4"),
    "latent": ("-latent", ".safetensors", "application/octet-stream"),
    "recipe": ("-recipe", ".json", "application/json"),
}
"""Files to save: what is added to the name, the name's ending, and the media type."""

Turn = Callable[[], AbstractContextManager[object]]
"""A function that gives a turn with the networks."""


@dataclass(frozen=True)
class File:
    """A file to hand over: its name, media type and content."""

    name: str
    type: str
    content: bytes


@dataclass(frozen=True)
class Shown:
    """The view that is saved, of a generated face or of a sitter.

    Attributes:
        editor: the model.
        view: the view, see `View`.
        sitter: the person in the view's photo, or None.
        photos: the model for photos; needed with a sitter.
        turn: gives a turn, see `Turn`.
    """

    editor: FaceEditor
    view: View
    sitter: Sitter | None = None
    photos: PhotoEditor | None = None
    turn: Turn = nullcontext

    @property
    def recipe(self) -> str:
        """The JSON that saved files carry, see `recipe_json`."""
        return recipe_json(self.editor, self.view, self.sitter)


def take(shown: Shown, what: str) -> File:
    """Make one of `TYPES`.

    Raises:
        LatentEditError: there is no such type, or a film or strip is asked for and no slider has
            moved.
    """
    if what not in TYPES:
        raise LatentEditError(f"there is no such thing to take home: choose {', '.join(TYPES)}")
    tag, ending, media_type = TYPES[what]
    view, sitter = shown.view, shown.sitter
    stem = f"face-{view.seed}"
    if sitter is not None:
        stem = PurePath(sitter.upload.name.replace("\\", "/")).stem or "photo"
    name = f"{stem}{'-edited' if view.steps else ''}{tag}{ending}"
    return File(name, media_type, _MAKERS[what](shown, name))


def frame(shown: Shown, index: int, count: int = FILM_FRAMES) -> UInt8Array:
    """Return one picture on the way from the original to the edit, uint8 [H, W, 3].

    Raises:
        LatentEditError: no slider is moved, or there is no such frame.
    """
    if not 0 <= index < count:
        raise LatentEditError("there is no such frame")
    way = _way(shown, count)[index]
    return _drawn(shown, way, FILM_EDGE)


def _way(shown: Shown, frames: int) -> NDArray[np.float32]:
    """Return latents from the original to the edit, [F, ...]."""
    if not shown.view.steps:
        raise LatentEditError("nothing has moved yet: move a slider first")
    start = origin_latents(shown.editor, shown.view, shown.sitter)
    end = latent_of(shown.editor, shown.view, shown.sitter)
    shares = np.linspace(0, 1, frames).reshape(-1, *(1,) * (start.ndim - 1))
    way = (start + shares * (end - start)).astype(np.float32)
    way[0], way[-1] = start[0], end[0]
    return way


def _drawn(shown: Shown, latents: NDArray[np.float32], edge: int) -> UInt8Array:
    """Return a picture of latents [D], or a photo with latents [L, D] drawn into it."""
    size = min(edge, shown.editor.resolution)
    with shown.turn():
        drawn = shown.editor.render(latents[None], size)[0]
    if shown.sitter is None:
        return drawn
    assert shown.photos is not None
    portrait = shown.sitter.portrait
    portrait = portrait.within(within(portrait.photo, edge))
    ground = ground_of(portrait, reduced(portrait.reconstruction, size))
    return shown.photos.put_back(portrait, latents, shown.view.steps, drawn=drawn, ground=ground)


def _squares(shown: Shown, frames: int) -> UInt8Array:
    """Return pictures on the way, uint8 [F, S, S, 3]; for photos, only the aligned face."""
    pictures = []
    for latents in _way(shown, frames):
        picture = _drawn(shown, latents, 2 * FILM_EDGE if shown.sitter else FILM_EDGE)
        if shown.sitter is not None:
            portrait = shown.sitter.portrait
            portrait = portrait.within(Photograph(picture))
            picture = in_srgb(portrait.aligned(256), shown.sitter.upload.icc)
        pictures.append(picture)
    return np.stack(pictures)


def _make_picture(shown: Shown, name: str) -> bytes:
    latents = latent_of(shown.editor, shown.view, shown.sitter)
    with shown.turn():
        drawn = shown.editor.render(latents)[0]
    if shown.sitter is None:
        return _marked(name, drawn, shown.recipe, GENERATED)
    assert shown.photos is not None
    portrait = whole(shown.sitter)
    pixels = shown.photos.put_back(portrait, latents[0], shown.view.steps, drawn=drawn)
    marks = Marks(shown.recipe, COMPOSITE)
    if not shown.view.steps:  # a photo that was edited before still says so
        marks = read_marks(shown.sitter.upload.data)
    return photograph_bytes(
        name, pixels, portrait.photo, recipe=marks.recipe, source_type=marks.source_type
    )[0]


def _make_strip(shown: Shown, name: str) -> bytes:
    editor, recipe = shown.editor, None
    if shown.view.steps:
        recipe = replace(recipe_of(editor, shown.view), frames=defaults.FRAMES)
    images = _squares(shown, defaults.FRAMES)
    assert recipe is not None
    looks = _looks(shown, _way(shown, len(images)))
    with shown.turn():
        strip = judged_strip(editor, recipe, images, looks)
    source = GENERATED if shown.sitter is None else COMPOSITE
    carried = recipe.to_json() if shown.sitter is None else shown.recipe
    return _marked(name, strip.draw(), carried, source)


def _looks(shown: Shown, way: NDArray[np.float32]) -> UInt8Array:
    """Return what the judges look at, [F, S, S, 3]: drawn faces, or a face in its photo."""
    editor, in_photo = shown.editor, None
    if shown.sitter is not None:
        assert shown.photos is not None
        in_photo = shown.photos.looks(shown.sitter.portrait)
    looks = []
    for latents in way:
        with shown.turn():
            if in_photo is None:
                looks.append(editor.render(latents[None], editor.judged_size)[0])
            else:
                looks.append(in_photo(latents[None], tuple(shown.view.steps))[0])
    return np.stack(looks)


def _make_film(shown: Shown, name: str) -> bytes:
    source = GENERATED if shown.sitter is None else COMPOSITE
    xmp = write_marks(None, Marks(shown.recipe, source))
    return animation_bytes(name, _squares(shown, FILM_FRAMES), xmp=xmp)


def _make_latent(shown: Shown, name: str) -> bytes:
    origin = {
        "model": shown.editor.name,
        "generator_hash": shown.editor.generator_hash,
        "space": shown.editor.space,
        "recipe": json.loads(shown.recipe),
    }
    return latents_bytes(latent_of(shown.editor, shown.view, shown.sitter), origin)


def _make_recipe(shown: Shown, name: str) -> bytes:
    return (shown.recipe + "\n").encode()


def _marked(name: str, pixels: UInt8Array, recipe: str, source: str) -> bytes:
    like = Photograph(pixels)
    return photograph_bytes(name, pixels, like, recipe=recipe, source_type=source)[0]


_MAKERS: dict[str, Callable[[Shown, str], bytes]] = {
    "picture": _make_picture,
    "jpeg": _make_picture,
    "strip": _make_strip,
    "animation": _make_film,
    "video": _make_film,
    "latent": _make_latent,
    "recipe": _make_recipe,
}
