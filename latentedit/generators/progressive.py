"""The progressive generator of Karras et al. 2018: z -> image, grown by resolution."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator, LatentSpace, at_size
from latentedit.generators.layers import (
    EqualizedConv2d,
    EqualizedLinear,
    Smooth,
    UpsampleConv2d,
    normalized_leaky_relu,
    pixel_norm,
)
from latentedit.io.resampling import upsample


@dataclass(frozen=True)
class GeneratorConfig:
    """Shape of a `Generator`; the published one has resolution 1024, fmap_base 8192, fmap_max 512.

    Attributes:
        resolution: edge of the final picture, a power of two >= 4.
        latent_dim: length of z.
        fmap_base: channels at resolution r are ``min(2 * fmap_base / r, fmap_max)``.
        fmap_max: most channels anywhere.
        widths: channels at 4, 8, ... instead of that formula, for converted networks that do not
            follow it.
        bias_per_pixel: the first layer has a bias for each of its 4x4 pixels instead of one per
            channel, as in pytorch_GAN_zoo.
        normalises: latents are pixel-normalised first, so only their direction matters.
        smooths: features are smoothed after each doubling (Karras et al. 2019, sec. 2).
    """

    resolution: int = 64
    latent_dim: int = 512
    fmap_base: int = 1024
    fmap_max: int = 128
    widths: tuple[int, ...] | None = None
    bias_per_pixel: bool = False
    normalises: bool = True
    smooths: bool = False

    def __post_init__(self) -> None:
        if self.resolution < 4 or self.resolution & (self.resolution - 1):
            raise LatentEditError(f"resolution {self.resolution} is not a power of two >= 4")
        if self.widths is not None and len(self.widths) != len(self.resolutions):
            raise LatentEditError(
                f"{len(self.widths)} widths do not fit a generator of {self.resolution} pixels"
            )
        if min(self.channels(resolution) for resolution in self.resolutions) < 1:
            raise LatentEditError(
                f"no channels are left at {self.resolution} pixels: raise fmap_base or fmap_max"
            )

    def channels(self, resolution: int) -> int:
        """Feature maps at `resolution`."""
        if self.widths is not None:
            return self.widths[self.resolutions.index(resolution)]
        return min(2 * self.fmap_base // resolution, self.fmap_max)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the final resolution."""
        return tuple(2**i for i in range(2, self.resolution.bit_length()))


MOST_PSI = 2
"""Largest psi. Above it faces hardly change: normalisation removes the scale again."""


class FirstBlock(nn.Module):
    """z [N, L] -> features [N, C, 4, 4]."""

    def __init__(
        self, latent_dim: int, channels: int, *, bias_per_pixel: bool, normalises: bool
    ) -> None:
        super().__init__()
        self.normalises = normalises
        # the published gain: there the layer is a 4x4 convolution of a picture of one pixel
        self.dense = EqualizedLinear(latent_dim, channels * 16, gain=math.sqrt(2) / 4, bias=False)
        size = 4 if bias_per_pixel else 1
        self.bias = nn.Parameter(torch.zeros(channels, size, size))
        self.conv = EqualizedConv2d(channels, channels, 3)

    def forward(self, z: Tensor) -> Tensor:
        x = pixel_norm(z) if self.normalises else z
        x = self.dense(x).view(len(z), -1, 4, 4) + self.bias
        x = x.contiguous(memory_format=torch.channels_last)
        x = normalized_leaky_relu(x)
        return normalized_leaky_relu(self.conv(x))


class GrowBlock(nn.Module):
    """Features [N, I, r, r] -> [N, O, 2r, 2r]."""

    def __init__(self, inputs: int, outputs: int, *, smooths: bool = False) -> None:
        super().__init__()
        self.conv0 = UpsampleConv2d(inputs, outputs, 3)
        self.smooth = Smooth() if smooths else nn.Identity()
        self.conv1 = EqualizedConv2d(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = normalized_leaky_relu(self.smooth(self.conv0(x)))
        return normalized_leaky_relu(self.conv1(x))


class Generator(FaceGenerator):
    """z [N, latent_dim] -> images [N, 3, R, R], about [-1, 1].

    z is pixel-normalised inside, so only its direction matters, unless the config says otherwise.
    """

    kind: ClassVar[str] = "progressive"
    config_type: ClassVar[type] = GeneratorConfig
    most_psi: ClassVar[float] = MOST_PSI
    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GeneratorConfig()
        widths = [config.channels(resolution) for resolution in config.resolutions]
        self.blocks = nn.ModuleList(
            [
                FirstBlock(
                    config.latent_dim,
                    widths[0],
                    bias_per_pixel=config.bias_per_pixel,
                    normalises=config.normalises,
                )
            ]
        )
        self.blocks.extend(GrowBlock(a, b, smooths=config.smooths) for a, b in pairwise(widths))
        self.to_rgb = nn.ModuleList(EqualizedConv2d(width, 3, 1, gain=1.0) for width in widths)

    @property
    def scales_latents(self) -> bool:
        """Whether z is pixel-normalised first."""
        return self.config.normalises

    @property
    def resolution(self) -> int:
        """Edge of the final pictures in pixels."""
        return self.config.resolution

    @property
    def spaces(self) -> tuple[LatentSpace, ...]:
        """Z alone."""
        return (LatentSpace("z", self.config.latent_dim),)

    @property
    def largest_layer(self) -> int:
        """Values in the largest of its blocks' features, for one face."""
        return max(self.config.channels(edge) * edge**2 for edge in self.config.resolutions)

    def first_weights(self) -> Tensor:
        """Return the dense layer's weights, [16 C, D]."""
        return cast(FirstBlock, self.blocks[0]).dense.weight

    def early_features(self, latents: Tensor) -> Tensor:
        """Return the first block's output, [N, 16 C]."""
        return cast(Tensor, self.blocks[0](latents)).flatten(1)

    def synthesize(self, latents: Tensor, size: int | None = None) -> Tensor:
        """See `FaceGenerator.synthesize`."""
        self.source_of(size or self.resolution)
        return at_size(self.grow(latents, self.resolution), size)

    def forward(
        self,
        z: Tensor,
        size: int | None = None,
        *,
        resolution: int | None = None,
        alpha: float = 1.0,
    ) -> Tensor:
        """Render; while the network grows, with the blocks that are in use.

        Args:
            z: float [N, latent_dim].
            size: see `FaceGenerator.synthesize`.
            resolution: stop growing here, and render at this size.
            alpha: weight of the newest block while it fades in (sec. 2), 0 to 1.

        Returns:
            float [N, 3, R, R].
        """
        if resolution is None and alpha == 1:
            return self.synthesize(z, size)
        return self.grow(z, resolution or self.resolution, alpha)

    def grow(self, z: Tensor, resolution: int, alpha: float = 1.0) -> Tensor:
        """Render z [N, latent_dim] by the blocks up to a resolution; see `forward`."""
        last = self.config.resolutions.index(resolution)
        x = before = self.blocks[0](z)
        for block in self.blocks[1 : last + 1]:
            x, before = block(x), x
        images = self.to_rgb[last](x)
        if alpha < 1 and last:
            images = torch.lerp(upsample(self.to_rgb[last - 1](before)), images, alpha)
        return images

    def truncated(self, psi: float) -> Generator:
        """Return a copy that draws more typical faces (psi below 1) or more varied ones (above 1).

        This is the truncation trick (Karras et al. 2019, app. B) for a generator without w. The
        output of the first layer is scaled by `psi` around its mean over all z, which is the
        layer's bias. Averaging weights over training shrinks this layer, because the noise of the
        training steps averages out. So an averaged generator may vary more like the data at a psi
        above 1.

        Args:
            psi: 0 to `MOST_PSI`. 0 gives one face for every z, 1 changes nothing.

        Raises:
            LatentEditError: `psi` is out of range.
        """
        if not 0 <= psi <= MOST_PSI:
            raise LatentEditError(f"truncation {psi} is out of range: give 0 to {MOST_PSI}")
        generator = copy.deepcopy(self)
        first = generator.blocks[0]
        assert isinstance(first, FirstBlock)
        with torch.no_grad():
            first.dense.weight.mul_(psi)
        return generator
