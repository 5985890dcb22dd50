"""Spoiling portraits by a known amount: blur, bad light, things in front of the face.

All of it works on portraits in the *portrait frame* (see `faces.portrait`), at any size. A strength
of 0 changes next to nothing and 1 leaves little to see:

    blur           standard deviation of the blur, 4 pixels of 96 at strength 1
    illumination   stops of light, or of colour, and how unevenly they fall
    occlusion      covered share of the face, 0.6 at strength 1

`KINDS` are for training. `UNSEEN` are of other kinds, for measuring what was learnt from `KINDS`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from latentedit.images import UInt8Array

Degradation = Callable[[UInt8Array, float, RandomState], UInt8Array]
"""Portrait uint8 [S, S, 3], strength 0 to 1, source of chance -> portrait uint8 [S, S, 3]."""

Floats = NDArray[np.float64]
Mask = NDArray[np.float64]

POOR_FROM: Mapping[str, float] = {"blur": 0.25, "illumination": 0.3, "occlusion": 0.15}
"""Strength from which a portrait counts as poor: a blur of 1 pixel of 96, about one and a half
stops of light, a tenth of the face covered."""

MOST_COVERED = 0.6
FACE_CENTRE, FACE_AXES = (0.5, 0.58), (0.26, 0.35)
"""Ellipse of the face in the portrait frame: centre and half axes, in shares of its edge."""

_EYE_LINE, _EYE_X = 0.506, (0.388, 0.607)
_DEVIATION = 4 / 96
_GAMMA = 2.2


def degrade(
    image: UInt8Array, quality: str, kind: str, strength: float, random: RandomState
) -> UInt8Array:
    """Spoil one quality of a portrait.

    Args:
        image: uint8 [S, S, 3] in the portrait frame.
        quality: ``blur``, ``illumination`` or ``occlusion``.
        kind: a key of ``KINDS[quality]`` or ``UNSEEN[quality]``.
        strength: 0 to 1.
        random: everything that is not given is drawn from it; the same state, the same picture.

    Returns:
        uint8 [S, S, 3].

    Raises:
        ValueError: another shape or dtype, an unknown kind, or a strength outside 0 to 1.
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


# Blur. Each kind is scaled to one variance, averaged over the two axes.


def _gaussian(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    radius = _deviation(image, strength)
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _defocus(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A disc, as an open aperture draws a point; variance is a quarter of the radius squared."""
    radius = 2 * _deviation(image, strength)
    y, x = _offsets(math.ceil(radius))
    return _convolve(image, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1))


def _motion(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A straight line in any direction; its variance is a twelfth of its length squared."""
    angle, length = random.uniform(0, math.pi), math.sqrt(24) * _deviation(image, strength)
    places = np.linspace(-length / 2, length / 2, 33)
    return _convolve(image, _path(places * math.cos(angle), places * math.sin(angle)))


def _low_resolution(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Reduced by averaging and enlarged again by straight lines; together half a large pixel."""
    size = len(image)
    small = max(2, round(size / max(1.0, 2 * _deviation(image, strength))))
    reduced = Image.fromarray(image).resize((small, small), Image.Resampling.BOX)
    return np.array(reduced.resize((size, size), Image.Resampling.BILINEAR))


def _shake(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """The path of an unsteady hand: a smoothed random walk."""
    walk = np.cumsum(np.cumsum(random.standard_normal((2, 64)), axis=1), axis=1)
    walk -= walk.mean(1, keepdims=True)
    walk *= _deviation(image, strength) / math.sqrt(np.square(walk).mean())
    return _convolve(image, _path(walk[0], walk[1]))


def _zoom(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """The lens zooms while the shutter is open: pictures of growing scale, averaged.

    Scaled to the wanted variance at 0.3 of the edge from the middle.
    """
    size = len(image)
    reach = math.sqrt(24) * _deviation(image, strength) / (0.3 * size)
    picture, total, steps = Image.fromarray(image), np.zeros(image.shape), 24
    for scale in np.linspace(1 - reach / 2, 1 + reach / 2, steps):
        margin = (1 - 1 / max(scale, 0.1)) * size / 2
        matrix = (1 / scale, 0, margin, 0, 1 / scale, margin)
        moved = picture.transform(
            (size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
        covered = np.array(
            Image.new("L", (size, size), 255).transform(
                (size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
            )
        )[..., None]
        total += np.where(covered > 254, np.array(moved), image)
    return _uint8(total / steps)


# Illumination. Light is added up in linear light (gamma 2.2) and counted in stops.


def _under(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Too little light, and the sensor's noise with it."""
    noise = random.standard_normal(image.shape) * 6 * strength
    return _uint8(_expose(image, -4.0 * strength).astype(np.float64) + noise)


def _over(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    return _expose(image, 2.5 * strength)


def _side(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Light from one side: the other half of the face lies in shadow, its edge soft or sharp."""
    angle = random.choice((0.0, math.pi)) + random.uniform(-0.9, 0.9)
    along = _along(len(image), angle, random.uniform(-0.12, 0.12))
    shadow = 1 / (1 + np.exp(-along / math.exp(random.uniform(math.log(0.004), math.log(0.12)))))
    return _expose(image, (0.5 * strength - 4.5 * strength * shadow)[..., None])


def _back(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Light from behind: a bright ground and a dark face."""
    face = _soft_ellipse(len(image), FACE_CENTRE, (0.33, 0.48), 0.08)
    return _expose(image, (2.0 * strength * (1 - face) - 4.0 * strength * face)[..., None])


def _cast(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Light of a colour."""
    colour = random.standard_normal(3)
    colour -= colour.mean()
    return _expose(image, 2.0 * strength * colour / np.abs(colour).max())


def _hard_shadow(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A shadow with sharp edges, as of a branch or a window's frame, across a part of the face."""
    angle, half = random.uniform(0, 2 * math.pi), random.uniform(0.1, 0.2)
    along = _along(len(image), angle, random.uniform(-0.05, 0.05))
    shadow = np.clip((half - np.abs(along)) / 0.01 + 0.5, 0, 1)
    return _expose(image, (-5.0 * strength * shadow)[..., None])


def _spotlight(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """One small lamp: a bright spot on the face, and darkness around it."""
    centre = random.uniform((0.35, 0.35), (0.65, 0.75))
    y, x = _grid(len(image))
    squared = np.square(x - centre[0]) + np.square(y - centre[1])
    return _expose(image, (strength * (1.5 - 6.0 * (1 - np.exp(-squared / 0.06))))[..., None])


# Occlusion. A thing is drawn in the size that covers the wanted share of the face.


def _hand(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
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
    texture += 14 * _along(len(image), angle, 0.0)[..., None] * random.uniform(1, 3)
    return _cover(image, strength, draw, texture)


def _mask(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """A cloth over mouth and nose, drawn up as far as it takes."""
    lean, colour = random.uniform(-0.04, 0.04), _colour(random)
    bow = random.uniform(0.02, 0.06)

    def draw(pen: ImageDraw.ImageDraw, size: float, scale: float) -> None:
        top = 0.96 - 0.75 * scale
        points = [(0.2, top + 0.04 + lean), (0.5, top - bow), (0.8, top + 0.04 - lean)]
        points += [(0.76, 0.9), (0.5, 1.02), (0.24, 0.9)]
        pen.polygon([(x * size, y * size) for x, y in points], fill=255)

    return _cover(image, strength, draw, _cloth(image, colour, random))


def _bar(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
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


def _shape(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """One to six polygons or ovals of one texture, anywhere over the face."""
    pieces = []
    for _ in range(random.choice((1, 1, 2, 3, 6))):
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


def _straps(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
    """Straight bands across the face, as of a fence, a cable or a microphone's stand."""
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


def _strands(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
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


def _leaves(image: UInt8Array, strength: float, random: RandomState) -> UInt8Array:
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


KINDS: Mapping[str, Mapping[str, Degradation]] = {
    "blur": {
        "gaussian": _gaussian,
        "motion": _motion,
        "defocus": _defocus,
        "low resolution": _low_resolution,
    },
    "illumination": {
        "under-exposure": _under,
        "over-exposure": _over,
        "side light": _side,
        "back light": _back,
        "colour cast": _cast,
    },
    "occlusion": {"hand": _hand, "mask": _mask, "bar": _bar, "shape": _shape, "straps": _straps},
}
"""What training portraits are spoilt by."""

UNSEEN: Mapping[str, Mapping[str, Degradation]] = {
    "blur": {"camera shake": _shake, "zoom": _zoom},
    "illumination": {"hard shadow": _hard_shadow, "spotlight": _spotlight},
    "occlusion": {"hair": _strands, "leaves": _leaves},
}
"""Kept out of training, for measuring."""


def _deviation(image: UInt8Array, strength: float) -> float:
    return max(0.05, strength * _DEVIATION * len(image))


def _offsets(reach: int) -> tuple[Floats, Floats]:
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    return y, x


def _path(x: Floats, y: Floats) -> Floats:
    """A kernel [K, K] from points in pixels about its middle, each shared by its four pixels."""
    reach = math.ceil(max(np.abs(x).max(), np.abs(y).max())) + 1
    rows, columns = _offsets(reach)
    near = np.clip(1 - np.abs(columns[..., None] - x), 0, 1)
    return np.asarray((near * np.clip(1 - np.abs(rows[..., None] - y), 0, 1)).sum(-1))


def _convolve(image: UInt8Array, kernel: Floats) -> UInt8Array:
    """Convolve [S, S, 3] with a kernel [K, K], K odd, mirroring at the edges."""
    reach, size = len(kernel) // 2, len(image)
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    shape = padded.shape[:2]
    spectrum = np.fft.rfft2(kernel / kernel.sum(), shape)[..., None]
    full = np.fft.irfft2(np.fft.rfft2(padded, axes=(0, 1)) * spectrum, shape, axes=(0, 1))
    return _uint8(full[2 * reach : 2 * reach + size, 2 * reach : 2 * reach + size])


def _expose(image: UInt8Array, stops: float | Floats) -> UInt8Array:
    """Multiply the light by two to the power of `stops`, which broadcasts to [S, S, 3]."""
    return _uint8(image.astype(np.float64) * np.exp2(np.asarray(stops) / _GAMMA))


def _grid(size: int) -> tuple[Floats, Floats]:
    """Rows and columns of the pixels' centres, in shares of the edge: [S, 1] and [1, S]."""
    places = (np.arange(size) + 0.5) / size
    return places[:, None], places[None]


def _along(size: int, angle: float, shift: float) -> Floats:
    """Distance of every pixel from a line through the face, across it, in shares of the edge."""
    y, x = _grid(size)
    dx, dy = x - FACE_CENTRE[0], y - FACE_CENTRE[1]
    return np.asarray(math.cos(angle) * dx + math.sin(angle) * dy + shift)


def _soft_ellipse(
    size: int, centre: tuple[float, float], axes: tuple[float, float], softness: float
) -> Mask:
    y, x = _grid(size)
    distance = np.hypot((x - centre[0]) / axes[0], (y - centre[1]) / axes[1])
    return np.asarray(1 / (1 + np.exp((distance - 1) / softness)))


def face_mask(size: int) -> NDArray[np.bool_]:
    """Pixels of the portrait frame on the mean face, bool [size, size]."""
    y, x = _grid(size)
    return np.asarray(
        np.square((x - FACE_CENTRE[0]) / FACE_AXES[0])
        + np.square((y - FACE_CENTRE[1]) / FACE_AXES[1])
        < 1
    )


def _cover(
    image: UInt8Array,
    strength: float,
    draw: Callable[[ImageDraw.ImageDraw, float, float], None],
    texture: Floats,
) -> UInt8Array:
    """Put `texture` where `draw` (pen, edge, scale) draws, at the scale that covers enough."""
    size, wanted = len(image), strength * MOST_COVERED
    face = face_mask(size)

    def mask(scale: float) -> Mask:
        canvas = Image.new("L", (2 * size, 2 * size))
        draw(ImageDraw.Draw(canvas), 2.0 * size, scale)
        return np.array(canvas.reduce(2)) / 255

    low, high = 0.0, 1.0
    for _ in range(8):  # covered share grows with the scale
        middle = (low + high) / 2
        low, high = (middle, high) if mask(middle)[face].mean() < wanted else (low, middle)
    alpha = mask((low + high) / 2)[..., None]
    return _uint8(alpha * texture + (1 - alpha) * image)


def _oval(
    pen: ImageDraw.ImageDraw,
    size: float,
    centre: Floats | tuple[float, float],
    radii: Floats | tuple[float, float],
) -> None:
    (x, y), (a, b) = centre, radii
    pen.ellipse([(x - a) * size, (y - b) * size, (x + a) * size, (y + b) * size], fill=255)


def _skin(image: UInt8Array) -> Floats:
    """Median colour of the face's middle, [3]."""
    low, high = round(0.35 * len(image)), round(0.75 * len(image))
    return np.median(image[low:high, low:high].reshape(-1, 3), axis=0)


def _colour(random: RandomState) -> Floats:
    grey = random.uniform(10, 245)
    return np.clip(grey + random.standard_normal(3) * 45, 0, 255)


def _cloth(image: UInt8Array, colour: Floats, random: RandomState) -> Floats:
    """A texture [S, S, 3] about a colour: plain, striped, or mottled at some scale."""
    size, kind = len(image), random.randint(3)
    if kind == 0:
        pattern = np.zeros((size, size))
    elif kind == 1:
        turn = random.uniform(0, math.pi)
        pattern = np.sin(_along(size, turn, 0.0) * random.uniform(20, 120))
    else:
        coarse = random.standard_normal((random.randint(4, 33),) * 2).astype(np.float32)
        enlarged = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        pattern = np.array(enlarged, np.float64)
    noise = random.standard_normal((size, size)) * 2
    contrast = random.uniform(-50, 50, 3)
    return np.asarray(colour + contrast * pattern[..., None] + noise[..., None])


def _uint8(values: Floats) -> UInt8Array:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
