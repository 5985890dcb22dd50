"""Pictures and masks on a face's aligned square as float32 fields, and what is done with all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]

COARSE = 256
"""Edge in pixels of the pictures on which masks are made."""

FACE = (0.33, 0.8), (0.28, 0.72)
"""Rows and columns between brows, chin and cheeks, in shares of the edge."""

LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""What red, green and blue give to a grey."""


def smoothstep(values: Field, low: float | Field, high: float | Field) -> Field:
    """0 up to `low`, 1 from `high` on, and smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def resized(values: Field, size: int) -> Field:
    """float32 [S, S, C] at another size, antialiased."""
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
    """A smooth field, float32 [s, s] or [s, s, C], at a larger size."""
    if values.ndim == 3:
        return np.stack([enlarged(plane, size) for plane in np.moveaxis(values, 2, 0)], axis=2)
    plane = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR))
