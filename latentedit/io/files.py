"""Writing files so that a crash, a full disk or a kill never leaves half of one behind."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from latentedit.errors import LatentEditError

_ADVICE = {
    errno.ENOENT: "nothing can be made there, choose another folder",  # such as in /proc
    errno.EACCES: "choose another folder",
    errno.EPERM: "choose another folder",
    errno.EROFS: "choose another folder",
    errno.EEXIST: "choose another name",
    errno.ENOTDIR: "choose another folder",
    errno.ENOTEMPTY: "choose another name",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOSPC: "make room, or choose another disk",
    errno.EDQUOT: "make room, or choose another disk",
    errno.EFBIG: "choose another disk",
}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path near `path`; rename it to `path` when the block ends well.

    The temporary file is synced before the rename and removed if the block raises, so `path`
    is always either the old file or the whole new one. Its permissions follow the umask, also
    where the writer (safetensors) is stricter. It lies in a hidden folder of its own, where writers
    may leave unfinished files. What killed processes left behind for `path` is removed.

    Raises:
        LatentEditError: the folder does not exist or cannot be written, or the disk is full.
    """
    with atomic_paths(path) as (temporary,):
        yield temporary


@contextmanager
def atomic_paths(*paths: str | Path) -> Iterator[tuple[Path, ...]]:
    """Do the same for files that belong together: all are synced before the first is renamed.

    Raises:
        LatentEditError: see `atomic_path`; it names the first file.
    """
    for path in paths:
        _check_place(Path(path))
    folders = [temporary_beside(path) for path in paths]
    made = tuple(folder / "new" for folder in folders)
    try:
        for file in made:
            file.parent.mkdir()
            file.touch()
        permissions = made[0].stat().st_mode
        yield made
        for file in made:
            _sync(file, permissions)
        for file, path in zip(made, paths, strict=True):
            os.replace(file, path)
    except OSError as error:
        raise LatentEditError(f"cannot write {paths[0]}: {reason(error)}") from error
    except SafetensorError as error:  # safetensors raises it for an OSError
        raise LatentEditError(f"cannot write {paths[0]}: {_reason_of_writer(error)}") from error
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _sync(file: Path, permissions: int) -> None:
    file.chmod(permissions)
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


def copy_file(source: str | Path, target: str | Path) -> None:
    """Copy a file, whole or not at all.

    Raises:
        LatentEditError: see `atomic_path`.
    """
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def temporary_beside(path: str | Path) -> Path:
    """Return a free hidden name beside `path`, for a file that becomes `path` when finished.

    Such folders of `path` from processes that are no longer alive are removed. The names say which
    machine (or container) and process they belong to, so those of others stay.
    """
    path = Path(path)
    stem = f".{path.name}.tmp-{_machine()}-"
    with suppress(OSError):  # an unreadable folder stays as it is
        for entry in os.listdir(path.parent):
            owner = re.match(r"(\d+)-[0-9a-f]{8}$", entry.removeprefix(stem))
            if entry.startswith(stem) and owner and not _alive(int(owner[1])):
                shutil.rmtree(path.with_name(entry), ignore_errors=True)
    return path.with_name(f"{stem}{os.getpid()}-{secrets.token_hex(4)}")


@cache
def _machine() -> str:
    """Return six hex digits, the same for all processes whose ids this process can look up."""
    names = [platform.node()]
    with suppress(OSError):  # on Linux: containers number their processes separately
        names.append(os.readlink("/proc/self/ns/pid"))
    with suppress(OSError):  # on Linux: two machines may have one name
        names.append(Path("/etc/machine-id").read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:6]


def _alive(process: int) -> bool:
    """Return whether a process of this machine runs; True if that cannot be found out."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)  # no signal, only the check
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's process, or no process id
        return True
    return True


def check_writable(path: str | Path) -> None:
    """Refuse an output path that cannot be written, before a long computation starts.

    Raises:
        LatentEditError: `path` is a folder, or its parent is missing or takes no new files.
    """
    path = Path(path)
    _check_place(path)
    trial = temporary_beside(path)
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise LatentEditError(f"cannot write {path}: {reason(error)}") from error


def check_replaces_none(
    path: str | Path, inputs: Mapping[str, str | Path | None], *, force: bool | None = None
) -> None:
    """Refuse an output path that is one of the inputs.

    Args:
        inputs: paths of the inputs by what they are, such as "photo".
        force: allow it; None if the command has no such option.

    Raises:
        LatentEditError: the path is one of the inputs.
    """
    for what, given in inputs.items():
        with suppress(OSError):  # one of the two does not exist
            if given is not None and not force and os.path.samefile(path, given):
                or_force = "" if force is None else ", or --force to replace it"
                raise LatentEditError(f"{path} is the {what} itself: give another name{or_force}")


def reason(error: OSError) -> str:
    """Return why something could not be written, and what to do about it."""
    why = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0)
    return f"{why}: {advice}" if advice else why


def _reason_of_writer(error: SafetensorError) -> str:
    """Return `reason` of an OSError of which safetensors kept the words only."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    if number is None or os.name != "posix":
        return str(error)
    return reason(OSError(int(number[1]), os.strerror(int(number[1]))))


def check_folder(path: str | Path) -> None:
    """Refuse an output path whose folder is missing or takes no new files.

    Raises:
        LatentEditError: the folder is missing, is a file, or takes no new files.
    """
    parent = Path(path).parent
    if parent.exists() and not parent.is_dir():
        raise LatentEditError(f"cannot write {path}: {parent} is a file, give a folder")
    if not parent.is_dir():
        raise LatentEditError(f"cannot write {path}: folder {parent} does not exist, create it")
    if not os.access(parent, os.W_OK):
        raise LatentEditError(
            f"cannot write {path}: no permission to write in {parent}, choose another"
        )


def _check_place(path: Path) -> None:
    if os.path.isdir(path):
        raise LatentEditError(f"cannot write {path}: it is a folder, give a file name")
    check_folder(path)
    if os.path.isfile(path) and not os.access(path, os.W_OK):
        raise LatentEditError(f"cannot write {path}: it is read-only, give another name")


def make_folder(path: str | Path) -> Path:
    """Create a folder (and its parents) for output.

    Raises:
        LatentEditError: it exists as a file or cannot be created.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LatentEditError(f"cannot create folder {path}: {reason(error)}") from error
    return path


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        LatentEditError: it is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise LatentEditError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise LatentEditError(
            f"{path} is not valid JSON ({error}): make it again, or fetch it again"
        ) from error


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
