"""Reading UTKFace exactly as it ships: ages, genders and races in the file names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentedit.classifiers.age import CHIP_TO_FRAME, EYES_IN_CHIP, EYES_IN_FRAME
from latentedit.data.face_file import FaceData
from latentedit.data.labelled import PrepareReport, Progress, write_labelled
from latentedit.errors import LatentEditError
from latentedit.io.images import open_image

LABELS = ("Age", "Gender", "Race")
"""Columns of the training file: years 0 to 116, 0 male and 1 female, 0 to 4 as UTKFace has them."""

QUESTIONS = ("Female", "White", "Black", "Asian", "Indian")
"""What `as_questions` makes of genders and races."""

OLDEST = 116
RESOLUTION = 64
"""Edge at which chips are kept and looked at."""


@dataclass(frozen=True)
class UTKFace:
    """A folder in UTKFace's layout.

    Attributes:
        folder: the folder of pictures.
        names: file names with a readable age, in an order that does not follow age.
        labels: int8 [N, 3], see `LABELS`; -1 not known.
        bad: one line for each file whose name gives no age.
    """

    folder: Path
    names: tuple[str, ...]
    labels: NDArray[np.int8]
    bad: tuple[str, ...]

    def read(self, index: int, resolution: int) -> NDArray[np.uint8]:
        """Return chip `index`, uint8 [R, R, 3].

        Raises:
            LatentEditError: the picture is damaged or not square.
        """
        path = self.folder / self.names[index]
        image = open_image(path)
        height, width = image.shape[:2]
        if height != width:
            raise LatentEditError(f"{path} is {width}x{height}, not a square UTKFace chip")
        if width == resolution:
            return image
        size = (resolution, resolution)
        return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def to_shared_frame(chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Place chips where a face lies in the shared frame, reflecting around them.

    Args:
        chips: uint8 [N, R, R, 3].

    Returns:
        uint8 [N, R', R', 3], R' about 1.4 R.
    """
    edge = chips.shape[1]
    frame = round(edge * CHIP_TO_FRAME)
    top = round(EYES_IN_FRAME * frame - EYES_IN_CHIP * edge)
    left = (frame - edge) // 2
    pads = ((0, 0), (top, max(0, frame - edge - top)), (left, frame - edge - left), (0, 0))
    return np.pad(chips, pads, mode="reflect")[:, :frame]


def open_utkface(folder: str | Path) -> UTKFace:
    """Open a folder of ``[age]_[gender]_[race]_[date].jpg.chip.jpg``.

    The order is that of a hash of the names: fixed, and the same faces come last whatever else is
    in the folder's neighbourhood, so the last faces are a fair sample of all ages.

    Raises:
        LatentEditError: no such folder, or no face in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LatentEditError(f"{folder} is not a folder: give UTKFace's folder")
    files = (path.name for path in folder.iterdir() if path.suffix.lower() == ".jpg")
    found: list[tuple[str, list[int]]] = []
    bad: list[str] = []
    for name in sorted(files, key=lambda name: hashlib.sha256(name.encode()).digest()):
        labels = _labels(name)
        if isinstance(labels, str):
            bad.append(f"{folder / name}: {labels}")
        else:
            found.append((name, labels))
    if not found:
        raise LatentEditError(
            f"{folder} is not UTKFace's folder: no file in it is named "
            "[age]_[gender]_[race]_[date].jpg"
        )
    names, rows = zip(*found, strict=True)
    return UTKFace(folder, names, np.array(rows, dtype=np.int8), tuple(bad))


def as_questions(data: FaceData) -> FaceData:
    """Genders and races as yes-or-no labels, for a classifier whose features know them.

    A generator that looks through CelebA's attributes alone draws few faces of the origins that
    those do not tell apart. Such a classifier is for that, not for judging people.

    Args:
        data: with `LABELS`.

    Returns:
        The same faces with `QUESTIONS`.
    """
    _, gender, race = data.labels.T
    columns = [gender, *(np.where(race < 0, -1, race == place) for place in range(4))]
    return replace(data, labels=np.stack(columns, 1).astype(np.int8), label_names=QUESTIONS)


def _labels(name: str) -> list[int] | str:
    """Age, gender and race of a file name, or why it gives no age."""
    age, *others = name.split("_")[:-1] or [name]  # three names lack the race
    if not age.isascii() or not age.isdigit() or int(age) > OLDEST:
        return f"{age[:20]!r} is no age from 0 to {OLDEST}"
    gender, race = [*others, "", ""][:2]
    return [
        int(age),
        int(gender) if gender in ("0", "1") else -1,
        int(race) if race in ("0", "1", "2", "3", "4") else -1,
    ]


def prepare_utkface(
    folder: str | Path,
    output: str | Path,
    *,
    resolution: int = RESOLUTION,
    skip_bad: bool = False,
    progress: Progress = lambda rows, total: rows,
) -> PrepareReport:
    """Write UTKFace's chips and their ages to one memory-mapped training file.

    Args:
        folder: UTKFace's folder, see `open_utkface`.
        output: the file to write; it appears only when complete.
        resolution: edge in pixels.
        skip_bad: leave out misnamed and damaged pictures instead of stopping.
        progress: wraps the row iterator (a progress bar).

    Raises:
        LatentEditError: bad input, or (without `skip_bad`) the names of the bad pictures.
    """
    utkface = open_utkface(folder)
    return write_labelled(
        utkface,
        output,
        resolution=resolution,
        label_names=LABELS,
        source=f"UTKFace chips, {len(utkface.names)} faces, in the order of their names' hashes",
        skip_bad=skip_bad,
        progress=progress,
    )
