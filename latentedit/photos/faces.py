"""Find the faces of a photo that are to be edited; number, align and check them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array
from latentedit.photos.align import LOOKED_AT, Face, find_faces, left_to_right, place_points
from latentedit.photos.ffhq import Alignment
from latentedit.photos.notes import Note

SEARCHED_AT = 1280
"""Longer edge in pixels to which a photo is brought for the search. The search finds faces that are
a sixteenth of it wide, or wider."""

SEARCHED_AGAIN_AT = 2560
"""The longer edge for a second search, if the first finds no face."""

MIN_SCORE = 0.2
"""Least score of a face. If no face has it, `MIN_SCORE_AGAIN` is enough, and a note says so."""

MIN_SCORE_AGAIN = -0.2
MIN_SCORE_TURNED = 0.4
"""Least score of a face in a photo that lies on its side or is upside down."""

SMALLEST_FACE = 40
"""Least width of a face's box in pixels; a smaller face has no features to edit."""

SMALL_FACE = 128
"""A face that is less wide, in pixels, gets a note that it is small."""

PROFILE = 30.0
"""A face with at least this yaw, in degrees, gets a note that it is seen from the side."""

CUT_SHARE = 0.02
"""A face gets a note if at least this share of its aligned square lies outside the photo."""

ALL: Literal["all"] = "all"
Which = int | Literal["all"] | None
"""Which faces of a photo: None is the largest, n is the n-th from the left, "all" is each."""


@dataclass(frozen=True, eq=False)
class PhotoFace:
    """One face of a photo.

    Attributes:
        face: where it was found, with its 68 landmarks.
        alignment: the square around it, aligned as FFHQ's faces are.
        number: its number from the left; the first is 1.
        count: number of faces in the photo.
        notes: what the user should know, of the kinds several, unsure, turned, small, profile and
            cut. With "all", the first face has a note of the kind skipped for each face that was
            left out.
    """

    face: Face
    alignment: Alignment
    number: int
    count: int
    notes: tuple[Note, ...]

    def scaled(self, width: int, height: int) -> PhotoFace:
        """Return the same face in the photo resized to `width` x `height` pixels."""
        old = self.alignment
        if (width, height) == (old.width, old.height):
            return self
        factors = np.array((width / old.width, height / old.height))
        left, top, right, bottom = (round(edge) for edge in self.face.box * np.tile(factors, 2))
        points = self.face.points
        face = replace(
            self.face,
            box=(left, top, right, bottom),
            landmarks=self.face.landmarks * factors,
            points=None if points is None else points * factors,
        )
        return replace(self, face=face, alignment=old.scaled(width, height))


def choose_faces(pixels: UInt8Array, which: Which = None) -> tuple[PhotoFace, ...]:
    """Find the faces of a photo that are to be edited.

    If no face stands upright, the photo is also searched turned by 90, 180 and 270 degrees.

    Args:
        pixels: uint8 [H, W, 3], as the viewer sees it.
        which: None for the largest, n for the n-th from the left, or "all".

    Returns:
        One face. With "all": every face that can be edited, from the left, with notes on the
        others.

    Raises:
        LatentEditError: there is no face, or none of that number; the face is too small to edit,
            or its eyes or mouth lie outside the photo; the extra ``photos`` is missing.
    """
    if which is not None and which != ALL and (isinstance(which, bool) or which < 1):
        raise LatentEditError(f"faces are numbered from 1, from the left, got {which}")
    found, notes = _search(pixels)
    if not found:
        raise LatentEditError(
            "no face was found: give a photo in which a face looks towards the camera, "
            "is not covered, and is at least a twentieth as wide as the photo"
        )
    ordered = left_to_right(found)
    if which is None:
        largest = max(ordered, key=lambda face: face.box[2] - face.box[0])
        number = next(n for n, face in enumerate(ordered, 1) if face is largest)
        if len(ordered) > 1:
            several = f"{len(ordered)} faces were found; the largest, {number} from the left, is"
            notes = (Note("several", f"{several} edited"), *notes)
        chosen = [number]
    elif which == ALL:
        chosen = list(range(1, len(ordered) + 1))
    elif which > len(ordered):
        raise LatentEditError(
            f"there is no face {which}: {_faces(len(ordered))} found, numbered from the left"
        )
    else:
        chosen = [which]
    faces, refusals = [], []
    for number in chosen:
        try:
            faces.append(_judged(ordered[number - 1], number, len(ordered), pixels, notes))
        except LatentEditError as error:
            refusals.append(error)
    if not faces:
        raise refusals[0]
    skipped = tuple(Note("skipped", str(error)) for error in refusals)
    faces[0] = replace(faces[0], notes=(*skipped, *faces[0].notes))
    return tuple(faces)


def _faces(count: int) -> str:
    return "one face was" if count == 1 else f"{count} faces were"


def _judged(
    face: Face, number: int, count: int, pixels: UInt8Array, notes: tuple[Note, ...]
) -> PhotoFace:
    """Return a face with its alignment and notes.

    Raises:
        LatentEditError: the face cannot be edited.
    """
    height, width = pixels.shape[:2]
    assert face.points is not None
    name = "the face" if count == 1 else f"face {number} from the left"
    across = face.box[2] - face.box[0]
    if across < SMALLEST_FACE:
        raise LatentEditError(
            f"{name} is {across} pixels wide, too few to edit: "
            f"give a photo in which it has {SMALLEST_FACE} or more"
        )
    features = face.points[17:]  # without the jaw
    outside = (features < 0) | (features > (width, height))
    if outside.any(1).mean() > 0.1:
        raise LatentEditError(
            f"{name} is cut off by the photo's border: give a photo that shows eyes and mouth"
        )
    alignment = Alignment.of(face.points, width, height)
    own = list(notes)
    if across < SMALL_FACE:
        own.append(
            Note("small", f"{name} is {across} pixels wide, so the edit will show little detail")
        )
    yaw = face.pose.yaw
    if abs(yaw) >= PROFILE:
        side = "right" if yaw > 0 else "left"
        own.append(
            Note("profile", f"{name} looks to the {side}: edits are best on faces seen from ahead")
        )
    beyond = 1 - float(alignment.inside(64).mean())
    if beyond >= CUT_SHARE:
        own.append(
            Note(
                "cut",
                f"{beyond:.0%} of what the model sees of {name} lies outside the photo and is "
                "made up",
            )
        )
    return PhotoFace(face, alignment, number, count, tuple(own))


def _search(pixels: UInt8Array) -> tuple[list[Face], tuple[Note, ...]]:
    """Return all faces with their landmarks, the largest first, and notes on the search."""
    found = find_faces(pixels, threshold=MIN_SCORE_AGAIN, edge=SEARCHED_AT, points=True)
    sure = [face for face in found if face.score >= MIN_SCORE]
    if sure:
        return sure, ()
    turned = _search_turned(pixels)
    if turned:
        return turned, (Note("turned", "the photo lies on its side or is upside down"),)
    if not found and max(pixels.shape[:2]) > SEARCHED_AT:
        found = find_faces(pixels, threshold=MIN_SCORE, edge=SEARCHED_AGAIN_AT, points=True)
        if found:
            return found, ()
    return found, (Note("unsure", "it is not sure that this is a face"),) if found else ()


def _search_turned(pixels: UInt8Array) -> list[Face]:
    """Turn the photo by 90, 180 and 270 degrees; return the faces of the turn that shows them best.

    Boxes and landmarks are in pixels of the photo as it is.
    """
    height, width = pixels.shape[:2]
    zoom = min(1.0, LOOKED_AT / max(height, width))
    small = Image.fromarray(pixels).resize(
        (max(1, round(width * zoom)), max(1, round(height * zoom))),
        Image.Resampling.BICUBIC,
        reducing_gap=2.0,
    )
    thumbnail = np.array(small)
    best: list[Face] = []
    for turns in (1, 3, 2):
        found = find_faces(np.rot90(thumbnail, turns), threshold=MIN_SCORE_TURNED)
        found = [_enlarged(face, width / thumbnail.shape[1]) for face in found]
        if sum(face.score for face in found) > sum(face.score for face in best):
            view = np.rot90(pixels, turns)
            best = [
                _turned_back(replace(face, points=place_points(view, face.box)), turns, view)
                for face in found
            ]
    return best


def _enlarged(face: Face, factor: float) -> Face:
    left, top, right, bottom = (round(edge * factor) for edge in face.box)
    return replace(face, box=(left, top, right, bottom), landmarks=face.landmarks * factor)


def _turned_back(face: Face, turns: int, view: UInt8Array) -> Face:
    """Return a face found in ``view = np.rot90(photo, turns)`` at its place in the photo."""
    height, width = view.shape[:2]

    def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
        size = (width, height)
        for _ in range(turns):  # undo one quarter turn: x is the distance from the view's bottom
            points = np.column_stack((size[1] - points[:, 1], points[:, 0]))
            size = (size[1], size[0])
        return points

    left, top, right, bottom = face.box
    corners = back(np.array([(left, top), (right, bottom)], dtype=np.float64))
    (left, top), (right, bottom) = (
        (int(x), int(y)) for x, y in (corners.min(0).round(), corners.max(0).round())
    )
    points = None if face.points is None else back(face.points)
    return replace(
        face, box=(left, top, right, bottom), landmarks=back(face.landmarks), points=points
    )
