"""Time calls in turn, and measure the processor's peak."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from latentedit.inference.devices import computes_bfloat16

CLOCK: Callable[[], float] = time.perf_counter
"""The clock; `use_cpu_time` replaces it by the processor's time."""


def use_cpu_time() -> None:
    """Use one thread and measure processor time, for a busy machine."""
    global CLOCK
    torch.set_num_threads(1)
    CLOCK = time.process_time


def times_in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each call in `rounds` rounds of all calls, after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = CLOCK()
            call()
            times[name].append(CLOCK() - start)
    return times


def time_in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the medians of `times_in_turn`."""
    return {name: median(values) for name, values in times_in_turn(calls, rounds).items()}


def measure_peak(dtype: torch.dtype, rounds: int = 7) -> float:
    """Return the most products and sums per second of a plain convolution here, in flop/s.

    The convolutions are 3x3, with as many channels out as in, of sizes that the networks have.
    """
    best = 0.0
    for channels, size in ((128, 16), (128, 32), (256, 32), (64, 64), (64, 128)):
        x = torch.randn(1, channels, size, size).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 3, 3).to(dtype)
        weight = weight.contiguous(memory_format=torch.channels_last)
        flops = 2 * 9 * channels**2 * size**2
        repeats = max(1, int(2e9 / flops))

        def convolve(x: Tensor = x, weight: Tensor = weight, repeats: int = repeats) -> None:
            for _ in range(repeats):
                F.conv2d(x, weight, padding=1)

        convolve()
        for _ in range(rounds):
            start = CLOCK()
            convolve()
            best = max(best, repeats * flops / (CLOCK() - start))
    return best


def measure_peaks() -> dict[torch.dtype, float]:
    """Return `measure_peak` of float32, and of bfloat16 if the CPU computes in it."""
    peaks = {torch.float32: measure_peak(torch.float32)}
    if computes_bfloat16(torch.device("cpu")):
        peaks[torch.bfloat16] = measure_peak(torch.bfloat16)
    return peaks


def count_flops(network: nn.Module, argument: Tensor) -> float:
    """Count the flops of a call: two for each product of its convolutions and matrices."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(argument)
    return float(counter.get_total_flops())
