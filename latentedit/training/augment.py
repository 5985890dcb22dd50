"""Random changes of faces during training. All are differentiable in the pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from latentedit.classifiers.age import CHIP_TO_FRAME, EYES_IN_CHIP, EYES_IN_FRAME
from latentedit.io.resampling import resize


def flip(images: Tensor) -> Tensor:
    """Mirror each picture left to right with probability 1/2. [N, 3, H, W]."""
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(-1), images)


def affine(
    images: Tensor,
    *,
    degrees: float = 8.0,
    view: tuple[float, float] = (1 / 1.1, 1.1),
    shift: float = 0.05,
) -> Tensor:
    """Rotate, zoom and move each picture a little; at the edges it is mirrored.

    Args:
        images: [N, 3, H, W].
        degrees: largest rotation.
        view: smallest and largest visible share of the picture's edge; less than 1 zooms in.
        shift: largest move, as a share of the width.
    """
    count, device = len(images), images.device
    angle, zoom, dx, dy = (torch.rand(4, count, device=device) * 2 - 1).unbind()
    angle, zoom = angle * math.radians(degrees), _between(view, (zoom + 1) / 2)
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    top = torch.stack((cos, -sin, dx * 2 * shift), 1)
    bottom = torch.stack((sin, cos, dy * 2 * shift), 1)
    matrix = torch.stack((top, bottom), 1)  # [N, 2, 3]
    places = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, places, padding_mode="reflection", align_corners=False)


def blur(images: Tensor, *, least: float = 0.35) -> Tensor:
    """Show half of the pictures blurred, as if taken at a lower resolution.

    `least` is the lowest resolution, as a share of the pictures' own.
    """
    size = round(images.shape[-1] * _between((least, 1.0), torch.rand(())).item())
    coarse = resize(resize(images, max(size, 1)), images.shape[-1])
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(chosen, coarse, images)


def erase(images: Tensor, *, most: float = 0.4) -> Tensor:
    """Grey out one rectangle in half of the pictures (Zhong et al. 2020, random erasing).

    Args:
        images: [N, 3, H, W].
        most: largest edge of the rectangle, as a share of the picture's.
    """
    count, _, height, width = images.shape
    device = images.device
    inside = []
    for edge in (height, width):
        extent, centre = torch.rand(2, count, 1, device=device)
        places = (torch.arange(edge, device=device) + 0.5) / edge
        inside.append((places - centre).abs() < extent * most / 2)
    chosen = torch.rand(count, 1, 1, device=device) < 0.5
    hole = inside[0][:, :, None] & inside[1][:, None, :] & chosen
    return images.masked_fill(hole[:, None], 0)


def _between(bounds: tuple[float, float], share: Tensor) -> Tensor:
    """Geometric interpolation: `share` 0 gives the first bound, 1 the second."""
    low, high = (math.log(bound) for bound in bounds)
    return torch.exp(low + share * (high - low))


def reframe(images: Tensor, chips: Tensor) -> Tensor:
    """Give half of the pictures a framing between UTKFace's chips and the shared frame.

    A chip holds the face tightly. The shared frame is `CHIP_TO_FRAME` times as wide, and the eyes
    lie lower in it. The area outside a picture is filled from its own edge or, by chance, from
    another picture of the batch.

    Args:
        images: [N, 3, H, W].
        chips: bool [N]; True for a chip, False for a picture in the shared frame.
    """
    count, device = len(images), images.device
    way = torch.rand(count, device=device) * (torch.rand(count, device=device) < 0.5)
    view = torch.where(
        chips, _between((1.0, CHIP_TO_FRAME), way), _between((1.0, 1 / CHIP_TO_FRAME), way)
    )
    # heights of the eyes from -1, the top, to 1
    tight, wide = (view.new_tensor(2 * eyes - 1) for eyes in (EYES_IN_CHIP, EYES_IN_FRAME))
    now, then = torch.where(chips, tight, wide), torch.where(chips, wide, tight)
    zero = torch.zeros_like(view)
    up = now - view * torch.lerp(now, then, way)
    matrix = torch.stack(
        (torch.stack((view, zero, zero), 1), torch.stack((zero, view, up), 1)), 1
    )  # [N, 2, 3]
    places = F.affine_grid(matrix, list(images.shape), align_corners=False)
    mode = "reflection" if torch.rand(()) < 0.5 else "border"
    seen = F.grid_sample(images, places, padding_mode=mode, align_corners=False)
    outside = (places.abs() > 1).any(-1)[:, None]
    swapped = (torch.rand(count, 1, 1, 1, device=device) < 0.5) & outside
    return torch.where(swapped, images.roll(1, 0), seen)


def colour(
    images: Tensor, *, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.3
) -> Tensor:
    """Change brightness, contrast and saturation of each picture.

    `brightness` is the most that is added to pixels in [-1, 1]; the others are shares.
    """
    count, device = len(images), images.device
    light, spread, vivid = (torch.rand(3, count, 1, 1, 1, device=device) * 2 - 1).unbind()
    images = images + light * brightness
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + vivid * saturation)
    middle = images.mean((1, 2, 3), keepdim=True)
    return middle + (images - middle) * (1 + spread * contrast)


def cutout(images: Tensor, *, share: float = 0.5) -> Tensor:
    """Grey out one square in each picture; its edge is `share` of the picture's.

    The square may lie partly outside. The differentiable cutout of DiffAugment (Zhao et al. 2020).
    """
    count, _, height, width = images.shape
    inside = []
    for edge in (height, width):
        centre = torch.randint(edge + 1, (count, 1), device=images.device)
        places = torch.arange(edge, device=images.device) + 0.5
        inside.append((places - centre).abs() < share * edge / 2)
    return images.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0)


def translate(images: Tensor, *, shift: float = 0.125, fill: str = "constant") -> Tensor:
    """Move each picture by whole pixels up to `shift` of its width.

    The differentiable translation of DiffAugment (Zhao et al. 2020).

    Args:
        images: [N, 3, H, W].
        shift: largest move, as a share of the width.
        fill: what comes in at the edges: ``constant`` (0, which is grey) or ``reflect``.
    """
    count, _, height, width = images.shape
    reach_y, reach_x = round(height * shift), round(width * shift)
    device = images.device
    move_y = torch.randint(-reach_y, reach_y + 1, (count, 1, 1), device=device)
    move_x = torch.randint(-reach_x, reach_x + 1, (count, 1, 1), device=device)
    padded = F.pad(images, (reach_x, reach_x, reach_y, reach_y), mode=fill).permute(0, 2, 3, 1)
    row = torch.arange(height, device=device).view(1, -1, 1) + reach_y + move_y
    column = torch.arange(width, device=device).view(1, 1, -1) + reach_x + move_x
    batch = torch.arange(count, device=device).view(-1, 1, 1)
    return padded[batch, row, column].permute(0, 3, 1, 2)
