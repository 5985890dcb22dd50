"""Which part of a face an attribute may change, so that an edit of the mouth leaves the hair alone.

A direction in latent space never changes one attribute alone: a smile also changes the hair and
the wall behind. In a photo, everything that does not belong to the edit is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull

from latentedit.photos.ffhq import Alignment

Field = NDArray[np.float32]

_COARSE = 256
"""Edge in pixels of the pictures that regions are drawn on."""

_JAW, _BROWS, _EYES = tuple(range(17)), tuple(range(17, 27)), tuple(range(36, 48))
_NOSE, _MOUTH = tuple(range(27, 36)), tuple(range(48, 60))

_FOREHEAD = 0.55
"""Height of the forehead above the brows; 1 is the distance from the brows to the nose's tip."""

PARTS: dict[str, tuple[tuple[int, ...], float]] = {
    "face": ((*_JAW, *_BROWS), 0.035),
    "lower face": ((*_JAW[2:15], 29), 0.03),
    "eyes": ((0, 16, *_BROWS, *_EYES, 29), 0.04),
    "nose": (_NOSE, 0.05),
    "mouth": (_MOUTH, 0.05),
}
"""Parts of a face. Each has the numbers of those of dlib's 68 landmarks whose convex hull is the
part, and how far the part goes beyond the hull, in shares of the aligned square's edge. "face" goes
up to the hair; "lower face" leaves the eyes and their colour as they are."""

PART_OF: dict[str, str] = {
    "5_o_Clock_Shadow": "lower face",
    "Arched_Eyebrows": "eyes",
    "Attractive": "face",
    "Bags_Under_Eyes": "eyes",
    "Big_Lips": "mouth",
    "Big_Nose": "nose",
    "Bushy_Eyebrows": "eyes",
    "Eyeglasses": "eyes",
    "Goatee": "lower face",
    "Heavy_Makeup": "face",
    "High_Cheekbones": "face",
    "Mouth_Slightly_Open": "lower face",
    "Mustache": "lower face",
    "Narrow_Eyes": "eyes",
    "No_Beard": "lower face",
    "Pointy_Nose": "nose",
    "Rosy_Cheeks": "face",
    "Smiling": "lower face",
    "Wearing_Lipstick": "mouth",
}
"""The part that an attribute may change. Attributes that are not listed, such as those of hair, age
and hats, may change anything."""

BELOW_A_HAT = frozenset({"Young", "Male", "Pale_Skin", "Chubby", "Double_Chin", "Oval_Face"})
"""Attributes whose edits change the face alone where somebody wears a hat, because generators draw
hats as hair. Edits of these together with others do so too."""

_AGEING = frozenset({"Young", "Gray_Hair", "Receding_Hairline"})
_COLOURING = frozenset({"Pale_Skin", "Rosy_Cheeks", "Heavy_Makeup"})

_FEATHER = 0.012
"""Half the width of a region's soft edge, in shares of the square's edge."""


def region(
    names: Iterable[str],
    points: NDArray[np.float64],
    alignment: Alignment,
    *,
    hat: bool = False,
) -> Field | None:
    """Return where edits of some attributes may change a photo.

    Args:
        names: the attributes' names.
        points: dlib's 68 landmarks, float64 [68, 2] in pixels of the photo.
        alignment: the face's alignment.
        hat: whether the person wears a hat; see `BELOW_A_HAT`.

    Returns:
        float32 [256, 256] on the aligned square, from 0 (no change) to 1 (any change). None if the
        edits may change anything, or if there are no names.
    """
    names = set(names)
    parts = {PART_OF.get(name) for name in names}
    if hat and names & BELOW_A_HAT:
        parts = {"face"}
    if not parts or None in parts:
        return None
    places = alignment.inverse @ np.column_stack((points, np.ones(len(points)))).T
    found = np.zeros((_COARSE, _COARSE), np.float32)
    for part in parts:
        assert part is not None
        found = np.maximum(found, _drawn(part, places.T))
    return found


def keeps_skin(names: Iterable[str]) -> bool:
    """Whether edits of some attributes leave the skin's colours as they are.

    Edits of age do, if nothing else colours the skin: the generator draws the oldest faces yellow,
    and a photo with much contrast would show that stronger.
    """
    names = set(names)
    return bool(names & _AGEING) and not names & _COLOURING


def _drawn(part: str, places: NDArray[np.float64]) -> Field:
    """Draw one part from landmarks [68, 2] in shares of the square's edge."""
    chosen, beyond = PARTS[part]
    corners = places[list(chosen)]
    if part == "face":
        brows = places[list(_BROWS)]
        up = (brows.mean(0) - places[30]) * _FOREHEAD
        corners = np.concatenate((corners, brows + up))
    hull = corners[ConvexHull(corners).vertices] * _COARSE
    canvas = Image.new("L", (_COARSE, _COARSE))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in hull], fill=255)
    inside = np.asarray(canvas) > 0
    # the soft edge lies within `beyond`, so that the part ends where `PARTS` says
    distance = ndimage.distance_transform_edt(~inside) / _COARSE
    return np.clip((beyond - distance) / (2 * _FEATHER), 0, 1).astype(np.float32)
