"""Methods: how one finds a direction for an attribute, and what it may look at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit import defaults
from latentedit.boundaries.model import Boundaries
from latentedit.io.folders import ResumableFolder

if TYPE_CHECKING:
    from latentedit.editing.editor import FaceEditor

Float64Array = NDArray[np.float64]

REACH = 8.0
"""Longest step that is tried along a direction, in standard deviations of the model's latents."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Latents whose faces the classifier scored. Some methods learn from these samples.

    Attributes:
        latents: float32 [R, D].
        logits: float32 [R, K].
        name: where they came from, for the report and for names of files.
    """

    latents: NDArray[np.float32]
    logits: NDArray[np.float32]
    name: str

    @cached_property
    def mean(self) -> Float64Array:
        """Mean of the latents, [D]."""
        return self.latents.mean(0, dtype=np.float64)

    @cached_property
    def covariance(self) -> Float64Array:
        """Covariance of the latents, [D, D]."""
        return np.asarray(np.cov(self.latents.astype(np.float64), rowvar=False, bias=True))

    def spread(self, rows: Float64Array) -> Float64Array:
        """Return the standard deviation of the latents' products with rows: [..., D] -> [...]."""
        return np.asarray(np.sqrt(((rows @ self.covariance) * rows).sum(-1)))

    @cached_property
    def correlations(self) -> Float64Array:
        """Pearson's correlations of the logits, [K, K]; 0 for one that never varies."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.nan_to_num(np.corrcoef(self.logits.astype(np.float64), rowvar=False))


@dataclass(frozen=True, eq=False)
class Material:
    """What a method may look at.

    Attributes:
        editor: generator and judges.
        boundaries: linear boundaries of the attributes.
        reference: scored latents.
        folder: keeps what a method sees of faces that it renders.
        seeds: faces that methods may try directions on; they are compared on other faces.
        size: edge of the pictures that the judges look at.
    """

    editor: FaceEditor
    boundaries: Boundaries
    reference: Reference
    folder: ResumableFolder
    seeds: range
    size: int

    def column(self, attribute: str) -> int:
        """Return an attribute's column among the classifier's outputs."""
        return self.editor.attributes.index(attribute)

    @cached_property
    def _exact(self) -> FaceEditor:
        return self.editor.with_precision(defaults.PRECISION)

    def editor_for(self, move: Float64Array) -> FaceEditor:
        """Return the editor that draws latents after a move.

        To move one channel, its layer's latent changes a lot, and the changes cancel in all other
        channels. They cancel only in float32. So moves [L, D] are drawn in float32.
        """
        return self._exact if move.ndim == 2 else self.editor

    def scaled(self, direction: Float64Array) -> Float64Array:
        """Scale a direction [D] of latents to one standard deviation of the reference along it."""
        unit = direction / np.linalg.norm(direction)
        return np.asarray(unit * self.reference.spread(unit))


@dataclass(frozen=True, eq=False)
class Found:
    """A direction that a method found for an attribute.

    Attributes:
        move: what a step of 1 adds to latents, float64 [D], or [L, D] with one for each layer; it
            leads towards faces with the attribute.
        note: what was chosen, in a few words.
        reach: the longest step that is tried.
    """

    move: Float64Array
    note: str = ""
    reach: float = REACH


Find = Callable[[Material, str], Found]
"""(material, attribute) -> direction.

Raises:
    LatentEditError: the method cannot be used with this model, or for this attribute.
"""


@dataclass(frozen=True)
class Method:
    """A way to edit an attribute.

    Attributes:
        name: what options and files call it.
        title: what tables call it.
        source: paper and equation.
        find: finds its direction.
        published: whether it is a method of others, which ours is compared with.
    """

    name: str
    title: str
    source: str
    find: Find
    published: bool = True


def moved(
    latents: NDArray[np.float32], move: Float64Array, steps: ArrayLike
) -> NDArray[np.float32]:
    """Return latents after steps along a move.

    Args:
        latents: float32 [N, D].
        move: what a step of 1 adds, [D] or [L, D].
        steps: one for all faces [1], or one for each face [N].

    Returns:
        float32 [N, D], or [N, L, D].
    """
    lengths = np.asarray(steps, np.float64)
    if move.ndim == 1:
        return (latents + lengths[:, None] * move).astype(np.float32)
    return (latents[:, None] + lengths[:, None, None] * move).astype(np.float32)


def digest(*parts: object) -> str:
    """Return 16 hex digits that stand for arrays, numbers and texts."""
    found = hashlib.sha256()
    for part in parts:
        array = isinstance(part, np.ndarray)
        found.update(np.ascontiguousarray(part).tobytes() if array else repr(part).encode())
        found.update(b"|")
    return found.hexdigest()[:16]
