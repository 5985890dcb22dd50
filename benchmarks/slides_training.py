"""Measure how fast one of the slides' portrait networks trains: the slides took 142.5 s on a GPU.

Trains on random pictures, which are as fast as real ones. Prints seconds, images per second and the
share of the machine's convolution peak, which is measured first. With fewer epochs than 100, the
time of 100 is extrapolated, and the output says so.

    python benchmarks/slides_training.py                 # 100 epochs of 7,500 images, all cores
    python benchmarks/slides_training.py --epochs 3 --compiled
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command does, before torch is loaded

import time
from typing import Annotated

import torch
import torch.nn.functional as F
import typer

from latentedit.inference.devices import keep_memory
from latentedit.portrait.baseline import EDGE, SETTINGS, slides_macs
from latentedit.training.baselines.portraits import Epochs
from latentedit.training.options import BaselineOptions

SLIDES_EPOCHS, SLIDES_IMAGES = 100, BaselineOptions().images
SLIDES_GPU, SLIDES_CPU = 142.5, 25_404.0
"""The slides' time in seconds for 100 epochs of pose, on a GPU and on a CPU."""


def convolution_peak(seconds: float = 2.0) -> float:
    """Return the most multiplications and additions per second of a dense bfloat16 convolution."""
    images = torch.rand(16, 128, 32, 32).bfloat16().to(memory_format=torch.channels_last)
    weight = torch.rand(128, 128, 3, 3).bfloat16().to(memory_format=torch.channels_last)
    operations = 2 * 16 * 32 * 32 * 128 * 128 * 9
    best, until = float("inf"), time.perf_counter() + seconds
    with torch.inference_mode():
        while time.perf_counter() < until:
            started = time.perf_counter()
            F.conv2d(images, weight, padding=1)
            best = min(best, time.perf_counter() - started)
    return operations / best


def training_operations() -> int:
    """Return the multiplications and additions of one training step per image.

    The forward pass counts once, the backward pass twice (for inputs and for weights). The first
    layer's backward pass counts once, because its inputs need no gradient.
    """
    first = EDGE * EDGE * 3 * 9
    return 2 * (3 * slides_macs() - first)


def main(
    epochs: Annotated[int, typer.Option(min=1, help="Epochs to train.")] = SLIDES_EPOCHS,
    images: Annotated[int, typer.Option(min=100, help="Images per epoch.")] = SLIDES_IMAGES,
    quality: Annotated[str, typer.Option(help="Whose settings to train with.")] = "pose",
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 for all cores.")] = 0,
    bf16: Annotated[bool, typer.Option(help="bfloat16 autocast of the dense layers.")] = True,
    compiled: Annotated[bool, typer.Option(help="Convolutions compiled by numba.")] = False,
) -> None:
    """Train one of the slides' networks and print how long it takes."""
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    keep_memory()
    settings = SETTINGS[quality]
    pictures = torch.randint(0, 256, (images, 3, EDGE, EDGE), dtype=torch.uint8)
    flags = torch.randint(0, 2, (images,)).float()
    peak = convolution_peak()
    print(
        f"{torch.get_num_threads()} threads, convolution peak {peak / 1e9:.0f} GFLOP/s (bfloat16)"
    )

    training = Epochs(pictures[:200], flags[:200], settings, bf16=bf16)
    if compiled:
        from slides_convolutions import Convolutions

        training.convolutions = Convolutions(training.network, settings.batch_size)  # type: ignore[method-assign]
    training.run()  # warm up; numba compiles, if it has not before
    training.images, training.flags = pictures, flags
    started = time.perf_counter()
    for _ in range(epochs):
        training.run()
    spent = time.perf_counter() - started
    rate = epochs * images / spent
    share = rate * training_operations() / peak
    print(
        f"{quality}: {epochs} epochs of {images} images in {spent:.1f} s, {rate:.0f} images/s, "
        f"{training_operations() / 1e6:.1f} MFLOP an image, {share:.1%} of the convolution peak"
    )
    whole = SLIDES_EPOCHS * SLIDES_IMAGES / rate
    said = (
        "measured"
        if (epochs, images) == (SLIDES_EPOCHS, SLIDES_IMAGES)
        else f"extrapolated from {epochs} of {images}"
    )
    print(
        f"{SLIDES_EPOCHS} epochs of {SLIDES_IMAGES} images: {whole:.1f} s ({said}); "
        f"the slides: {SLIDES_GPU} s on a GPU, {SLIDES_CPU:.0f} s on a CPU"
    )


if __name__ == "__main__":
    typer.run(main)
