"""What users take home: pictures, animations, latents and recipes, as bytes in memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from latentedit import defaults
from latentedit.demo.recipes import latent_of, recipe_json, recipe_of
from latentedit.demo.session import View
from latentedit.editing.editor import FaceEditor
from latentedit.editing.strips import EditStrip, edit_strip, save_strip
from latentedit.errors import LatentEditError
from latentedit.generators.latents import save_latents
from latentedit.io.animations import save_animation
from latentedit.io.images import RECIPE_KEY, UInt8Array, save_image

FILM_FRAMES = 9
"""Frames from the original to the edit, in the film on the page and in the animation."""

TYPES = {
    "picture": ("", ".png", "image/png"),
    "strip": ("-strip", ".png", "image/png"),
    "animation": ("-film", ".gif", "image/gif"),
    "video": ("-film", ".mp4", "video/mp4"),
    "latent": ("-latent", ".safetensors", "application/octet-stream"),
    "recipe": ("-recipe", ".json", "application/json"),
}
"""What there is to take home: what its file name ends in, and its media type."""


@dataclass(frozen=True)
class File:
    """A file to hand over: its name, media type and content."""

    name: str
    type: str
    content: bytes


def take(editor: FaceEditor, view: View, what: str) -> File:
    """Make one of `TYPES` for a view.

    Raises:
        LatentEditError: no such thing, or a way is to be shown of a face that did not move.
    """
    if what not in TYPES:
        raise LatentEditError(f"there is no such thing to take home: choose {', '.join(TYPES)}")
    tag, ending, media_type = TYPES[what]
    stem = f"face-{view.seed}{'-edited' if view.steps else ''}{tag}"
    with tempfile.TemporaryDirectory(prefix="latentedit-") as folder:
        path = Path(folder) / f"file{ending}"
        _WRITERS[what](editor, view, path)
        return File(stem + ending, media_type, path.read_bytes())


def film(editor: FaceEditor, view: View, frames: int = FILM_FRAMES) -> UInt8Array:
    """Return the way from the original to the edit, uint8 [frames, H, W, 3].

    Raises:
        LatentEditError: no slider is moved.
    """
    return _strip(editor, view, frames).images[0]


def _strip(editor: FaceEditor, view: View, frames: int = defaults.FRAMES) -> EditStrip:
    if not view.steps:
        raise LatentEditError("nothing has moved yet: move a slider first")
    recipe = replace(recipe_of(editor, view), frames=frames)
    return edit_strip(editor, editor.sample([view.seed]), recipe)


def _write_picture(editor: FaceEditor, view: View, path: Path) -> None:
    image = editor.render(latent_of(editor, view))[0]
    save_image(path, image, metadata={RECIPE_KEY: recipe_json(editor, view)})


def _write_strip(editor: FaceEditor, view: View, path: Path) -> None:
    save_strip(path, _strip(editor, view))


def _write_animation(editor: FaceEditor, view: View, path: Path) -> None:
    save_animation(path, film(editor, view))


def _write_latent(editor: FaceEditor, view: View, path: Path) -> None:
    origin = {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "space": editor.space,
        "recipe": json.loads(recipe_json(editor, view)),
    }
    save_latents(path, latent_of(editor, view), origin)


def _write_recipe(editor: FaceEditor, view: View, path: Path) -> None:
    path.write_text(recipe_json(editor, view) + "\n", encoding="utf-8")


_WRITERS: dict[str, Callable[[FaceEditor, View, Path], None]] = {
    "picture": _write_picture,
    "strip": _write_strip,
    "animation": _write_animation,
    "video": _write_animation,
    "latent": _write_latent,
    "recipe": _write_recipe,
}
