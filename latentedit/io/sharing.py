"""Work that several processes share: whose turn it is.

Processes meet in a folder alone, on one disk or on one that machines share: whoever makes a file
claims it. So nobody waits at a barrier for one that died, and others may join and leave at any
time, whether a launcher started them or not.
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
    """Claim a file that is to be made; whoever gets it looks first whether it is there by now.

    Args:
        path: the file.
        waits: for who is making it; otherwise they are left to it.

    Raises:
        BusyError: another process is making it.
        LatentEditError: the folder does not exist or cannot be written.
    """
    with claimed(path, waits=waits) as mine:
        if not mine:
            raise BusyError(path)
        yield


def turns(count: int, make: Callable[[int], object]) -> Iterator[int]:
    """Make `count` things together with all processes that make the same ones.

    Each thing is made by one of them. What another one is at is left to it and looked at again
    when it is done with it, or dead. All are there at the end.

    Args:
        count: how many.
        make: makes one, by its number, or finds that it is there; raises `BusyError` where another
            process is making it.

    Yields:
        Each number, once its thing is there.
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
