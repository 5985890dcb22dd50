"""Find IR files: in a folder, beside an .xml, or in a wheel (or another zip).

A wheel is read in place: nothing is unpacked to disk, so no name in it can lead to another folder.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from latentedit.checkpoints.ir import LARGEST_BIN, LARGEST_XML
from latentedit.errors import LatentEditError

_MOST_PAIRS = 16
_MOST_MEMBERS = 10_000
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # other methods could take any amount of memory
_MOST_PACKED = 50  # packing makes an .xml 20 times smaller, weights hardly
_SMALL = 2**20


@dataclass(frozen=True)
class Pair:
    """An .xml and the .bin beside it.

    Attributes:
        where: the .xml, for messages.
        weights_where: the .bin, for messages.
        read: reads the .xml.
        read_weights: reads the .bin.
    """

    where: str
    weights_where: str
    read: Callable[[], bytes]
    read_weights: Callable[[], bytes]


def is_ir(path: str | Path) -> bool:
    """Whether a path looks like IR files: a folder, an .xml, or a zip that holds an .xml."""
    path = Path(path)
    if path.is_dir() or path.suffix.lower() == ".xml":
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".xml") for name in archive.namelist())
    except Exception:  # zipfile raises many types on damaged files
        return False


def pairs(source: str | Path) -> list[Pair]:
    """Find IR files; a given .xml comes first, then the others beside it.

    Args:
        source: a wheel or another zip, a folder, or an .xml.

    Raises:
        LatentEditError: the source is missing or refused, or has no .xml with a .bin beside it.
    """
    source = Path(source)
    if source.is_dir():
        found = _in_folder(source)
    elif source.suffix.lower() == ".xml":
        if not source.with_suffix(".bin").is_file():
            raise LatentEditError(
                f"{source.with_suffix('.bin')} is missing: put it beside the .xml"
            )
        others = [path for path in _in_folder(source.parent) if path != source]
        found = [source, *others]
    else:
        return _in_archive(source)
    if not found:
        raise LatentEditError(f"{source} holds no .xml with a .bin of the same name beside it")
    _check_count(len(found), source)
    return [_of_file(path) for path in found]


def _in_folder(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise LatentEditError(f"cannot read {folder}: {error.strerror}") from None
    return [path for path in paths if path.suffix == ".xml" and path.with_suffix(".bin").is_file()]


def _check_count(count: int, source: Path) -> None:
    if count > _MOST_PAIRS:
        raise LatentEditError(
            f"{source} holds {count} IR files: put those of the mapping and the synthesis network "
            "into a folder of their own"
        )


def _of_file(path: Path) -> Pair:
    weights = path.with_suffix(".bin")
    return Pair(
        str(path),
        str(weights),
        lambda: _read_file(path, LARGEST_XML),
        lambda: _read_file(weights, LARGEST_BIN),
    )


def _read_file(path: Path, most: int) -> bytes:
    if not path.is_file():
        raise LatentEditError(f"{path} is no file: check the path")
    try:
        with open(path, "rb") as file:
            return _read_at_most(file, most, str(path))
    except OSError as error:
        raise LatentEditError(f"cannot read {path}: {error.strerror}") from None


def _read_at_most(file: IO[bytes], most: int, what: str) -> bytes:
    data = file.read(most + 1)
    if len(data) > most:
        raise LatentEditError(f"{what} is refused: it is larger than {most:,} bytes")
    return data


def _in_archive(path: Path) -> list[Pair]:
    with _opened(path) as archive:
        members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise LatentEditError(f"{path} is refused: it has {len(members):,} members")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise LatentEditError(f"{path} is refused: two of its members have the same name")
    by_name = dict(zip(names, members, strict=True))
    found = [
        (by_name[name], by_name[weights])
        for name in sorted(names)
        if name.endswith(".xml") and (weights := f"{name[:-4]}.bin") in by_name
    ]
    if not found:
        raise LatentEditError(f"{path} holds no OpenVINO IR: no .xml with a .bin beside it")
    _check_count(len(found), path)
    return [_of_members(path, *members) for members in found]


def _of_members(path: Path, xml: zipfile.ZipInfo, weights: zipfile.ZipInfo) -> Pair:
    def where(member: zipfile.ZipInfo) -> str:
        return f"{path}, {member.filename[:120]!r},"

    return Pair(
        where(xml),
        where(weights),
        lambda: _read_member(path, xml, LARGEST_XML, where(xml)),
        lambda: _read_member(path, weights, LARGEST_BIN, where(weights)),
    )


def _read_member(path: Path, member: zipfile.ZipInfo, most: int, what: str) -> bytes:
    if member.compress_type not in _PLAIN or member.flag_bits & 1:
        raise LatentEditError(f"{what} is refused: it is encrypted, or packed in an unusual way")
    if member.file_size > max(_SMALL, _MOST_PACKED * member.compress_size):
        raise LatentEditError(f"{what} is refused: it claims more than its archive holds")
    with _opened(path) as archive, archive.open(member) as file:
        return _read_at_most(file, most, what)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; every error of zipfile becomes a message of one line."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except LatentEditError:
        raise
    except FileNotFoundError:
        raise LatentEditError(f"{path} does not exist: check the path") from None
    except Exception as error:  # zipfile raises many types on damaged files
        detail = " ".join(str(error).split())[:120]
        raise LatentEditError(
            f"{path} is no wheel or zip that can be read ({detail}): fetch it again"
        ) from None
