"""What a launcher says of a process, and what nobody says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentedit.errors import LatentEditError
from latentedit.io.launch import Launch, launch

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_alone_without_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch() == Launch(0, 1, 0)
    assert launch().leads
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert launch() == Launch()


def test_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, "351", strict=True):
        monkeypatch.setenv(name, value)
    assert launch() == Launch(rank=3, world_size=5, local_rank=1)
    assert not launch().leads


@pytest.mark.parametrize("said", ["5 5 0", "-1 5 0", "0 x 0", "x 5 0", "0 5 x", "0 0 0", "0 5 -1"])
def test_what_no_launcher_says(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    for name, value in zip(VARIABLES, said.split(), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(LatentEditError, match=r"WORLD_SIZE=.*unset"):
        launch()


@given(st.integers(0, 40), st.integers(1, 9))
def test_each_takes_its_own_first_and_comes_to_all(count: int, processes: int) -> None:
    orders = [Launch(rank, processes).order(count) for rank in range(processes)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    own = [order[: len(range(rank, count, processes))] for rank, order in enumerate(orders)]
    assert sorted(number for numbers in own for number in numbers) == list(range(count))
    assert Launch().order(count) == list(range(count))


def test_asking_loads_nothing() -> None:
    code = (
        "import sys; from latentedit.io.launch import launch; launch(); "
        "print([n for n in ('torch', 'accelerate', 'numpy', 'safetensors') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout == b"[]\n"
