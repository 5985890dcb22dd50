"""Building blocks of generators that draw wavelets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOPE = 0.2
"""Slope of every leaky ReLU."""


def inverse_haar(x: Tensor) -> Tensor:
    """Turn four bands into pictures of twice the edge: [N, 4 C, H, W] -> [N, C, 2 H, 2 W].

    The first C channels are the mean. After them come three differences for each channel: down,
    across and both.
    """
    channels = x.shape[1] // 4
    mean = x[:, :channels]
    down, across, both = x[:, channels:].unflatten(1, (channels, 3)).unbind(2)
    upper, lower = mean + down, mean - down
    left, right = across + both, across - both
    quarters = torch.stack((upper + left, upper - left, lower + right, lower - right), 1) / 2
    count, _, _, height, width = quarters.shape
    pixels = quarters.view(count, 2, 2, channels, height, width).permute(0, 4, 1, 5, 2, 3)
    # stays in channels_last memory; F.pixel_shuffle would not
    return pixels.reshape(count, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


class Modulation(nn.Linear):
    """w [N, S] -> a scale for each channel, [N, C, 1, 1]."""

    def forward(self, w: Tensor) -> Tensor:
        return super().forward(w)[:, :, None, None]
