"""The progressive discriminator of Karras et al. 2018, the generator's mirror image."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.generators.layers import (
    DownsampleConv2d,
    EqualizedConv2d,
    EqualizedLinear,
    minibatch_stddev,
)
from latentedit.generators.progressive import GeneratorConfig
from latentedit.io.resampling import downsample, resize


class ShrinkBlock(nn.Module):
    """Features [N, I, r, r] -> [N, O, r / 2, r / 2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = EqualizedConv2d(inputs, inputs, 3)
        self.conv1 = DownsampleConv2d(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv0(x), 0.2)
        return F.leaky_relu(self.conv1(x), 0.2)


class LastBlock(nn.Module):
    """Features [N, C, 4, 4] -> scores [N]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(channels + 1, channels, 3)
        self.dense0 = EqualizedLinear(channels * 16, channels)
        self.dense1 = EqualizedLinear(channels, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv(minibatch_stddev(x)), 0.2)
        x = F.leaky_relu(self.dense0(x.flatten(1)), 0.2)
        return self.dense1(x).flatten()


class Discriminator(nn.Module):
    """Images [N, 3, r, r] -> scores [N], for every resolution r of the config.

    Args:
        config: resolution and widths; may be narrower than the generator's.
        hidden: edge in pixels; from larger pictures, all that a picture of this size could show is
            taken away. So colours and shapes are left to a teacher's pictures, and detail, which is
            faint, is seen from the first steps on. 0 hides nothing.
    """

    def __init__(self, config: GeneratorConfig, *, hidden: int = 0) -> None:
        super().__init__()
        self.config, self.hidden = config, hidden
        widths = [config.channels(resolution) for resolution in config.resolutions]
        self.from_rgb = nn.ModuleList(EqualizedConv2d(3, width, 1) for width in widths)
        self.blocks = nn.ModuleList([LastBlock(widths[0])])
        self.blocks.extend(ShrinkBlock(b, a) for a, b in pairwise(widths))

    def forward(self, images: Tensor, *, alpha: float = 1.0) -> Tensor:
        """Return the scores.

        Args:
            images: float [N, 3, r, r] in [-1, 1].
            alpha: weight of the newest block while it fades in, 0 to 1.
        """
        last = self.config.resolutions.index(images.shape[-1])
        if 0 < self.hidden < images.shape[-1]:
            images = _detail(images, images.shape[-1] // self.hidden)
        x = F.leaky_relu(self.from_rgb[last](images), 0.2)
        for index in range(last, -1, -1):
            x = self.blocks[index](x)
            if index == last and alpha < 1 and last:
                small = F.leaky_relu(self.from_rgb[last - 1](downsample(images)), 0.2)
                x = torch.lerp(small, x, alpha)
        return x


def _detail(images: Tensor, factor: int) -> Tensor:
    """Take away what pictures show that are `factor` times as small."""
    return images - resize(downsample(images.float(), factor), images.shape[-1])
