"""Films from before to after and back: GIF and MP4."""

from __future__ import annotations

from latentedit.editing.outputs.base import Asked, Edited, Output
from latentedit.io.animations import check_animation, save_animation
from latentedit.io.images import in_srgb
from latentedit.photos.marks import write_marks

EDGES = {".gif": 720, ".mp4": 1080}
"""Largest longer edge of a film in pixels. A GIF grows fast; every player shows such an MP4."""


def check(asked: Asked) -> None:
    """Refuse a video where the package that writes it is missing."""
    check_animation(asked.path)


def save(edited: Edited, asked: Asked) -> list[str]:
    """Draw the film and write it."""
    frames = edited.film(EDGES[asked.ending], alone=asked.alone)
    for index, frame in enumerate(frames):
        frames[index] = in_srgb(frame, edited.icc)
    xmp = write_marks(None, edited.marks)
    width, height = save_animation(asked.path, frames, xmp=xmp)
    return [f"the film is {width} x {height} pixels, {len(frames)} frames there and back"]


FILMS = Output("films", tuple(EDGES), check, save, moves=True)
