"""Building blocks of generators that draw wavelets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
"""Of every leaky ReLU."""


def inverse_haar(x: Tensor) -> Tensor:
    """Four bands to pictures of twice the edge: [N, 4 C, H, W] -> [N, C, 2 H, 2 W].

    The first C channels are the mean; then follow each channel's differences down, across and
    both.
    """
    channels = x.shape[1] // 4
    mean = x[:, :channels]
    down, across, both = x[:, channels:].unflatten(1, (channels, 3)).unbind(2)
    upper, lower = mean + down, mean - down
    left, right = across + both, across - both
    quarters = (upper + left, upper - left, lower + right, lower - right)
    return F.pixel_shuffle(torch.stack(quarters, 2).flatten(1, 2) / 2, 2)


class Modulation(nn.Linear):
    """w [N, S] -> a scale for each channel, [N, C, 1, 1]."""

    def forward(self, w: Tensor) -> Tensor:
        return super().forward(w)[:, :, None, None]
