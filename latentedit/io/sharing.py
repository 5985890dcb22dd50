"""Work that several processes share: who this one is among them, and whose turn it is.

A launcher (``torchrun``, ``accelerate launch``) tells each process its number in environment
variables, and nothing more is asked of it. Processes meet in a folder alone, on one disk or one that
machines share: whoever makes a file claims it. So nobody waits at a barrier for one that died, and
others may join and leave at any time, launched or not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from latentedit.errors import LatentEditError
from latentedit.io.locks import claimed


@dataclass(frozen=True)
class Launch:
    """This process among all that a launcher started.

    Attributes:
        rank: its number, from 0.
        world_size: how many there are, on all machines.
        local_rank: its number on its machine.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process speaks, and writes what is written once."""
        return self.rank == 0

    def order(self, count: int) -> list[int]:
        """The numbers below `count` in the order in which this process should take them.

        Its own ones first, every `world_size`-th, then, from the end, what others have not yet
        come to.
        """
        own = range(self.rank, count, self.world_size)
        return [*own, *(n for n in reversed(range(count)) if n not in own)]


def launch() -> Launch:
    """Read what the launcher says (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``); alone without one.

    Raises:
        LatentEditError: the variables are no numbers that go together.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    try:
        world_size = int(os.environ.get("WORLD_SIZE", "1"))
        if world_size == 1:
            return Launch()
        rank, local = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    except ValueError:
        world_size = rank = local = -1
    if not (0 <= rank < world_size and local >= 0):
        found = ", ".join(f"{name}={os.environ.get(name, '')}" for name in names)
        raise LatentEditError(f"no launcher says {found}: unset these environment variables")
    return Launch(rank, world_size, local)


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
