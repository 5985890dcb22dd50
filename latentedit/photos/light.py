"""The light, colours and sharpness of a photo, for a face that is drawn into it."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from latentedit.photos.fields import COARSE, FACE, LUMA, Field, enlarged, resized
from latentedit.photos.masks import Masks

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


class Match:
    """What makes a drawn face no sharper than the photo, and gives it its contrast and colours.

    The face decides, by its moments: they do not mind that its parts lie a little elsewhere.

    Args:
        before: the drawn face, float32 [S, S, 3], 0 to 255.
        photo: the same, aligned.
    """

    def __init__(self, before: Field, photo: Field) -> None:
        size = len(photo)
        rows, columns = (slice(round(a * size), round(b * size)) for a, b in FACE)
        fine, wide = _BAND[0] * size, _BAND[1] * size

        def contrast(picture: Field, blur: float) -> float:
            grey = picture[rows, columns] @ LUMA
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
        seen, drawn = (p[rows, columns].reshape(-1, 3) for p in (photo, self._blurred(before)))
        self.gain = np.clip(seen.std(0) / np.maximum(drawn.std(0), 1.0), *_GAINS)
        self.shift = seen.mean(0) - self.gain * drawn.mean(0)

    def apply(self, picture: Field) -> Field:
        """A picture of the same face, [S, S, 3], as the photo would show it."""
        return self.gain * self._blurred(picture) + self.shift

    def _blurred(self, picture: Field) -> Field:
        blur = self.blur
        return ndimage.gaussian_filter(picture, (blur, blur, 0)) if blur > 0 else picture


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
        return resized(picture, min(len(picture), COARSE // 2))

    def shares(self, picture: Field) -> Field:
        """How much pixels are of each kind: [s, s, kinds]."""
        # squared distances, but for a pixel's own square, which is the same for all kinds
        distance = np.square(self.colours).sum(1) - 2 * picture @ self.colours.T
        near = np.exp(-(distance - distance.min(2, keepdims=True)) / (2 * _ALIKE**2))
        near[near < 1e-6] = 0  # numbers next to 0 would slow all down that is computed from them
        return near / near.sum(2, keepdims=True)


class Light:
    """The light that one photo throws on edits of the face in it.

    Args:
        before: the drawn face as it is, float32 [S, S, 3], 0 to 255; see `Match`.
        photo: the same, aligned.
    """

    def __init__(self, before: Field, photo: Field) -> None:
        self.size = len(before)
        self.kinds = _Kinds(before)
        self.before = self.kinds.reduced(before)
        self.shares = self.kinds.shares(self.before)
        self.rest = self.kinds.reduced(photo) - self.before
        # what is not drawn is no light
        self.trust = 1 / (1 + np.square(self.rest).mean(2) / _UNLIKE**2)

    def light(self, after: Field, masks: Masks) -> Field:
        """What the photo's light and colours add to the generated face, float32 [S, S, 3]."""
        kept = self.kinds.reduced(masks.kept[..., None])[..., 0] ** 2
        light = self._carry_on(self.rest, kept * self.trust, self.kinds.reduced(after), None)
        return enlarged(light, self.size)

    def drift(self, after: Field, masks: Masks) -> Field:
        """By how much the edit moved the colours of places that are left as they are: [S, S, 3].

        The same matter within the mask has moved by as much, and would show its border.
        """
        weight = 1 - self.kinds.reduced(masks.changed[..., None])[..., 0]
        after = self.kinds.reduced(after)
        drift = self._carry_on(after - self.before, weight**2, after, np.zeros(3, np.float32))
        return enlarged(drift, self.size)

    def _carry_on(
        self, values: Field, weight: Field, target: Field, otherwise: Field | None
    ) -> Field:
        """Smooth values of the face as it is carried on, kind by kind, from where they are known.

        Args:
            values: float32 [s, s, 3].
            weight: how well they are known, [s, s].
            target: a picture of the places where they go.
            otherwise: what is taken far from all sources; by default the kind's mean.
        """
        targets = self.kinds.shares(target)
        everywhere = _mean(values, weight, np.zeros(3, np.float32))
        result = np.zeros_like(values)
        for index in range(targets.shape[2]):
            share = weight * self.shares[..., index]
            start = _mean(values, share, everywhere) if otherwise is None else otherwise
            result += targets[..., index : index + 1] * _carried_on(values, share, start)
        return result


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
