"""Random changes of faces during training. All are differentiable in the pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def flip(images: Tensor) -> Tensor:
    """Mirror each picture left to right with probability 1/2. [N, 3, H, W]."""
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(-1), images)


def affine(
    images: Tensor, *, degrees: float = 8.0, scale: float = 0.1, shift: float = 0.05
) -> Tensor:
    """Rotate, scale and move each picture a little, reflecting at the edges.

    Args:
        images: [N, 3, H, W].
        degrees: largest rotation.
        scale: largest relative change of size.
        shift: largest move, as a share of the width.
    """
    count, device = len(images), images.device
    angle, zoom, dx, dy = (torch.rand(4, count, device=device) * 2 - 1).unbind()
    angle, zoom = angle * math.radians(degrees), torch.exp(zoom * math.log1p(scale))
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    top = torch.stack((cos, -sin, dx * 2 * shift), 1)
    bottom = torch.stack((sin, cos, dy * 2 * shift), 1)
    matrix = torch.stack((top, bottom), 1)  # [N, 2, 3]
    places = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, places, padding_mode="reflection", align_corners=False)


def colour(
    images: Tensor, *, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.3
) -> Tensor:
    """Change brightness (additive, half range = 1), contrast and saturation of each picture."""
    count, device = len(images), images.device
    light, spread, vivid = (torch.rand(3, count, 1, 1, 1, device=device) * 2 - 1).unbind()
    images = images + light * brightness
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + vivid * saturation)
    middle = images.mean((1, 2, 3), keepdim=True)
    return middle + (images - middle) * (1 + spread * contrast)


def translate(images: Tensor, *, shift: float = 0.125) -> Tensor:
    """Move each picture by whole pixels up to `shift` of its width, black where it came from.

    The differentiable translation of DiffAugment (Zhao et al. 2020).
    """
    count, _, height, width = images.shape
    reach_y, reach_x = round(height * shift), round(width * shift)
    device = images.device
    move_y = torch.randint(-reach_y, reach_y + 1, (count, 1, 1), device=device)
    move_x = torch.randint(-reach_x, reach_x + 1, (count, 1, 1), device=device)
    padded = F.pad(images, (reach_x, reach_x, reach_y, reach_y)).permute(0, 2, 3, 1)
    row = torch.arange(height, device=device).view(1, -1, 1) + reach_y + move_y
    column = torch.arange(width, device=device).view(1, 1, -1) + reach_x + move_x
    batch = torch.arange(count, device=device).view(-1, 1, 1)
    return padded[batch, row, column].permute(0, 3, 1, 2)
