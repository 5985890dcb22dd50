"""The progressive generator behind a mapping network: small faces, used in W or in Z.

It is a student of a larger generator (`training.gan.teacher`). It has the teacher's own mapping
from z to w, so a seed gives about the same face in both. The blocks of Karras et al. 2018 draw
whitened w. All layers take the same latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators.base import LatentSpace, at_size
from latentedit.generators.mapped import MappedGenerator, check_psi
from latentedit.generators.progressive import FirstBlock, Generator, GeneratorConfig


@dataclass(frozen=True)
class ProgressiveWConfig:
    """Shape and use of a `ProgressiveW`.

    Attributes:
        resolution: edge of the pictures, see `GeneratorConfig`.
        fmap_base: see `GeneratorConfig`.
        fmap_max: see `GeneratorConfig`.
        mapping: lengths of the vectors along the mapping network, from z to w.
        space: the latent space that the generator is used in, ``w`` or ``z``.
        truncation: psi; samples are moved towards the mean: ``mean + psi * (w - mean)``.
        smooths: see `GeneratorConfig`.
    """

    resolution: int = 128
    fmap_base: int = 2048
    fmap_max: int = 256
    mapping: tuple[int, ...] = (512,) * 9
    space: Literal["w", "z"] = "w"
    truncation: float = 0.7
    smooths: bool = False

    def __post_init__(self) -> None:
        if self.space not in ("w", "z"):
            raise LatentEditError(f"no latent space {self.space!r}: give w or z")
        check_psi(self.truncation)
        if len(self.mapping) < 2:
            raise LatentEditError("a mapping network has one layer or more: give two sizes or more")
        _ = self.painter  # refuses impossible shapes

    @property
    def painter(self) -> GeneratorConfig:
        """Configuration of the blocks that draw."""
        return GeneratorConfig(
            self.resolution,
            self.mapping[-1],
            fmap_base=self.fmap_base,
            fmap_max=self.fmap_max,
            normalises=False,
            smooths=self.smooths,
        )

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the final resolution."""
        return self.painter.resolutions


class ProgressiveW(MappedGenerator):
    """w [N, S], or z [N, Z] -> images [N, 3, R, R], about [-1, 1].

    Attributes:
        mapping: the linear layers from z to w.
        mean: the mean of w, [S].
        whitening: [S, S]; the entries of ``(w - mean) @ whitening`` have a mean variance of 1.
        painter: draws whitened w.
    """

    kind: ClassVar[str] = "progressive-w"
    config_type: ClassVar[type] = ProgressiveWConfig
    config: ProgressiveWConfig
    whitening: Tensor

    def __init__(self, config: ProgressiveWConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ProgressiveWConfig()
        style = config.mapping[-1]
        self.mapping = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(config.mapping))
        self.register_buffer("mean", torch.zeros(style))
        self.register_buffer("whitening", torch.eye(style))
        self.painter = Generator(config.painter)

    @property
    def spaces(self) -> tuple[LatentSpace, ...]:
        """W and Z."""
        return LatentSpace("w", self.config.mapping[-1]), LatentSpace("z", self.config.mapping[0])

    @property
    def largest_layer(self) -> int:
        """Values in the largest of its blocks' features, for one face."""
        return self.painter.largest_layer

    def first_weights(self) -> Tensor:
        """In Z return the mapping's first layer; in W that of the blocks times the whitening."""
        if self.config.space == "z":
            return cast(nn.Linear, self.mapping[0]).weight
        return cast(FirstBlock, self.painter.blocks[0]).dense.weight @ self.whitening.T

    def whitened(self, latents: Tensor) -> Tensor:
        """Latents [N, D] of the config's space -> whitened w [N, S], which the painter draws."""
        w = self.truncate(self.map(latents)) if self.config.space == "z" else latents
        return (w - self.mean) @ self.whitening

    def synthesize(self, latents: Tensor, size: int | None = None) -> Tensor:
        """See `FaceGenerator.synthesize`."""
        self.source_of(size or self.resolution)
        return at_size(self.grow(latents, self.resolution), size)

    def forward(
        self,
        latents: Tensor,
        size: int | None = None,
        *,
        resolution: int | None = None,
        alpha: float = 1.0,
    ) -> Tensor:
        """Render; while the network grows, with the blocks in use: see `Generator.forward`."""
        if resolution is None and alpha == 1:
            return self.synthesize(latents, size)
        return self.grow(latents, resolution or self.resolution, alpha)

    def grow(self, latents: Tensor, resolution: int, alpha: float = 1.0) -> Tensor:
        """Render latents [N, D] by the blocks up to a resolution; see `forward`."""
        return self.painter.grow(self.whitened(latents), resolution, alpha)


Growing = Generator | ProgressiveW
"""A generator that progressive training can make."""
