"""Drawn faces whose edits are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SIZE = 256


def draw(
    *, mouth: float = 0.0, shade: float = 0.0, ground: tuple[int, int, int] = (70, 90, 110)
) -> NDArray[np.uint8]:
    """A head in FFHQ's place, with a mouth that opens and cheeks that darken."""
    zoom = 2
    picture = Image.new("RGB", (SIZE * zoom, SIZE * zoom), ground)
    pen = ImageDraw.Draw(picture)

    def oval(x: float, y: float, rx: float, ry: float, colour: tuple[int, int, int]) -> None:
        box = ((x - rx), (y - ry), (x + rx), (y + ry))
        pen.ellipse([share * SIZE * zoom for share in box], fill=colour)

    skin = tuple(round(value * (1 - shade)) for value in (205, 165, 140))
    oval(0.5, 0.45, 0.33, 0.4, (60, 40, 30))
    oval(0.5, 0.53, 0.24, 0.34, (skin[0], skin[1], skin[2]))
    for x in (0.375, 0.625):
        oval(x, 0.47, 0.05, 0.025, (240, 235, 230))
        oval(x, 0.47, 0.02, 0.022, (60, 40, 30))
    oval(0.5, 0.72, 0.09, 0.015 + mouth, (150, 60, 60))
    if mouth:
        oval(0.5, 0.72, 0.07, mouth, (245, 240, 235))
    small = picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.array(small.filter(ImageFilter.GaussianBlur(0.7)))
