"""The light, colours and sharpness of a photo, for a face that is drawn into it."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from latentedit.photos.fields import COARSE, FACE, LUMA, Field, enlarged, resized, window
from latentedit.photos.masks import Masks

_BAND = 0.0015, 0.003
"""Two widths between which a photo's sharpness is measured, in shares of the edge; both are wider
than grain."""

_BLURS = (0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012)
"""Blurs of a drawn face, in shares of the edge; the first that makes it as soft as the photo is
used."""

_GAINS = 0.2, 2.0
"""Least and largest contrast of a photo, in shares of the drawn face's contrast."""

_STEADY_GAINS = 0.5, 1.1
"""Least and largest contrast that `with_colours_of` gives an edited face, in shares of its own."""

_SKIN, _SKIN_EDGE = ((0.26, 0.82), (0.28, 0.72)), 0.04
"""Rows and columns of the skin that `with_colours_of` changes, and the softness of their edges, in
shares of the edge. Hair and walls beside the face stay."""

_MIDDLE = (0.36, 0.74), (0.36, 0.64)
"""Rows and columns in which there is nothing but the face, in shares of the edge."""

_COLOURS = 5
"""Number of kinds of matter, such as skin and hair, that are told apart by colour. Light is carried
on within each kind alone."""

_ALIKE, _UNLIKE = 20.0, 25.0
"""Two limits in grey levels. Colours within the first are of one kind. A residual beyond the second
is not light, but something that the generator does not draw."""


class Match:
    """Makes a drawn face no sharper than the photo, and gives it the photo's contrast and colours.

    Both are measured by means and standard deviations over the face. These hardly change if parts
    of the face lie a little elsewhere.

    Args:
        before: the drawn face, float32 [S, S, 3], 0 to 255.
        photo: the aligned photo, in the same form.
    """

    def __init__(self, before: Field, photo: Field) -> None:
        size = len(photo)
        face = window(FACE, size)
        fine, wide = _BAND[0] * size, _BAND[1] * size

        def contrast(picture: Field, blur: float) -> float:
            grey = picture[face] @ LUMA
            near, far = (
                ndimage.gaussian_filter(grey, float(np.hypot(sigma, blur)))
                for sigma in (fine, wide)
            )
            band = near - far
            grain = 1.4826 * float(np.median(np.abs(band)))  # edges are rare, grain is everywhere
            return max(float(np.square(band).mean()) - grain**2, 0.0)

        wanted = contrast(photo, 0)
        blurs = [share * size for share in _BLURS]
        self.blur = next((b for b in blurs if contrast(before, b) <= 1.15 * wanted), blurs[-1])
        seen, drawn = (p[face].reshape(-1, 3) for p in (photo, self._blurred(before)))
        self.gain = np.clip(seen.std(0) / np.maximum(drawn.std(0), 1.0), *_GAINS)
        self.shift = seen.mean(0) - self.gain * drawn.mean(0)

    def apply(self, picture: Field) -> Field:
        """Return a picture of the same face, [S, S, 3], as the photo would show it."""
        return self.gain * self._blurred(picture) + self.shift

    def _blurred(self, picture: Field) -> Field:
        blur = self.blur
        return ndimage.gaussian_filter(picture, (blur, blur, 0)) if blur > 0 else picture


def with_colours_of(before: Field, after: Field) -> Field:
    """Return an edited face with the skin's colours and contrast of the face before the edit.

    Args:
        before: the drawn face as it is, float32 [S, S, 3], 0 to 255.
        after: the edited one, in the same form.
    """
    size = len(before)
    face = window(FACE, size)
    old, new = (
        np.percentile(picture[face].reshape(-1, 3), (10, 50, 90), axis=0)
        for picture in (before, after)
    )
    gain = np.clip((old[2] - old[0]) / np.maximum(new[2] - new[0], 1.0), *_STEADY_GAINS)
    skin = np.zeros((COARSE, COARSE), np.float32)
    skin[window(_SKIN, COARSE)] = 1
    skin = enlarged(ndimage.gaussian_filter(skin, _SKIN_EDGE * COARSE), size)
    change = (after - new[1]) * gain + old[1] - after
    return (after + skin[..., None] * change).astype(np.float32)


class _Kinds:
    """Kinds of matter in a picture, told apart by colour.

    What is known of one kind is not used for another. Otherwise the residual of the hair or the
    background would light the skin beside it.
    """

    def __init__(self, picture: Field) -> None:
        colours = self.reduced(picture).reshape(-1, 3)
        # SciPy's k-means, because scikit-learn takes two seconds to import
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # fewer colours than kinds
            centres, _ = kmeans2(colours, _COLOURS, iter=20, minit="points", seed=0)
        self.colours: Field = centres.astype(np.float32)

    @staticmethod
    def reduced(picture: Field) -> Field:
        """Return a picture at the size at which kinds are told apart."""
        return resized(picture, min(len(picture), COARSE // 2))

    def shares(self, picture: Field) -> Field:
        """Return how much each pixel is of each kind: [s, s, kinds]."""
        # squared distances without the pixel's own square, which is the same for all kinds
        distance = np.square(self.colours).sum(1) - 2 * picture @ self.colours.T
        near = np.exp(-(distance - distance.min(2, keepdims=True)) / (2 * _ALIKE**2))
        near[near < 1e-6] = 0  # computing with numbers next to 0 is slow
        return near / near.sum(2, keepdims=True)


class Light:
    """The light of one photo, for edits of the face in it.

    Args:
        before: the drawn face as it is, float32 [S, S, 3], 0 to 255; see `Match`.
        photo: the aligned photo, in the same form.
    """

    def __init__(self, before: Field, photo: Field) -> None:
        self.size = len(before)
        self.kinds = _Kinds(before)
        self.before = self.kinds.reduced(before)
        self.shares = self.kinds.shares(self.before)
        self.rest = self.kinds.reduced(photo) - self.before
        # a large residual is something that is not drawn, not light
        self.trust = 1 / (1 + np.square(self.rest).mean(2) / _UNLIKE**2)

    def light(self, after: Field, masks: Masks) -> Field:
        """Return what the photo's light and colours add to the drawn face, float32 [S, S, 3]."""
        kept = self.kinds.reduced(masks.kept[..., None])[..., 0] ** 2
        light = self._carry_on(self.rest, kept * self.trust, self.kinds.reduced(after), None)
        return enlarged(light, self.size)

    def drift(self, after: Field, masks: Masks) -> Field:
        """Return how far the edit changed colours outside the mask, carried on: [S, S, 3].

        Inside the mask, the same matter has changed as much. If this is not taken away, the
        mask's border shows.
        """
        weight = 1 - self.kinds.reduced(masks.changed[..., None])[..., 0]
        after = self.kinds.reduced(after)
        drift = self._carry_on(after - self.before, weight**2, after, np.zeros(3, np.float32))
        return enlarged(drift, self.size)

    def _carry_on(
        self, values: Field, weight: Field, target: Field, otherwise: Field | None
    ) -> Field:
        """Carry smooth values of the face on, kind by kind, from where they are known.

        Args:
            values: float32 [s, s, 3].
            weight: how well they are known, [s, s].
            target: a picture of the places that they are carried on to.
            otherwise: the value far from all known places; by default the kind's mean, or the
                face's mean where the kind is hardly known.
        """
        targets = self.kinds.shares(target)
        # not the mean of all: where no place of the face is known, a wall would light it
        face = window(_MIDDLE, len(values))
        everywhere = _mean(values[face], weight[face], np.zeros(3, np.float32))
        result = np.zeros_like(values)
        for index in range(targets.shape[2]):
            share = weight * self.shares[..., index]
            start = _mean(values, share, everywhere) if otherwise is None else otherwise
            result += targets[..., index : index + 1] * _carried_on(values, share, start)
        return result


def _mean(values: Field, weight: Field, otherwise: Field) -> Field:
    """Return the weighted mean over a picture; with little weight it is near `otherwise`."""
    few = 0.002 * weight.size
    return ((values * weight[..., None]).sum((0, 1)) + few * otherwise) / (weight.sum() + few)


def _carried_on(values: Field, weight: Field, start: Field) -> Field:
    """Carry smooth values [S, S, C] on from where `weight` [S, S] is large to where it is 0."""
    size = len(values)
    result = np.zeros_like(values) + start
    known = np.concatenate((np.moveaxis(values * weight[..., None], 2, 0), weight[None]))
    for share in (0.15, 0.07, 0.035):
        blur = _blur(size, share)
        # for blurs this wide, products with matrices take a tenth of the time of filters
        smooth = np.moveaxis(blur @ known @ blur.T, 0, 2)
        mean, near = smooth[..., :-1], smooth[..., -1:]
        trust = np.clip(near * 5, 0, 1)
        result += trust * (mean / np.maximum(near, 1e-6) - result)
    return result


@cache
def _blur(size: int, share: float) -> Field:
    """Return a Gaussian filter for a line of pixels as a matrix; sigma is a share of the line."""
    return ndimage.gaussian_filter1d(np.eye(size, dtype=np.float32), share * size, axis=0)
