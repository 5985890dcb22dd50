"""Things in front of the face. Each is drawn so large that it covers the wanted share of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.random import RandomState
from PIL import Image, ImageDraw

from latentedit.io.images import UInt8Array
from latentedit.portrait.degradations.frame import Floats, along, face_mask, smooth_field, uint8

MOST_COVERED = 0.6
"""Covered share of the face at strength 1."""

_EYE_LINE, _EYE_X = 0.506, (0.388, 0.607)


def hand(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Palm and fingers in the face's own colour, somewhat lighter or darker."""
    centre, angle = random.uniform((0.3, 0.4), (0.7, 0.85)), random.uniform(0, 2 * math.pi)
    spread = random.uniform(0.12, 0.3)
    fingers = angle + spread * np.array((-1.5, -0.5, 0.5, 1.5))
    colour = _skin(image) * random.uniform(0.7, 1.2)

    def draw(pen: ImageDraw.ImageDraw, size: float, scale: float) -> None:
        palm = 0.34 * scale
        _oval(pen, size, centre, (palm, palm))
        for turn in fingers:
            direction = np.array((math.cos(turn), math.sin(turn)))
            tip = centre + direction * 1.1 * scale
            width = max(1, round(0.19 * scale * size))
            pen.line([*(centre * size), *(tip * size)], fill=255, width=width)
            _oval(pen, size, tip, (0.095 * scale, 0.095 * scale))

    texture = colour + random.standard_normal(image.shape) * 3
    texture += 14 * along(len(image), angle, 0.0)[..., None] * random.uniform(1, 3)
    return _cover(image, strength, draw, texture)


def mask(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A cloth over mouth and nose; it reaches as high as the wanted share asks."""
    lean, colour = random.uniform(-0.04, 0.04), _colour(random)
    bow = random.uniform(0.02, 0.06)

    def draw(pen: ImageDraw.ImageDraw, size: float, scale: float) -> None:
        top = 0.96 - 0.75 * scale
        points = [(0.2, top + 0.04 + lean), (0.5, top - bow), (0.8, top + 0.04 - lean)]
        points += [(0.76, 0.9), (0.5, 1.02), (0.24, 0.9)]
        pen.polygon([(x * size, y * size) for x, y in points], fill=255)

    return _cover(image, strength, draw, _cloth(image, colour, random))


def bar(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A dark bar or two dark glasses over the eyes."""
    tilt, joined = random.uniform(-0.03, 0.03), random.rand() < 0.5
    colour = random.uniform(0, 70, 3)

    def draw(pen: ImageDraw.ImageDraw, size: float, scale: float) -> None:
        if joined:
            high = 0.55 * scale
            points = [(0.22, -high - tilt), (0.78, -high + tilt), (0.78, high + tilt)]
            points += [(0.22, high - tilt)]
            pen.polygon([(x * size, (_EYE_LINE + y) * size) for x, y in points], fill=255)
            return
        for side, x in zip((-1, 1), _EYE_X, strict=True):
            _oval(pen, size, (x, _EYE_LINE + side * tilt), (0.62 * scale, 0.62 * scale))
        pen.line(
            [_EYE_X[0] * size, _EYE_LINE * size, _EYE_X[1] * size, _EYE_LINE * size],
            fill=255,
            width=max(1, round(0.02 * size)),
        )

    return _cover(image, strength, draw, np.zeros(image.shape) + colour)


def shape(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """One to twelve polygons or ovals of one texture, anywhere over the face."""
    pieces = []
    for _ in range(random.choice((1, 1, 2, 3, 6, 12))):
        corners = random.randint(3, 8)
        turns = (np.arange(corners) + random.uniform(0, 0.8, corners)) / corners
        angles = 2 * math.pi * turns if corners > 3 else np.zeros(0)
        radii, axes = random.uniform(0.6, 1.2, corners), random.uniform(0.5, 1.0, 2)
        pieces.append((random.uniform((0.3, 0.3), (0.7, 0.85)), angles, radii, axes))

    def draw(pen: ImageDraw.ImageDraw, size: float, scale: float) -> None:
        for centre, angles, radii, axes in pieces:
            if not len(angles):
                _oval(pen, size, centre, scale * axes)
                continue
            points = centre + scale * (radii * (np.cos(angles), np.sin(angles))).T
            pen.polygon([tuple(point) for point in points * size], fill=255)

    return _cover(image, strength, draw, _cloth(image, _colour(random), random))


def straps(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Straight bands across the face, such as a fence, a cable or a microphone's stand."""
    count, angle = random.randint(1, 5), random.uniform(0, math.pi)
    angles = angle + random.uniform(-0.5, 0.5, count)
    middles = random.uniform((0.3, 0.35), (0.7, 0.85), (count, 2))

    def draw(pen: ImageDraw.ImageDraw, size: float, scale: float) -> None:
        width = max(1, round(0.8 * scale * size / count))
        for turn, middle in zip(angles, middles, strict=True):
            reach = np.array((math.cos(turn), math.sin(turn)))
            ends = ((middle - reach) * size, (middle + reach) * size)
            pen.line([*ends[0], *ends[1]], fill=255, width=width)

    return _cover(image, strength, draw, _cloth(image, _colour(random), random))


def splashes(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Paint, mud or snow: blots of any shape, large and small."""
    size, cells = len(image), random.randint(2, 13)
    field = smooth_field(size, cells, random)
    field += random.uniform(0, 1) * smooth_field(size, 3 * cells, random)
    return _flood(image, strength, field, 0.1, _cloth(image, _colour(random), random))


def lattice(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A net, a fence or a blind: parallel bars, in one direction or in two."""
    period, angle = random.uniform(0.05, 0.3), random.uniform(0, math.pi)
    angles = (angle, angle + random.uniform(0.6, 2.5))[: random.randint(1, 3)]
    phases = random.uniform(0, period, 2)
    from_bars = [
        np.abs((along(len(image), turn, phase) % period) - period / 2)
        for turn, phase in zip(angles, phases, strict=False)
    ]
    cloth = _cloth(image, _colour(random), random)
    return _flood(image, strength, np.minimum.reduce(from_bars), 0.01, cloth)


def strands(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Hair that falls over the face from above."""
    roots, tips = random.uniform(0.2, 0.8, 400), random.uniform(-0.25, 0.25, 400)
    lengths, side = random.uniform(0.5, 0.95, 400), random.choice((-0.2, 0.2))
    middle = 0.5 + side
    order = np.argsort(np.abs(roots - middle))
    colour = random.uniform(15, 120) * np.array((1.0, random.uniform(0.7, 0.9), 0.6))

    def draw(pen: ImageDraw.ImageDraw, size: float, scale: float) -> None:
        for i in order[: 1 + int(scale * 399)]:
            t = np.linspace(0, 1, 9)
            x, y = roots[i] + tips[i] * t**2, 0.1 + (lengths[i] - 0.1) * t
            points = [(px * size, py * size) for px, py in zip(x, y, strict=True)]
            pen.line(points, fill=255, width=max(1, round(0.018 * size)))

    texture = colour + random.standard_normal((len(image), 1)) * 12
    return _cover(image, strength, draw, np.broadcast_to(texture[None], image.shape))


def leaves(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Many small leaves between the camera and the face."""
    places, turns = random.uniform(0.1, 1.0, (300, 2)), random.uniform(0, math.pi, 300)
    anchor = random.uniform((0.2, 0.3), (0.8, 0.9))
    order = np.argsort(np.linalg.norm(places - anchor, axis=1))
    colour = np.array((random.uniform(30, 120), random.uniform(80, 160), random.uniform(20, 80)))

    def draw(pen: ImageDraw.ImageDraw, size: float, scale: float) -> None:
        for i in order[: 1 + int(scale * 299)]:
            turn = np.array((math.cos(turns[i]), math.sin(turns[i])))
            across = np.array((-turn[1], turn[0]))
            corners = np.stack((0.05 * turn, 0.018 * across, -0.05 * turn, -0.018 * across))
            pen.polygon([tuple(corner) for corner in (places[i] + corners) * size], fill=255)

    texture = colour + random.standard_normal((*image.shape[:2], 1)) * 18
    return _cover(image, strength, draw, texture)


def _cover(
    image: UInt8Array,
    strength: float,
    draw: Callable[[ImageDraw.ImageDraw, float, float], None],
    texture: Floats,
) -> UInt8Array:
    """Put `texture` where `draw` (pen, edge, scale) draws, at the scale for the wanted share."""
    size, wanted = len(image), strength * MOST_COVERED
    face = face_mask(size)

    def drawn(scale: float) -> Floats:
        canvas = Image.new("L", (2 * size, 2 * size))
        draw(ImageDraw.Draw(canvas), 2.0 * size, scale)
        return np.array(canvas.reduce(2)) / 255

    low, high = 0.0, 1.0
    for _ in range(8):  # covered share grows with the scale
        middle = (low + high) / 2
        low, high = (middle, high) if drawn(middle)[face].mean() < wanted else (low, middle)
    return _blend(image, texture, drawn((low + high) / 2))


def _flood(
    image: UInt8Array, strength: float, field: Floats, softness: float, texture: Floats
) -> UInt8Array:
    """Put `texture` where `field` [S, S] is lowest, over the wanted share of the face. Its edge is
    as wide as the places in which the field changes by `softness`."""
    level = np.quantile(field[face_mask(len(image))], strength * MOST_COVERED)
    return _blend(image, texture, np.clip((level - field) / softness + 0.5, 0, 1))


def _blend(image: UInt8Array, texture: Floats, alpha: Floats) -> UInt8Array:
    return uint8(alpha[..., None] * texture + (1 - alpha[..., None]) * image)


def _oval(
    pen: ImageDraw.ImageDraw,
    size: float,
    centre: Floats | tuple[float, float],
    radii: Floats | tuple[float, float],
) -> None:
    (x, y), (a, b) = centre, radii
    pen.ellipse([(x - a) * size, (y - b) * size, (x + a) * size, (y + b) * size], fill=255)


def _skin(image: UInt8Array) -> Floats:
    """Return the median colour of the face's middle, [3]."""
    low, high = round(0.35 * len(image)), round(0.75 * len(image))
    return np.median(image[low:high, low:high].reshape(-1, 3), axis=0)


def _colour(random: RandomState) -> Floats:
    grey = random.uniform(10, 245)
    return np.clip(grey + random.standard_normal(3) * 45, 0, 255)


def _cloth(image: UInt8Array, colour: Floats, random: RandomState) -> Floats:
    """Return a texture [S, S, 3] around a colour.

    It is plain, striped, mottled (spots), or rough at several scales.
    """
    size, kind = len(image), random.randint(4)
    pattern = np.zeros((size, size))
    if kind == 1:
        turn = random.uniform(0, math.pi)
        pattern = np.sin(along(size, turn, 0.0) * random.uniform(20, 120))
    elif kind == 2:
        pattern = smooth_field(size, random.randint(4, 33), random)
    elif kind == 3:
        for cells in (4, 8, 16, 32, 64):
            pattern += cells ** random.uniform(-0.5, 0) * smooth_field(size, cells, random)
    noise = random.standard_normal((size, size)) * math.exp(random.uniform(0, 3))
    contrast = random.uniform(-50, 50, 3)
    return np.asarray(colour + contrast * pattern[..., None] + noise[..., None])
