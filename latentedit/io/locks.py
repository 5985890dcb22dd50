"""Locks between processes; they go with the process that holds them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from latentedit.errors import LatentEditError
from latentedit.io.files import check_writable, reason

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def alone_with(path: str | Path) -> Iterator[None]:
    """Wait until no one else, process or thread, is in such a block for the same file.

    For a file that is read, joined with something and written back. The lock is an empty hidden
    file beside it. On a disk that knows no locks, nobody waits.

    Raises:
        LatentEditError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    _acquire(lock)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def claimed(path: str | Path, *, waits: bool = False) -> Iterator[bool]:
    """Claim a file that is to be made, for as long as the block runs.

    Args:
        path: the file; the lock is an empty hidden file beside it, which goes with the claim.
        waits: until who claimed it before is done.

    Yields:
        Whether nobody else had claimed it, or has meanwhile let it go.

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
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def hold(path: str | Path) -> BaseFileLock | None:
    """Take a lock for as long as the answer is kept, or return None where another process has it.

    In one process it can be taken again. On a disk that knows no locks, everyone gets it.

    Args:
        path: of the lock's own file, which stays.

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
    check_writable(lock.lock_file)  # the library would make the folder
    try:
        lock.acquire()
    except OSError as error:
        if isinstance(error, Timeout):
            raise
        if error.errno not in _NO_LOCKS:
            raise LatentEditError(f"cannot write {lock.lock_file}: {reason(error)}") from None
