"""Latents with a row for each layer: which layers an edit moves, and their mean. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentedit.errors import LatentEditError


def layer_numbers(layers: Sequence[int]) -> tuple[int, ...]:
    """Return numbers of layers, each once, the lowest first.

    Raises:
        LatentEditError: none, or something else than whole numbers from 0.
    """
    for number in layers:
        if not isinstance(number, Integral) or isinstance(number, bool) or number < 0:
            raise LatentEditError(f"a layer cannot be {number!r}: give numbers from 0")
    if not len(layers):
        raise LatentEditError("no layer is named: name some, or leave them out for all")
    return tuple(sorted({int(number) for number in layers}))


def check_layers(layers: Sequence[int] | None, count: int) -> None:
    """Refuse layers that a generator does not have.

    Args:
        layers: numbers from 0, or None for all.
        count: number of its layers; 1 where all share a latent.

    Raises:
        LatentEditError: a layer that is not there, or all layers share a latent.
    """
    if layers is None:
        return
    if count == 1:
        raise LatentEditError(
            "this generator has no layers to name, one latent is for all: leave layers out"
        )
    if (highest := layer_numbers(layers)[-1]) >= count:
        raise LatentEditError(f"layer {highest} is out of range: give 0 to {count - 1}")


def mean_over_layers(z: ArrayLike, layers: Sequence[int] | None = None) -> NDArray[Any]:
    """Return the latents that distances are measured for: [N, D] as it is, [N, L, D] -> [N, D].

    Args:
        z: float [N, D] or [N, L, D].
        layers: those to look at; all by default.

    Returns:
        float64 where layers are averaged.
    """
    latents = np.asarray(z)
    if latents.ndim < 3:
        return latents
    chosen = latents if layers is None else latents[:, layer_numbers(layers)]
    return np.asarray(chosen.mean(1, dtype=np.float64))
