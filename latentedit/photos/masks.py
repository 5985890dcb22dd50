"""Where an edit changes a face's picture, and where shapes stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from latentedit.photos.fields import COARSE, LUMA, Field, enlarged, resized, smoothstep

_HEAD = (0.5, 0.47, 0.33, 0.43)
"""An ellipse in which every FFHQ head lies: centre and half axes, in shares of the square's edge. A
change that does not reach it is not a change of the person."""


@dataclass(frozen=True)
class MaskOptions:
    """What counts as a change. Differences are of 8-bit colours, 0 to 255.

    Attributes:
        changed: two limits for the difference of `before` and `after`. Below the first, nothing is
            pasted; from the second on, everything is. Away from the head both limits rise with the
            difference of the background.
        moved: two limits for the contrast of `before` that is gone in `after`. Below the first,
            shapes stay; from the second on, the generated face takes over.
        seen: two limits for the strength of an edit that moves shapes, in shares of what `before`
            misses of the photo in that place. Below the first, the edit is left out there; from
            the second on, it counts.
        reach: how far the mask goes beyond what changes, in shares of the square's edge.
        feather: sigma of the blur that softens the mask's end, in shares of the square's edge.
        border: width of the square's border over which an edit fades out, in shares of its edge.
    """

    changed: tuple[float, float] = (2.0, 7.0)
    moved: tuple[float, float] = (3.0, 9.0)
    seen: tuple[float, float] = (0.6, 0.9)
    reach: float = 0.015
    feather: float = 0.012
    border: float = 0.06


DEFAULT = MaskOptions()


@dataclass(frozen=True, eq=False)
class Masks:
    """Where an edit goes; float32 [S, S] in 0 to 1 on the aligned square.

    Attributes:
        changed: M, where the edit is pasted.
        kept: k, where shapes stay.
        lost: share of what changes that lies at the square's border and is therefore not pasted,
            0 to 1. If it is large, hair goes on beyond the square.
    """

    changed: Field
    kept: Field
    lost: float


class MaskFinder:
    """Finds the masks of edits of one face.

    Args:
        before: the generator's picture of the face as it is, float32 [S, S, 3], 0 to 255.
        photo: the aligned photo, in the same form. What `before` does not show, such as a hat, is
            edited only where the edit is as strong.
        options: see `MaskOptions`.
    """

    def __init__(self, before: Field, photo: Field, options: MaskOptions = DEFAULT) -> None:
        self.options = options
        self.size = len(before)
        self.edge = min(self.size, COARSE)
        self.before = resized(before, self.edge)
        self.grey = self.before @ LUMA
        self.mean = self._local(self.grey)
        self.variance = self._local(self.grey * self.grey) - self.mean**2
        self.unlike = self._spread(self._rest(resized(photo, self.edge)))
        self.away = _away(self.edge)
        self.window = _window(self.edge, options.border)

    def find(self, after: Field, region: Field | None = None) -> Masks:
        """Find where an edit changes the picture, and where shapes stay.

        Args:
            after: the generator's picture of the edited face, float32 [S, S, 3], 0 to 255.
            region: where the photo may change, float32 [s, s] in 0 to 1 on the aligned square; by
                default the whole square. See `photos.regions`.
        """
        edge, options = self.edge, self.options
        after = resized(after, edge)
        difference: Field = np.abs(after - self.before).max(2)
        difference = ndimage.gaussian_filter(difference, 0.004 * edge)
        ring = self.away == 1
        ring[edge // 2 :] = False
        background: Field = np.float32(np.quantile(difference[ring], 0.75)) * self.away
        low, high = (np.float32(limit) for limit in options.changed)
        strong = smoothstep(
            difference, np.maximum(low, 2 * background), np.maximum(high, 4 * background)
        )
        changed = self._connected(strong)
        radius = max(1, round(options.reach * edge))
        changed = ndimage.grey_dilation(changed, footprint=_disc(radius))
        changed = ndimage.gaussian_filter(changed, options.feather * edge)
        if region is not None:
            changed *= enlarged(region, edge)
        lost = float((changed * (1 - self.window)).sum() / max(float(changed.sum()), 1e-6))
        changed *= self.window
        grey = after @ LUMA
        moved = smoothstep(self._contrast_gone(grey), *options.moved)
        moved = ndimage.grey_dilation(moved, footprint=_disc(max(1, radius // 2)))
        moved = ndimage.gaussian_filter(moved, 0.5 * options.feather * edge)
        changed *= 1 - moved * (1 - self._seen(grey))
        changed[changed < 0.01] = 0
        return Masks(enlarged(changed, self.size), enlarged(1 - moved, self.size), lost)

    def _seen(self, after: Field) -> Field:
        """Return 1 where the edit changes what the photo shows, 0 where `before` made that up.

        The generator may draw a hat as hair, for example. Where an edit moves this hair, it would
        replace the hat.
        """
        edit = self._spread(after - self.grey)
        share = edit / np.maximum(self.unlike, 1e-3)
        strong = smoothstep(share.astype(np.float32), *self.options.seen)
        return np.maximum(strong, 1 - smoothstep(self.unlike, 6.0, 14.0))

    def _rest(self, photo: Field) -> Field:
        """Return what `before` misses of the photo, less smooth differences of light and colour."""
        rest = (photo - self.before) @ LUMA
        rest = rest - ndimage.gaussian_filter(rest, 0.08 * self.edge)
        return ndimage.gaussian_filter(rest, 0.005 * self.edge)

    def _spread(self, values: Field) -> Field:
        """Return the root mean square around each place: [S, S]."""
        return np.sqrt(ndimage.gaussian_filter(np.square(values), 0.03 * self.edge))

    def _contrast_gone(self, after: Field) -> Field:
        """Return the local contrast of `before` that `after` does not explain: [S, S].

        It is the standard deviation, in grey levels, that is left in a window after a regression
        of `before` on `after` whose slope is not negative: sqrt(var b - cov²/var a).
        """
        mean = self._local(after)
        variance = self._local(after * after) - mean**2
        covariance = np.maximum(self._local(self.grey * after) - self.mean * mean, 0)
        left = self.variance - covariance**2 / (variance + 1.0)
        return np.sqrt(np.maximum(left, 0))

    def _local(self, values: Field) -> Field:
        return ndimage.gaussian_filter(values, 0.016 * self.edge)

    def _connected(self, changed: Field) -> Field:
        """Return only the changes that reach the head."""
        labels, _ = ndimage.label(changed > 0.02)
        strong = np.unique(labels[(self.away == 0) & (changed > 0.5)])
        return np.where(np.isin(labels, strong[strong > 0]), changed, 0).astype(np.float32)


def _away(size: int) -> Field:
    """Return how far outside `_HEAD` pixels lie: 0 in it, 1 from 1.5 times its axes on."""
    x, y, rx, ry = (share * size for share in _HEAD)
    rows, columns = np.ogrid[:size, :size]
    radius = np.hypot((columns + 0.5 - x) / rx, (rows + 0.5 - y) / ry)
    return np.clip((radius - 1) / 0.5, 0, 1).astype(np.float32)


def _window(size: int, border: float) -> Field:
    """1 inside a square, falling to 0 at its border."""
    places = (np.arange(size) + 0.5) / size
    line = smoothstep(np.minimum(places, 1 - places).astype(np.float32), 0.25 * border, border)
    return np.minimum(line[:, None], line[None])


def _disc(radius: int) -> NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius + radius
