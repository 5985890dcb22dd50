"""Choosing faces to label: at random, or half of them where a quick fit is least sure. No torch.

This is uncertainty sampling (Lewis and Gale 1994, "A sequential algorithm for training text
classifiers") on a pool of candidates, mixed with random faces. The random faces tell how common
each kind is, and find faces that the fit does not know about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from latentedit.boundaries.finder import BoundaryFinder
from latentedit.boundaries.whitening import Float64Array, Whitening

BLOCK = 10
"""Faces that are chosen together. They are chosen a block early, so there is time to draw them."""

START = 50
"""Random faces to answer before a quick fit first takes part in choosing."""

LEAST = 2
"""Fewest answers of each kind, yes and no, that a quick fit needs."""

_AT_ONCE = 250
"""Candidates that are sampled together."""

RANDOM, NEAR = "random", "near"
"""How a face was chosen: at random, or near the boundary of a quick fit."""


@dataclass(frozen=True)
class Answer:
    """A user's answer about a face.

    Attributes:
        seed: of the face.
        value: whether the face has the attribute; None where nobody can tell.
        chosen: `RANDOM` or `NEAR`.
    """

    seed: int
    value: bool | None
    chosen: str = RANDOM


@dataclass(frozen=True)
class Face:
    """A face to be shown: its seed, and how it was chosen."""

    seed: int
    chosen: str


class Chooser:
    """Chooses faces to label, the same ones for the same answers.

    Args:
        sample: seeds -> latents [N, D].
        at_random: seeds that are shown in this order.
        candidates: other seeds; faces near the boundary are taken from them.
        whitening: coordinates to fit in; None for z.
        active: False chooses all faces at random.
    """

    def __init__(
        self,
        sample: Callable[[Sequence[int]], NDArray[np.float32]],
        at_random: range,
        candidates: range,
        *,
        whitening: Whitening | None = None,
        active: bool = True,
    ) -> None:
        self._sample = sample
        self._at_random = at_random
        self._candidates = candidates
        self._whitening = whitening
        self._active = active
        self._known: dict[int, Float64Array] = {}
        self._field: list[Float64Array] = []
        self._blocks: dict[tuple[tuple[Answer, ...], frozenset[int]], list[Face]] = {}

    def upcoming(self, answers: Sequence[Answer]) -> list[Face]:
        """Return the faces to show next, in order: the rest of this block, then the next block.

        The choice of a block uses the answers to all earlier blocks but the one just before it.
        """
        start = len(answers) // BLOCK * BLOCK
        used = {answer.seed for answer in answers[:start]}
        given = {answer.seed for answer in answers}
        faces: list[Face] = []
        for first in (start, start + BLOCK):
            block = self._block(answers[: max(0, first - BLOCK)], first, used)
            used |= {face.seed for face in block}
            faces += [face for face in block if face.seed not in given]
        return faces

    def prepare(self) -> bool:
        """Sample some more candidates; return False where all are sampled, or none are needed.

        The first choice near the boundary samples those that are left, and so takes longer.
        """
        rest = self._candidates[len(self._field) * _AT_ONCE :]
        if not rest or not self._active:
            return False
        self._field.append(self._whitened(self._sample(rest[:_AT_ONCE])))
        return True

    def _block(self, answers: Sequence[Answer], first: int, used: set[int]) -> list[Face]:
        key = tuple(answers), frozenset(used)
        if key not in self._blocks:
            for old in list(self._blocks)[:-3]:
                del self._blocks[old]
            self._blocks[key] = self._choose(answers, first, used)
        return self._blocks[key]

    def _choose(self, answers: Sequence[Answer], first: int, used: set[int]) -> list[Face]:
        fits = self._active and first >= START
        near = self._near(answers, used, BLOCK // 2) if fits else []
        free = (seed for seed in self._at_random if seed not in used)
        seeds = list(islice(free, BLOCK - len(near)))
        mixed = [Face(seed, RANDOM) for seed in seeds]
        for place, seed in enumerate(near):
            mixed.insert(2 * place + 1, Face(seed, NEAR))
        return mixed

    def _near(self, answers: Sequence[Answer], used: set[int], count: int) -> list[int]:
        """Return unused candidates, those nearest to the middle between both kinds of answers."""
        sure = [answer for answer in answers if answer.value is not None]
        has = np.array([answer.value for answer in sure], dtype=bool)
        if min(has.sum(), (~has).sum()) < LEAST or not self._candidates:
            return []
        rows = self._coordinates([answer.seed for answer in sure])
        normal = BoundaryFinder().fit(rows, has).normal_
        along = rows @ normal
        middle = (along[has].mean() + along[~has].mean()) / 2
        while self.prepare():
            pass
        found = np.concatenate([part @ normal for part in self._field])
        order = np.argsort(np.abs(found - middle), kind="stable")
        free = (self._candidates[place] for place in order)
        return list(islice((seed for seed in free if seed not in used), count))

    def _coordinates(self, seeds: Sequence[int]) -> Float64Array:
        if new := [seed for seed in seeds if seed not in self._known]:
            self._known.update(zip(new, self._whitened(self._sample(new)), strict=True))
        return np.stack([self._known[seed] for seed in seeds])

    def _whitened(self, latents: NDArray[np.float32]) -> Float64Array:
        if self._whitening is None:
            return latents.astype(np.float64)
        return self._whitening.coordinates(latents)
