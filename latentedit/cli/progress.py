"""Progress bars on standard error; standard output stays clean for results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from latentedit.errors import LatentEditError

T = TypeVar("T")
console = Console(stderr=True)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar with count, free text, time spent and time left.

    On a terminal only: a log is not a place for bars. Bad input clears it, so the error stands
    alone.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        try:
            yield bar
        except LatentEditError:
            bar.live.transient = True
            raise


def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Iterate under a progress bar."""
    with progress_bar() as bar:
        task = bar.add_task(description, total=total, note="")
        for item in items:
            yield item
            bar.advance(task)


def print_skipped(messages: Iterable[str]) -> None:
    """Say what was left out, and why."""
    for message in messages:
        console.print(f"skipped: {message}", highlight=False, markup=False)
