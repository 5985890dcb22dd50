from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from generator_runs import TINY
from torch import Tensor

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.generators.progressive import Generator
from latentedit.training.gan import recorded
from latentedit.training.gan.adversaries import Adversaries
from latentedit.training.gan.batches import Batch
from latentedit.training.gan.objectives import build_objective
from latentedit.training.gan.recorded import WARM, Recorder
from latentedit.training.gan.schedule import Phase
from latentedit.training.workers import Workers


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


@pytest.mark.usefixtures("without_gpu")
def test_what_is_forgotten_is_recorded_anew() -> None:
    record, step = Recorder(), Sums()
    for _ in range(2):
        for _ in range(WARM + 2):
            record("one", step, torch.ones(1), None)
        record.forget()
    assert step.python == 2 * (WARM + 1)
    assert float(step.total) == 2 * (WARM + 2)


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


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_recorded_steps_learn_what_others_do(
    device: str, tiny_classifier: AttributeClassifier
) -> None:
    """Through rest, penalised steps and changing rates, whatever is replayed."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    ends = []
    for records in (False, True):
        options = replace(
            TINY,
            objective="projected",
            start=16,
            device=device,
            augment=False,  # random numbers are others in a recording
            sliced_weight=0,
            cuda_graphs=records,
        )
        workers = Workers(device)
        torch.manual_seed(0)
        generator = Generator(options.generator).to(workers.device)
        classifier = tiny_classifier.to(workers.device)
        adversaries = Adversaries(options, generator, build_objective(options, classifier), workers)
        for number in range(90 if device == "cuda" else 20):  # penalised ones warm up slowly
            torch.manual_seed(number)
            z, real = torch.randn(8, 512), torch.rand(8, 3, 16, 16) * 2 - 1
            adversaries.set_rate(1 - number / 100)
            adversaries.step(
                Batch(z.to(workers.device), real.to(workers.device)),
                Phase(16, 1.0),
                number,
                images=8 * (number + 1),
                freeze=number < 10,
            )
        networks = adversaries.parts["networks"]
        ends.append({name: dict(network.state_dict()) for name, network in networks.items()})
    for name, weights in ends[0].items():
        for key, value in weights.items():
            torch.testing.assert_close(ends[1][name][key], value, rtol=1e-2, atol=1e-2)
