"""Spoil portraits by a known amount: blur, bad light, things in front of the face.

Every function takes portraits in the *portrait frame* (`photos.align.PORTRAIT_EDGE`), of any size.
A strength of 0 changes almost nothing, and 1 leaves little to see:

    blur           standard deviation of the blur, 4 pixels of 96 at strength 1
    illumination   stops of light, or of colour, and how unevenly they fall
    occlusion      covered share of the face, 0.6 at strength 1

`KINDS` are for training. `UNSEEN` are other kinds, which measure what was learnt from `KINDS`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from numpy.random import RandomState
from PIL import Image

from latentedit.io.images import UInt8Array
from latentedit.portrait.degradations import blur, covers, light
from latentedit.portrait.degradations.covers import MOST_COVERED
from latentedit.portrait.degradations.frame import Degradation, face_mask

__all__ = [
    "KINDS",
    "MOST_COVERED",
    "POOR_FROM",
    "UNSEEN",
    "Degradation",
    "compress",
    "degrade",
    "face_mask",
]

POOR_FROM: Mapping[str, float] = {"blur": 0.25, "illumination": 0.3, "occlusion": 0.15}
"""Strength from which a portrait counts as poor: a blur of 1 pixel of 96, about one and a half
stops of light, a tenth of the face covered."""

KINDS: Mapping[str, Mapping[str, Degradation]] = {
    "blur": {
        "gaussian": blur.gaussian,
        "astigmatic": blur.astigmatic,
        "motion": blur.motion,
        "spin": blur.spin,
        "defocus": blur.defocus,
        "low resolution": blur.low_resolution,
    },
    "illumination": {
        "under-exposure": light.under,
        "over-exposure": light.over,
        "side light": light.side,
        "patches": light.patches,
        "uneven light": light.uneven,
        "back light": light.back,
        "colour cast": light.cast,
    },
    "occlusion": {
        "hand": covers.hand,
        "mask": covers.mask,
        "bar": covers.bar,
        "shape": covers.shape,
        "straps": covers.straps,
        "splashes": covers.splashes,
        "lattice": covers.lattice,
    },
}
"""Degradations for training portraits, by quality and kind."""

UNSEEN: Mapping[str, Mapping[str, Degradation]] = {
    "blur": {"camera shake": blur.shake, "zoom": blur.zoom},
    "illumination": {"hard shadow": light.hard_shadow, "spotlight": light.spotlight},
    "occlusion": {"hair": covers.strands, "leaves": covers.leaves},
}
"""Degradations that are kept out of training, for measuring."""


def degrade(
    image: UInt8Array, quality: str, kind: str, strength: float, random: RandomState
) -> UInt8Array:
    """Spoil one quality of a portrait.

    Args:
        image: uint8 [S, S, 3] in the portrait frame.
        quality: ``blur``, ``illumination`` or ``occlusion``.
        kind: a key of ``KINDS[quality]`` or ``UNSEEN[quality]``.
        strength: 0 to 1.
        random: everything that is not given is drawn from it; the same state gives the same
            picture.

    Returns:
        uint8 [S, S, 3].

    Raises:
        ValueError: the picture has another shape or dtype, the kind is not known, or the strength
            is not in 0 to 1.
    """
    if image.ndim != 3 or image.shape[0] != image.shape[1] or image.dtype != np.uint8:
        raise ValueError(f"a portrait is uint8 [S, S, 3], got {image.dtype} {list(image.shape)}")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be 0 to 1, got {strength}")
    known = {**KINDS.get(quality, {}), **UNSEEN.get(quality, {})}
    if kind not in known:
        raise ValueError(f"no degradation {kind!r} of {quality!r}, only {', '.join(known)}")
    return known[kind](image, strength, random)


def compress(image: UInt8Array, quality: int) -> UInt8Array:
    """Return a portrait as JPEG at `quality` (1 to 95) shows it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return np.array(Image.open(buffer))
