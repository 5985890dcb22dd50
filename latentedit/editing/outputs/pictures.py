"""Pictures: the film strip of faces, the photo, or the edited faces alone."""

from __future__ import annotations

from latentedit.editing.outputs.base import Asked, Edited, Output
from latentedit.errors import LatentEditError
from latentedit.io.images import sheet
from latentedit.photos.photograph import marked_format, save_marked

DRAWN = (".png", ".jpg", ".jpeg", ".webp")
"""Endings for strips and for faces alone. A whole photo may keep another format of its own."""


def check(asked: Asked) -> None:
    """Refuse frames with faces alone, and photos' own formats for strips and faces alone."""
    if asked.alone and asked.frames is not None:
        raise LatentEditError(
            "--frames is for strips and films: leave out --face-only, or end the name in .gif"
        )
    if asked.whole_photo:
        marked_format(asked.path)
    elif asked.ending not in DRAWN:
        raise LatentEditError(f"cannot save {asked.path}: end its name in {' or '.join(DRAWN)}")


def save(edited: Edited, asked: Asked) -> list[str]:
    """Draw the picture and write it."""
    if not asked.alone:
        return edited.save_picture(asked)
    save_marked(asked.path, sheet(edited.faces()), edited.marks, icc=edited.icc)
    return []


PICTURES = Output("pictures", (*DRAWN, ".tif", ".tiff", ".avif", ".heic", ".heif"), check, save)
