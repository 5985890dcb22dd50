"""Base of generators with a mapping network: spaces Z and W, truncation, one latent per layer."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.base import FaceGenerator, LatentSpace
from latentedit.generators.layers import pixel_norm

MAPPING_SLOPE = 0.2
"""Slope of the mapping network's leaky ReLUs."""

MAPPING_GAIN = 2**0.5
"""Factor after every layer of the mapping network."""


def check_psi(psi: float) -> None:
    """Refuse a truncation that is not a number from 0 (the mean face) to 1 (no truncation).

    Raises:
        LatentEditError: `psi` is not such a number.
    """
    if not isinstance(psi, int | float | np.floating) or not 0 <= psi <= 1:
        raise LatentEditError(f"truncation psi {psi} is out of range: give 0 to 1")


class MappedGenerator(FaceGenerator):
    """Base of generators that map z to w (Karras et al. 2019); used in Z or in W.

    The config has the `space`, the `truncation` and the number of `layers` that take one latent
    each.

    Attributes:
        mapping: the linear layers from z to w.
        mean: the mean of w, [D].
    """

    mapping: nn.ModuleList
    mean: Tensor

    @property
    def space(self) -> LatentSpace:
        """The config's space."""
        return self._space(self.config.space)

    def _space(self, name: str) -> LatentSpace:
        return next(space for space in self.spaces if space.name == name)

    @property
    def resolution(self) -> int:
        """Edge of the pictures in pixels."""
        return self.config.resolution

    @property
    def scales_latents(self) -> bool:
        """Whether it is used in z, which is pixel-normalised first."""
        return bool(self.config.space == "z")

    @property
    def truncation(self) -> float:
        """The config's psi."""
        return self.config.truncation

    def in_space(self, name: str) -> Self:
        """Return this generator, used in W or Z; the weights are shared.

        Raises:
            LatentEditError: it has no space of this name.
        """
        known = name in {space.name for space in self.spaces}
        return self._with(space=name) if known else super().in_space(name)

    def truncated(self, psi: float) -> Self:
        """Return this generator with another psi, 0 to 1; the weights are shared."""
        check_psi(psi)
        return self._with(truncation=float(psi))

    def _with(self, **changes: Any) -> Self:
        other = copy.copy(self)
        other.config = replace(self.config, **changes)
        return other

    def early_features(self, latents: Tensor) -> Tensor:
        """Return w, [N, D]."""
        return self.map(latents) if self.config.space == "z" else latents

    def map(self, z: Tensor) -> Tensor:
        """z [N, Z] -> w [N, D], not truncated."""
        w = pixel_norm(z)
        for layer in self.mapping:
            w = F.leaky_relu(layer(w), MAPPING_SLOPE) * MAPPING_GAIN
        return w

    def truncate(self, w: Tensor) -> Tensor:
        """Move w [N, D] towards the mean by the config's psi (Karras et al. 2019, appendix B)."""
        return torch.lerp(self.mean.to(w), w, self.config.truncation)

    def sample(self, seeds: Iterable[int]) -> latents.FloatArray:
        """Return one latent of the config's space per seed, float32 [N, D].

        A seed's z is that of `latents.sample`; in W it is mapped and truncated, one seed at a time,
        so that a seed gives the same row alone and in a batch.

        Raises:
            LatentEditError: a seed out of range.
        """
        z = latents.sample(seeds, self._space("z").dim)
        return z if self.config.space == "z" else self.to_w(z)

    def to_w(self, z: latents.FloatArray) -> latents.FloatArray:
        """Map and truncate z, float32 [N, Z] of any length -> w, float32 [N, D]."""
        with torch.inference_mode():
            rows = torch.from_numpy(z).to(self.mean.device).split(1)
            w = [self.truncate(self.map(row)).float().cpu().numpy() for row in rows]
        return np.concatenate(w) if w else np.empty((0, self._space("w").dim), np.float32)

    def styles(self, latents: Tensor) -> Tensor:
        """Latents of the config's space -> w+ [N, L, D].

        z [N, Z] is pixel-normalised, mapped and truncated. w, [N, D] or [N, L, D], is not changed.
        """
        if self.config.space == "z":
            latents = self.truncate(self.map(latents))
        if latents.ndim == 2:
            latents = latents[:, None].expand(-1, self.config.layers, -1)
        return latents
