"""Read UTKFace in its three forms; ages, genders and races are in the file names.

The forms are aligned chips (``.jpg.chip.jpg``, or ``.jpg`` on Kaggle) in one folder, the same in
several folders, and photos "in the wild". From such photos, chips are cut around the face that dlib
finds.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentedit.classifiers.age import CHIP_TO_FRAME, EYES_IN_CHIP, EYES_IN_FRAME
from latentedit.data.accounts import account_for
from latentedit.data.face_file import FaceData
from latentedit.data.labelled import PrepareReport, Progress, write_labelled
from latentedit.errors import LatentEditError
from latentedit.io.images import PHOTO_ENDINGS, open_image
from latentedit.photos.align import align, find_faces

LABELS = ("Age", "Gender", "Race")
"""Columns of the training file: years from 0 to 116; 0 for male and 1 for female; UTKFace's numbers
of races, 0 to 4."""

QUESTIONS = ("Female", "White", "Black", "Asian", "Indian")
"""The labels that `as_questions` makes from genders and races."""

OLDEST = 116
RESOLUTION = 64
"""Edge in pixels at which chips are stored and looked at."""


@dataclass(frozen=True)
class UTKFace:
    """A folder in UTKFace's layout.

    Attributes:
        folder: the folder of pictures.
        names: files with a readable age in their names, relative to `folder`, in an order that
            does not follow age.
        labels: int8 [N, 3], see `LABELS`; -1 not known.
        bad: one line for each file whose name gives no age.
        notes: what the user should know about how UTKFace was read.
        doubles: files left out, because a file with the same name in another sub-folder was used.
        wild: whether these are photos in the wild, not chips.
    """

    folder: Path
    names: tuple[str, ...]
    labels: NDArray[np.int8]
    bad: tuple[str, ...]
    notes: tuple[str, ...] = ()
    doubles: tuple[Path, ...] = ()
    wild: bool = False

    def read(self, index: int, resolution: int) -> NDArray[np.uint8]:
        """Return chip `index`, uint8 [R, R, 3].

        Raises:
            LatentEditError: the picture is damaged, a chip is not square, or no face is found in a
                photo in the wild.
        """
        path = self.folder / self.names[index]
        image = open_image(path)
        height, width = image.shape[:2]
        if self.wild:
            return _chip(image, resolution, path)
        if height != width:
            raise LatentEditError(f"{path} is {width}x{height}, not a square UTKFace chip")
        if width == resolution:
            return image
        size = (resolution, resolution)
        return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def _chip(image: NDArray[np.uint8], edge: int, path: Path) -> NDArray[np.uint8]:
    """Cut the largest face of a photo as UTKFace's chips are cut, uint8 [edge, edge, 3]."""
    faces = find_faces(image)
    if not faces:
        raise LatentEditError(f"{path}: no face is found in it")
    frame, top, left = _margins(edge)
    top = min(max(0, top), frame - edge)  # a chip reaches below the shared frame
    return align(image, faces[0], frame)[top : top + edge, left : left + edge]


def _margins(edge: int) -> tuple[int, int, int]:
    """Return the edge of the shared frame around a chip, and the chip's top and left in it."""
    frame = round(edge * CHIP_TO_FRAME)
    return frame, round(EYES_IN_FRAME * frame - EYES_IN_CHIP * edge), (frame - edge) // 2


def to_shared_frame(chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Place chips where a face lies in the shared frame, reflecting around them.

    Args:
        chips: uint8 [N, R, R, 3].

    Returns:
        uint8 [N, R', R', 3], R' about 1.4 R.
    """
    edge = chips.shape[1]
    frame, top, left = _margins(edge)
    pads = ((0, 0), (top, max(0, frame - edge - top)), (left, frame - edge - left), (0, 0))
    return np.pad(chips, pads, mode="reflect")[:, :frame]


def open_utkface(folder: str | Path) -> UTKFace:
    """Open a folder of ``[age]_[gender]_[race]_[date].jpg.chip.jpg``, or of sub-folders of them.

    A file may have any ending of a picture. If most pictures are not square, they are taken for
    photos in the wild.

    The files are in the order of a hash of their names. This order is fixed, and independent of
    other files and of ages, so the last faces are a fair sample of all ages.

    Raises:
        LatentEditError: it is not a folder, or no file name in it gives an age.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LatentEditError(f"{folder} is not a folder: give UTKFace's folder")
    files, doubles = _pictures(folder)
    found: list[tuple[str, list[int]]] = []
    bad: list[str] = []
    for path in sorted(files, key=lambda path: hashlib.sha256(os.fsencode(path.name)).digest()):
        labels = _labels(path.name)
        if isinstance(labels, str):
            bad.append(f"{path}: {labels}")
        else:
            found.append((path.relative_to(folder).as_posix(), labels))
    if not found:
        raise LatentEditError(
            f"{folder} is not UTKFace's folder: no file in it is named "
            "[age]_[gender]_[race]_[date].jpg"
        )
    names, rows = zip(*found, strict=True)
    wild = _is_wild([folder / name for name in names[:40]])
    notes = ("photos in the wild: chips are cut around the faces found",) if wild else ()
    table = np.array(rows, dtype=np.int8)
    return UTKFace(folder, names, table, tuple(bad), notes, tuple(doubles), wild)


def _pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the pictures in a folder and its sub-folders, and those whose names came before."""
    first: dict[str, Path] = {}
    doubles = []
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_ENDINGS)
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        if first.setdefault(path.name, path) is not path:
            doubles.append(path)
    return list(first.values()), doubles


def _is_wild(paths: list[Path]) -> bool:
    """Whether most of `paths` are not square, and none is named as a chip."""
    if any(".chip." in path.name for path in paths):
        return False
    oblong = 0
    for path in paths:
        with suppress(OSError, ValueError), Image.open(path) as image:
            oblong += image.width != image.height
    return 2 * oblong > len(paths)


def as_questions(data: FaceData) -> FaceData:
    """Return the faces with genders and races as yes-or-no labels, to train a classifier.

    A generator that learns from a classifier of CelebA's attributes alone draws few faces of the
    origins that these attributes do not tell apart. The features of the new classifier tell them
    apart. It is for this use, not for judging people.

    Args:
        data: with `LABELS`.

    Returns:
        The same faces with `QUESTIONS`.
    """
    _, gender, race = data.labels.T
    columns = [gender, *(np.where(race < 0, -1, race == place) for place in range(4))]
    return replace(data, labels=np.stack(columns, 1).astype(np.int8), label_names=QUESTIONS)


def _labels(name: str) -> list[int] | str:
    """Return the age, gender and race in a file name, or why it gives no age."""
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
        LatentEditError: the folder cannot be used, or (without `skip_bad`) pictures cannot be used;
            the message names the first ones.
    """
    utkface = open_utkface(folder)
    report = write_labelled(
        utkface,
        output,
        resolution=resolution,
        label_names=LABELS,
        source=f"UTKFace chips, {len(utkface.names)} faces, in the order of their names' hashes",
        skip_bad=skip_bad,
        progress=progress,
    )
    used = {utkface.folder / name for name in utkface.names}
    used |= {Path(line.partition(": ")[0]) for line in utkface.bad}
    doubles = set(utkface.doubles)
    account = account_for(
        Path(folder),
        used,
        lambda path: "of the same name as another, left out" if path in doubles else "no pictures",
    )
    return report.with_account(utkface.notes, account)
