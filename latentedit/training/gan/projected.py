"""The projected discriminator of Sauer et al. 2021, on a frozen classifier's stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from latentedit.generators.layers import minibatch_stddev


class ProjectedDiscriminator(nn.Module):
    """Small heads on randomly mixed, frozen features; one score map for each stage.

    Cross-channel mixing (1x1 convolutions) and cross-scale mixing (3x3 convolutions, top down) keep
    their random weights (sec. 3.2 of the paper); only the heads learn.

    Args:
        widths: channels of the frozen network's stages, finest first, each half as large.
        channels: width of the mixed features.
    """

    def __init__(self, widths: Sequence[int], channels: int = 64) -> None:
        super().__init__()
        self.mix_channels = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.mix_scales = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1) for _ in widths)
        for mixing in (*self.mix_channels, *self.mix_scales):
            assert isinstance(mixing, nn.Conv2d)
            nn.init.kaiming_normal_(mixing.weight, nonlinearity="linear")
            nn.init.zeros_(mixing.bias)  # type: ignore[arg-type]
            mixing.requires_grad_(False)
        self.heads = nn.ModuleList(
            _Head(channels, halvings=max(0, len(widths) - 2 - index))
            for index in range(len(widths))
        )

    def mix(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Stages [N, widths[i], r / 2^i, r / 2^i] -> mixed features [N, channels, same]."""
        maps = [mix(stage) for mix, stage in zip(self.mix_channels, stages, strict=True)]
        mixed: list[Tensor] = []
        above: Tensor | None = None
        for mix, stage in zip(reversed(self.mix_scales), reversed(maps), strict=True):
            x = mix(stage)
            if above is not None:
                x = x + F.interpolate(above, size=x.shape[-2:], mode="nearest")
            mixed.append(x)
            above = x
        return tuple(reversed(mixed))

    def forward(self, features: tuple[Tensor, ...]) -> list[Tensor]:
        """Mixed features -> one score map [N, 1, h, w] for each stage."""
        return [head(map) for head, map in zip(self.heads, features, strict=True)]


class _Head(nn.Module):
    """Mixed features [N, C, h, w] -> a score map; also sees how much the batch's features vary."""

    def __init__(self, channels: int, halvings: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(halvings):
            layers += [spectral_norm(nn.Conv2d(channels, channels, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.reduce = nn.Sequential(*layers)
        self.last = nn.Sequential(
            spectral_norm(nn.Conv2d(channels + 1, channels, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(channels, 1, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.last(minibatch_stddev(self.reduce(x)))
