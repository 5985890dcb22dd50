"""Pictures: the film strip of faces, the photo, or the edited faces alone."""

from __future__ import annotations

from latentedit.editing.outputs.base import Asked, Edited, Output
from latentedit.errors import LatentEditError
from latentedit.io.images import sheet
from latentedit.photos.photograph import marked_format, save_marked

DRAWN = (".png", ".jpg", ".jpeg", ".webp")
"""What strips and faces are saved in; photos stay what they are."""


def check(asked: Asked) -> None:
    """Refuse frames of a single picture, and photos' formats for what is drawn."""
    if asked.alone and asked.frames is not None:
        raise LatentEditError(
            "--frames is for strips and films: leave out --face-only, or end the name in .gif"
        )
    if asked.whole_photo:
        marked_format(asked.path)
    elif asked.ending not in DRAWN:
        raise LatentEditError(f"cannot save {asked.path}: end its name in {' or '.join(DRAWN)}")


def save(edited: Edited, asked: Asked) -> list[str]:
    """Draw and write."""
    if not asked.alone:
        return edited.save_picture(asked)
    save_marked(asked.path, sheet(edited.faces()), edited.marks, icc=edited.icc)
    return []


PICTURES = Output("pictures", (*DRAWN, ".tif", ".tiff", ".avif", ".heic", ".heif"), check, save)
