"""The portrait frame, pixel by pixel: where the face lies, distances, and random fields."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from PIL import Image

from latentedit.io.images import UInt8Array

Degradation = Callable[[UInt8Array, float, RandomState], UInt8Array]
"""Portrait uint8 [S, S, 3], strength 0 to 1, random numbers -> portrait uint8 [S, S, 3]."""

Floats = NDArray[np.float64]

FACE_CENTRE, FACE_AXES = (0.5, 0.58), (0.26, 0.35)
"""Ellipse of the face in the portrait frame: centre and half axes, in shares of its edge."""


def grid(size: int) -> tuple[Floats, Floats]:
    """Rows and columns of the pixels' centres, in shares of the edge: [S, 1] and [1, S]."""
    places = (np.arange(size) + 0.5) / size
    return places[:, None], places[None]


def along(size: int, angle: float, shift: float) -> Floats:
    """Return the signed distance [S, S] of every pixel from a line, in shares of the edge.

    The line lies at `shift` from the face's centre; `angle` is the direction across the line.
    """
    y, x = grid(size)
    dx, dy = x - FACE_CENTRE[0], y - FACE_CENTRE[1]
    return np.asarray(math.cos(angle) * dx + math.sin(angle) * dy + shift)


def soft_ellipse(
    size: int, centre: tuple[float, float], axes: tuple[float, float], softness: float
) -> Floats:
    """Return 1 inside an ellipse and 0 outside, [S, S], changing over `softness` of its size."""
    y, x = grid(size)
    distance = np.hypot((x - centre[0]) / axes[0], (y - centre[1]) / axes[1])
    return np.asarray(1 / (1 + np.exp((distance - 1) / softness)))


def face_mask(size: int) -> NDArray[np.bool_]:
    """Pixels of the portrait frame on the mean face, bool [size, size]."""
    y, x = grid(size)
    return np.asarray(
        np.square((x - FACE_CENTRE[0]) / FACE_AXES[0])
        + np.square((y - FACE_CENTRE[1]) / FACE_AXES[1])
        < 1
    )


def smooth_field(size: int, cells: int, random: RandomState) -> Floats:
    """Return a smooth random field [S, S] with mean 0 and standard deviation 1.

    It is interpolated between random numbers, `cells` along each edge.
    """
    coarse = random.standard_normal((cells, cells)).astype(np.float32)
    fine = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    field = np.array(fine, np.float64)
    return np.asarray((field - field.mean()) / max(field.std(), 1e-6))


def uint8(values: Floats) -> UInt8Array:
    """Round and limit to bytes."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
