"""Share work among several processes: each file is made by one of them.

The processes share a folder, on one disk or on a disk that several machines share, and nothing
else. A process claims a file before it makes it. So no process waits at a barrier for one that
died. Processes may join and leave at any time, whether a launcher started them or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from latentedit.io.launch import launch
from latentedit.io.locks import claimed


class BusyError(Exception):
    """Another process is making what is asked for.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


@contextmanager
def making(path: Path, *, waits: bool) -> Iterator[None]:
    """Claim a file that is to be made.

    Inside the block, check first whether the file exists: another process may have made it.

    Args:
        path: the file.
        waits: wait for a process that is making it, instead of raising `BusyError`.

    Raises:
        BusyError: another process is making it, and `waits` is False.
        LatentEditError: the folder does not exist or cannot be written.
    """
    with claimed(path, waits=waits) as mine:
        if not mine:
            raise BusyError(path)
        yield


def turns(count: int, make: Callable[[int], object]) -> Iterator[int]:
    """Make `count` things together with all processes that make the same ones.

    Each thing is made by one process. A thing that another process is making is left to it, and
    tried again when that process has finished it or died. At the end all things exist.

    Args:
        count: how many things.
        make: makes the thing of a number, or finds that it exists; raises `BusyError` if another
            process is making it.

    Yields:
        Each number, once its thing exists.
    """
    missing = launch().order(count)
    while missing:
        busy: dict[int, Path] = {}
        for number in missing:
            try:
                make(number)
            except BusyError as error:
                busy[number] = error.path
                continue
            yield number
        if len(busy) == len(missing):  # nothing else to do meanwhile
            with claimed(busy[missing[0]], waits=True):
                pass
        missing = list(busy)
