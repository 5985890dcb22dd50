"""Networks that OpenVINO computes, where the extra `fast` is installed.

A graph is written in OpenVINO's own operators from a network's weights. It is not traced from
PyTorch: writing takes tenths of a second instead of ten seconds, and suits OpenVINO's kernels. The
graph is compiled for this CPU when it is first called.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float32]
Shape = tuple[int, ...]


def has_openvino() -> bool:
    """Whether the extra ``fast`` is installed."""
    return importlib.util.find_spec("openvino") is not None


_IMPORTING = threading.Lock()


@cache
def load_openvino() -> Any:
    """Import the package ``openvino`` so that it tells nobody that it is used.

    Otherwise each import sends an event to its makers, with a number for this user that is kept in
    the home folder. Where the package that sends cannot be imported, a stub takes its place and
    does nothing.
    """
    sender = "openvino_telemetry"
    with _IMPORTING:
        known = sys.modules.get(sender)
        sys.modules[sender] = None  # type: ignore[assignment]  # so importing it fails
        try:
            import openvino
        finally:
            del sys.modules[sender]
            if known is not None:
                sys.modules[sender] = known
    return openvino


class Compiled:
    """A graph, compiled for each shape of input that it is called with.

    Threads may share it; they take turns.

    Args:
        write: returns the ``openvino.Model`` for an input of this shape; its outputs have as
            many rows as the input.
        dtype: float32, or bfloat16 to compute in.
    """

    def __init__(self, write: Callable[[Shape], Any], dtype: torch.dtype = torch.float32) -> None:
        self._write = write
        self._dtype = dtype
        self._lock = threading.Lock()
        self._requests: dict[Shape, Any] = {}

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Compute all outputs from x [N, ...]: float32 [N, ...], without gradients."""
        openvino = load_openvino()
        values = x.detach().float().contiguous().numpy()
        with self._lock:
            request = self._requests.get(values.shape) or self._compile(values.shape)
            results = []
            for number, output in enumerate(request.model_outputs):
                results.append(np.empty(tuple(output.shape), np.float32))
                tensor = openvino.Tensor(results[-1], shared_memory=True)
                request.set_output_tensor(number, tensor)
            request.infer({0: values})
        return [torch.from_numpy(result) for result in results]

    def _compile(self, shape: Shape) -> Any:
        """Make an inference request on as many cores as torch uses; no thread is tied to a core."""
        openvino = load_openvino()
        hint = openvino.properties.hint
        half = self._dtype == torch.bfloat16
        settings = {
            hint.inference_precision: openvino.Type.bf16 if half else openvino.Type.f32,
            hint.performance_mode: hint.PerformanceMode.LATENCY,
            hint.enable_cpu_pinning: False,
            openvino.properties.inference_num_threads: torch.get_num_threads(),
        }
        compiled = openvino.Core().compile_model(self._write(shape), "CPU", settings)
        self._requests[shape] = compiled.create_infer_request()
        return self._requests[shape]


class _Operators:
    """OpenVINO's operators. Arrays become constants by one copy, not number by number."""

    def __init__(self) -> None:
        self._operators = load_openvino().opset13

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operators = self._operators

        def node(*arguments: Any) -> Any:
            given = (operators.constant(a) if isinstance(a, np.ndarray) else a for a in arguments)
            return getattr(operators, name)(*given)

        return node


class Writer:
    """Writes a graph: nodes of OpenVINO, [N, C, H, W], from weights of PyTorch."""

    def __init__(self, shape: Shape) -> None:
        self.ops = _Operators()
        self.input = self.ops.parameter(list(shape), np.float32)

    def model(self, outputs: Sequence[Any]) -> Any:
        """What was written, as an ``openvino.Model``."""
        return load_openvino().Model(list(outputs), [self.input])

    def convolved(
        self,
        x: Any,
        weight: FloatArray,
        bias: FloatArray | None = None,
        *,
        stride: int = 1,
        padding: int = 0,
    ) -> Any:
        """A convolution by weight [O, I, h, w], and bias [O]."""
        edge = [padding, padding]
        x = self.ops.convolution(x, weight, [stride, stride], edge, edge, [1, 1])
        return x if bias is None else self.ops.add(x, bias[None, :, None, None])

    def leaky(self, x: Any, slope: float) -> Any:
        """A leaky ReLU."""
        return self.ops.prelu(x, np.array([slope], np.float32))


def as_array(values: Tensor) -> FloatArray:
    """Weights as float32 in the usual order of memory."""
    return values.detach().float().contiguous().numpy()
