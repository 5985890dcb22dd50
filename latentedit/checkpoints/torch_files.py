"""Read PyTorch files without PyTorch: saved values as inert data, and the bytes of storages.

A file is an archive with ``data.pkl`` and one entry for each storage, without compression. An old
file, from before PyTorch 1.6, is five pickles followed by the storages. A pickle of whole modules,
such as NVIDIA's snapshots, holds an old file for each tensor.
"""

from __future__ import annotations

import mmap
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, cast

from latentedit.checkpoints.pickles import (
    NUMPY_NAMES,
    Name,
    OpenNames,
    Persistent,
    is_call,
    read_pickle,
    to_bytes,
)
from latentedit.errors import LatentEditError
from latentedit.io.files import reason

LEGACY_MAGIC = b"\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""The number at the start of an old file, after the two bytes of the pickle protocol."""

MOST_OPCODES = 400_000
"""Most pickle operations; both networks and both optimisers of a StyleGAN2 take 55,000."""

_LARGEST_PICKLE = 64 * 2**20

DTYPES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
"""torch's name of a dtype, by the name of its storage class without ``Storage``."""

_SIZES = {"float64": 8, "int64": 8, "complex64": 8, "complex128": 16, "float32": 4, "int32": 4}
_SIZES |= {"float16": 2, "bfloat16": 2, "int16": 2, "int8": 1, "uint8": 1, "bool": 1}

_FUNCTIONS = (
    NUMPY_NAMES
    | {
        Name("torch._utils", name)
        for name in (
            *("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"),
            *("_rebuild_parameter_with_state", "_rebuild_qtensor", "_rebuild_sparse_tensor"),
            *("_rebuild_device_tensor_from_numpy", "_rebuild_meta_tensor_no_storage"),
            *("_rebuild_device_tensor_from_cpu_tensor", "_rebuild_wrapper_subclass"),
        )
    }
    | {
        Name("torch", "device"),
        Name("torch", "dtype"),
        Name("torch._tensor", "_rebuild_from_type_v2"),
        Name("torch.serialization", "_get_layout"),
        Name("torch.storage", "_load_from_bytes"),
        Name("torch_utils.persistence", "_reconstruct_persistent_obj"),
        Name("types", "SimpleNamespace"),
        Name("copyreg", "_reconstructor"),
        Name("copy_reg", "_reconstructor"),
        Name("collections", "defaultdict"),
        Name("collections", "deque"),
        Name("collections", "namedtuple"),
        Name("datetime", "datetime"),
        Name("datetime", "date"),
        Name("datetime", "time"),
        Name("datetime", "timedelta"),
        Name("datetime", "timezone"),
        Name("functools", "partial"),
        Name("numpy", "dtype"),
    }
)
"""Functions that files name for arrays, tensors, times and containers; none is ever called."""

CHECKPOINT_NAMES = OpenNames(_FUNCTIONS)


class Storage(NamedTuple):
    """Numbers without a shape: torch's name of their dtype (``raw``: bytes), and their bytes."""

    dtype: str
    data: bytes


@dataclass(frozen=True)
class TorchFile:
    """An open PyTorch file.

    Attributes:
        what: how messages call it.
        value: what was saved, see `pickles.read_pickle`.
        archive: holds the storages, each named by ``prefix`` and key; None for an old file.
        prefix: the folder in the archive, with its slash.
        old: for an old file, the file, and by key where each storage begins and ends in it.
    """

    what: str
    value: Any
    archive: zipfile.ZipFile | None = None
    prefix: str = ""
    old: tuple[IO[bytes], Mapping[str, tuple[int, int]]] | None = None

    def storage(self, reference: Any) -> Storage:
        """Return the storage that a `Persistent` or a call of ``_load_from_bytes`` stands for.

        Raises:
            LatentEditError: there is no such storage, or it has fewer bytes than it claims.
        """
        if is_call(reference, "_load_from_bytes"):
            return _nested(reference.arguments, self.what)
        key, dtype, count = _parse(reference, self.what)
        data = self._bytes(key)
        size = _SIZES.get(dtype, 1)
        if len(data) < count * size:
            _damaged(self.what, f"storage {key[:40]!r} is cut short")
        return Storage(dtype, data[: count * size])

    def _bytes(self, key: str) -> bytes:
        if self.archive is None:
            file, places = self.old or (BytesIO(), {})
            if key not in places:
                _damaged(self.what, f"storage {key[:40]!r} is missing")
            start, end = places[key]
            file.seek(start)
            return file.read(end - start)
        try:
            return self.archive.read(f"{self.prefix}data/{key}")
        except Exception as error:  # zipfile raises many types on damaged files
            _damaged(self.what, " ".join(str(error).split())[:120])


def _damaged(what: str, why: str) -> NoReturn:
    raise LatentEditError(f"{what} is damaged ({why}): fetch it again")


def _parse(reference: Any, what: str) -> tuple[str, str, int]:
    """Return key, dtype and length of a storage from a reference to it."""
    parts = reference.key if isinstance(reference, Persistent) else None
    if not isinstance(parts, tuple) or len(parts) < 5 or parts[0] != "storage":
        _damaged(what, "a tensor without a storage")
    kind, key, count = parts[1], parts[2], parts[4]
    name = kind.name.rpartition(".")[2].removesuffix("Storage") if isinstance(kind, Name) else ""
    known = name in DTYPES or name in ("Untyped", "Typed")
    if not known or not isinstance(key, str) or type(count) is not int or count < 0:
        _damaged(what, "a storage of no known kind")
    return key, DTYPES.get(name, "raw"), count


def _nested(arguments: tuple[Any, ...], what: str) -> Storage:
    """Return the only storage of an old file that is given as bytes."""
    try:
        (given,) = arguments
        raw = to_bytes(given)
    except (TypeError, ValueError):
        _damaged(what, "a storage without bytes")
    file = _legacy(BytesIO(raw), len(raw), what)
    return file.storage(file.value)


@contextmanager
def open_torch(path: str | Path) -> Iterator[TorchFile]:
    """Open a PyTorch file, an archive or an old one, and read what was saved as inert data.

    Needs no torch. A compressed archive is refused, because it could fill far more memory than it
    has bytes.

    Raises:
        LatentEditError: the file is refused (see `pickles.read_pickle`) or damaged.
    """
    path, what = Path(path), str(path)
    if not zipfile.is_zipfile(path):
        with mapped(path) as view:
            yield _legacy(view, path.stat().st_size, what)
        return
    try:
        opened = zipfile.ZipFile(path)
    except Exception as error:
        _damaged(what, " ".join(str(error).split())[:120])
    with opened as archive:
        try:
            file = _archive(archive, path)
        except LatentEditError:
            raise
        except Exception as error:  # zipfile raises many types on damaged files
            _damaged(what, " ".join(str(error).split())[:120])
        yield file


def _archive(archive: zipfile.ZipFile, path: Path) -> TorchFile:
    what, entries = str(path), archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise LatentEditError(
            f"{what} is refused: its archive is compressed, as PyTorch never writes it: unpack it, "
            "and give the checkpoint inside"
        )
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise LatentEditError(f"{what} is refused: its archive claims more than it holds")
    names = [entry.filename for entry in entries]
    pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1 or archive.getinfo(pickles[0]).file_size > _LARGEST_PICKLE:
        raise LatentEditError(f"{what} is not a PyTorch checkpoint: it has no data.pkl")
    prefix = pickles[0].removesuffix("data.pkl")
    if f"{prefix}byteorder" in names and archive.read(f"{prefix}byteorder").strip() == b"big":
        raise LatentEditError(f"{what} was written on a big-endian machine: save it on another")
    value = read_pickle(BytesIO(archive.read(pickles[0])), CHECKPOINT_NAMES, what, MOST_OPCODES)
    return TorchFile(what, value, archive=archive, prefix=prefix)


def _legacy(file: IO[bytes], length: int, what: str) -> TorchFile:
    def read() -> Any:
        return read_pickle(file, CHECKPOINT_NAMES, what, MOST_OPCODES)

    _, _, system, value, keys = (read() for _ in range(5))  # magic and protocol come first
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise LatentEditError(f"{what} was written on a big-endian machine: save it on another")
    sizes = _storage_sizes(value, what)
    places: dict[str, tuple[int, int]] = {}
    place = file.tell()
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in sizes:
            _damaged(what, "a storage that nothing refers to")
        file.seek(place)
        end = place + 8 + int.from_bytes(file.read(8), "little") * sizes[key]
        if end > length:
            _damaged(what, "it is cut short")
        places[key] = (place + 8, end)
        place = end
    return TorchFile(what, value, old=(file, places))


def _storage_sizes(value: Any, what: str) -> dict[str, int]:
    """Return the bytes per number of each storage that an inert value refers to, by key."""
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    pending = [value]
    while pending:
        each = pending.pop()
        if id(each) in seen or isinstance(each, str | bytes | int | float | None):
            continue
        seen.add(id(each))
        if isinstance(each, Persistent):
            if isinstance(each.key, tuple) and each.key[:1] == ("module",):
                continue
            key, dtype, _ = _parse(each, what)
            sizes[key] = _SIZES.get(dtype, 1)
        elif isinstance(each, dict):
            pending.extend(each.values())
        elif isinstance(each, list | tuple) and not isinstance(each, Name):
            pending.extend(each)
        elif hasattr(each, "arguments"):
            pending += [each.arguments, each.state, each.items, each.entries, each.keywords]
    return sizes


@contextmanager
def mapped(path: Path) -> Iterator[IO[bytes]]:
    """Map a file into memory; only the bytes that are used are read.

    Raises:
        LatentEditError: the file is missing, empty, or cannot be read.
    """
    with ExitStack() as opened:
        try:
            file = opened.enter_context(open(path, "rb"))
            view = opened.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except FileNotFoundError:
            raise LatentEditError(f"{path} does not exist: check the path") from None
        except ValueError:  # mmap's word for an empty file
            raise LatentEditError(f"{path} is empty: fetch it again") from None
        except OSError as error:
            raise LatentEditError(f"cannot read {path}: {reason(error)}") from None
        yield cast("IO[bytes]", view)


def names_of(names: Collection[Name]) -> OpenNames:
    """Return the names that a checkpoint may use, with further functions of one format."""
    return OpenNames(frozenset(_FUNCTIONS) | frozenset(names))
