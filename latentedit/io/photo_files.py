"""Find the photos in a folder, and name what the other files are: none is skipped silently."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from latentedit.io.images import NO_PICTURES, PHOTO_ENDINGS

_LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    "videos": (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"),
    "raw photos of cameras, develop them to JPEG": (
        *(".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw", ".raw"),
    ),
    "drawings and documents": (".svg", ".pdf", ".ai", ".eps", ".ps", ".doc", ".docx", ".odt"),
    "archives, unpack them": (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".xz", ".bz2"),
    "half-finished downloads": (".crdownload", ".part", ".partial", ".download", ".tmp"),
}
_HIDDEN = "hidden files and folders"
_LINKED = "links to folders, name these folders themselves"
_DANGLING = "links that lead nowhere"
_SYSTEM = frozenset(("thumbs.db", "desktop.ini", "icon\r", "__macosx"))
_FEW = 3


class FolderPhotos(NamedTuple):
    """The files of a folder and its sub-folders.

    Attributes:
        photos: the photos, in order of their paths.
        left_out: the other files, by what they are.
    """

    photos: list[Path]
    left_out: dict[str, list[Path]]


def find_photos(folder: Path) -> FolderPhotos:
    """Sort files of a folder and its sub-folders into photos (by name or content) and others."""
    photos: list[Path] = []
    left_out: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            what = None if path.suffix.lower() in PHOTO_ENDINGS else _what_else(path)
        elif path.is_symlink():
            what = _LINKED if path.is_dir() else _DANGLING
        else:
            continue
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part.lower() in _SYSTEM for part in parts):
            what = _HIDDEN
        if what is None:
            photos.append(path)
        else:
            left_out.setdefault(what, []).append(path)
    return FolderPhotos(photos, left_out)


class NamedPhotos(NamedTuple):
    """The photos that a user named, as files or in folders.

    Attributes:
        files: the files to look at, each once: every file that was named itself, whatever it is,
            and the photos of named folders in order of their paths.
        empty: folders without a photo, each with a line that says what is there.
        left_out: one line for each kind of other files in a folder.
    """

    files: list[Path]
    empty: list[tuple[Path, str]]
    left_out: list[str]


def named_photos(given: Sequence[Path]) -> NamedPhotos:
    """Collect the files that were named, and the photos in the folders that were named."""
    files: list[Path] = []
    empty: list[tuple[Path, str]] = []
    left_out: list[str] = []
    for path in given:
        if not os.path.isdir(path):  # False where nobody may look
            files.append(path)
            continue
        inside, others = find_photos(path)
        files += inside
        lines = in_words(others, path)
        if inside:
            left_out += [f"left out of {path}: {line}" for line in lines]
        else:
            held = f" ({'; '.join(lines)})" if lines else ""
            advice = "give a folder with .jpg or .png files"
            empty.append((path, f"no photo in {path}{held}: {advice}"))
    return NamedPhotos(list(dict.fromkeys(files)), empty, left_out)


def _what_else(path: Path) -> str | None:
    """Return what a file is whose name is not a photo's; None if it is a photo all the same."""
    ending = path.suffix.lower()
    for what, endings in _LEFT_OUT.items():
        if ending in endings:
            return what
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open(path, "rb") as file:
                if file.read(12)[4:8] == b"ftyp":
                    return None if _is_heif(path) else "videos"
            with Image.open(path) as image:
                return None if image.format not in NO_PICTURES else "no pictures"
    except Exception:  # decoders raise many types on foreign files
        return "no pictures"


def _is_heif(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(12)[8:10] in (b"he", b"mi", b"ms", b"av")


def in_words(left_out: Mapping[str, Iterable[Path]], folder: Path) -> list[str]:
    """Return one line for each kind of files that were left out, with a few of their names."""
    return [
        f"{few_names([str(_inside(path, folder)) for path in paths])}: {what}"
        for what, paths in sorted(left_out.items())
    ]


def few_names(names: list[str]) -> str:
    """Return the number of some files, and the names of the first ones, in words."""
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    count = "1 file" if len(names) == 1 else f"{len(names)} files"
    return f"{count} ({', '.join(names[:_FEW])}{more})"


def _inside(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path
