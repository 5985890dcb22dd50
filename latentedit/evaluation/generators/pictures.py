"""Measures on pixels: sliced Wasserstein distance, MS-SSIM, and whether a detector finds a face."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array

PATCH, PATCHES = 7, 128
DIRECTIONS, REPEATS = 128, 4
LOWEST_LEVEL = 16
MOST_PICTURES = 2048
"""Pictures of a set that `sliced_wasserstein` looks at: 128 patches of each are kept in memory."""

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of MS-SSIM's scales, from full size to a sixteenth (Wang et al. 2003, sec. 3.2)."""

DETECTOR_EDGE, DETECTOR_PAD = 256, 40
_WINDOW, _SCALES = 11, range(1, 6)


def sliced_wasserstein(
    reference: UInt8Array, images: UInt8Array, *, seed: int = 0
) -> dict[str, float]:
    """Sliced Wasserstein distance of 7x7 patches on each level of the Laplacian pyramid.

    Measured as in Karras et al. 2018, sec. 5 and appendix: levels from full size to 16 pixels (the
    last is the low-pass rest), 128 random patches for each picture and level, each channel
    normalised to mean 0 and deviation 1 within a set, 4 times 128 random directions, times 1,000.
    The paper takes 16,384 pictures. With fewer pictures all values rise alike, so compare them with
    the values of real faces. Both sets are cut to the length of the shorter one, and to 2,048
    pictures.

    Args:
        reference: uint8 [N, R, R, 3], R at least 8.
        images: uint8 [M, R, R, 3].
        seed: of patches and directions.

    Returns:
        Distance by level's edge in pixels, and their ``mean``.

    Raises:
        LatentEditError: pictures of unequal or too small size.
    """
    if reference.shape[1:] != images.shape[1:] or images.shape[1] < PATCH + 1:
        raise LatentEditError(
            f"pictures of one size from {PATCH + 1} pixels are needed, got "
            f"{list(reference.shape[1:])} and {list(images.shape[1:])}"
        )
    count = min(len(reference), len(images), MOST_PICTURES)
    ours, theirs = (_patches(pictures[:count], seed) for pictures in (images, reference))
    generator = torch.Generator().manual_seed(seed)
    distances = {
        level: 1000 * _sliced_distance(patches, theirs[level], generator)
        for level, patches in ours.items()
    }
    return {**distances, "mean": float(np.mean(list(distances.values())))}


def _patches(images: UInt8Array, seed: int) -> dict[str, Tensor]:
    """Normalised patches of every level, [N * 128, 147] each, by the level's edge."""
    random = torch.Generator().manual_seed(seed)
    levels: dict[str, list[Tensor]] = {}
    for start in range(0, len(images), 64):
        pixels = torch.from_numpy(np.array(images[start : start + 64]))
        for level in _pyramid(pixels.permute(0, 3, 1, 2).float()):
            levels.setdefault(str(level.shape[2]), []).append(_cut(level, random))
    return {edge: _normalise(torch.cat(parts)) for edge, parts in levels.items()}


def _pyramid(x: Tensor) -> list[Tensor]:
    """Laplacian pyramid of [N, 3, R, R] (Burt and Adelson 1983), from full size to 16 pixels."""
    levels = []
    while x.shape[2] % 2 == 0 and x.shape[2] // 2 >= LOWEST_LEVEL:
        small = _blur(x)[:, :, ::2, ::2]
        large = torch.zeros_like(x)
        large[:, :, ::2, ::2] = small
        levels.append(x - 4 * _blur(large))
        x = small
    return [*levels, x]


def _blur(x: Tensor) -> Tensor:
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, groups=x.shape[1])


def _cut(x: Tensor, random: torch.Generator) -> Tensor:
    """128 patches of each picture, [N, 3, R, R] -> [N * 128, 3, 49]."""
    count, channels, edge = x.shape[:3]
    shape, places = (count * PATCHES,), edge - PATCH + 1
    top, left = (torch.randint(places, shape, generator=random) for _ in range(2))
    offsets = torch.arange(PATCH)[:, None] * edge + torch.arange(PATCH)  # [7, 7]
    pixels = (top * edge + left)[:, None] + offsets.reshape(-1)  # [N * 128, 49]
    owner = torch.arange(count).repeat_interleave(PATCHES)
    flat = x.reshape(count, channels, edge * edge)
    return flat[owner[:, None], :, pixels].transpose(1, 2).contiguous()


def _normalise(patches: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(patches, dim=(0, 2), correction=0, keepdim=True)
    return ((patches - mean) / deviation.clamp_min(1e-8)).flatten(1)


def _sliced_distance(a: Tensor, b: Tensor, random: torch.Generator) -> float:
    results = []
    for _ in range(REPEATS):
        directions = torch.randn(DIRECTIONS, a.shape[1], generator=random)
        directions = directions / directions.norm(dim=1, keepdim=True)
        # numpy sorts floats an order of magnitude faster than torch on a CPU
        shadows = [np.sort((directions @ patches.T).numpy(), axis=1) for patches in (a, b)]
        results.append(np.abs(shadows[0] - shadows[1]).mean(dtype=np.float64))
    return float(np.mean(results))


def ms_ssim_scales(edge: int) -> int:
    """Return how many of MS-SSIM's five scales fit pictures of `edge` pixels.

    The window of 11 pixels must fit the smallest scale: 1 at 16, 2 at 32, 3 at 64, 4 at 128, 5
    from 256.

    Raises:
        LatentEditError: pictures smaller than the window.
    """
    if edge <= _WINDOW - 1:
        raise LatentEditError(f"MS-SSIM needs pictures of {_WINDOW} pixels or more, got {edge}")
    # torchmetrics also divides the edge by the square of (scales - 1), not only by powers of two
    smallest = {
        count: min(edge >> (count - 1), edge // max(1, count - 1) ** 2) for count in _SCALES
    }
    return max(count for count in _SCALES if smallest[count] >= _WINDOW)


def ms_ssim(images: UInt8Array, *, batch_size: int = 64) -> float:
    """Return the mean multi-scale structural similarity of pictures 0 and 1, 2 and 3, ...

    How alike faces are: higher means less variety (Odena et al. 2017, sec. 4.2; Karras et al.
    2018). By torchmetrics (window 11, deviation 1.5, negative terms as 0), with the first weights
    of `BETAS` that `ms_ssim_scales` allows, scaled to sum to 1.

    Args:
        images: uint8 [N, R, R, 3], N at least 2.

    Raises:
        LatentEditError: too few or too small pictures, or the extra is missing.
    """
    if len(images) < 2:
        raise LatentEditError("MS-SSIM compares pairs: give two pictures or more")
    betas = BETAS[: ms_ssim_scales(images.shape[1])]
    betas = tuple(beta / sum(betas) for beta in betas)
    try:
        from torchmetrics.functional.image import (
            multiscale_structural_similarity_index_measure as measure,
        )
    except ImportError:
        raise LatentEditError(
            "MS-SSIM needs an extra: pip install 'latentedit[evaluate]'"
        ) from None
    pairs = len(images) // 2
    total = 0.0
    for start in range(0, pairs, batch_size):
        chosen = np.array(images[2 * start : 2 * min(start + batch_size, pairs)])
        pixels = torch.from_numpy(chosen).permute(0, 3, 1, 2).float()
        values = measure(pixels[::2], pixels[1::2], data_range=255.0, betas=betas, reduction="none")
        total += float(values.double().sum())
    return total / pairs


def load_detector() -> Any:
    """Load dlib's frontal face detector (King 2009: HOG features and a linear classifier).

    Raises:
        LatentEditError: the extra is missing.
    """
    try:
        import dlib
    except ImportError:
        raise LatentEditError(
            "finding faces needs an extra: pip install 'latentedit[evaluate]'"
        ) from None
    return dlib.get_frontal_face_detector()


def detected(images: UInt8Array) -> NDArray[np.bool_]:
    """Whether dlib's frontal detector finds a face, bool [N].

    Pictures are resized to 256 pixels (bicubic; 4 times at 64) and padded by 40 pixels that
    repeat the edge, because faces fill the shared frame.

    Args:
        images: uint8 [N, R, R, 3].

    Raises:
        LatentEditError: the extra is missing.
    """
    detector, size = load_detector(), (DETECTOR_EDGE, DETECTOR_EDGE)
    pad = ((DETECTOR_PAD, DETECTOR_PAD), (DETECTOR_PAD, DETECTOR_PAD), (0, 0))
    found = []
    for image in images:
        large = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        found.append(len(detector(np.pad(large, pad, mode="edge"), 0)) > 0)
    return np.array(found, dtype=bool)
