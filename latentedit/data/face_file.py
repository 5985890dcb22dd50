"""The training file: one memory-mapped array of faces with labels and ids.

A file is in safetensors layout (so any safetensors reader opens it) with the tensors

    images  uint8 [N, R, R, 3]   RGB, usually in the shared frame (eyes 0.27 of the width apart)
    labels  int8  [N, K]         1 yes, 0 no, -1 not known; columns named in the metadata
    ids     uint8 [N, L]         the source's file names in UTF-8, zero-padded

The writer leaves room for the header and then writes `images` one by one, so it needs memory for
one picture only. Reading maps the file and touches only the rows that are asked for.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path

_SIZES = 1000  # of the header, for all that is not a name
_HEADER_BYTES = 8192  # the JSON header is padded with spaces to this, as the format allows


@dataclass(frozen=True)
class FaceData:
    """A training file opened for reading.

    Attributes:
        images: memory map, uint8 [N, R, R, 3].
        labels: int8 [N, K]; 1 yes, 0 no, -1 not known.
        ids: N file names.
        label_names: K names.
        source: where the pictures came from, for cards.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int8]
    ids: tuple[str, ...]
    label_names: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def resolution(self) -> int:
        return int(self.images.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        """The file names, as `labelled.LabelledFolder` calls them."""
        return self.ids

    @property
    def bad(self) -> tuple[str, ...]:
        """Always empty: what could not be used was left out when the file was written."""
        return ()

    def read(self, index: int, resolution: int) -> NDArray[np.uint8]:
        """Return face `index` as it is stored; networks resize inside."""
        return np.asarray(self.images[index])

    def split(self, validation: int) -> tuple[FaceData, FaceData]:
        """Split into all but the last `validation` rows, and the last `validation` rows.

        Raises:
            LatentEditError: one of the two parts would be empty.
        """
        if not 0 < validation < len(self):
            raise LatentEditError(
                f"cannot hold out {validation} of {len(self)} faces: lower --validation"
            )
        cut = len(self) - validation
        return self.rows(slice(0, cut)), self.rows(slice(cut, None))

    def rows(self, rows: slice | NDArray[np.int64]) -> FaceData:
        """Return the part of the file in `rows`: a slice stays mapped, row numbers make a copy."""
        return FaceData(
            self.images[rows],
            self.labels[rows],
            self.ids[rows] if isinstance(rows, slice) else tuple(self.ids[row] for row in rows),
            self.label_names,
            self.source,
        )


class Joined:
    """Several arrays of faces as one, without copying: rows are read from where they lie.

    Args:
        parts: uint8 [N_i, R, R, 3] each.

    Raises:
        LatentEditError: the faces have different sizes.
    """

    def __init__(self, parts: Sequence[NDArray[np.uint8] | Joined]) -> None:
        sizes = {part.shape[1] for part in parts}
        if len(sizes) > 1:
            raise LatentEditError(
                f"faces of {' and '.join(map(str, sorted(sizes)))} pixels cannot be used together: "
                "prepare them at one --resolution"
            )
        self.parts = parts
        self.shape: tuple[int, ...] = (sum(map(len, parts)), *parts[0].shape[1:])
        self._starts = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return rows by their numbers, uint8 [len(rows), R, R, 3]."""
        found = np.empty((len(rows), *self.parts[0].shape[1:]), np.uint8)
        for start, part in zip(self._starts, self.parts, strict=False):
            here = (rows >= start) & (rows < start + len(part))
            found[here] = part[rows[here] - start]
        return found


Faces = NDArray[np.uint8] | Joined


class FaceDataWriter:
    """Appends faces to a file being written; see `create_face_data`."""

    def __init__(self, file: IO[bytes], resolution: int) -> None:
        self._file = file
        self._resolution = resolution
        self._labels: list[Sequence[int]] = []
        self._ids: list[str] = []

    def append(self, image: NDArray[np.uint8], label: Sequence[int], name: str) -> None:
        """Add one face: uint8 [R, R, 3], its K labels (1, 0, -1) and its name."""
        if image.shape != (self._resolution, self._resolution, 3) or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 [{self._resolution}, {self._resolution}, 3]")
        self._file.write(image.tobytes())
        self._labels.append(label)
        self._ids.append(name)

    def __len__(self) -> int:
        return len(self._ids)

    def _finish(self, label_names: Sequence[str], source: str) -> None:
        count, size = len(self), self._resolution
        labels = np.asarray(self._labels, dtype=np.int8).reshape(count, len(label_names))
        # names of files may hold bytes that are no UTF-8
        names = [name.encode("utf-8", "backslashreplace") for name in self._ids]
        ids = np.zeros((count, max(map(len, names), default=1)), dtype=np.uint8)
        for row, encoded in zip(ids, names, strict=True):
            row[: len(encoded)] = np.frombuffer(encoded, dtype=np.uint8)
        header: dict[str, object] = {
            "__metadata__": {"label_names": ",".join(label_names), "source": source}
        }
        offset = 0
        for name, dtype, shape in (
            ("images", "U8", (count, size, size, 3)),
            ("labels", "I8", labels.shape),
            ("ids", "U8", ids.shape),
        ):
            end = offset + int(np.prod(shape, dtype=np.int64))
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
            offset = end
        self._file.write(labels.tobytes())
        self._file.write(ids.tobytes())
        text = json.dumps(header, separators=(",", ":")).encode()
        if len(text) > _HEADER_BYTES - 8:
            raise AssertionError("`create_face_data` checks the length of names")
        self._file.seek(0)
        self._file.write(struct.pack("<Q", _HEADER_BYTES - 8) + text.ljust(_HEADER_BYTES - 8))


@contextmanager
def create_face_data(
    path: str | Path, *, resolution: int, label_names: Sequence[str], source: str
) -> Iterator[FaceDataWriter]:
    """Write a training file row by row; it appears at `path` only if the block ends without error.

    Raises:
        LatentEditError: `path` cannot be written, no face was appended, or the names of labels and
            of the source are too long.
    """
    if len(json.dumps([source, *label_names]).encode()) > _HEADER_BYTES - _SIZES:
        raise LatentEditError(f"{path} cannot name all its sources: name fewer labels or folders")
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.seek(_HEADER_BYTES)
        writer = FaceDataWriter(file, resolution)
        yield writer
        if not len(writer):
            raise LatentEditError(f"no face to write to {path}: check the input folder")
        writer._finish(label_names, source)


def open_face_data(path: str | Path) -> FaceData:
    """Open a training file; its pictures are memory-mapped.

    Raises:
        LatentEditError: the file is missing, or was not written by ``latentedit prepare``.
    """
    path = Path(path)
    advice = "make it with 'latentedit prepare'"
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 10_000_000:
                raise ValueError("header too long")
            header = json.loads(file.read(length))
        metadata = header["__metadata__"]
        start = 8 + length
        if os.path.getsize(path) != start + header["ids"]["data_offsets"][1]:
            raise ValueError("cut short")
        images = _map(path, start, header["images"], np.uint8)
        labels = np.array(_map(path, start, header["labels"], np.int8))
        ids = _map(path, start, header["ids"], np.uint8)
    except OSError as error:
        raise LatentEditError(f"cannot read {path}: {error.strerror}; {advice}") from None
    except (struct.error, ValueError, KeyError, TypeError):
        raise LatentEditError(f"{path} is not a training file: {advice}") from None
    return FaceData(
        images=images,
        labels=labels,
        ids=tuple(bytes(row).rstrip(b"\0").decode() for row in ids),
        label_names=tuple(name for name in metadata["label_names"].split(",") if name),
        source=metadata["source"],
    )


def _map(path: Path, start: int, entry: dict[str, Any], dtype: Any) -> NDArray[Any]:
    shape = tuple(entry["shape"])
    if not all(shape):  # an empty tensor cannot be mapped
        return np.empty(shape, dtype)
    return np.memmap(
        path, dtype=dtype, mode="r", offset=start + entry["data_offsets"][0], shape=shape
    )
