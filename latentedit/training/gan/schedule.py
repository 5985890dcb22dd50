"""When to grow: a schedule in thousands of images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from latentedit.errors import LatentEditError


@dataclass(frozen=True)
class Phase:
    """What the schedule says at one moment.

    Attributes:
        resolution: edge of the pictures now.
        alpha: weight of the newest block; 1 when it has faded in.
        age: images since the newest block began to fade in; infinite if it is the first. Phases of
            different ages are equal.
    """

    resolution: int
    alpha: float
    age: float = field(default=math.inf, compare=False)


@dataclass(frozen=True)
class Schedule:
    """Growing as in Karras et al. 2018: a stable phase, a fade to the next resolution, and so on.

    Attributes:
        start: first resolution.
        final: last resolution; it stays until training ends.
        stable: thousands of images of each stable phase, from `start` on; the last value repeats.
        fade: thousands of images of each fade, likewise.
    """

    start: int
    final: int
    stable: tuple[float, ...]
    fade: tuple[float, ...]

    def __post_init__(self) -> None:
        edges = (self.start, self.final)
        if self.start > self.final or self.start < 4 or any(edge & (edge - 1) for edge in edges):
            raise LatentEditError(
                f"cannot grow from {self.start} to {self.final}: give powers of two from 4"
            )
        phases = (*self.stable, *self.fade)
        if not self.stable or not self.fade or not all(0 <= kimg < math.inf for kimg in phases):
            raise LatentEditError("stable_kimg and fade_kimg: give thousands of images, 0 or more")

    @property
    def kimg(self) -> float:
        """Thousands of images until the last resolution has faded in."""
        growths = (self.final // self.start).bit_length() - 1
        return sum(
            lengths[min(index, len(lengths) - 1)]
            for lengths in (self.stable, self.fade)
            for index in range(growths)
        )

    def at(self, images: int) -> Phase:
        """Return the phase after `images` images."""
        left, resolution, index, age = images / 1000, self.start, 0, math.inf
        while resolution < self.final:
            left -= self.stable[min(index, len(self.stable) - 1)]
            if left < 0:
                return Phase(resolution, 1.0, age)
            resolution *= 2
            age = left * 1000
            fade = self.fade[min(index, len(self.fade) - 1)]
            if left < fade:
                return Phase(resolution, left / fade, age)
            left -= fade
            index += 1
        return Phase(resolution, 1.0, age)
