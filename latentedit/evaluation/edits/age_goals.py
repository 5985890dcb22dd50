"""What a step along Young should reach, and the search for the step that comes closest.

The steps are shares of the safe range; together they are the *frontier* of years against identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from latentedit.evaluation.figures.slides import AGE_CHANGE

WANTED = {
    "years": {"built_in": 22.0, "independent": AGE_CHANGE},
    "person": {"within": 0.6},
    "kept": {"Male": 0.95, "Smiling": 0.9, "Eyeglasses": 0.95},
}
"""What a default step should reach: years by both estimators, the share of faces whose two ends
dlib takes for one person, and the share of faces that keep each attribute. Figures that are not
measured do not count."""

SHARES = (0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
"""Shares of the safe range at which the frontier is measured first."""

HALVINGS = 2
"""Further shares of the frontier, each halfway between the best one and its better neighbour."""


def missed(figures: Mapping[str, Any]) -> list[str]:
    """Return the names of figures below `WANTED`, such as ``years built_in``."""
    return [name for name, share in _reached(figures) if share < 1]


def shortfall(figures: Mapping[str, Any]) -> float:
    """Return how far figures fall short of `WANTED`: the sum of each goal's missing share."""
    return sum(max(0.0, 1 - share) for _, share in _reached(figures))


def _reached(figures: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the name of each measured figure of `WANTED`, and the share of its goal it reaches.

    Years count with their sign here: ages that only scatter are not ageing.
    """
    for kind, least in WANTED.items():
        for name, value in least.items():
            found = figures.get(kind, {}).get(name)
            if isinstance(found, Mapping):
                found = found["same" if kind == "person" else "signed"]
            if found is not None:
                yield f"{kind} {name}", found / value


def trace_frontier(point: Callable[[float], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points of the frontier, the shortest steps first.

    Args:
        point: a share of the safe range -> its figures, and the ``share``.
    """
    frontier = [point(share) for share in SHARES]
    for _ in range(HALVINGS):
        at = best(frontier)
        # where all goals are reached, a shorter step may reach them too
        sides = (at - 1, at + 1) if at == 0 or shortfall(frontier[at]) else (at - 1,)
        neighbours = [frontier[row] for row in sides if 0 <= row < len(frontier)]
        better = min(neighbours, key=shortfall)
        frontier.append(point((frontier[at]["share"] + better["share"]) / 2))
        frontier.sort(key=lambda each: each["share"])
    return frontier


def best(frontier: Sequence[Mapping[str, Any]]) -> int:
    """Return the index of the point with the least `shortfall`, the first of equal ones.

    If some points reach all goals, this is the one with the shortest step. More than a goal counts
    no extra. With both age estimators, years count twice.
    """
    return int(np.argmin([shortfall(point) for point in frontier]))
