"""Films from before to after and back: GIF and MP4."""

from __future__ import annotations

from latentedit.editing.outputs.base import Asked, Edited, Output
from latentedit.io.animations import check_animation, save_animation
from latentedit.io.images import in_srgb
from latentedit.photos.marks import write_marks

EDGES = {".gif": 720, ".mp4": 1080}
"""Longer edge of a film in pixels, at most: a GIF grows fast, and every player shows the other."""


def check(asked: Asked) -> None:
    """Refuse videos without what writes them."""
    check_animation(asked.path)


def save(edited: Edited, asked: Asked) -> list[str]:
    """Draw and write."""
    frames = edited.film(EDGES[asked.ending], alone=asked.alone)
    for index, frame in enumerate(frames):
        frames[index] = in_srgb(frame, edited.icc)
    xmp = write_marks(None, edited.marks)
    width, height = save_animation(asked.path, frames, xmp=xmp)
    return [f"the film is {width} x {height} pixels, {len(frames)} frames there and back"]


FILMS = Output("films", tuple(EDGES), check, save, moves=True)
