"""Steps recorded as CUDA graphs.

A training step of small networks is thousands of short kernels, and starting each from Python takes
longer than running it. A graph starts them all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

WARM = 3
"""Calls before one is recorded; in these, cuDNN chooses kernels and optimisers make moments."""

Step = Callable[..., dict[str, Tensor]]


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor | None, ...]
    outputs: dict[str, Tensor]


class Recorder:
    """Runs steps; after `WARM` steps with one key it records the next one, and replays that.

    A replay repeats what the step does to tensors, but not what it does in Python. A step must not
    wait for the GPU, and must draw its random numbers there.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._calls: dict[Hashable, int] = {}
        self._recordings: dict[Hashable, _Recording] = {}

    def forget(self) -> None:
        """Drop all recordings, and the memory they keep."""
        self._calls.clear()
        self._recordings.clear()

    def __call__(self, key: Hashable, step: Step, *inputs: Tensor | None) -> dict[str, Tensor]:
        """Run a step, or replay its recording.

        Args:
            key: steps with one key differ only in the values of `inputs`.
            step: tensors, or None in their place -> figures by name.
            inputs: of the step.
        """
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            figures = self._do(key, step, inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return figures

    def _do(
        self, key: Hashable, step: Step, inputs: tuple[Tensor | None, ...]
    ) -> dict[str, Tensor]:
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if calls <= WARM:
            return step(*inputs)
        if key not in self._recordings:
            self._recordings[key] = self._record(step, inputs)
        recording = self._recordings[key]
        for kept, given in zip(recording.inputs, inputs, strict=True):
            if kept is not None and given is not None:
                kept.copy_(given)
        recording.graph.replay()
        return {name: value.clone() for name, value in recording.outputs.items()}

    def _record(self, step: Step, inputs: tuple[Tensor | None, ...]) -> _Recording:
        kept = tuple(None if given is None else given.clone() for given in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            outputs = step(*kept)
        return _Recording(graph, kept, outputs)
