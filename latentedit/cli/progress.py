"""Show progress on standard error, as a bar or in plain lines; standard output is for results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from latentedit.errors import LatentEditError
from latentedit.io.launch import launch

T = TypeVar("T")
console = Console(stderr=True)

PLAIN_EVERY = 30.0
"""Seconds between two plain lines, when standard error is not a terminal."""


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar with count, free text, time spent and time left.

    Bars would fill a log with control characters. So when standard error is not a terminal, a
    plain line says the same every `PLAIN_EVERY` seconds. If several processes were launched, only
    the first one prints. Bad input clears the bar, so that the error stands alone.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    shown = console.is_terminal and launch().leads
    with Progress(*columns, console=console, disable=not shown) as bar:
        try:
            with _plain_lines(bar):
                yield bar
        except LatentEditError:
            bar.live.transient = True
            raise


@contextmanager
def _plain_lines(bar: Progress) -> Iterator[None]:
    """Print the progress of a bar's tasks now and then, if the bar itself is not shown."""
    if not (bar.disable and launch().leads):
        yield
        return
    ended = Event()

    def say() -> None:
        while not ended.wait(PLAIN_EVERY):
            for task in bar.tasks:
                if not task.finished:
                    console.print(in_words(task), highlight=False, markup=False, soft_wrap=True)

    speaker = Thread(target=say, name="progress", daemon=True)
    speaker.start()
    try:
        yield
    finally:
        ended.set()
        speaker.join()


def in_words(task: Task) -> str:
    """Return a task's progress in one line: count, share, time spent, time left, note."""
    count = f"{task.completed:,.0f}"
    if task.total is not None:
        count += f" of {task.total:,.0f} ({task.percentage:.0f} %)"
    parts = [count, f"{timedelta(seconds=int(task.elapsed or 0))} so far"]
    if task.time_remaining is not None and task.total is not None:
        parts.append(f"{timedelta(seconds=int(task.time_remaining))} left")
    note = " ".join(str(task.fields.get("note", "")).split())
    return f"{task.description}: {', '.join([*parts, note] if note else parts)}"


def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Iterate under a progress bar."""
    with progress_bar() as bar:
        task = bar.add_task(description, total=total, note="")
        for item in items:
            yield item
            bar.advance(task)


def print_skipped(messages: Iterable[str]) -> None:
    """Print what was left out, and why."""
    for message in messages:
        console.print(f"skipped: {message}", highlight=False, markup=False)
