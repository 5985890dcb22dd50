"""StyleGAN2's generator (Karras et al. 2020, the skip architecture), for inference.

Every scale is folded into the weights and the noise is fixed, so a latent always gives the same
picture. `latentedit.checkpoints.stylegan2` reads trained weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators.base import LatentSpace, at_size
from latentedit.generators.mapped import MappedGenerator, check_psi


@dataclass(frozen=True)
class StyleGAN2Config:
    """Shape and use of a `StyleGAN2Generator`.

    Attributes:
        widths: channels at 4, 8, ...; their number gives the resolution.
        mapping: lengths of the vectors along the mapping network, from z to w.
        space: the latent space that the generator is called with, ``z`` or ``w``.
        truncation: psi; w is moved towards the mean: ``mean + psi * (w - mean)``. 1 changes
            nothing, less gives more typical faces. In W space it acts on
            `StyleGAN2Generator.sample` only: a given w is rendered as it is.
    """

    widths: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64, 32)
    mapping: tuple[int, ...] = (512,) * 9
    space: Literal["z", "w"] = "z"
    truncation: float = 1.0

    def __post_init__(self) -> None:
        if self.space not in ("z", "w"):
            raise LatentEditError(f"no latent space {self.space!r}: give z or w")
        check_psi(self.truncation)
        if not self.widths or len(self.mapping) < 2:
            raise LatentEditError("a StyleGAN2 needs at least one resolution and one mapping layer")

    @property
    def resolution(self) -> int:
        """Edge of the picture in pixels."""
        return int(4 * 2 ** (len(self.widths) - 1))

    @property
    def latent_dim(self) -> int:
        """Length of a latent in the space that is used."""
        return self.mapping[0] if self.space == "z" else self.mapping[-1]

    @property
    def layers(self) -> int:
        """Layers with a latent each: one at 4 pixels, two per block, and the last colours."""
        return 2 * len(self.widths)


class ModulatedConv2d(nn.Module):
    """Convolution whose input channels are scaled by a style (sec. 2.2, equations 1 to 3).

    The `weight` is [O, I, k, k]. With `upsample` it is the kernel of a transposed convolution of
    stride 2; the filter [1, 3, 3, 1] follows.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style: int,
        *,
        demodulate: bool = True,
        upsample: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel * kernel)
        )
        self.style = nn.Linear(style, inputs)
        self.demodulate = demodulate
        self.upsample = upsample

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.style(w)  # [N, I]
        x = x * styles[:, :, None, None]
        if self.upsample:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = smooth(x, gain=4)
        else:
            x = F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
        if self.demodulate:
            power = styles.square() @ self.weight.square().sum((2, 3)).T  # [N, O]
            x = x * torch.rsqrt(power + 1e-8)[:, :, None, None]
        return x


class StyledLayer(nn.Module):
    """Modulated convolution, fixed noise, bias, leaky ReLU times sqrt(2)."""

    def __init__(
        self, inputs: int, outputs: int, style: int, size: int, *, upsample: bool = False
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style, upsample=upsample)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise", torch.zeros(1, 1, size, size))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.conv(x, w) + self.noise + self.bias[:, None, None]
        return F.leaky_relu(x, 0.2) * math.sqrt(2)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, without demodulation."""

    def __init__(self, inputs: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, 3, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.conv(x, w) + self.bias[:, None, None]


class StyleGAN2Generator(MappedGenerator):
    """Latents of the config's space -> images [N, 3, R, R], about [-1, 1].

    In W space latents are [N, D], or [N, L, D] with one latent per layer (W+): the first for the
    layer at 4 pixels, two for each block, the last for the last colours. A block's colours take the
    latent of the layer that follows the block.
    """

    kind: ClassVar[str] = "stylegan2"
    config_type: ClassVar[type] = StyleGAN2Config
    config: StyleGAN2Config

    def __init__(self, config: StyleGAN2Config | None = None) -> None:
        super().__init__()
        self.config = config = config or StyleGAN2Config()
        style = config.mapping[-1]
        self.mapping = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(config.mapping))
        self.register_buffer("mean", torch.zeros(style))
        first = config.widths[0]
        self.const = nn.Parameter(torch.randn(1, first, 4, 4))
        self.layers = nn.ModuleList([StyledLayer(first, first, style, 4)])
        for block, (a, b) in enumerate(pairwise(config.widths), start=1):
            self.layers.append(StyledLayer(a, b, style, 4 * 2**block, upsample=True))
            self.layers.append(StyledLayer(b, b, style, 4 * 2**block))
        self.to_rgb = nn.ModuleList(ToRGB(width, style) for width in config.widths)

    @property
    def spaces(self) -> tuple[LatentSpace, ...]:
        """Z, and W, also with one latent per layer (W+)."""
        mapping = self.config.mapping
        return LatentSpace("z", mapping[0]), LatentSpace("w", mapping[-1], self.config.layers)

    @property
    def largest_layer(self) -> int:
        """Values in the largest of its layers' features, for one face."""
        return max(width * (4 * 2**block) ** 2 for block, width in enumerate(self.config.widths))

    def first_weights(self) -> Tensor:
        """In Z return the mapping's first layer; in W the style weights of all layers, stacked."""
        if self.config.space == "z":
            return cast(nn.Linear, self.mapping[0]).weight
        layers = cast(Iterable[StyledLayer], self.layers)
        return torch.cat([layer.conv.style.weight for layer in layers])

    def synthesize(self, latents: Tensor, size: int | None = None) -> Tensor:
        """See `FaceGenerator.synthesize`."""
        self.source_of(size or self.resolution)
        w = self.styles(latents).unbind(1)
        x = self.layers[0](self.const.expand(len(latents), -1, -1, -1), w[0])
        images = self.to_rgb[0](x, w[1])
        for block in range(1, len(self.to_rgb)):
            number = 2 * block
            x = self.layers[number](self.layers[number - 1](x, w[number - 1]), w[number])
            images = enlarge(images) + self.to_rgb[block](x, w[number + 1])
        return at_size(images, size)


_TAPS = (1.0, 3.0, 3.0, 1.0)


def smooth(x: Tensor, gain: float = 1.0) -> Tensor:
    """Filter [N, C, H, W] with [1, 3, 3, 1] in both directions -> [N, C, H - 1, W - 1]."""
    taps = torch.tensor(_TAPS, dtype=x.dtype, device=x.device) * (math.sqrt(gain) / 8)
    channels = x.shape[1]
    column = taps.view(1, 1, 4, 1).expand(channels, 1, 4, 1)
    x = F.conv2d(x, column, padding=(1, 0), groups=channels)
    return F.conv2d(x, column.transpose(2, 3), padding=(0, 1), groups=channels)


def enlarge(images: Tensor) -> Tensor:
    """Double the edges of [N, C, H, W] with the filter [1, 3, 3, 1]."""
    taps = torch.tensor(_TAPS, dtype=images.dtype, device=images.device) / 4
    channels = images.shape[1]
    kernel = torch.outer(taps, taps).expand(channels, 1, 4, 4)
    return F.conv_transpose2d(images, kernel, stride=2, padding=1, groups=channels)
