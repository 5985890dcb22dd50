"""Fields: pictures and masks on a face's aligned square as float32, and functions for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]

Window = tuple[slice, slice]

COARSE = 256
"""Edge in pixels of the pictures on which masks are made."""

FACE = (0.33, 0.8), (0.28, 0.72)
"""Rows from the brows to the chin, and columns from cheek to cheek, in shares of the edge."""

LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""Weights of red, green and blue in grey."""


def window(shares: tuple[tuple[float, float], tuple[float, float]], size: int) -> Window:
    """Return the rows and columns of a picture that lie between shares of its edge."""
    (top, bottom), (left, right) = shares
    return (
        slice(round(top * size), round(bottom * size)),
        slice(round(left * size), round(right * size)),
    )


def smoothstep(values: Field, low: float | Field, high: float | Field) -> Field:
    """Return 0 up to `low`, 1 from `high` on, and smooth values between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def resized(values: Field, size: int) -> Field:
    """Return a field, float32 [S, S, C], at another size, antialiased."""
    if size == len(values):
        return values
    planes = [
        np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BOX))
        if len(values) % size == 0
        else np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC))
        for plane in np.ascontiguousarray(np.moveaxis(values, 2, 0))
    ]
    return np.stack(planes, axis=2)


def enlarged(values: Field, size: int) -> Field:
    """Return a smooth field, float32 [s, s] or [s, s, C], at a larger size."""
    if values.ndim == 3:
        return np.stack([enlarged(plane, size) for plane in np.moveaxis(values, 2, 0)], axis=2)
    plane = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR))
