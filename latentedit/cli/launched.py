"""Commands under a launcher, such as torchrun, which starts one command in several processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress

from latentedit.errors import LatentEditError
from latentedit.io.launch import launch

SHARED = (
    *(f"train {network}" for network in ("classifier", "age", "portrait", "generator")),
    "pool build",
    "boundaries measure",
    "evaluate age",
    "evaluate all",
)
"""Commands whose processes share the work."""


def has_work(words: Sequence[str]) -> bool:
    """Return whether this process takes part in a command.

    The first process always does; the others do in commands of `SHARED`.

    Args:
        words: the words of the command line after ``latentedit``.

    Raises:
        LatentEditError: environment variables of a launcher have values that no launcher sets.
    """
    launched = launch()
    name = f"{' '.join(words[:2])} "
    shared = any(name.startswith(f"{each} ") for each in SHARED)
    if launched.world_size == 1:
        # Accelerate sets this variable. If it sees no GPU, it starts one process, however many
        # were asked for.
        if shared and "ACCELERATE_MIXED_PRECISION" in os.environ and "RANK" not in os.environ:
            print(
                "note: Accelerate started one process; for several give it --multi_gpu, without "
                "a GPU too",
                file=sys.stderr,
            )
        return True
    if launched.leads and not shared:
        print(
            f"note: this command runs in one process, the other {launched.world_size - 1} have "
            f"nothing to do; commands that share their work: {', '.join(SHARED)}",
            file=sys.stderr,
        )
    return shared or launched.leads


@contextmanager
def one_voice() -> Iterator[None]:
    """Let only the first process print results: the others would print the same."""
    if launch().leads:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield


def speaker() -> str:
    """Return what an error line begins with; under a launcher, it names the process."""
    with suppress(LatentEditError):
        if launch().world_size > 1:
            return f"latentedit, process {launch().rank}"
    return "latentedit"
