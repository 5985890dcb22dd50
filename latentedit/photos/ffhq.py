"""Align faces as FFHQ's are, and bring pictures of them back to the photo.

The square is that of FFHQ's published recipe: Karras, Laine, Aila, "A Style-Based Generator
Architecture for Generative Adversarial Networks" (2019), appendix A, and
https://github.com/NVlabs/ffhq-dataset. Its axes x and y follow from the eyes and the mouth. E is
the vector from the left eye to the right one, and M is the vector from the middle of the eyes to
the middle of the mouth:

    x ~ E - rot90(M),  |x| = max(2 |E|, 1.8 |M|),  y = rot90(x),  centre = eyes' middle + 0.1 M

The corners are centre -x -y to centre +x +y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array
from latentedit.photos.align import warp

_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)
_MOUTH_CORNERS = (48, 54)

_SOFT, _BLUR = 0.3, 0.02
"""Least width of the padding, in which a photo fades to its median colour, and the blur there. Both
are numbers of the recipe, in shares of the square's edge."""

_BAND = 256
"""Rows that `Alignment.back` computes at once, so that memory stays small."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the photo."""


@dataclass(frozen=True)
class Alignment:
    """Where a square around a face lies in a photo.

    Points of the square are u, v in shares of its edge. With the face upright, they count from the
    top left corner: u to the right, v downwards. Points of the photo are x, y in pixels; the middle
    of the first pixel is at (0.5, 0.5).

    Attributes:
        coefficients: a, b, c, d, e, f with x = a u + b v + c and y = d u + e v + f.
        width: the photo's width in pixels.
        height: the photo's height in pixels.
    """

    coefficients: tuple[float, float, float, float, float, float]
    width: int
    height: int

    @classmethod
    def of(cls, points: NDArray[np.float64], width: int, height: int) -> Self:
        """Align a face by dlib's 68 landmarks, float64 [68, 2] in pixels, as FFHQ does."""
        left, right = points[_LEFT_EYE].mean(0), points[_RIGHT_EYE].mean(0)
        mouth = points[list(_MOUTH_CORNERS)].mean(0)
        eyes = (left + right) / 2
        across, down = right - left, mouth - eyes
        x = across - down[::-1] * (-1, 1)
        x /= max(float(np.hypot(*x)), 1e-9)
        x *= max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8)
        y = x[::-1] * (-1, 1)
        corner = eyes + 0.1 * down - x - y
        (a, d), (b, e), (c, f) = ((float(p), float(q)) for p, q in (2 * x, 2 * y, corner))
        return cls((a, b, c, d, e, f), width, height)

    @classmethod
    def whole(cls, size: int) -> Self:
        """Return the alignment of a picture that is the square itself, of so many pixels a side."""
        return cls((size, 0.0, 0.0, 0.0, size, 0.0), size, size)

    def scaled(self, width: int, height: int) -> Self:
        """Return the same square in the photo resized to `width` x `height` pixels."""
        across, down = width / self.width, height / self.height
        a, b, c, d, e, f = self.coefficients
        scaled = (a * across, b * across, c * across, d * down, e * down, f * down)
        return type(self)(scaled, width, height)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The coefficients as float64 [2, 3]: ``matrix @ (u, v, 1)`` is x, y."""
        return np.array(self.coefficients).reshape(2, 3)

    @property
    def inverse(self) -> NDArray[np.float64]:
        """From the photo to the square, float64 [2, 3]: ``inverse @ (x, y, 1)`` is u, v."""
        turn = np.linalg.inv(self.matrix[:, :2])
        return np.column_stack((turn, -turn @ self.matrix[:, 2]))

    @property
    def edge(self) -> float:
        """Edge of the square in pixels of the photo; a larger picture of it shows no more."""
        return float(np.hypot(self.coefficients[0], self.coefficients[3]))

    @property
    def quad(self) -> NDArray[np.float64]:
        """The square's corners in the photo, clockwise from the first: float64 [4, 2]."""
        corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=np.float64)
        return corners @ self.matrix[:, :2].T + self.matrix[:, 2]

    @property
    def box(self) -> Box:
        """The smallest upright box of whole pixels of the photo around the square; may be empty."""
        low, high = np.floor(self.quad.min(0)), np.ceil(self.quad.max(0))
        left, top = np.clip(low, 0, (self.width, self.height)).astype(int).tolist()
        right, bottom = np.clip(high, 0, (self.width, self.height)).astype(int).tolist()
        return left, top, right, bottom

    def inside(self, size: int) -> NDArray[np.bool_]:
        """Return which pixels of the square's picture show the photo, not padding: [size, size]."""
        x, y = self._places(size)
        return (x >= 0) & (y >= 0) & (x < self.width) & (y < self.height)

    def cut(self, pixels: UInt8Array, size: int) -> UInt8Array:
        """Cut the square out of the photo.

        Where the square leaves the photo, the photo is reflected, blurred and faded to the median
        colour, as in FFHQ's own pictures.

        Args:
            pixels: the photo, uint8 [H, W, 3].
            size: edge of the result in pixels; a larger square is averaged, so that nothing
                aliases.

        Returns:
            uint8 [size, size, 3].

        Raises:
            LatentEditError: the alignment belongs to a photo of another size.
        """
        self.check(pixels)
        matrix = self.matrix
        picture = warp(pixels, matrix[:, :2] / size, matrix[:, 2], size)
        padding = self._padding(size)
        if padding is None or 3 * padding.max() <= -1:
            return picture
        values = picture.astype(np.float32)
        blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(_BLUR * size))
        values += (np.asarray(blurred) - values) * np.clip(3 * padding + 1, 0, 1)[..., None]
        values += (np.median(values, axis=(0, 1)) - values) * np.clip(padding, 0, 1)[..., None]
        return values.round().clip(0, 255).astype(np.uint8)

    def back(self, values: NDArray[np.float32], box: Box | None = None) -> NDArray[np.float32]:
        """Bring a field on the square to the photo's pixels, by cubic interpolation.

        Args:
            values: float32 [S, S, C]; averaged if the photo's pixels are coarser.
            box: the pixels to compute; by default `Alignment.box`.

        Returns:
            float32 [bottom - top, right - left, C]; beyond the square, its border values continue.
        """
        left, top, right, bottom = self.box if box is None else box
        height, width, channels = bottom - top, right - left, values.shape[2]
        if height <= 0 or width <= 0:
            return np.zeros((max(height, 0), max(width, 0), channels), np.float32)
        field = torch.from_numpy(np.array(values, dtype=np.float32)).permute(2, 0, 1)[None]
        if self.edge < values.shape[0]:
            size = max(1, round(self.edge))
            field = torch.nn.functional.interpolate(
                field, (size, size), mode="bicubic", antialias=True, align_corners=False
            )
        turn, shift = self.inverse[:, :2], self.inverse[:, 2]
        across = (np.arange(left, right) + 0.5)[:, None] * turn[:, 0] + shift  # [W, 2]
        down = (np.arange(top, bottom) + 0.5)[:, None] * turn[:, 1]  # [H, 2]
        rows = torch.from_numpy((2 * down).astype(np.float32))[:, None]
        columns = torch.from_numpy((2 * across - 1).astype(np.float32))[None]
        result = np.empty((height, width, channels), np.float32)
        for start in range(0, height, _BAND):
            places = (rows[start : start + _BAND] + columns)[None]  # [1, h, W, 2], -1 to 1
            band = torch.nn.functional.grid_sample(
                field, places, mode="bicubic", padding_mode="border", align_corners=False
            )
            result[start : start + _BAND] = band[0].permute(1, 2, 0).numpy()
        return result

    def covers(self, box: Box) -> NDArray[np.bool_]:
        """Return which pixels of `box` have their middles in the square: bool [h, w]."""
        left, top, right, bottom = box
        x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
        inverse = self.inverse
        inside = np.ones((len(y), len(x)), bool)
        for across, down, shift in inverse:
            place = (down * y + shift)[:, None] + (across * x)[None]
            inside &= (place >= 0) & (place < 1)
        return inside

    def check(self, pixels: UInt8Array) -> None:
        """Refuse a photo of another size.

        Raises:
            LatentEditError: `pixels` is not uint8 [height, width, 3].
        """
        wanted = (self.height, self.width, 3)
        if pixels.shape != wanted or pixels.dtype != np.uint8:
            raise LatentEditError(
                f"the alignment is of a photo of {self.width} x {self.height} pixels, "
                f"got {pixels.dtype} {list(pixels.shape)}: align it again"
            )

    def _places(self, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x and y in the photo of the picture's pixels' middles, [size, size] each."""
        middles = (np.arange(size) + 0.5) / size
        a, b, c, d, e, f = self.coefficients
        u, v = middles[None], middles[:, None]
        return a * u + b * v + c, d * u + e * v + f

    def _padding(self, size: int) -> NDArray[np.float32] | None:
        """Return how far pixels lie in the padding, float32 [size, size].

        0 is the photo's border and 1 the end of the padding; pixels in the photo are negative.
        None if the square lies well inside the photo.
        """
        border = max(0.1 * self.edge, 3.0)
        quad = self.quad
        beyond = np.array(
            [-quad.min(0), quad.max(0) - (self.width, self.height)]
        )  # how far the square leaves the photo: at left and top, at right and bottom
        if beyond.max() <= -border:
            return None
        reach = np.maximum(beyond + border, _SOFT * self.edge)
        x, y = self._places(size)
        sides = (
            -x / reach[0, 0],
            -y / reach[0, 1],
            (x - self.width) / reach[1, 0],
            (y - self.height) / reach[1, 1],
        )
        return np.maximum.reduce(sides).astype(np.float32)
