"""Locks: one at a time, gone with their process, and a word where they cannot be."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from latentedit.errors import LatentEditError
from latentedit.io.locks import claimed, hold

HOLD = """
import sys
from latentedit.io.locks import hold
kept = hold(sys.argv[1])
print(kept is not None, flush=True)
sys.stdin.read()
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    order, begun = [], threading.Event()

    def other() -> None:
        begun.set()
        with claimed(tmp_path / "a", waits=True):
            order.append("other")

    thread = threading.Thread(target=other)
    with claimed(tmp_path / "a", waits=True):
        thread.start()
        assert begun.wait(10)
        time.sleep(0.05)
        order.append("first")
    thread.join(10)
    assert order == ["first", "other"]


def test_another_file_of_the_folder_is_free(tmp_path: Path) -> None:
    with claimed(tmp_path / "a", waits=True), claimed(tmp_path / "b", waits=True):
        pass
    assert {path.name for path in tmp_path.iterdir()} <= {".a.lock", ".b.lock"}


def test_an_error_inside_lets_the_next_one_in(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), claimed(tmp_path / "a", waits=True):
            raise KeyError


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(LatentEditError, match="cannot write"),
        claimed(tmp_path / "no" / "a", waits=True),
    ):
        pass
    with pytest.raises(LatentEditError, match="cannot write"):
        hold(tmp_path / "no" / "lock")


def test_what_is_held_is_held_from_others_until_they_end(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        assert hold(tmp_path / "lock") is None
        other.kill()
    kept = hold(tmp_path / "lock")
    assert kept is not None
    assert hold(tmp_path / "lock") is not None  # again in this process
    refused = subprocess.run(words, input=b"", capture_output=True, check=True)
    assert refused.stdout == b"False\n"
    del kept


def test_a_claim_is_for_one_and_goes_with_its_block(tmp_path: Path) -> None:
    file = tmp_path / "shard"
    with claimed(file) as mine, claimed(file) as other:
        assert (mine, other) == (True, False)
    assert not list(tmp_path.iterdir())
    with claimed(file) as mine:
        assert mine


def test_who_waits_for_a_claim_gets_it(tmp_path: Path) -> None:
    file, order = tmp_path / "shard", []

    def wait() -> None:
        with claimed(file, waits=True) as mine:
            order.append(("later", mine))

    with claimed(file):
        other = threading.Thread(target=wait)
        other.start()
        time.sleep(0.2)
        order.append(("first", True))
    other.join()
    assert order == [("first", True), ("later", True)]


def test_a_lock_that_others_remove_meanwhile_stops_nobody(tmp_path: Path) -> None:
    def claim() -> int:
        taken = 0
        for _ in range(400):
            with claimed(tmp_path / "shard") as mine:
                taken += mine
        return taken

    with ThreadPoolExecutor(4) as threads:
        claims = [threads.submit(claim) for _ in range(4)]
        assert sum(claim.result() for claim in claims)


@pytest.mark.parametrize(("number", "goes_on"), [(errno.ENOLCK, True), (errno.EACCES, False)])
def test_a_disk_without_locks_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, goes_on: bool
) -> None:
    def fail(self: FileLock) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", fail)
    if goes_on:
        assert hold(tmp_path / "lock") is not None
        with claimed(tmp_path / "a", waits=True):
            pass
    else:
        with pytest.raises(LatentEditError, match="choose another folder"):
            hold(tmp_path / "lock")
