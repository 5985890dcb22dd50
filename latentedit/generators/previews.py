"""Heads that draw small pictures from a generator's early features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators.wavelets import SLOPE, Modulation, inverse_haar


@dataclass(frozen=True)
class PreviewHeadsConfig:
    """Shape of `PreviewHeads`.

    Attributes:
        sizes: edges of the previews in pixels, increasing.
        channels: channels of the features that each preview is drawn from, half as large as it.
        style: length of w.
        hidden: channels of the depthwise convolutions.
        depth: number of depthwise convolutions.
    """

    sizes: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    style: int = 512
    hidden: int = 64
    depth: int = 3

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.channels) or list(self.sizes) != sorted({*self.sizes}):
            raise LatentEditError("previews need increasing sizes, each with its channels")


class PreviewHeads(nn.ModuleDict):
    """A generator's preview heads, by size."""

    def __init__(self, config: PreviewHeadsConfig) -> None:
        super().__init__()
        self.config = config
        for size, channels in zip(config.sizes, config.channels, strict=True):
            self[str(size)] = PreviewHead(channels, config.style, config.hidden, config.depth)

    def head(self, size: int) -> PreviewHead:
        """Return the head that draws this size."""
        return cast(PreviewHead, self[str(size)])


class PreviewHead(nn.Module):
    """Draws the whole picture at a smaller size, from the features of an early block.

    Features [N, C, s, s] and w [N, S] -> pictures [N, 3, 2s, 2s].
    `latentedit.training.previews` trains it from the generator alone, because the generator's own
    layers for smaller sizes were not published.

    Args:
        channels: C.
        style: length of w.
        hidden: channels of its depthwise convolutions.
        depth: number of depthwise convolutions.
    """

    scale: Tensor

    def __init__(self, channels: int, style: int, hidden: int = 64, depth: int = 3) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(1, channels, 1, 1))
        self.modulation = _neutral(style, channels)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.steps = nn.ModuleList(PreviewStep(hidden, style) for _ in range(depth))
        self.last = _neutral(style, hidden)
        self.out = nn.Conv2d(hidden, 12, 1)
        nn.init.zeros_(self.out.weight)
        self.straight = nn.Conv2d(channels, 12, 1)
        nn.init.normal_(self.straight.weight, std=0.3 / channels**0.5)

    def scale_to(self, features: Tensor) -> None:
        """Scale each channel to a mean square of 1 on example features [N, C, s, s]."""
        power = features.square().mean((0, 2, 3)).clamp_min(1e-8)
        self.scale.copy_(power.rsqrt().view(1, -1, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = x * (self.modulation(w) * self.scale)
        y = F.leaky_relu(self.squeeze(x), SLOPE)
        for step in self.steps:
            y = step(y, w)
        return inverse_haar(self.out(y * self.last(w)) + self.straight(x))


class PreviewStep(nn.Module):
    """A residual, depthwise separable convolution whose input is scaled by w."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.modulation = _neutral(style, channels)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        y = F.leaky_relu(self.depthwise(x * self.modulation(w)), SLOPE)
        return F.leaky_relu(self.pointwise(y) + x, SLOPE)


def _neutral(style: int, channels: int) -> Modulation:
    """Return a modulation that hardly changes its input before it is trained."""
    modulation = Modulation(style, channels)
    nn.init.normal_(modulation.weight, std=0.002)
    nn.init.ones_(modulation.bias)
    return modulation
