"""Steps and other values by attribute, as users give them: checked, under canonical names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from latentedit.attributes import find_side
from latentedit.boundaries.model import Boundaries
from latentedit.errors import LatentEditError

MAX_STEP = 1000.0
"""Largest step or distance; z lies on a sphere of radius 22.6, so this is far beyond all faces."""

Value = TypeVar("Value")

Step = float | tuple[float, ...]
"""How far an edit goes, in standard deviations of the latents: one for all faces, or one a face."""


def read_number(value: Any, label: str, low: float = -MAX_STEP, high: float = MAX_STEP) -> float:
    """Return a number as a float.

    Args:
        value: any real number.
        label: what it is, for the message.
        low, high: the least and the greatest that it can be.

    Raises:
        LatentEditError: no number, or one out of range.
    """
    number: Any = value if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if low <= number <= high:
        return float(number)
    raise LatentEditError(
        f"{label} cannot be {value!r}: give a number from {low:.10g} to {high:.10g}"
    )


def step_by_face(step: Step, count: int) -> NDArray[np.float64]:
    """Return a step as float64 [count]: one number counts for all faces.

    Raises:
        LatentEditError: several numbers, for another number of faces.
    """
    if isinstance(step, tuple) and len(step) != count:
        raise LatentEditError(f"the recipe has steps for {len(step)} faces, {count} are given")
    return np.broadcast_to(np.asarray(step, np.float64), count).copy()


def read_step(value: Any, label: str) -> Step:
    """Return a step as a number, or several as a tuple of numbers; see `read_number`."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(read_number(each, label) for each in value)
    return read_number(value, label)


def with_sides(boundaries: Boundaries, values: Mapping[str, Value]) -> dict[str, tuple[Value, int]]:
    """Return by canonical name each value, and the side (1 or -1) that its given name means.

    Raises:
        LatentEditError: an unknown name, or an attribute that is named twice.
    """
    found: dict[str, tuple[Value, int]] = {}
    for name, value in values.items():
        if not isinstance(name, str):
            raise LatentEditError(f"{name!r} is not the name of an attribute")
        known, side = find_side(name, boundaries.names)
        if known in found:
            raise LatentEditError(f"{known} is named twice: name it once")
        found[known] = value, side
    return found


def by_known_name(boundaries: Boundaries, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the same values under canonical names; see `with_sides`."""
    return {name: value for name, (value, _) in with_sides(boundaries, values).items()}


def read_moves(boundaries: Boundaries, values: Mapping[str, Any]) -> dict[str, Step]:
    """Return steps by attribute; one towards ``older`` is against Young.

    Args:
        boundaries: known names.
        values: by name, one number or one a face.

    Raises:
        LatentEditError: see `with_sides` and `read_number`.
    """
    moves: dict[str, Step] = {}
    for name, (value, side) in with_sides(boundaries, values).items():
        step = read_step(value, f"step of {name}")
        if side < 0:
            step = tuple(-each for each in step) if isinstance(step, tuple) else -step
        moves[name] = step
    return moves


def clamp(boundaries: Boundaries, steps: Mapping[str, Step]) -> tuple[dict[str, Step], list[str]]:
    """Keep steps within their attributes' safe ranges.

    Args:
        boundaries: with safe ranges, or the default one.
        steps: by attribute, one number or one a face.

    Returns:
        The steps, and one sentence for each attribute whose steps were cut short.

    Raises:
        LatentEditError: see `read_moves`.
    """
    clamped: dict[str, Step] = {}
    notices = []
    for name, step in read_moves(boundaries, steps).items():
        low, high = boundaries.safe_range(name)
        wanted = np.atleast_1d(step)
        short = np.clip(wanted, low, high)
        beyond = int((short != wanted).sum())
        clamped[name] = tuple(short.tolist()) if isinstance(step, tuple) else float(short[0])
        if beyond:
            faces = f" for {beyond} of {len(wanted)} faces" if len(wanted) > 1 else ""
            notices.append(
                f"{name} stops at the end of its safe range, {low:+g} to {high:+g}{faces}"
            )
    return clamped, notices
