"""Read arrays that other tools saved: ``.npy``, ``.npz``, safetensors, PyTorch; told by content.

Files are read as data: no pickle runs. Memory is bounded by the file's size; a ``.npz`` may unpack
to 100 times its size plus 1 MiB, and to 4 GiB at most.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentedit.checkpoints.kinds import kind_of
from latentedit.checkpoints.tensors import load_torch, open_pickle
from latentedit.checkpoints.torch_files import TorchFile
from latentedit.errors import LatentEditError

_MOST_BYTES = 4 * 2**30
_NAMED = 6


class ArrayFile(NamedTuple):
    """Arrays of numbers by name (a file without names has one array, called ``""``).

    Attributes:
        arrays: float or integer arrays.
        metadata: what `latents.save_latents` wrote beside them.
    """

    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, Any]


def read_arrays(path: str | Path) -> ArrayFile:
    """Read all arrays of numbers in a file, whatever its name.

    Raises:
        LatentEditError: the file is missing, damaged, or no file of arrays: the message names what
            it is.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except FileNotFoundError:
        raise LatentEditError(f"{path} does not exist: check the path") from None
    except OSError as error:
        raise LatentEditError(f"cannot read {path}: {error.strerror}") from None
    if head[:6] == b"\x93NUMPY":
        return ArrayFile({"": _npy(path, path)}, {})
    if head[:4] == b"PK\x03\x04" and _is_npz(path):
        return ArrayFile(_npz(path), {})
    kind = kind_of(path)
    if kind == "safetensors":
        return _safetensors(path)
    if kind in ("torch", "torch legacy"):
        return ArrayFile(_numbers(load_torch(path)), {})
    if kind == "pickle":
        return ArrayFile(_numbers(_unpickled(path)), {})
    raise LatentEditError(f"{path} holds a network, no latents or directions: give a .npy or .pt")


def _unpickled(path: Path) -> Any:
    from latentedit.checkpoints.objects import resolve

    found = open_pickle(path)
    if not isinstance(found, TorchFile):
        raise LatentEditError(
            f"{path} holds networks, no latents or directions: give a .npy or .pt"
        )
    return resolve(found)


def _npy(source: Any, path: Path) -> NDArray[Any]:
    mode: Any = "r" if isinstance(source, Path) else None
    try:
        array = np.load(source, mmap_mode=mode, allow_pickle=False)
    except ValueError as error:
        if "objects" in str(error).lower():
            raise LatentEditError(
                f"{path} holds Python objects, which only running code would read: save the array "
                "of numbers in it by itself, with np.save"
            ) from None
        raise LatentEditError(f"{path} is damaged: save it again") from None
    except Exception:  # numpy raises many types on damaged files
        raise LatentEditError(f"{path} is damaged: save it again") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise LatentEditError(f"{path} holds no numbers: give an array of floating-point numbers")
    return array


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises many types on damaged files
        return False
    return bool(names) and any(name.endswith(".npy") for name in names)


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            if sum(entry.file_size for entry in entries) > min(
                _MOST_BYTES, 100 * path.stat().st_size + 2**20
            ):
                raise LatentEditError(f"{path} is refused: it unpacks to far more than its size")
            for entry in entries:
                with archive.open(entry) as file:
                    try:
                        found[entry.filename.removesuffix(".npy")] = _npy(_Bounded(file), path)
                    except LatentEditError:
                        continue  # strings and objects beside the numbers
    except LatentEditError:
        raise
    except Exception:  # zipfile raises many types on damaged files
        raise LatentEditError(f"{path} is damaged: save it again") from None
    if not found:
        raise LatentEditError(f"{path} holds no array of numbers: save one with np.savez")
    return found


class _Bounded:
    """A file in an archive, whole in memory, so that a header cannot ask for more than is there."""

    def __init__(self, file: Any) -> None:
        import io

        self._file = io.BytesIO(file.read())
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell
        self.readline = self._file.readline


def _safetensors(path: Path) -> ArrayFile:
    from safetensors import safe_open

    from latentedit.checkpoints.tensors import load_safetensors

    tensors = load_safetensors(path)
    with safe_open(str(path), framework="numpy") as file:
        own = (file.metadata() or {}).get("latents")  # what `latents.save_latents` wrote
        text = own or "{}"
    if own is not None and "z" in tensors:
        tensors = {"latents": tensors["z"]}  # it calls them z, whatever their space
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError):
        metadata = {}
    return ArrayFile(_numbers(tensors), metadata if isinstance(metadata, dict) else {})


def _numbers(value: Any, name: str = "", depth: int = 0) -> dict[str, NDArray[Any]]:
    """Collect tensors and arrays from nested values; a name is the keys on the way, with dots."""
    if hasattr(value, "detach"):
        if not value.is_floating_point() and value.dtype.is_complex:
            return {}
        held = value.untyped_storage().nbytes()
        if value.numel() * value.element_size() > max(held, 1):
            raise LatentEditError("a tensor in this file claims more values than the file holds")
        return {name: np.asarray(value.detach().double().numpy())}
    if isinstance(value, np.ndarray):
        return {name: value} if value.dtype.kind in "fiu" else {}
    if depth > 3:
        return {}
    entries: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        entries = list(value.items())
    elif isinstance(value, list | tuple):
        entries = list(enumerate(value))
        if entries and all(hasattr(each, "shape") for _, each in entries):
            parts = [_numbers(each, "", depth + 1).get("") for _, each in entries]
            shapes = {part.shape if part is not None else None for part in parts}
            if len(shapes) == 1 and None not in shapes:
                return {name: np.stack([part for part in parts if part is not None])}
    found: dict[str, NDArray[Any]] = {}
    for key, each in entries[:10_000]:
        found |= _numbers(each, f"{name}.{key}" if name else str(key), depth + 1)
    return found


def names_in_words(arrays: Mapping[str, NDArray[Any]]) -> str:
    """The first arrays of a file and their shapes, for messages."""
    few = [
        f"{' '.join(name.split())[:60] or 'array'} {list(array.shape)}"
        for name, array in arrays.items()
    ]
    more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
    return ", ".join(few[:_NAMED]) + more
