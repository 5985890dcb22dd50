"""Read from the environment which process this is among those that a launcher started."""

from __future__ import annotations

import os
from dataclasses import dataclass

from latentedit.errors import LatentEditError


@dataclass(frozen=True)
class Launch:
    """This process among all that ``torchrun`` or ``accelerate launch`` started.

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
        """Whether this process prints messages, and writes files that are written once."""
        return self.rank == 0

    def order(self, count: int) -> list[int]:
        """Return the numbers below `count` in the order in which this process should take them.

        Its own numbers come first: every `world_size`-th. Then come the others from the end, where
        other processes arrive last.
        """
        own = range(self.rank, count, self.world_size)
        return [*own, *(number for number in reversed(range(count)) if number not in own)]


def launch() -> Launch:
    """Read ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK``; without a launcher a process is alone.

    Raises:
        LatentEditError: the variables are not numbers, or do not go together.
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
        raise LatentEditError(f"{found} do not go together: unset these environment variables")
    return Launch(rank, world_size, local)


def cores() -> int:
    """Return the number of cores that this process may use; all where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
