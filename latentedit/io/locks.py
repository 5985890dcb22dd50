"""Locks between processes; a lock ends when the process that holds it ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from latentedit.errors import LatentEditError
from latentedit.io.files import check_folder, reason

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def claimed(path: str | Path, *, waits: bool = False) -> Iterator[bool]:
    """Claim a file that is to be made or changed, for as long as the block runs.

    On a disk without locks everyone gets it.

    Args:
        path: the file. The lock is an empty hidden file beside it; it is removed with the claim.
        waits: wait until an earlier claim has ended. Use it to read a file, add something and write
            it back.

    Yields:
        True if this process has the claim, False if somebody else has it.

    Raises:
        LatentEditError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=-1 if waits else 0)
    try:
        _acquire(lock)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        if os.name != "nt":  # there an open file cannot be removed, so filelock does it itself
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def hold(path: str | Path) -> BaseFileLock | None:
    """Take a lock and return it; return None if another process has it.

    The lock is held as long as the returned object exists. The same process can take it again. On
    a disk without locks everyone gets it.

    Args:
        path: the lock's own file; it is never removed.

    Raises:
        LatentEditError: the file cannot be written.
    """
    lock = FileLock(path, timeout=0, thread_local=False, is_singleton=True)
    try:
        _acquire(lock)
    except Timeout:
        return None
    return lock


def _acquire(lock: BaseFileLock) -> None:
    check_folder(lock.lock_file)  # filelock would create a missing one
    try:
        lock.acquire()
    except OSError as error:
        if isinstance(error, Timeout):
            raise
        if error.errno not in _NO_LOCKS:
            raise LatentEditError(f"cannot write {lock.lock_file}: {reason(error)}") from None
