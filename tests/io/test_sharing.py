"""Turns: who makes what, who waits for whom, and what a dead process leaves to others."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from latentedit.io.folders import ResumableFolder, save_arrays
from latentedit.io.locks import claimed
from latentedit.io.sharing import BusyError, making, turns


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def test_alone_all_is_made_in_order() -> None:
    made: list[int] = []
    assert list(turns(4, made.append)) == made == [0, 1, 2, 3]
    assert list(turns(0, made.append)) == []


def test_a_process_begins_with_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "1")
    made: list[int] = []
    assert list(turns(7, made.append)) == made == [1, 4, 6, 5, 3, 2, 0]


def test_what_another_is_at_is_left_and_looked_at_again(tmp_path: Path) -> None:
    tries: list[int] = []

    def make(number: int) -> None:
        tries.append(number)
        if number == 0 and tries.count(0) == 1:
            raise BusyError(tmp_path / "0")

    assert list(turns(3, make)) == [1, 2, 0]
    assert tries == [0, 1, 2, 0]


def test_with_nothing_else_to_do_it_waits(tmp_path: Path) -> None:
    made, begun = [], threading.Event()

    def make(number: int) -> None:
        begun.set()
        with making(tmp_path / str(number), waits=False):
            made.append(number)

    def work() -> None:
        for _ in turns(1, make):
            pass

    with claimed(tmp_path / "0"):  # by another one, who then lets it go unmade
        other = threading.Thread(target=work)
        other.start()
        assert begun.wait(20)
        assert made == []
    other.join(20)
    assert made == [0]


def test_a_folder_makes_each_array_once(tmp_path: Path) -> None:
    made: list[int] = []
    sums: list[float] = []

    def work() -> None:
        folder = ResumableFolder(tmp_path, "card.json", {"of": "ones"}, content="pool")

        def piece(number: int) -> float:
            def make() -> dict[str, np.ndarray]:  # type: ignore[type-arg]
                made.append(number)
                return {"x": np.full(3, float(number))}

            both = folder.keep("all", lambda: {"x": np.ones(3)})["x"]  # which everyone needs first
            return float((both * folder.keep(str(number), make)["x"]).sum())

        for _ in folder.turns(6, piece):
            pass
        sums.append(sum(piece(number) for number in range(6)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(made) == list(range(6))
    assert sums == [45.0] * 3
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_outside_of_turns_a_folder_waits_for_who_makes_it(tmp_path: Path) -> None:
    folder = ResumableFolder(tmp_path, "card.json", {}, content="pool")
    found: list[float] = []

    def work() -> None:
        found.append(float(folder.keep("x", lambda: {"x": np.zeros(1)})["x"][0]))

    with claimed(tmp_path / "x.safetensors"):
        other = threading.Thread(target=work)
        other.start()
        other.join(0.2)
        assert found == []
        save_arrays(tmp_path / "x.safetensors", {"x": np.ones(1)})
    other.join(20)
    assert found == [1.0]
