"""Find the files that an ONNX file keeps large tensors in, without the package ``onnx``.

An ONNX file is a protocol buffer. Only the messages that lead to ``TensorProto.external_data`` are
opened (the numbers of their fields are those of onnx.proto3).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from latentedit.errors import LatentEditError
from latentedit.io.packages import hush_onnxruntime

_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_DEEPEST = 40


def open_session(
    path: Path, refused: Callable[[Exception], LatentEditError]
) -> tuple[Any, bytes, list[Path]]:
    """Open an ONNX file with ONNX Runtime on the CPU.

    Args:
        path: the file.
        refused: makes the error to raise from the error of ONNX Runtime.

    Returns:
        The session, the content of the file, and the files beside it (`external_files`).

    Raises:
        LatentEditError: ONNX Runtime is not installed, or the file is missing or damaged.
    """
    hush_onnxruntime()
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError:
        raise LatentEditError(
            "ONNX files need ONNX Runtime: pip install 'latentedit[onnx]'"
        ) from None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LatentEditError(f"cannot read {path}: {error.strerror}") from None
    beside = external_files(path, data)
    try:
        session = runtime.InferenceSession(
            str(path) if beside else data, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime has no common type
        raise refused(error) from None
    return session, data, beside


def external_files(path: Path, data: bytes) -> list[Path]:
    """Return the names of the files beside an ONNX file that belong to it, relative to its folder.

    Args:
        path: the ONNX file.
        data: its content.

    Raises:
        LatentEditError: one is missing, or its name leads out of the folder.
    """
    try:
        names = sorted(set(_locations(memoryview(data), "model", 0)))
    except (ValueError, IndexError):
        return []  # a damaged file: ONNX Runtime says what is wrong
    for name in names:
        leads_out = any(
            kind(name).is_absolute() or ".." in kind(name).parts or kind(name).drive
            for kind in (PurePosixPath, PureWindowsPath)
        )
        inside = (path.parent / name).resolve().is_relative_to(path.parent.resolve())
        if leads_out or not inside or not name:
            raise LatentEditError(
                f"{path} is refused: it wants weights from {name[:80]!r}, outside its folder"
            )
        if not (path.parent / name).is_file():
            raise LatentEditError(
                f"{path} keeps its weights in {name}, which is not beside it: put both files into "
                "one folder, under their own names"
            )
    return [Path(name) for name in names]


def _locations(data: memoryview, message: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise ValueError("too deep")
    for field, value in _fields(data):
        inner = _INSIDE[message].get(field)
        if inner == "entry":
            entry = {number: bytes(text) for number, text in _fields(value)}
            if entry.get(1) == b"location":
                yield entry.get(2, b"").decode("utf-8")
        elif inner is not None:
            yield from _locations(value, inner, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of each field of a message that has a length; skip other fields."""
    place = 0
    while place < len(data):
        tag, place = _number(data, place)
        kind = tag & 7
        if kind == 0:
            _, place = _number(data, place)
        elif kind == 1:
            place += 8
        elif kind == 5:
            place += 4
        elif kind == 2:
            size, place = _number(data, place)
            if size > len(data) - place:
                raise ValueError("cut short")
            yield tag >> 3, data[place : place + size]
            place += size
        else:
            raise ValueError("no protocol buffer")


def _number(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("no number")
