"""Bad light. It is computed in linear light (gamma 2.2) and measured in stops."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import RandomState

from latentedit.io.images import UInt8Array
from latentedit.portrait.degradations.frame import (
    FACE_CENTRE,
    Floats,
    along,
    face_mask,
    grid,
    smooth_field,
    soft_ellipse,
    uint8,
)

_GAMMA = 2.2


def under(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Too little light, and the sensor's noise with it."""
    noise = random.standard_normal(image.shape) * 6 * strength
    return uint8(_expose(image, -4.0 * strength).astype(np.float64) + noise)


def over(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    return _expose(image, 2.5 * strength)


def side(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Light from one side: the other half lies in a shadow whose edge is soft or sharp."""
    angle = random.choice((0.0, math.pi)) + random.uniform(-0.9, 0.9)
    distance = along(len(image), angle, random.uniform(-0.12, 0.12))
    shadow = 1 / (1 + np.exp(-distance / math.exp(random.uniform(math.log(0.004), math.log(0.12)))))
    return _expose(image, (0.5 * strength - 4.5 * strength * shadow)[..., None])


def patches(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Light through leaves: shadows of any shape, with soft or sharp edges."""
    field = smooth_field(len(image), random.randint(2, 9), random)
    threshold = np.quantile(field, random.uniform(0.2, 0.8))
    softness = math.exp(random.uniform(math.log(0.03), math.log(0.5)))
    shadow = 1 / (1 + np.exp(np.clip((field - threshold) / softness, -30, 30)))
    lit = random.uniform(-0.5, 0.8)
    return _expose(image, (strength * (lit - 5.0 * shadow))[..., None])


def uneven(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Light that changes smoothly over the picture, by five stops, as of several lamps."""
    field = smooth_field(len(image), random.randint(2, 5), random)
    low, high = field[face_mask(len(image))].min(), field[face_mask(len(image))].max()
    share = np.clip((field - low) / (high - low), -0.3, 1.3)
    return _expose(image, (strength * (5.0 * share - random.uniform(3.0, 5.0)))[..., None])


def back(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Light from behind: a bright background and a dark face."""
    face = soft_ellipse(len(image), FACE_CENTRE, (0.33, 0.48), 0.08)
    return _expose(image, (2.0 * strength * (1 - face) - 4.0 * strength * face)[..., None])


def cast(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Coloured light."""
    colour = random.standard_normal(3)
    colour -= colour.mean()
    return _expose(image, 2.0 * strength * colour / np.abs(colour).max())


def hard_shadow(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A shadow with sharp edges across a part of the face, as of a branch or a window's frame."""
    angle, half = random.uniform(0, 2 * math.pi), random.uniform(0.1, 0.2)
    distance = along(len(image), angle, random.uniform(-0.05, 0.05))
    shadow = np.clip((half - np.abs(distance)) / 0.01 + 0.5, 0, 1)
    return _expose(image, (-5.0 * strength * shadow)[..., None])


def spotlight(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """One small lamp: a bright spot on the face, and darkness around it."""
    centre = random.uniform((0.35, 0.35), (0.65, 0.75))
    y, x = grid(len(image))
    squared = np.square(x - centre[0]) + np.square(y - centre[1])
    return _expose(image, (strength * (1.5 - 6.0 * (1 - np.exp(-squared / 0.06))))[..., None])


def _expose(image: UInt8Array, stops: float | Floats) -> UInt8Array:
    """Multiply the light by two to the power of `stops`, which broadcasts to [S, S, 3]."""
    return uint8(image.astype(np.float64) * np.exp2(np.asarray(stops) / _GAMMA))
