"""Drawn faces that dlib's detector takes for faces, with the places of their eyes known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

_ZOOM = 3
SKINS = ((205, 165, 140), (150, 110, 85), (225, 190, 170), (110, 80, 60))


def draw_portrait(
    size: tuple[int, int] = (250, 250),
    centre: tuple[float, float] = (125.0, 125.0),
    eyes: float = 40.0,
    *,
    angle: float = 0.0,
    skin: tuple[int, int, int] = SKINS[0],
    ground: tuple[int, int, int] = (70, 90, 110),
) -> NDArray[np.uint8]:
    """Draw a frontal face: `centre` between the eyes, which are `eyes` pixels apart.

    Args:
        size: width and height.
        angle: degrees, counter-clockwise.

    Returns:
        uint8 [H, W, 3].
    """
    width, height, unit = size[0] * _ZOOM, size[1] * _ZOOM, eyes * _ZOOM
    middle = (centre[0] * _ZOOM, centre[1] * _ZOOM)
    picture = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(picture)

    def oval(x: float, y: float, rx: float, ry: float, colour: tuple[int, ...]) -> None:
        left, top = middle[0] + (x - rx) * unit, middle[1] + (y - ry) * unit
        draw.ellipse((left, top, left + 2 * rx * unit, top + 2 * ry * unit), fill=colour)

    def shade(factor: float) -> tuple[int, ...]:
        return tuple(min(255, int(value * factor)) for value in skin)

    oval(0, 0.25, 1.25, 1.65, (50, 35, 25))  # hair
    oval(0, 1.9, 0.55, 0.9, shade(0.8))  # neck
    oval(0, 0.45, 1.0, 1.38, skin)
    for side in (-1, 1):
        oval(0.5 * side, 0.02, 0.30, 0.20, shade(0.78))
        oval(0.5 * side, 0.03, 0.21, 0.10, (240, 235, 230))
        oval(0.5 * side, 0.03, 0.10, 0.10, (60, 40, 30))
        oval(0.5 * side, -0.27, 0.30, 0.06, (60, 40, 30))
        oval(0.55 * side, 0.65, 0.28, 0.2, shade(1.06))
    oval(0, 0.35, 0.1, 0.42, shade(1.08))  # nose
    oval(0, 0.70, 0.20, 0.10, shade(0.8))
    for side in (-1, 1):
        oval(0.1 * side, 0.72, 0.06, 0.035, shade(0.4))
    oval(0, 1.10, 0.38, 0.12, (150, 70, 70))  # mouth
    oval(0, 1.09, 0.34, 0.025, (90, 35, 35))
    oval(0, 1.33, 0.25, 0.05, shade(0.85))
    picture = picture.rotate(
        angle, center=middle, resample=Image.Resampling.BICUBIC, fillcolor=ground
    )
    small = picture.resize(size, Image.Resampling.LANCZOS)
    return np.array(small.filter(ImageFilter.GaussianBlur(eyes / 40)))
