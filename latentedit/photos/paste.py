"""Put an edit back into the photo.

A generator draws the face of a photo P twice: `before` shows it as it is, `after` shows it edited.
Inside a mask M of what changes, the result is

    k (P + after - before) + (1 - k) (after + L + grain)

Outside the mask, the result is the photo itself.

k is 1 where shapes stay. There the photo keeps its residual P - before: everything that the
generator cannot draw.

k is 0 where something that `before` shows is gone in `after`, such as closed lips or hair. There
the residual belongs to the old shape and would stay as a ghost, so the generated face takes over.
L brings it to the photo's light and colour: L is the residual of the places where shapes stay,
carried on smoothly (as the membrane of Pérez, Gangnet, Blake, "Poisson Image Editing" (2003), and
Farbman et al., "Coordinates for Instant Image Cloning" (2009)). The generated face also gets the
photo's sharpness and grain.

Where `before` and `after` are the same, the result is the photo.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array
from latentedit.photos.ffhq import Alignment, Box
from latentedit.photos.fields import FACE, LUMA, Field, resized, window
from latentedit.photos.light import Light, Match, with_colours_of
from latentedit.photos.masks import MaskFinder

_ROWS = 256
"""Rows of the photo that are computed at once."""

_TILE = 1024
"""Edge in pixels of the grain's pattern, which is repeated."""


def paste(
    pixels: UInt8Array,
    alignment: Alignment,
    before: NDArray[np.generic],
    after: NDArray[np.generic],
    *,
    region: Field | None = None,
) -> UInt8Array:
    """Put an edit into a photo.

    Args:
        pixels: the photo, uint8 [H, W, 3].
        alignment: the alignment of the face in it.
        before: the generator's picture of the face as it is, uint8 or float [S, S, 3], 0 to 255.
        after: its picture of the edited face, the same shape.
        region: where the photo may change, float32 [s, s] in 0 to 1 on the aligned square; by
            default the whole square. See `photos.regions`.

    Returns:
        uint8 [H, W, 3]. Outside the mask it is the photo, bit for bit; if the two pictures are the
        same, it is a copy of the photo. A black and white photo stays black and white.

    Raises:
        LatentEditError: the pictures have different shapes, or the alignment belongs to another
            photo.
    """
    return Ground(pixels, alignment, before).paste(after, region)


class Ground:
    """A photo with the face in it as it is, ready for edits to be put into it.

    Keep the object if you put several edits into one photo: half of the work is the same for all.

    Args:
        pixels, alignment, before: see `paste`.
        grain: share of the photo's own grain that generated places get.

    Raises:
        LatentEditError: a picture is not [S, S, 3], or the alignment belongs to another photo.
    """

    def __init__(
        self,
        pixels: UInt8Array,
        alignment: Alignment,
        before: NDArray[np.generic],
        *,
        grain: float = 1.0,
    ) -> None:
        alignment.check(pixels)
        self.pixels, self.alignment, self.grain = pixels, alignment, grain
        self.drawn = before
        before = _picture(before)
        left, top, right, bottom = alignment.box
        self.empty = left >= right or top >= bottom
        if self.empty:
            return
        self.grey = _is_grey(pixels[top:bottom, left:right])
        before = self._sized(before)
        photo = alignment.cut(pixels, len(before)).astype(np.float32)
        self.match = Match(before, photo)
        self.before = self.match.apply(before)
        self.masks = MaskFinder(self.before, photo)
        self.light = Light(self.before, photo)
        self.fineness = _fineness(photo)

    def paste(
        self, after: NDArray[np.generic], region: Field | None = None, *, steady: bool = False
    ) -> UInt8Array:
        """Put one edit into the photo; see the function `paste`.

        Args:
            steady: the edit shall not change the skin's colours; see `light.with_colours_of`.
        """
        if after.shape != self.drawn.shape:
            raise LatentEditError(
                "before and after must have one shape, got "
                f"{list(self.drawn.shape)}, {list(after.shape)}"
            )
        result = self.pixels.copy()
        if self.empty or np.array_equal(self.drawn, after):
            return result
        after = self.match.apply(self._sized(_picture(after)))
        after = with_colours_of(self.before, after) if steady else after
        masks = self.masks.find(after, region)
        after = after - self.light.drift(after, masks)
        masks = self.masks.find(after, region)
        drawn = after + self.light.light(after, masks)
        generated = masks.changed * (1 - masks.kept)
        missing = max(self.fineness**2 - _fineness(drawn) ** 2, 0.0)
        grain = self.grain * float(np.sqrt(missing))
        fields = np.empty((*generated.shape, 5), np.float32)
        kept = (masks.changed - generated)[..., None] * (after - self.before)
        fields[..., :3] = kept + generated[..., None] * drawn
        fields[..., 3], fields[..., 4] = generated, masks.changed
        _compose(result, self.alignment, fields, grain)
        return result

    def _sized(self, picture: Field) -> Field:
        """Return a picture no finer than the photo's pixels, and no coarser than masks need; grey
        if the photo is grey."""
        size = max(64, round(self.alignment.edge))
        picture = resized(picture, size) if size < len(picture) else picture
        return _grey(picture) if self.grey else picture


def _compose(pixels: UInt8Array, alignment: Alignment, fields: Field, grain: float) -> None:
    """Put fields on the square into a photo, in place and in bands, so that memory stays small.

    Args:
        fields: float32 [S, S, 5]: the colours to add (3), the share of the photo to remove, and
            the mask.
        grain: standard deviation of the missing grain, for a pixel of the square.
    """
    left, top, right, bottom = _extent(alignment, fields[..., 4])
    zoom = max(1.0, alignment.edge / len(fields))  # pixels of the photo for one of the square
    noise = _noise(grain, zoom) if grain > 0 else None
    for start in range(top, bottom, _ROWS):
        end = min(start + _ROWS, bottom)
        back = alignment.back(fields, (left, start, right, end))
        old = pixels[start:end, left:right]
        share = np.clip(back[..., 3:4], 0, 1)
        new = old * (1 - share)
        new += back[..., :3]
        if noise is not None:
            rows = np.arange(start - top, end - top) % _TILE
            columns = np.arange(right - left) % _TILE
            new += share * noise[rows[:, None], columns][..., None]
        inside = (back[..., 4] > 1e-3) & alignment.covers((left, start, right, end))
        np.rint(new, out=new)
        old[inside] = np.clip(new, 0, 255, out=new)[inside].astype(np.uint8)


def _extent(alignment: Alignment, mask: Field) -> Box:
    """Return the part of the alignment's box that holds all of a mask on the square."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 0, 0, 0
    size = len(mask)
    (v0, v1), (u0, u1) = ((side[0] - 2, side[-1] + 3) for side in (rows, columns))
    corners = np.array([(u0, v0), (u0, v1), (u1, v0), (u1, v1)]) / size
    x, y = alignment.matrix[:, :2] @ corners.T + alignment.matrix[:, 2:]
    left, top, right, bottom = alignment.box
    return (
        max(left, int(np.floor(x.min()))),
        max(top, int(np.floor(y.min()))),
        min(right, int(np.ceil(x.max()))),
        min(bottom, int(np.ceil(y.max()))),
    )


def residual(photo: UInt8Array, before: NDArray[np.generic]) -> Field:
    """Return what the generator cannot draw of an aligned photo, uint8 [S, S, 3]: photo - before.

    The residual plus `before` is the photo again; `paste` keeps the residual where shapes stay.

    Returns:
        float32 [S, S, 3], -255 to 255.
    """
    return photo.astype(np.float32) - _picture(before)


def _fineness(picture: Field) -> float:
    """Standard deviation of the fine grain of a face's skin."""
    grey = picture[window(FACE, len(picture))] @ LUMA
    fine = grey - ndimage.gaussian_filter(grey, 1.0)
    return 1.4826 * float(np.median(np.abs(fine - np.median(fine))))


def _noise(amount: float, zoom: float) -> Field:
    """Return grain that repeats without a seam, as fine as the square's pixels: [_TILE, _TILE]."""
    return _fine_noise(round(zoom, 2)) * np.float32(amount)


@lru_cache(maxsize=4)
def _fine_noise(zoom: float) -> Field:
    """Return such grain; its fine part has a standard deviation of 1."""
    random = np.random.RandomState(0).standard_normal((_TILE, _TILE)).astype(np.float32)
    noise = ndimage.gaussian_filter(random, 0.5 * zoom, mode="wrap")
    fine = noise - ndimage.gaussian_filter(noise, zoom, mode="wrap")
    return noise / np.float32(max(float(fine.std()), 1e-6))


def _picture(values: NDArray[np.generic]) -> Field:
    picture = np.asarray(values, dtype=np.float32)
    if picture.ndim != 3 or picture.shape[0] != picture.shape[1] or picture.shape[2] != 3:
        raise LatentEditError(f"a face's picture must be [S, S, 3], got {list(picture.shape)}")
    return picture


def _is_grey(pixels: UInt8Array) -> bool:
    few = pixels[::16, ::16]
    return all(
        np.array_equal(some[..., 0], some[..., channel])
        for some in (few, pixels)
        for channel in (1, 2)
    )


def _grey(picture: Field) -> Field:
    return np.repeat((picture @ LUMA)[..., None], 3, axis=2)
