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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.cluster import KMeans

from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array
from latentedit.photos.ffhq import Alignment

Field = NDArray[np.float32]

_COARSE = 256
"""Edge in pixels of the pictures on which masks are made."""

_HEAD = (0.5, 0.47, 0.33, 0.43)
"""An ellipse in which every FFHQ head lies, centre and half axes in shares of the square's edge:
a change that does not reach it is none of the person's."""


_COLOURS = 5
"""Kinds of matter, told by colour, each of which carries the photo's light on for itself."""

_ALIKE, _UNLIKE = 20.0, 25.0
"""Grey levels within which colours are of one kind, and from which a residual is not light but
something that the generator does not draw."""

_LUMA = np.array((0.299, 0.587, 0.114), np.float32)


@dataclass(frozen=True)
class PasteOptions:
    """How an edit is put back. Differences are of 8-bit colours, 0 to 255.

    Attributes:
        changed: difference of `before` and `after` below which nothing is pasted, and from which
            all is; away from the head more is asked for, by how much the background differs.
        moved: contrast of `before` that is gone in `after` below which shapes stay, and from which
            the generated face takes over.
        reach: how far the mask goes beyond what changes, in shares of the square's edge.
        feather: how softly it ends, likewise.
        border: width of the square's border over which an edit fades out.
        grain: share of the photo's own grain that generated places get.
    """

    changed: tuple[float, float] = (2.0, 7.0)
    moved: tuple[float, float] = (3.0, 9.0)
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
    """

    changed: Field
    kept: Field


def paste(
    pixels: UInt8Array,
    alignment: Alignment,
    before: NDArray[np.generic],
    after: NDArray[np.generic],
    options: PasteOptions = DEFAULT,
) -> UInt8Array:
    """Put an edit into a photo.

    Args:
        pixels: the photo, uint8 [H, W, 3].
        alignment: of the face in it.
        before: the generator's picture of the face as it is, uint8 or float [S, S, 3], 0 to 255.
        after: its picture of the edited face, the same shape.

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
    masks = find_masks(before, after, options)
    drawn = _matched(after, before, photo, masks)
    shares = (masks.changed * masks.kept)[..., None], (masks.changed * (1 - masks.kept))[..., None]
    fields = np.concatenate((shares[0] * (after - before) + shares[1] * drawn, shares[1]), axis=2)
    back = alignment.back(fields)
    old = pixels[top:bottom, left:right].astype(np.float32)
    generated = np.clip(back[..., 3:], 0, 1)
    new = old * (1 - generated) + back[..., :3]
    new += options.grain * _grain(old, generated, alignment, photo, drawn)
    inside = alignment.back(masks.changed[..., None])[..., 0] > 1e-3
    target = result[top:bottom, left:right]
    target[inside] = new[inside].round().clip(0, 255).astype(np.uint8)
    return result


def residual(photo: UInt8Array, before: NDArray[np.generic]) -> Field:
    """What the generator cannot draw of an aligned photo, uint8 [S, S, 3]: photo - before.

    Added to `before` it gives the photo back; `paste` keeps it where shapes stay.

    Returns:
        float32 [S, S, 3], -255 to 255.
    """
    return photo.astype(np.float32) - _picture(before)


def find_masks(before: Field, after: Field, options: PasteOptions = DEFAULT) -> Masks:
    """Find where an edit changes the picture, and where shapes stay.

    Args:
        before: float32 [S, S, 3], 0 to 255.
        after: the same.
    """
    size = len(before)
    coarse = min(size, _COARSE)
    b, a = _resized(before, coarse), _resized(after, coarse)
    difference = ndimage.gaussian_filter(np.abs(a - b).max(2), 0.004 * coarse)
    away = _away(coarse)
    ring = away == 1
    ring[coarse // 2 :] = False
    background = float(np.quantile(difference[ring], 0.6)) * away
    low, high = options.changed
    low, high = np.maximum(low, 1.5 * background), np.maximum(high, 3 * background)
    changed = _connected(_smoothstep(difference, low, high))
    radius = max(1, round(options.reach * coarse))
    changed = ndimage.grey_dilation(changed, footprint=_disc(radius))
    changed = ndimage.gaussian_filter(changed, options.feather * coarse)
    window = _window(coarse, options.border)
    # the border's fade is sharper than the feather, and must be exact: a product
    changed = changed * window
    changed[changed < 0.01] = 0
    moved = _smoothstep(_contrast_gone(b, a), *options.moved)
    moved = ndimage.grey_dilation(moved, footprint=_disc(max(1, radius // 2)))
    moved = ndimage.gaussian_filter(moved, 0.5 * options.feather * coarse)
    return Masks(_enlarged(changed, size), _enlarged(1 - moved, size))


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


def _matched(after: Field, before: Field, photo: Field, masks: Masks) -> Field:
    """The edited face in the photo's light and colours, and no sharper than the photo."""
    size = len(after)
    small = min(size, _COARSE // 2)
    kept = _resized(masks.kept[..., None], small)[..., 0] ** 2
    b, a, p = (_resized(picture, small) for picture in (before, after, photo))
    light = _enlarged(_light(p - b, kept, b, a), size)
    result = after + light
    fine = [ndimage.gaussian_filter(picture, (0.8, 0.8, 0)) for picture in (after, before, photo)]
    rows, columns = (slice(round(0.25 * size), round(0.8 * size)),) * 2
    drawn, seen = (
        float(np.square((whole - smooth)[rows, columns]).mean())
        for whole, smooth in ((before, fine[1]), (photo, fine[2]))
    )
    gain = min(1.0, np.sqrt(seen / max(drawn, 1e-6)))
    return result - (1 - np.float32(gain)) * (after - fine[0])


def _light(rest: Field, kept: Field, before: Field, after: Field) -> Field:
    """L: what the photo's light and colours add to the generated face, float32 [s, s, 3].

    Carried on within what has one colour, so that skin is not lit by the residual of the hair
    or of the background beside it.

    Args:
        rest: photo - before.
        kept: weight of the places where it is known, [s, s].
    """
    weight = kept / (1 + np.square(rest).mean(2) / _UNLIKE**2)  # what is not drawn is no light
    colours = before.reshape(-1, 3)
    means = KMeans(_COLOURS, n_init=1, random_state=0, max_iter=20).fit(colours).cluster_centers_

    def belongs(picture: Field) -> Field:
        distance = np.square(picture[:, :, None] - means.astype(np.float32)).sum(-1)
        near = np.exp(-(distance - distance.min(2, keepdims=True)) / (2 * _ALIKE**2))
        return near / near.sum(2, keepdims=True)

    sources, targets = belongs(before), belongs(after)
    everywhere = _mean(rest, weight, np.zeros(3, np.float32))
    light = np.zeros_like(rest)
    for index in range(_COLOURS):
        share = weight * sources[..., index]
        light += targets[..., index : index + 1] * _carried_on(
            rest, share, _mean(rest, share, everywhere)
        )
    return light


def _mean(values: Field, weight: Field, otherwise: Field) -> Field:
    """Weighted mean over a picture, leaning to `otherwise` where weights are few."""
    few = 0.002 * weight.size
    return ((values * weight[..., None]).sum((0, 1)) + few * otherwise) / (weight.sum() + few)


def _carried_on(values: Field, weight: Field, start: Field) -> Field:
    """Smooth values [S, S, C] where `weight` [S, S] is, carried on to where it is not."""
    size = len(values)
    result = np.zeros_like(values) + start
    for sigma in (0.15 * size, 0.07 * size, 0.035 * size):
        near = ndimage.gaussian_filter(weight, sigma)[..., None]
        mean = ndimage.gaussian_filter(values * weight[..., None], (sigma, sigma, 0))
        trust = np.clip(near * 5, 0, 1)
        result += trust * (mean / np.maximum(near, 1e-6) - result)
    return result


def _grain(
    old: Field, share: Field, alignment: Alignment, photo: Field, drawn: Field
) -> Field | float:
    """Grain for the generated places: what the photo's skin has more of than the drawing's.

    Args:
        old: the photo in the alignment's box, float32 [h, w, 3].
        share: of what is generated there, [h, w, 1].
    """
    size = len(photo)
    rows, columns = (slice(round(a * size), round(b * size)) for a, b in ((0.5, 0.72), (0.3, 0.7)))
    amounts = []
    for picture in (photo, drawn):
        grey = picture[rows, columns] @ _LUMA
        fine = grey - ndimage.gaussian_filter(grey, 1.0)
        amounts.append(float(np.median(np.abs(fine - np.median(fine)))) / 0.6745)
    missing = amounts[0] ** 2 - amounts[1] ** 2
    if missing <= 0:
        return 0.0
    random = np.random.RandomState(0).standard_normal(old.shape[:2]).astype(np.float32)
    kernel = 0.5 * max(1.0, alignment.edge / size)
    noise = ndimage.gaussian_filter(random, kernel)
    fine = noise - ndimage.gaussian_filter(noise, max(1.0, alignment.edge / size))
    noise *= np.sqrt(missing) / max(float(fine.std()), 1e-6)
    return noise[..., None] * share


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
    return bool((pixels.min(2) == pixels.max(2)).all())


def _grey(picture: Field) -> Field:
    return np.repeat((picture @ _LUMA)[..., None], 3, axis=2)
