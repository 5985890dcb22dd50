"""Blurs. At one strength all kinds have the same variance, averaged over the two axes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.random import RandomState
from PIL import Image, ImageFilter

from latentedit.io.images import UInt8Array
from latentedit.portrait.degradations.frame import Floats, uint8

_DEVIATION = 4 / 96


def gaussian(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    radius = _deviation(image, strength)
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def defocus(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A disc, as an open aperture draws a point; variance is a quarter of the radius squared."""
    radius = 2 * _deviation(image, strength)
    y, x = _offsets(math.ceil(radius))
    return _convolve(image, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1))


def motion(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A straight line in any direction; its variance is a twelfth of its length squared."""
    angle, length = random.uniform(0, math.pi), math.sqrt(24) * _deviation(image, strength)
    places = np.linspace(-length / 2, length / 2, 33)
    return _convolve(image, _path(places * math.cos(angle), places * math.sin(angle)))


def astigmatic(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A Gaussian that is wider in one direction than in the other."""
    angle, ratio = random.uniform(0, math.pi), random.uniform(0.2, 0.8)
    wide = math.sqrt(2 / (1 + ratio**2)) * _deviation(image, strength)
    y, x = _offsets(math.ceil(3 * wide))
    along = math.cos(angle) * x + math.sin(angle) * y
    across = math.cos(angle) * y - math.sin(angle) * x
    narrow = max(ratio * wide, 0.3)  # in pixels: a narrower kernel would alias
    return _convolve(image, np.exp(-(np.square(along / wide) + np.square(across / narrow)) / 2))


def spin(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """The camera turns about its axis: pictures of growing angle, averaged.

    The variance is the wanted one at 0.3 of the edge from the axis, which is near the face.
    """
    axis = random.uniform(0.3, 0.7, 2) * len(image)
    reach = math.sqrt(24) * _deviation(image, strength) / (0.3 * len(image))

    def turned(t: float) -> tuple[float, ...]:
        c, s = math.cos(reach * t), math.sin(reach * t)
        x, y = axis
        return c, s, x - c * x - s * y, -s, c, y + s * x - c * y

    return _averaged(image, turned)


def low_resolution(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Reduce by averaging and enlarge by straight lines: together a blur of half a large pixel."""
    size = len(image)
    small = max(2, round(size / max(1.0, 2 * _deviation(image, strength))))
    reduced = Image.fromarray(image).resize((small, small), Image.Resampling.BOX)
    return np.array(reduced.resize((size, size), Image.Resampling.BILINEAR))


def shake(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """The path of an unsteady hand: a smoothed random walk."""
    walk = np.cumsum(np.cumsum(random.standard_normal((2, 64)), axis=1), axis=1)
    walk -= walk.mean(1, keepdims=True)
    walk *= _deviation(image, strength) / math.sqrt(np.square(walk).mean())
    return _convolve(image, _path(walk[0], walk[1]))


def zoom(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """The lens zooms while the shutter is open: pictures of growing scale, averaged.

    The variance is the wanted one at 0.3 of the edge from the middle.
    """
    size = len(image)
    reach = math.sqrt(24) * _deviation(image, strength) / (0.3 * size)

    def zoomed(t: float) -> tuple[float, ...]:
        scale = 1 + reach * t
        margin = (1 - 1 / max(scale, 0.1)) * size / 2
        return 1 / scale, 0, margin, 0, 1 / scale, margin

    return _averaged(image, zoomed)


def _averaged(image: UInt8Array, moved: Callable[[float], tuple[float, ...]]) -> UInt8Array:
    """Return the mean of an image under 24 affine maps: `moved` of numbers from -0.5 to 0.5, in the
    form of Pillow's transform. Where a map leaves the image, that pixel stays as it was."""
    shape, total, steps = (len(image), len(image)), np.zeros(image.shape), 24
    picture, white = Image.fromarray(image), Image.new("L", shape, 255)
    for t in np.linspace(-0.5, 0.5, steps):
        both = [
            np.array(
                source.transform(shape, Image.Transform.AFFINE, moved(t), Image.Resampling.BILINEAR)
            )
            for source in (picture, white)
        ]
        total += np.where(both[1][..., None] > 254, both[0], image)
    return uint8(total / steps)


def _deviation(image: UInt8Array, strength: float) -> float:
    return max(0.05, strength * _DEVIATION * len(image))


def _offsets(reach: int) -> tuple[Floats, Floats]:
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    return y, x


def _path(x: Floats, y: Floats) -> Floats:
    """Return a kernel [K, K] of points, in pixels from its middle; four pixels share each point."""
    reach = math.ceil(max(np.abs(x).max(), np.abs(y).max())) + 1
    rows, columns = _offsets(reach)
    near = np.clip(1 - np.abs(columns[..., None] - x), 0, 1)
    return np.asarray((near * np.clip(1 - np.abs(rows[..., None] - y), 0, 1)).sum(-1))


def _convolve(image: UInt8Array, kernel: Floats) -> UInt8Array:
    """Convolve [S, S, 3] with a kernel [K, K], K odd, mirroring at the edges."""
    reach, size = len(kernel) // 2, len(image)
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    shape = padded.shape[:2]
    spectrum = np.fft.rfft2(kernel / kernel.sum(), shape)[..., None]
    full = np.fft.irfft2(np.fft.rfft2(padded, axes=(0, 1)) * spectrum, shape, axes=(0, 1))
    return uint8(full[2 * reach : 2 * reach + size, 2 * reach : 2 * reach + size])
