"""Progress where nobody sees a bar."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from latentedit.cli import progress

Lines = Callable[[], list[str]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Standard error as a log gives it, a line of progress every hundredth of a second."""
    log = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=log, width=40))
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.01)
    return lambda: log.getvalue().splitlines()


def wait_for(lines: Lines, word: str) -> str:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if found := [line for line in lines() if word in line]:
            return found[-1]
        time.sleep(0.005)
    raise AssertionError(f"no line says {word}: {lines()}")


def test_a_log_gets_plain_lines(lines: Lines) -> None:
    with progress.progress_bar() as bar:
        task = bar.add_task("Sampling", total=None, note="")
        assert wait_for(lines, "Sampling").startswith("Sampling: 0, 0:00:0")
        bar.update(task, completed=1500, total=6000, note="[bold] 3\n4")
        said = wait_for(lines, "[bold]")
        assert re.match(r"Sampling: 1,500 of 6,000 \(25 %\), 0:00:0\d so far, ", said)
        assert said.endswith(", [bold] 3 4")  # one line, although it is wider than the log
        bar.update(task, completed=6000)
        end, count = time.monotonic() + 20, -1
        while count != len(lines()) and time.monotonic() < end:
            count = len(lines())
            time.sleep(0.05)
        assert len(lines()) == count  # nothing is left to say
    assert not any("\x1b" in line for line in lines())


def test_one_of_several_launched_processes_speaks(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert list(progress.track((time.sleep(0.05) or n for n in range(2)), 2, "Looking")) == [0, 1]
    assert lines() == []
    monkeypatch.setenv("RANK", "0")
    with progress.progress_bar() as bar:
        bar.add_task("Looking", total=None, note="")
        assert wait_for(lines, "Looking")


def test_what_is_soon_done_says_nothing(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY", 30.0)
    assert list(progress.track(range(3), 3, "Looking")) == [0, 1, 2]
    assert lines() == []


def test_the_lines_end_with_what_they_are_about(lines: Lines) -> None:
    def fail() -> None:
        with progress.progress_bar() as bar:
            bar.add_task("Training", total=10, note="")
            wait_for(lines, "Training")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    count = len(lines())
    time.sleep(0.05)
    assert len(lines()) == count


def test_a_terminal_gets_a_bar_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True))
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.01)
    for _ in progress.track(range(2), 2, "Looking"):
        time.sleep(0.03)
    assert "━" in screen.getvalue()
    assert "Looking: " not in screen.getvalue()
