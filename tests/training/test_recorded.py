from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from latentedit.training import recorded
from latentedit.training.recorded import WARM, Recorder


class Graph:
    """Stands in for a CUDA graph: replays what was called while it recorded."""

    recording: Graph | None = None

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def replay(self) -> None:
        for call in self.calls:
            call()


class Stream:
    def wait_stream(self, other: object) -> None:
        pass


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def record(graph: Graph, stream: object) -> Iterator[None]:
        Graph.recording = graph
        yield
        Graph.recording = None

    @contextmanager
    def use(stream: object) -> Iterator[None]:
        yield

    cuda = recorded.torch.cuda
    for name, fake in (
        *(("CUDAGraph", Graph), ("Stream", Stream), ("graph", record), ("stream", use)),
        ("current_stream", Stream),
    ):
        monkeypatch.setattr(cuda, name, fake)


class Sums:
    """A step that adds its inputs to a total."""

    def __init__(self) -> None:
        self.total, self.python = torch.zeros(()), 0

    def __call__(self, a: Tensor, b: Tensor | None) -> dict[str, Tensor]:
        self.python += 1
        out = torch.zeros(())

        def work() -> None:
            self.total += a.sum() + (0 if b is None else b.sum())
            out.copy_(self.total)

        if Graph.recording is None:
            work()
        else:
            Graph.recording.calls.append(work)
        return {"total": out}


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("second", [True, False])
def test_a_recording_does_the_same_with_new_inputs(second: bool) -> None:
    record, step, kept = Recorder(), Sums(), []
    expected = []
    for number in range(WARM + 4):
        inputs = (torch.full((2,), float(number)), torch.ones(3) if second else None)
        kept.append(record("one", step, *inputs)["total"])
        expected.append(2.0 * number + 3.0 * second + (expected[-1] if expected else 0))
    assert [float(total) for total in kept] == expected  # figures are not overwritten later
    assert step.python == WARM + 1  # warm, then recorded once


@pytest.mark.usefixtures("without_gpu")
def test_each_sort_has_a_recording_of_its_own() -> None:
    record, steps = Recorder(), {"a": Sums(), "b": Sums()}
    for _ in range(WARM + 3):
        for name, step in steps.items():
            record(name, step, torch.ones(1), None)
    assert [float(step.total) for step in steps.values()] == [WARM + 3, WARM + 3]
    assert [step.python for step in steps.values()] == [WARM + 1, WARM + 1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_replays_a_step() -> None:
    weight = torch.ones(4, device="cuda", requires_grad=True)
    optimizer = torch.optim.Adam([weight], 0.1, fused=True, capturable=True)

    def step(x: Tensor) -> dict[str, Tensor]:
        loss = (weight * x).square().sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    record = Recorder()
    losses = [float(record(0, step, torch.ones(4, device="cuda"))["loss"]) for _ in range(20)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]
