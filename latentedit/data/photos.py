"""Folders of photos -> aligned faces in one training file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from latentedit.attributes import ATTRIBUTES
from latentedit.data.celeba import CelebA, is_celeba, open_celeba
from latentedit.data.face_file import create_face_data
from latentedit.errors import LatentEditError
from latentedit.io.files import check_writable
from latentedit.io.images import UInt8Array, open_image, save_image
from latentedit.io.photo_files import find_photos, in_words
from latentedit.photos.align import Face, align, find_faces

SHARPNESS = 0.85
"""Least ratio of a face's frame in its photo to the resolution at which the face is written."""
MIN_SCORE = 0.3
MAX_MISFIT = 0.06
_CELL, _SHOWN = 96, 48
NAMED = 8
"""Most folders that a card names; a file's header has no room for more, nor has a reader."""


@dataclass
class PhotoReport:
    """What `prepare_faces` did.

    Attributes:
        written: faces in the file.
        resolution: their edge in pixels.
        dropped: how many photos were left out, by reason.
        bad: one line for each file that is no picture or is damaged.
        left_out: a line for each kind of files in the folders that were not looked at, and notes
            on how CelebA was read.
    """

    written: int = 0
    resolution: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def prepare_faces(
    folders: Sequence[str | Path],
    output: str | Path,
    *,
    resolution: int | None = None,
    per_person: int = 20,
    contact_sheet: str | Path | None = None,
    progress: Callable[[Iterator[Path], int], Iterator[Path]] = lambda items, total: items,
) -> PhotoReport:
    """Find, align and write the faces of any folders of photos.

    A folder in CelebA's layout is already aligned: its crops are cut by the known position of the
    eyes, and keep their 40 labels. All other pictures are searched for exactly one clear frontal
    face; their labels are -1, not known.

    Args:
        folders: searched with all their sub-folders.
        output: the training file, see `data.face_file`.
        resolution: edge in pixels; by default the largest power of two, from 32 to 1024, at which
            nine tenths of a sample of the faces are sharp.
        per_person: most faces from one sub-folder (data sets keep a person in each).
        contact_sheet: a picture to write, with some of the kept faces, and some of the dropped
            photos with the reasons.
        progress: wraps the iterator over files (a progress bar).

    Raises:
        LatentEditError: a folder has no pictures, the output cannot be written, or the extra
            ``faces`` is missing.
    """
    for path in (output, *([contact_sheet] if contact_sheet else [])):
        check_writable(path)
    sources = [_Source(Path(folder), per_person) for folder in folders]
    size = resolution or _sharp_resolution(sources)
    report, sheet = PhotoReport(resolution=size), _Sheet()
    report.left_out = [line for source in sources for line in source.left_out]
    named = _name(sources)
    with create_face_data(output, resolution=size, label_names=ATTRIBUTES, source=named) as writer:
        files = _in_proportion(sources)
        report.bad += [line for source in sources if source.celeba for line in source.celeba.bad]
        paths = progress(iter([path for _, path in files]), len(files))
        for (source, _), path in zip(files, paths, strict=True):
            found = source.read(path, size, report)
            if isinstance(found, np.ndarray):
                writer.append(found, source.labels(path), source.identifier(path))
                sheet.keep(found)
            else:
                report.dropped[found.reason] += 1
                sheet.drop(found)
        report.written = len(writer)
    if contact_sheet:
        save_image(contact_sheet, sheet.draw(report))
    return report


def _name(sources: Sequence[_Source]) -> str:
    """Return what a card says of all folders: the first ones by name, and how many more."""
    named = [source.description for source in sources[:NAMED]]
    if further := sources[NAMED:]:
        count = sum(len(source.files) for source in further)
        named.append(f"{len(further)} more folders ({count} files)")
    return "; ".join(named)


def _in_proportion(sources: Sequence[_Source]) -> list[tuple[_Source, Path]]:
    """Merge the folders so that every part of the result, also a held-out end, has the same share
    of each folder."""
    placed = [
        ((row + 0.5) / len(source.files), source, path)
        for source in sources
        for row, path in enumerate(source.files)
    ]
    placed.sort(key=lambda item: item[0])
    return [(source, path) for _, source, path in placed]


@dataclass(frozen=True)
class _Dropped:
    path: Path
    reason: str
    image: UInt8Array | None


class _Source:
    """One folder: CelebA's layout, or any tree of photos."""

    def __init__(self, folder: Path, per_person: int) -> None:
        self.folder = folder
        self.celeba: CelebA | None = open_celeba(folder) if is_celeba(folder) else None
        self.per_person = per_person
        self._kept: Counter[Path] = Counter()
        self.left_out: list[str] = []
        if self.celeba:
            self.left_out += self.celeba.notes
            self.files = [self.celeba.images / name for name in self.celeba.names]
            self._rows = {path: row for row, path in enumerate(self.files)}
        else:
            if not folder.is_dir():
                raise LatentEditError(f"{folder} is not a folder: give a folder of photos")
            self.files, others = find_photos(folder)
            self.left_out += in_words(others, folder)
        if not self.files:
            held = f" ({'; '.join(self.left_out)})" if self.left_out else ""
            raise LatentEditError(
                f"no photo in {folder}{held}: give a folder with .jpg or .png files"
            )

    @property
    def description(self) -> str:
        """What a card says of this folder."""
        kind = "CelebA aligned crops" if self.celeba else "aligned photos"
        return f"{kind} of {self.folder.name} ({len(self.files)} files)"

    def identifier(self, path: Path) -> str:
        """Return the name of a face in the training file."""
        return f"{self.folder.name}/{path.relative_to(self._root)}"

    def labels(self, path: Path) -> list[int]:
        """Return CelebA's 40 labels, or 40 times -1 (not known)."""
        if self.celeba:
            return [int(value) for value in self.celeba.labels[self._rows[path]]]
        return [-1] * len(ATTRIBUTES)

    def read(self, path: Path, size: int, report: PhotoReport) -> UInt8Array | _Dropped:
        """Return the aligned face of one file, or why there is none."""
        person = path.parent
        capped = not self.celeba and person != self.folder
        if capped and self._kept[person] >= self.per_person:
            return _Dropped(path, f"more than {self.per_person} of one person", None)
        try:
            if self.celeba:
                return self.celeba.read(self._rows[path], size)
            image = open_image(path)
        except LatentEditError as error:
            report.bad.append(str(error))
            return _Dropped(path, "not a readable picture", None)
        faces = find_faces(image)
        reason = _fault(faces, size)
        if reason:
            return _Dropped(path, reason, image)
        self._kept[person] += 1
        return align(image, faces[0], size)

    def frame_edges(self, count: int) -> list[float]:
        """Return the edges in pixels of the shared frames around some of this folder's faces."""
        edges: list[float] = []
        for path in self.files[:: max(1, len(self.files) // count)]:
            try:
                if self.celeba:
                    edges.append(float(len(self.celeba.read(self._rows[path]))))
                    continue
                image = open_image(path)
            except LatentEditError:
                continue
            edges += [face.frame_edge for face in find_faces(image)[:1]]
        return edges

    @property
    def _root(self) -> Path:
        return self.celeba.images if self.celeba else self.folder


def _fault(faces: list[Face], size: int) -> str | None:
    if not faces:
        return "no frontal face found"
    face = faces[0]
    if len(faces) > 1 and faces[1].frame_edge > 0.6 * face.frame_edge:
        return "several faces"
    if face.score < MIN_SCORE:
        return "face not clear"
    if face.misfit > MAX_MISFIT:
        return "seen from the side"
    if face.frame_edge < SHARPNESS * size:
        return f"too small for {size}x{size}"
    return None


def _sharp_resolution(sources: Sequence[_Source]) -> int:
    edges = [edge for source in sources for edge in source.frame_edges(40)]
    if not edges:
        raise LatentEditError("no face was found in a sample of the photos: check the folders")
    low = float(np.quantile(edges, 0.1))
    sizes = [size for size in (32, 64, 128, 256, 512, 1024) if SHARPNESS * size <= low]
    return sizes[-1] if sizes else 32


class _Sheet:
    """A contact sheet: a random sample of the kept faces, and one of the dropped pictures with the
    reason under each."""

    def __init__(self) -> None:
        self._kept: list[UInt8Array] = []
        self._dropped: list[_Dropped] = []
        self._seen = {"kept": 0, "dropped": 0}
        self._random = np.random.RandomState(0)

    def keep(self, image: UInt8Array) -> None:
        self._reservoir("kept", self._kept, image)

    def drop(self, dropped: _Dropped) -> None:
        if dropped.image is not None:
            self._reservoir("dropped", self._dropped, dropped)

    def _reservoir(self, name: str, shelf: list[Any], item: Any) -> None:
        self._seen[name] += 1
        if len(shelf) < _SHOWN:
            shelf.append(item)
        elif (place := self._random.randint(self._seen[name])) < _SHOWN:
            shelf[place] = item

    def draw(self, report: PhotoReport) -> UInt8Array:
        """Draw the kept faces and the dropped pictures, with their counts."""
        columns, line = 12, 16
        font = ImageFont.load_default(size=11)
        rows = (-(-len(self._kept) // columns), -(-len(self._dropped) // columns))
        height = 4 * line + rows[0] * _CELL + rows[1] * (_CELL + 2 * line)
        canvas = Image.new("RGB", (columns * _CELL, height), "white")
        draw = ImageDraw.Draw(canvas)
        draw.text((4, 4), f"kept {report.written} at {report.resolution}", fill="black", font=font)
        top = 2 * line
        for index, image in enumerate(self._kept):
            canvas.paste(_thumbnail(image), _place(index, columns, top, _CELL))
        top += rows[0] * _CELL
        counts = ", ".join(f"{reason}: {n}" for reason, n in report.dropped.most_common())
        draw.text((4, top + 4), f"dropped {counts or 'none'}", fill="black", font=font)
        top += 2 * line
        for index, dropped in enumerate(self._dropped):
            assert dropped.image is not None
            left, upper = _place(index, columns, top, _CELL + 2 * line)
            canvas.paste(_thumbnail(dropped.image), (left, upper))
            words = dropped.reason.split()
            half = len(words) // 2 + 1
            text = f"{' '.join(words[:half])}\n{' '.join(words[half:])}"
            draw.multiline_text((left + 2, upper + _CELL), text, fill="#a02020", font=font)
        return np.array(canvas)


def _thumbnail(image: UInt8Array) -> Image.Image:
    small = Image.fromarray(image)
    small.thumbnail((_CELL - 4, _CELL - 4))
    return small


def _place(index: int, columns: int, top: int, height: int) -> tuple[int, int]:
    return (index % columns) * _CELL, top + (index // columns) * height
