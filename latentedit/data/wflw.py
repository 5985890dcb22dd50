"""Read WFLW (Wu et al. 2018, "Look at Boundary") exactly as it ships."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array, open_image
from latentedit.photos.align import cut

POINTS = 98
FLAGS = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
"""WFLW's flags in the order of its lists. 0 is usual; 1 means, in the same order: a large pose, an
exaggerated expression, extreme illumination, make-up worn, occlusion there, blur there."""

LISTS = "list_98pt_rect_attr_*.txt"
_EDGE, _RAISED = 1.9, 0.3
"""The portrait frame's edge, and how far its centre lies above the box's centre, both in longer
edges of the box. The box is drawn around brows and chin."""


@dataclass(frozen=True)
class WFLW:
    """WFLW's faces; those of the training list come before those of the test list.

    Attributes:
        images: the folder ``WFLW_images``.
        names: picture of each face, relative to `images`; a picture may hold several.
        landmarks: float64 [N, 98, 2], x and y in pixels.
        boxes: float64 [N, 4], left, top, right, bottom in pixels.
        flags: int8 [N, 6] in the order of `FLAGS`.
        splits: number of faces from each list, by the end of its name (``train``, ``test``).
        notes: what the user should know about how WFLW was read.
        lists: list files that were read.
    """

    images: Path
    names: tuple[str, ...]
    landmarks: NDArray[np.float64]
    boxes: NDArray[np.float64]
    flags: NDArray[np.int8]
    splits: dict[str, int]
    notes: tuple[str, ...] = ()
    lists: tuple[Path, ...] = ()

    def read(self, index: int, size: int = 96) -> UInt8Array:
        """Return face `index`: its box with a margin, in the portrait frame, uint8 [S, S, 3].

        Raises:
            LatentEditError: the picture is missing or damaged.
        """
        left, top, right, bottom = self.boxes[index]
        longer = max(right - left, bottom - top)
        centre = np.array(((left + right) / 2, (top + bottom) / 2 - _RAISED * longer))
        return cut(open_image(self.images / self.names[index]), centre, _EDGE * longer, size)


def is_wflw(folder: str | Path) -> bool:
    """Whether a folder holds WFLW's lists."""
    return bool(_lists(Path(folder)))


def open_wflw(folder: str | Path) -> WFLW:
    """Open WFLW: its lists (here or in a sub-folder) beside ``WFLW_images/``.

    Raises:
        LatentEditError: a list or the picture folder is missing, or a line is malformed; the
            message names the line's file and number.
    """
    folder = Path(folder)
    lists = _lists(folder)
    if not lists:
        raise LatentEditError(f"{folder} is not WFLW's folder: {LISTS} is not in it")
    images = next((path for path in sorted(folder.rglob("WFLW_images")) if path.is_dir()), None)
    if images is None:
        raise LatentEditError(f"{folder} is not WFLW's folder: WFLW_images/ is not in it")
    names: list[str] = []
    rows: list[list[float]] = []
    splits: dict[str, int] = {}
    seen: set[tuple[str, tuple[float, ...]]] = set()
    notes: list[str] = []
    for path in lists:
        before, doubles = len(rows), 0
        for number, line in enumerate(_read_lines(path), start=1):
            if line.strip():
                values, name = parse_line(line, f"{path}, line {number}")
                if (name, tuple(values)) in seen:  # a copy of a list, or a line that stands twice
                    doubles += 1
                    continue
                seen.add((name, tuple(values)))
                rows.append(values)
                names.append(name)
        if doubles:
            notes.append(f"{path.relative_to(folder)}: {doubles} faces are in earlier lists too")
        if len(rows) > before:
            splits[_split_of(path)] = splits.get(_split_of(path), 0) + len(rows) - before
    if not rows:
        raise LatentEditError(f"the lists in {folder} are empty: fetch them again")
    table = np.array(rows)
    landmarks, boxes, flags = np.split(table, (2 * POINTS, 2 * POINTS + 4), axis=1)
    return WFLW(
        images=images,
        names=tuple(names),
        landmarks=landmarks.reshape(-1, POINTS, 2),
        boxes=boxes,
        flags=flags.astype(np.int8),
        splits=splits,
        notes=tuple(notes),
        lists=tuple(lists),
    )


def _split_of(path: Path) -> str:
    """Return ``train`` or ``test``, from the name of a list or of its copy."""
    found = re.search(r"_(train|test)\b", path.stem)
    return found[1] if found else path.stem.rpartition("_")[2]


def parse_line(line: str, where: str = "line") -> tuple[list[float], str]:
    """Read one line: 206 numbers and the picture's name.

    Args:
        line: 196 landmark numbers, 4 of the box, 6 flags, and the picture's name, which may hold
            spaces.
        where: name of the line in error messages.

    Raises:
        LatentEditError: the number of fields is wrong, a field is not a finite number, a flag is
            neither 0 nor 1, or the box is empty.
    """
    count = 2 * POINTS + 4 + len(FLAGS)
    fields = line.strip().split(maxsplit=count)
    if len(fields) != count + 1:
        raise LatentEditError(
            f"{where}: expected {count} numbers and a picture's name, got {len(fields)} fields"
        )
    try:
        values = [float(field) for field in fields[:count]]
    except ValueError as error:
        raise LatentEditError(f"{where}: {error}") from None
    if not np.isfinite(values).all():
        raise LatentEditError(f"{where}: a number is not finite")
    if not set(fields[count - len(FLAGS) : count]) <= {"0", "1"}:
        raise LatentEditError(f"{where}: the six flags must be 0 or 1")
    left, top, right, bottom = values[2 * POINTS : 2 * POINTS + 4]
    if right <= left or bottom <= top:
        raise LatentEditError(f"{where}: the box is empty, it must be left, top, right, bottom")
    return values, fields[count]


def flags_as(flags: Sequence[int] | NDArray[np.int8], order: Sequence[str]) -> list[int]:
    """Return one face's flags in another order than WFLW's."""
    return [int(flags[FLAGS.index(name)]) for name in order]


def _lists(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = sorted(path for path in folder.rglob(LISTS) if path.is_file())
    return sorted(found, key=lambda path: (_split_of(path) != "train", _is_copy(path), path))


def _is_copy(path: Path) -> bool:
    """Whether a list is named as a copy of another."""
    return re.fullmatch(r"list_98pt_rect_attr_\w+", path.stem) is None


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LatentEditError(f"cannot read {path}: {error}") from None
