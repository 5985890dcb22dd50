"""The wear that photos have: light, blur, noise, compression, and crops that are a little off."""

from __future__ import annotations

import numpy as np
from numpy.random import RandomState
from PIL import Image

from latentedit.io.images import UInt8Array
from latentedit.portrait.degradations import compress, degrade

BLURS = ("gaussian", "motion", "defocus", "low resolution")
LIGHTS = ("under-exposure", "over-exposure", "side light", "uneven light", "colour cast")

BLURRED, LIT, NOISY, COMPRESSED, GREY = 0.2, 0.2, 0.3, 0.4, 0.03
"""Probability of each kind of wear."""

MOST_BLUR, MOST_LIGHT = 0.25, 0.2
"""Largest strengths of blur and light, on a scale from 0 to 1."""

TURN, ZOOM, SHIFT = 2.0, 0.03, 0.015
"""Standard deviations of a crop's errors: degrees, share of the edge, share of the edge."""


def wear(picture: UInt8Array, random: RandomState) -> UInt8Array:
    """Give a picture the wear of a photo, by chance.

    Args:
        picture: uint8 [S, S, 3].
        random: everything is drawn from it.

    Returns:
        uint8 [S, S, 3].
    """
    worn = misplace(picture, random)
    if random.uniform() < BLURRED:
        kind = BLURS[random.randint(len(BLURS))]
        worn = degrade(worn, "blur", kind, MOST_BLUR * random.uniform(), random)
    if random.uniform() < LIT:
        kind = LIGHTS[random.randint(len(LIGHTS))]
        worn = degrade(worn, "illumination", kind, MOST_LIGHT * random.uniform(), random)
    if random.uniform() < NOISY:
        noise = random.normal(0, random.uniform(1, 10), worn.shape)
        worn = (worn + noise).clip(0, 255).astype(np.uint8)
    if random.uniform() < GREY:
        worn = np.array(Image.fromarray(worn).convert("L").convert("RGB"))
    if random.uniform() < COMPRESSED:
        worn = compress(worn, int(random.randint(35, 95)))
    return worn


def misplace(picture: UInt8Array, random: RandomState) -> UInt8Array:
    """Turn, zoom and shift a picture a little; beyond its edges it is mirrored."""
    size = len(picture)
    pad = size // 8
    angle = np.radians(random.normal(0, TURN))
    zoom = np.exp(random.normal(0, ZOOM))
    shift = random.normal(0, SHIFT * size, 2)
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    middle = size / 2
    x = middle + pad + shift[0] - middle * (cosine - sine)
    y = middle + pad + shift[1] - middle * (sine + cosine)
    wide = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    image = Image.fromarray(wide).transform(
        (size, size),
        Image.Transform.AFFINE,
        (cosine, -sine, x, sine, cosine, y),
        Image.Resampling.BILINEAR,
    )
    return np.array(image)
