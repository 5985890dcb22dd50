"""Traces of faces whose logits follow a step linearly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit.evaluation.edits.traces import Trace

STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
NAMES = ("a", "b", "c")


def make_trace(
    slopes: NDArray[np.float64], faces: int = 200, name: str = "a", **arrays: Any
) -> Trace:
    """Faces whose logits are normal numbers and follow a step linearly."""
    logits = np.random.RandomState(0).standard_normal((faces, 1, len(slopes)))
    moved = logits + np.array(STEPS)[None, :, None] * slopes
    shape = (faces, len(STEPS))
    parts = {
        "years": np.broadcast_to(-5 * np.array(STEPS), shape),
        "identity": 1 - np.abs(np.broadcast_to(STEPS, shape)) / 10,
        "dlib": np.full(shape, np.nan),
        "strangeness": np.zeros(shape),
        **arrays,
    }
    return Trace(
        name,
        {},
        np.array(STEPS),
        moved.astype(np.float32),
        **{key: np.asarray(value, np.float32) for key, value in parts.items()},
    )
