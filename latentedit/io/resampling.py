"""Pictures as tensors, made larger and smaller."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def upsample(images: Tensor, times: int = 2) -> Tensor:
    """Nearest-neighbour enlargement by a whole factor."""
    return images if times == 1 else F.interpolate(images, scale_factor=times, mode="nearest")


def downsample(images: Tensor, times: int = 2) -> Tensor:
    """Box-filter reduction by a whole factor."""
    return images if times == 1 else F.avg_pool2d(images, times)


def resize(images: Tensor, size: int) -> Tensor:
    """Bilinear resampling to `size` x `size`, antialiased when shrinking. [N, C, H, W]."""
    if images.shape[-2:] == (size, size):
        return images
    shrinks = min(images.shape[-2:]) > size
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=shrinks)
