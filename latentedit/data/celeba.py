"""Read CelebA in every layout that people have it in.

The list is one of these:

- CelebA's own ``list_attr_celeba.txt``, also with a byte-order mark or CRLF
- Kaggle's ``.csv``, with its columns in any order
- CelebAMask-HQ's

The pictures are one of these, in any sub-folder:

- aligned crops of 178x218 or 89x109, JPEG or PNG
- squares that are already cut to the face
- CelebA-HQ's, numbered from 0; these need the list of CelebAMask-HQ, or CelebA's list and
  ``CelebA-HQ-to-CelebA-mapping.txt``
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentedit.attributes import ATTRIBUTES
from latentedit.data.accounts import account_for
from latentedit.data.labelled import PrepareReport, Progress, write_labelled
from latentedit.errors import LatentEditError
from latentedit.generators.base import FFHQ_FRAME
from latentedit.io.images import PHOTO_ENDINGS, is_celeba_crop, open_image, to_frame

LISTS = ("list_attr_celeba.txt", "list_attr_celeba.csv", "CelebAMask-HQ-attribute-anno.txt")
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
_NOT_NEEDED = re.compile(
    r"(list_(bbox|landmarks|eval_partition|attr).*|identity_CelebA.*|CelebA-HQ.*|CelebAMask.*"
    r"|README.*|.*\.md)$",
    re.IGNORECASE,
)
_NO_CROPS = ("CelebAMask-HQ-mask-anno", "img_celeba")
"""Folders whose pictures are not used: masks, and photos that are not aligned."""

_DEEPEST = 4
_HQ_EDGE = 256
"""Squares with at least this edge in pixels are taken for CelebA-HQ's; smaller ones are taken as
already cut to the face."""


@dataclass(frozen=True)
class CelebA:
    """A folder with CelebA's faces.

    Attributes:
        images: the folder of pictures.
        names: file names in the list's order.
        labels: int8 [N, 40], 1 yes, 0 no and -1 not known, in CelebA's order.
        bad: one line for each line of the list that cannot be read.
        notes: what the user should know about how CelebA was read.
        folder: the folder that holds all of it.
        lists: list files that were read.
        shape: what the pictures are, ``crops``, ``squares`` or ``hq``; the first one that can be
            read decides.
    """

    images: Path
    names: tuple[str, ...]
    labels: NDArray[np.int8]
    bad: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    folder: Path = field(default_factory=Path)
    shape: str = "crops"
    lists: tuple[Path, ...] = ()

    def read(self, index: int, resolution: int | None = None) -> NDArray[np.uint8]:
        """Return face `index` in the shared frame, uint8 [R, R, 3].

        Args:
            resolution: edge in pixels. By default it is the largest power of two that enlarges
                nothing: 64 for half-size and 128 for full-size crops.

        Raises:
            LatentEditError: the picture is missing, damaged or not like the others.
        """
        path = self.images / self.names[index]
        image = open_image(path)
        height, width = image.shape[:2]
        if self.shape == "crops" and not is_celeba_crop(width, height):
            raise LatentEditError(
                f"{path} is {width}x{height}, not an aligned CelebA crop (178x218 or 89x109)"
            )
        if self.shape != "crops" and width != height:
            raise LatentEditError(f"{path} is {width}x{height}, and the first picture is square")
        if self.shape == "hq":
            return _from_hq(image, resolution)
        return to_frame(image, resolution)


def _from_hq(image: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """Return the shared frame of a picture that is aligned as FFHQ and CelebA-HQ are."""
    edge, frame = len(image), FFHQ_FRAME
    box = (frame.left * edge, max(0.0, frame.top) * edge, frame.right * edge, frame.bottom * edge)
    size = size or 2 ** int(np.log2(max(box[2] - box[0], 4)))
    return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS, box=box))


def is_celeba(folder: str | Path) -> bool:
    """Whether a folder has one of CelebA's lists and pictures that the list names."""
    listing, pictures = _find(Path(folder))
    return listing is not None and pictures is not None


def open_celeba(folder: str | Path) -> CelebA:
    """Open CelebA: a list (see `LISTS`) and a folder of pictures somewhere in `folder`.

    Raises:
        LatentEditError: the list or the pictures are missing, or the list is not complete.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LatentEditError(f"{folder} is not a folder: give CelebA's folder")
    listing, pictures = _find(folder)
    if listing is None:
        raise LatentEditError(
            f"{folder} is not CelebA's folder: list_attr_celeba.txt is not in it (nor its .csv)"
        )
    if pictures is None:
        raise LatentEditError(
            f"{folder} is not CelebA's folder: img_align_celeba/ is not in it, nor another folder "
            f"with pictures that {listing.name} names"
        )
    names, labels, bad, notes = _read_list(listing)
    names, labels, more = _as_there(names, labels, listing, pictures, folder)
    shape, said = _shape_of(pictures, names)
    return CelebA(pictures, names, labels, bad, (*notes, *more, *said), folder, shape, (listing,))


def _folders(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and its sub-folders, to `_DEEPEST` levels, with the names of their files."""
    for root, inside, files in os.walk(folder):
        depth = len(Path(root).relative_to(folder).parts)
        inside[:] = sorted(each for each in inside if not each.startswith(".")) * (depth < _DEEPEST)
        yield Path(root), files


def _find(folder: Path) -> tuple[Path | None, Path | None]:
    """Return the list, and the folder with most of the first pictures that the list names."""
    lists: list[Path] = []
    pictures: dict[Path, set[str]] = {}
    for root, files in _folders(folder):
        lists += [root / name for name in LISTS if name in files]
        stems = {name.partition(".")[0] for name in files if _is_picture(name)}
        if stems and not any(part in _NO_CROPS for part in root.parts):
            pictures[root] = stems
    if not lists:
        return None, None
    hq = [path for path in lists if path.name == LISTS[2]]
    listing = min(lists, key=lambda path: (len(path.parts), LISTS.index(path.name)))
    sample = _first_stems(listing)
    best = max(
        pictures, key=lambda root: (len(pictures[root] & sample), -len(root.parts)), default=None
    )
    if best is not None and not pictures[best] & sample:
        by_number = {root: stems for root, stems in pictures.items() if _numbered(stems)}
        best = max(by_number, key=lambda root: len(by_number[root]), default=None)
        if best is None and any(root.name.startswith("img_align_celeba") for root in pictures):
            best = next(root for root in pictures if root.name.startswith("img_align_celeba"))
    elif best is None:  # no picture at all: the folder they should be in, if there is one
        best = next((root for root, _ in _folders(folder) if root.name == "img_align_celeba"), None)
    if hq and best is not None and _numbered(pictures.get(best, set())):
        listing = hq[0]
    return listing, best


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PHOTO_ENDINGS


def _numbered(stems: set[str]) -> bool:
    """Whether pictures are numbered as CelebA-HQ's, from 0; CelebA's numbers have six digits."""
    return bool(stems) and all(_is_number(stem) and len(stem) != 6 for stem in stems)


def _first_stems(listing: Path) -> set[str]:
    """Return the names, without endings, of a list's first pictures."""
    try:
        with open(listing, encoding="utf-8-sig", errors="replace") as file:
            lines = [file.readline(10_000) for _ in range(60)]
    except OSError:
        return set()
    fields = (re.split(r"[\s,]+", line.strip(), maxsplit=1)[0] for line in lines)
    return {name.partition(".")[0] for name in fields if "." in name}


def _read_list(
    path: Path,
) -> tuple[tuple[str, ...], NDArray[np.int8], tuple[str, ...], tuple[str, ...]]:
    """Return file names, labels, a message for each line that cannot be read, and notes."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LatentEditError(f"cannot read {path}: {error}") from None
    lines = text.splitlines()
    rows = _csv_rows(lines, path) if path.suffix == ".csv" else _text_rows(lines, path)
    names: list[str] = []
    values: list[list[str]] = []
    bad: list[str] = []
    for number, fields in rows:
        if len(fields) != 1 + len(ATTRIBUTES) or not set(fields[1:]) <= {"1", "-1", "0"}:
            bad.append(f"{path}, line {number}: expected a file name and 40 values of 1, -1 or 0")
            continue
        names.append(fields[0])
        values.append(fields[1:])
    if path.suffix != ".csv" and lines[0].strip() != str(len(names) + len(bad)):
        raise LatentEditError(
            f"{path} announces {lines[0].strip()} faces and lists {len(names) + len(bad)}: "
            "fetch it again"
        )
    table = np.array(values, dtype=np.int8).reshape(-1, len(ATTRIBUTES))
    notes = []
    if len(table) and not (table == -1).any():
        labels = table  # 0 and 1 as torchvision and others write them
        notes.append(f"{path.name} has labels 0 and 1 and no -1: 0 is taken for no")
    else:
        labels = np.where(table == 0, -1, (table > 0)).astype(np.int8)  # here 0 means not known
    return tuple(names), labels, tuple(bad), tuple(notes)


def _text_rows(lines: list[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    if len(lines) < 3 or tuple(lines[1].split()) != ATTRIBUTES:
        raise LatentEditError(
            f"{path} is not CelebA's list: line 2 must name the 40 attributes in CelebA's order"
        )
    return ((n, line.split()) for n, line in enumerate(lines[2:], start=3) if line.strip())


def _csv_rows(lines: list[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        rows = list(csv.reader(lines, delimiter=";" if ";" in "".join(lines[:1]) else ","))
    except csv.Error as error:
        raise LatentEditError(f"{path} is damaged ({error}): download it again") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    missing = [name for name in ATTRIBUTES if name not in header]
    if missing:
        raise LatentEditError(
            f"{path} is not CelebA's list: line 1 must name the 40 attributes, it lacks "
            f"{', '.join(missing[:3])}"
        )
    named = [at for at, cell in enumerate(header) if cell in ("image_id", "image", "filename")]
    columns = [*(named[:1] or [0]), *(header.index(name) for name in ATTRIBUTES)]
    for number, row in enumerate(rows[1:], start=2):
        if row:
            fits = len(row) == len(header)
            yield number, [row[column].strip() for column in columns] if fits else row


def _as_there(
    names: tuple[str, ...],
    labels: NDArray[np.int8],
    listing: Path,
    pictures: Path,
    folder: Path,
) -> tuple[tuple[str, ...], NDArray[np.int8], tuple[str, ...]]:
    """Return the list's names as the files are called, their labels, and notes.

    The files may have other endings than in the list, or CelebA-HQ's numbers.
    """
    files = {path.name for path in pictures.iterdir() if _is_picture(path.name)}
    stems = {name.partition(".")[0]: name for name in sorted(files, reverse=True)}
    notes: list[str] = []
    if _numbered(set(stems)) and listing.name != LISTS[2]:
        mapping = next(
            (root / MAPPING for root, found in _folders(folder) if MAPPING in found), None
        )
        if mapping is None:
            raise LatentEditError(
                f"{pictures} is numbered as CelebA-HQ is and {listing.name} as CelebA is: put "
                f"{MAPPING}, or {LISTS[2]}, beside them"
            )
        rows = {name.partition(".")[0]: row for row, name in enumerate(names)}
        pairs = [(hq, rows[old]) for hq, old in _read_mapping(mapping) if old in rows]
        names = tuple(f"{hq}.jpg" for hq, _ in pairs)
        labels = labels[[row for _, row in pairs]]
        notes.append(f"labels are CelebA's by {MAPPING}")
    numbers = {int(stem): name for stem, name in stems.items() if _is_number(stem)}
    hq = _numbered(set(stems))
    found = []
    for name in names:
        stem = name.partition(".")[0]
        by_number = numbers.get(int(stem)) if hq and _is_number(stem) else None
        found.append(name if name in files else stems.get(stem) or by_number or name)
    return tuple(found), labels, tuple(notes)


def _read_mapping(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the number of each CelebA-HQ picture, and its name in CelebA, without the ending."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LatentEditError(f"cannot read {path}: {error}") from None
    for line in lines[1:]:
        fields = line.split()
        if len(fields) >= 3 and _is_number(fields[0]):
            yield fields[0], fields[-1].partition(".")[0]


def _shape_of(pictures: Path, names: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the `shape` of the pictures, told by the first one that can be read, and notes."""
    for name in names[:200]:
        try:
            height, width = open_image(pictures / name).shape[:2]
        except LatentEditError:
            continue
        if width != height:
            return "crops", ()
        if width >= _HQ_EDGE:
            return "hq", (f"pictures of {width}x{height} are taken as aligned like CelebA-HQ's",)
        note = (
            f"pictures of {width}x{height} are taken as already cut to the face: its eyes should "
            "be 0.27 of the width apart"
        )
        return "squares", (note,)
    return "crops", ()


def prepare_celeba(
    folder: str | Path,
    output: str | Path,
    *,
    resolution: int | None = None,
    skip_bad: bool = False,
    progress: Progress = lambda rows, total: rows,
) -> PrepareReport:
    """Write CelebA's faces, labels and ids to one memory-mapped training file.

    Args:
        folder: CelebA's folder, see `open_celeba`.
        output: the file to write; it appears only when complete.
        resolution: edge in pixels; by default the largest power of two that enlarges nothing (64 or
            128 for crops).
        skip_bad: leave out missing and damaged pictures instead of stopping.
        progress: wraps the row iterator (a progress bar).

    Raises:
        LatentEditError: the folder or the list cannot be used, or (without `skip_bad`) pictures
            cannot be used; the message names the first ones.
    """
    celeba = open_celeba(folder)
    if not celeba.names:
        why = celeba.bad[0] if celeba.bad else "it is empty"
        raise LatentEditError(f"no line of CelebA's list in {folder} can be read: {why}")
    if resolution is None:
        resolution = _first_resolution(celeba)
    report = write_labelled(
        celeba,
        output,
        resolution=resolution,
        label_names=ATTRIBUTES,
        source=f"CelebA aligned crops, {celeba.names[0]} to {celeba.names[-1]}",
        skip_bad=skip_bad,
        progress=progress,
    )
    used = {*(celeba.images / name for name in celeba.names), *celeba.lists}
    return report.with_account(celeba.notes, account_for(Path(folder), used, _what_is))


def _what_is(path: Path) -> str:
    if _is_picture(path.name):
        return "pictures that the list does not name"
    if path.name in LISTS or path.name == MAPPING or _NOT_NEEDED.match(path.name):
        return "lists of CelebA that are not needed"
    return "not of CelebA"


def _first_resolution(celeba: CelebA) -> int:
    first: LatentEditError | None = None
    for index in range(len(celeba.names)):
        try:
            return len(celeba.read(index))
        except LatentEditError as error:
            first = first or error
    raise LatentEditError(f"no picture in {celeba.images} can be read, the first: {first}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
