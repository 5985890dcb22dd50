"""Modes: names of kinds of holds, and what each kind holds for an attribute."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from latentedit import defaults
from latentedit.boundaries.model import Boundaries
from latentedit.errors import LatentEditError

MODES = defaults.EFFECT_MODES
"""Kinds of holds that can be compared."""

ALWAYS = "auto"
"""The one of `MODES` that is always measured: safe ranges and calibrations are its."""


def find_modes(names: Iterable[str]) -> tuple[str, ...]:
    """Return kinds of holds by their names, in the order of `MODES`, with `ALWAYS`.

    Raises:
        LatentEditError: there is no such kind.
    """
    chosen = {name.strip() for name in names} | {ALWAYS}
    if unknown := chosen - {*MODES}:
        raise LatentEditError(
            f"no kind of holds {min(unknown)!r} can be compared: choose from {', '.join(MODES)}"
        )
    return tuple(mode for mode in MODES if mode in chosen)


def mode_holds(boundaries: Boundaries, attribute: str, mode: str) -> dict[str, float]:
    """Return {name: discount}, the holds of one of `MODES` for an attribute."""
    if mode in ("one", "two"):
        return similar_holds(boundaries, attribute, 1 if mode == "one" else 2)
    if mode == "all":
        return {name: 1.0 for name in boundaries.names if name != attribute}
    return dict(boundaries.auto.get(attribute, {})) if mode == "auto" else {}


def similar_holds(boundaries: Boundaries, attribute: str, count: int) -> dict[str, float]:
    """Hold fully the `count` boundaries with the largest absolute cosine to an attribute's."""
    row = boundaries.index(attribute)
    cosines = np.abs(boundaries.normals @ boundaries.normals[row])
    order = [int(i) for i in np.argsort(-cosines, kind="stable") if i != row]
    return {boundaries.names[i]: 1.0 for i in order[:count]}
