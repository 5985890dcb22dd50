"""Calibrations: what a step along a boundary's direction does to an average face."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentedit.errors import LatentEditError


@dataclass(frozen=True)
class Calibration:
    """What a step along one attribute does to an average face, with the attribute's auto holds.

    Values lie on straight lines between knots, as in isotonic regression, and are flat beyond them.

    Attributes:
        steps: M >= 2 knots, increasing, in steps of an edit; 0 is an unedited face.
        probabilities: expected probability of the attribute at each knot, never decreasing.
        years: expected change of the estimated age at each knot; None without an age estimator.

    Raises:
        LatentEditError: knots that do not fit together.
    """

    steps: tuple[float, ...]
    probabilities: tuple[float, ...]
    years: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        steps, probabilities = np.array(self.steps, float), np.array(self.probabilities, float)
        years = np.zeros(len(steps)) if self.years is None else np.array(self.years, float)
        if (
            len(steps) < 2
            or not len(steps) == len(probabilities) == len(years)
            or not np.isfinite((steps, probabilities, years)).all()
            or not (np.diff(steps) > 0).all()
            or not (np.diff(probabilities) >= 0).all()
            or not (probabilities[0] >= 0 and probabilities[-1] <= 1)
        ):
            raise LatentEditError("a calibration is damaged: measure the boundaries again")

    def probability(self, step: float) -> float:
        """Expected probability of the attribute after `step`, 0 to 1.

        Raises:
            LatentEditError: `step` is NaN.
        """
        _check(step)
        return float(np.interp(step, self.steps, self.probabilities))

    def step(self, probability: float) -> float:
        """Return the step nearest to 0 after which `probability` is expected.

        For a probability that is out of reach, it is the outermost knot on that side.

        Raises:
            LatentEditError: `probability` is NaN.
        """
        _check(probability)
        knots, heights = np.array(self.steps), np.array(self.probabilities)
        goal = float(np.clip(probability, heights[0], heights[-1]))
        first, last = np.flatnonzero(heights >= goal)[0], np.flatnonzero(heights <= goal)[-1]
        if last < first:  # between two knots
            return float(np.interp(goal, heights[[last, first]], knots[[last, first]]))
        return float(np.clip(0.0, knots[first], knots[last]))  # on one knot, or on a flat part

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it."""
        years = None if self.years is None else list(self.years)
        return {
            "steps": list(self.steps),
            "probabilities": list(self.probabilities),
            "years": years,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Read what `as_dict` gave.

        Raises:
            LatentEditError, KeyError, TypeError, ValueError: it is something else.
        """
        years = values["years"]
        return cls(
            steps=tuple(float(step) for step in values["steps"]),
            probabilities=tuple(float(p) for p in values["probabilities"]),
            years=None if years is None else tuple(float(year) for year in years),
        )


def _check(number: float) -> None:
    if math.isnan(number):
        raise LatentEditError("NaN is no step and no probability: give a number")
