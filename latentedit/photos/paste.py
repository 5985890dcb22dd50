"""Putting an edit back into the photo.

A generator draws the face of a photo P twice: as it is, `before`, and edited, `after`. Pasted is,
inside a mask M of what changes,

    k (P + after - before) + (1 - k) (after + L + grain)

and outside the photo itself. k is 1 where shapes stay: there the photo keeps everything that the
generator cannot draw, its residual P - before. It is 0 where what `before` shows is gone in
`after`, such as closed lips or hair: there the residual is that of the old shape and would stay as
a ghost, so that the generated face takes over, brought to the photo's light and colour by L, the
residual of the places where shapes stay, carried on smoothly (as the membrane of Pérez, Gangnet,
Blake, "Poisson Image Editing" (2003), and Farbman et al., "Coordinates for Instant Image Cloning"
(2009)), and to its sharpness and grain.

All of it is of the edit itself: where `before` and `after` are the same, the photo is.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array
from latentedit.photos.ffhq import Alignment, Box

Field = NDArray[np.float32]

_COARSE = 256
"""Edge in pixels of the pictures on which masks are made."""

_HEAD = (0.5, 0.47, 0.33, 0.43)
"""An ellipse in which every FFHQ head lies, centre and half axes in shares of the square's edge:
a change that does not reach it is none of the person's."""


_FACE = (0.33, 0.8), (0.28, 0.72)
"""Rows and columns between brows, chin and cheeks, in shares of the edge."""

_BAND = 0.0015, 0.003
"""Widths between which a photo's sharpness is measured, in shares of the edge: wider than grain."""

_BLURS = (0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012)
"""By how much a drawn face is blurred, at most, to look as the photo does."""

_GAINS = 0.2, 2.0
"""Least and largest contrast of a photo, against that of the drawn face."""

_COLOURS = 5
"""Kinds of matter, told by colour, each of which carries the photo's light on for itself."""

_ALIKE, _UNLIKE = 20.0, 25.0
"""Grey levels within which colours are of one kind, and from which a residual is not light but
something that the generator does not draw."""

_ROWS = 256
"""Rows of the photo that are put together at once."""

_TILE = 1024
"""Edge in pixels of the grain, which is repeated."""

_LUMA = np.array((0.299, 0.587, 0.114), np.float32)


@dataclass(frozen=True)
class PasteOptions:
    """How an edit is put back. Differences are of 8-bit colours, 0 to 255.

    Attributes:
        changed: difference of `before` and `after` below which nothing is pasted, and from which
            all is; away from the head more is asked for, by how much the background differs.
        moved: contrast of `before` that is gone in `after` below which shapes stay, and from which
            the generated face takes over.
        seen: strength of an edit that moves shapes, in shares of what `before` misses of the photo
            in that place, below which it is left out, and from which it counts.
        reach: how far the mask goes beyond what changes, in shares of the square's edge.
        feather: how softly it ends, likewise.
        border: width of the square's border over which an edit fades out.
        grain: share of the photo's own grain that generated places get.
    """

    changed: tuple[float, float] = (2.0, 7.0)
    moved: tuple[float, float] = (3.0, 9.0)
    seen: tuple[float, float] = (0.6, 0.9)
    reach: float = 0.015
    feather: float = 0.012
    border: float = 0.06
    grain: float = 1.0


DEFAULT = PasteOptions()


@dataclass(frozen=True)
class Masks:
    """Where an edit goes; float32 [S, S] in 0 to 1 on the aligned square.

    Attributes:
        changed: M, where the edit is pasted.
        kept: k, where shapes stay.
        lost: share of what changes that lies at the square's border and is not pasted, 0 to 1:
            much of it is hair that goes on beyond.
    """

    changed: Field
    kept: Field
    lost: float


def paste(
    pixels: UInt8Array,
    alignment: Alignment,
    before: NDArray[np.generic],
    after: NDArray[np.generic],
    options: PasteOptions = DEFAULT,
    *,
    region: Field | None = None,
) -> UInt8Array:
    """Put an edit into a photo.

    Args:
        pixels: the photo, uint8 [H, W, 3].
        alignment: of the face in it.
        before: the generator's picture of the face as it is, uint8 or float [S, S, 3], 0 to 255.
        after: its picture of the edited face, the same shape.
        region: where the photo may change, float32 [s, s] in 0 to 1 on the aligned square; by
            default anywhere on it. See `photos.regions`.

    Returns:
        uint8 [H, W, 3]: the photo outside the mask, bit for bit; a copy of it where the pictures
        are the same. A black and white photo stays so.

    Raises:
        LatentEditError: pictures of different shapes, or an alignment of another photo.
    """
    alignment.check(pixels)
    before, after = _picture(before), _picture(after)
    if before.shape != after.shape:
        raise LatentEditError(
            f"before and after must have one shape, got {list(before.shape)}, {list(after.shape)}"
        )
    left, top, right, bottom = alignment.box
    result = pixels.copy()
    if left >= right or top >= bottom or np.array_equal(before, after):
        return result
    before, after = (_at_most(picture, alignment.edge) for picture in (before, after))
    size = len(before)
    photo = alignment.cut(pixels, size).astype(np.float32)
    if _is_grey(pixels[top:bottom, left:right]):
        before, after = _grey(before), _grey(after)
    before, after = _matched(before, after, photo)
    kinds = _Kinds(before)
    masks = find_masks(before, after, photo, options, region)
    after = after - _drift(before, after, masks, kinds)
    masks = find_masks(before, after, photo, options, region)
    drawn = after + _light(before, after, photo, masks, kinds)
    generated = masks.changed * (1 - masks.kept)
    grain = options.grain * _missing_grain(photo, drawn)
    fields = np.empty((size, size, 5), np.float32)
    kept = (masks.changed - generated)[..., None] * (after - before)
    fields[..., :3] = kept + generated[..., None] * drawn
    fields[..., 3], fields[..., 4] = generated, masks.changed
    _compose(result, alignment, fields, grain)
    return result


def _compose(pixels: UInt8Array, alignment: Alignment, fields: Field, grain: float) -> None:
    """Put fields on the square into a photo, in place and row by row, so that memory stays small.

    Args:
        fields: float32 [S, S, 5]: what is added, the share of the photo that goes, and the mask.
        grain: standard deviation of what is missing, in a pixel of the square.
    """
    left, top, right, bottom = _extent(alignment, fields[..., 4])
    zoom = max(1.0, alignment.edge / len(fields))  # pixels of the photo to one of the square's
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
    """The part of the alignment's box outside which a mask on the square is 0."""
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
    """What the generator cannot draw of an aligned photo, uint8 [S, S, 3]: photo - before.

    Added to `before` it gives the photo back; `paste` keeps it where shapes stay.

    Returns:
        float32 [S, S, 3], -255 to 255.
    """
    return photo.astype(np.float32) - _picture(before)


def find_masks(
    before: Field,
    after: Field,
    photo: Field,
    options: PasteOptions = DEFAULT,
    region: Field | None = None,
) -> Masks:
    """Find where an edit changes the picture, and where shapes stay.

    Args:
        before: float32 [S, S, 3], 0 to 255.
        after: the same.
        photo: the same, aligned. What is not in `before`, such as a hat, is not edited, but where
            the edit is as strong.
        region: see `paste`.
    """
    size = len(before)
    coarse = min(size, _COARSE)
    b, a, p = (_resized(picture, coarse) for picture in (before, after, photo))
    difference = ndimage.gaussian_filter(np.abs(a - b).max(2), 0.004 * coarse)
    away = _away(coarse)
    ring = away == 1
    ring[coarse // 2 :] = False
    background = float(np.quantile(difference[ring], 0.75)) * away
    low, high = options.changed
    low, high = np.maximum(low, 2 * background), np.maximum(high, 4 * background)
    changed = _connected(_smoothstep(difference, low, high))
    radius = max(1, round(options.reach * coarse))
    changed = ndimage.grey_dilation(changed, footprint=_disc(radius))
    changed = ndimage.gaussian_filter(changed, options.feather * coarse)
    if region is not None:
        changed *= _enlarged(region, coarse)
    window = _window(coarse, options.border)
    lost = float((changed * (1 - window)).sum() / max(float(changed.sum()), 1e-6))
    changed *= window
    moved = _smoothstep(_contrast_gone(b, a), *options.moved)
    moved = ndimage.grey_dilation(moved, footprint=_disc(max(1, radius // 2)))
    moved = ndimage.gaussian_filter(moved, 0.5 * options.feather * coarse)
    changed *= 1 - moved * (1 - _seen(b, a, p, options.seen))
    changed[changed < 0.01] = 0
    return Masks(_enlarged(changed, size), _enlarged(1 - moved, size), lost)


def _seen(before: Field, after: Field, photo: Field, limits: tuple[float, float]) -> Field:
    """1 where the edit is of what the photo shows, 0 where it is of what `before` made up: [S, S].

    A hat that was drawn as hair, for one, would be replaced by hair wherever this stirs.

    Light and colours that differ smoothly are no matter.
    """
    near, far = 0.03 * len(before), 0.08 * len(before)
    rest = (photo - before) @ _LUMA
    rest = ndimage.gaussian_filter(rest - ndimage.gaussian_filter(rest, far), 0.005 * len(before))
    unlike = np.sqrt(ndimage.gaussian_filter(np.square(rest), near))
    edit = np.sqrt(ndimage.gaussian_filter(np.square((after - before) @ _LUMA), near))
    strong = _smoothstep(edit / np.maximum(unlike, 1e-3), *limits)
    return np.maximum(strong, 1 - _smoothstep(unlike, 6.0, 14.0))


def _contrast_gone(before: Field, after: Field) -> Field:
    """Local contrast of `before` that `after` does not explain, in grey levels: [S, S].

    The standard deviation that is left of `before` in a window when `after` is regressed on, with
    a gain of at most 1: sqrt(var b - cov²/var a).
    """
    b, a = before @ _LUMA, after @ _LUMA
    sigma = 0.016 * len(b)

    def mean(values: Field) -> Field:
        return ndimage.gaussian_filter(values, sigma)

    mean_b, mean_a = mean(b), mean(a)
    var_b, var_a = mean(b * b) - mean_b**2, mean(a * a) - mean_a**2
    covariance = np.maximum(mean(b * a) - mean_b * mean_a, 0)
    left = var_b - covariance**2 / (var_a + 1.0)
    return np.sqrt(np.maximum(left, 0))


def _matched(before: Field, after: Field, photo: Field) -> tuple[Field, Field]:
    """Both pictures no sharper than the photo, and with its contrast and colours.

    The face decides, by its moments: they do not mind that its parts lie a little elsewhere.
    """
    size = len(photo)
    rows, columns = (slice(round(a * size), round(b * size)) for a, b in _FACE)
    fine, wide = _BAND[0] * size, _BAND[1] * size

    def contrast(picture: Field, blur: float) -> float:
        grey = picture[rows, columns] @ _LUMA
        near, far = (
            ndimage.gaussian_filter(grey, float(np.hypot(sigma, blur))) for sigma in (fine, wide)
        )
        band = near - far
        grain = 1.4826 * float(np.median(np.abs(band)))  # edges are rare, grain is everywhere
        return max(float(np.square(band).mean()) - grain**2, 0.0)

    wanted = contrast(photo, 0)
    blurs = [share * size for share in _BLURS]
    blur = next((b for b in blurs if contrast(before, b) <= 1.15 * wanted), blurs[-1])
    if blur > 0:
        before, after = (ndimage.gaussian_filter(p, (blur, blur, 0)) for p in (before, after))
    seen, drawn = (p[rows, columns].reshape(-1, 3) for p in (photo, before))
    gain = np.clip(seen.std(0) / np.maximum(drawn.std(0), 1.0), *_GAINS)
    shift = seen.mean(0) - gain * drawn.mean(0)
    return gain * before + shift, gain * after + shift


class _Kinds:
    """Kinds of matter in a picture, told by colour; what is known of one says nothing of another.

    So that skin is not lit by the residual of the hair or of the background beside it.
    """

    def __init__(self, picture: Field) -> None:
        colours = self.reduced(picture).reshape(-1, 3)
        # scikit-learn's takes two seconds to import
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of fewer colours than that
            centres, _ = kmeans2(colours, _COLOURS, iter=20, minit="points", seed=0)
        self.colours: Field = centres.astype(np.float32)

    @staticmethod
    def reduced(picture: Field) -> Field:
        """A picture at the size at which kinds are told."""
        return _resized(picture, min(len(picture), _COARSE // 2))

    def shares(self, picture: Field) -> Field:
        """How much pixels are of each kind: [s, s, kinds]."""
        # squared distances, but for a pixel's own square, which is the same for all kinds
        distance = np.square(self.colours).sum(1) - 2 * picture @ self.colours.T
        near = np.exp(-(distance - distance.min(2, keepdims=True)) / (2 * _ALIKE**2))
        return near / near.sum(2, keepdims=True)

    def carry_on(
        self, values: Field, weight: Field, source: Field, target: Field, otherwise: Field | None
    ) -> Field:
        """Smooth values carried on, kind by kind, from where they are known.

        Args:
            values: float32 [s, s, 3].
            weight: how well they are known, [s, s].
            source: a picture of the places where they are.
            target: a picture of the places where they go.
            otherwise: what is taken far from all sources; by default the kind's mean.
        """
        sources, targets = self.shares(source), self.shares(target)
        everywhere = _mean(values, weight, np.zeros(3, np.float32))
        result = np.zeros_like(values)
        for index in range(len(self.colours)):
            share = weight * sources[..., index]
            start = _mean(values, share, everywhere) if otherwise is None else otherwise
            result += targets[..., index : index + 1] * _carried_on(values, share, start)
        return result


def _light(before: Field, after: Field, photo: Field, masks: Masks, kinds: _Kinds) -> Field:
    """L: what the photo's light and colours add to the generated face, float32 [S, S, 3]."""
    size = len(after)
    kept = kinds.reduced(masks.kept[..., None])[..., 0] ** 2
    before, after, photo = (kinds.reduced(picture) for picture in (before, after, photo))
    rest = photo - before
    weight = kept / (1 + np.square(rest).mean(2) / _UNLIKE**2)  # what is not drawn is no light
    return _enlarged(kinds.carry_on(rest, weight, before, after, None), size)


def _drift(before: Field, after: Field, masks: Masks, kinds: _Kinds) -> Field:
    """By how much the edit moved the colours of places that are left as they are: [S, S, 3].

    The same matter within the mask has moved by as much, and would show its border.
    """
    size = len(after)
    weight = 1 - kinds.reduced(masks.changed[..., None])[..., 0]
    before, after = kinds.reduced(before), kinds.reduced(after)
    drift = kinds.carry_on(after - before, weight**2, before, after, np.zeros(3, np.float32))
    return _enlarged(drift, size)


def _mean(values: Field, weight: Field, otherwise: Field) -> Field:
    """Weighted mean over a picture, leaning to `otherwise` where weights are few."""
    few = 0.002 * weight.size
    return ((values * weight[..., None]).sum((0, 1)) + few * otherwise) / (weight.sum() + few)


def _carried_on(values: Field, weight: Field, start: Field) -> Field:
    """Smooth values [S, S, C] where `weight` [S, S] is, carried on to where it is not."""
    size = len(values)
    result = np.zeros_like(values) + start
    known = np.concatenate((np.moveaxis(values * weight[..., None], 2, 0), weight[None]))
    for share in (0.15, 0.07, 0.035):
        blur = _blur(size, share)
        # as wide as this, products with matrices take a tenth of the time of filters
        smooth = np.moveaxis(blur @ known @ blur.T, 0, 2)
        mean, near = smooth[..., :-1], smooth[..., -1:]
        trust = np.clip(near * 5, 0, 1)
        result += trust * (mean / np.maximum(near, 1e-6) - result)
    return result


@cache
def _blur(size: int, share: float) -> Field:
    """The Gaussian filter of a line of pixels whose sigma is a share of it, as a matrix."""
    return ndimage.gaussian_filter1d(np.eye(size, dtype=np.float32), share * size, axis=0)


def _missing_grain(photo: Field, drawn: Field) -> float:
    """Standard deviation of the fine grain that the photo's skin has more of than the drawing's."""
    size = len(photo)
    rows, columns = (slice(round(a * size), round(b * size)) for a, b in _FACE)
    amounts = []
    for picture in (photo, drawn):
        grey = picture[rows, columns] @ _LUMA
        fine = grey - ndimage.gaussian_filter(grey, 1.0)
        amounts.append(1.4826 * float(np.median(np.abs(fine - np.median(fine)))))
    return float(np.sqrt(max(amounts[0] ** 2 - amounts[1] ** 2, 0.0)))


def _noise(amount: float, zoom: float) -> Field:
    """Grain that repeats without a seam, as fine as pixels of the square: [_TILE, _TILE]."""
    return _fine_noise(round(zoom, 2)) * np.float32(amount)


@lru_cache(maxsize=4)
def _fine_noise(zoom: float) -> Field:
    """The same, whose fine part has a standard deviation of 1."""
    random = np.random.RandomState(0).standard_normal((_TILE, _TILE)).astype(np.float32)
    noise = ndimage.gaussian_filter(random, 0.5 * zoom, mode="wrap")
    fine = noise - ndimage.gaussian_filter(noise, zoom, mode="wrap")
    return noise / np.float32(max(float(fine.std()), 1e-6))


def _connected(changed: Field) -> Field:
    """Only the changes that reach the head."""
    size = len(changed)
    labels, _ = ndimage.label(changed > 0.02)
    strong = np.unique(labels[(_away(size) == 0) & (changed > 0.5)])
    return np.where(np.isin(labels, strong[strong > 0]), changed, 0).astype(np.float32)


def _away(size: int) -> Field:
    """How far outside `_HEAD` pixels lie: 0 in it, 1 where its axes are half as long again."""
    x, y, rx, ry = (share * size for share in _HEAD)
    rows, columns = np.ogrid[:size, :size]
    radius = np.hypot((columns + 0.5 - x) / rx, (rows + 0.5 - y) / ry)
    return np.clip((radius - 1) / 0.5, 0, 1).astype(np.float32)


def _window(size: int, border: float) -> Field:
    """1 inside a square, falling to 0 at its border."""
    places = (np.arange(size) + 0.5) / size
    line = _smoothstep(np.minimum(places, 1 - places).astype(np.float32), 0.25 * border, border)
    return np.minimum(line[:, None], line[None])


def _disc(radius: int) -> NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius + radius


def _smoothstep(values: Field, low: float | Field, high: float | Field) -> Field:
    t = np.clip((values - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def _picture(values: NDArray[np.generic]) -> Field:
    picture = np.asarray(values, dtype=np.float32)
    if picture.ndim != 3 or picture.shape[0] != picture.shape[1] or picture.shape[2] != 3:
        raise LatentEditError(f"a face's picture must be [S, S, 3], got {list(picture.shape)}")
    return picture


def _at_most(picture: Field, edge: float) -> Field:
    """A picture no finer than the photo's pixels, and no coarser than masks need."""
    size = max(64, round(edge))
    return _resized(picture, size) if size < len(picture) else picture


def _resized(values: Field, size: int) -> Field:
    """float32 [S, S, C] at another size, antialiased."""
    if size == len(values):
        return values
    planes = [
        np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BOX))
        if len(values) % size == 0
        else np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC))
        for plane in np.ascontiguousarray(np.moveaxis(values, 2, 0))
    ]
    return np.stack(planes, axis=2)


def _enlarged(values: Field, size: int) -> Field:
    """A smooth field, float32 [s, s] or [s, s, C], at a larger size."""
    if values.ndim == 3:
        return np.stack([_enlarged(plane, size) for plane in np.moveaxis(values, 2, 0)], axis=2)
    plane = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR))


def _is_grey(pixels: UInt8Array) -> bool:
    few = pixels[::16, ::16]
    return all(
        np.array_equal(some[..., 0], some[..., channel])
        for some in (few, pixels)
        for channel in (1, 2)
    )


def _grey(picture: Field) -> Field:
    return np.repeat((picture @ _LUMA)[..., None], 3, axis=2)
