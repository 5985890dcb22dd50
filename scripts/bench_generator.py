"""Time the prepared generator against the arithmetic that the published weights came with.

    python scripts/bench_generator.py                       # 256 and 1024 pixels, 1 and 4 faces
    python scripts/bench_generator.py --resolution 256 --compile
    python scripts/bench_generator.py --pool                # classifier, and seeds -> scores

Both run in turn in one process, so that whatever else the machine does meets both; a figure is the
median over the rounds. The reference is InterFaceGAN's progressive generator, written again here
from its description and filled with random weights, which `latentedit.checkpoints` then converts.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from latentedit import FaceEditor
from latentedit.boundaries.pool import for_many
from latentedit.checkpoints.interfacegan import convert_interfacegan
from latentedit.generators import latents
from latentedit.generators.progressive import Generator
from latentedit.inference.devices import computes_bfloat16
from latentedit.inference.prepare import prepare_backbone, prepare_generator
from latentedit.io.images import to_tensor, to_uint8

WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
"""Karras et al. 2018, table 2."""

# ---- the reference


class ReferenceLayer(nn.Module):
    """Pixel norm, doubling, convolution, scale, bias, leaky ReLU: each a pass of its own."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, padding: int, *, double: bool, colours: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
        self.wscale = nn.Module()
        self.wscale.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = (1 if colours else math.sqrt(2)) / math.sqrt(inputs * kernel**2)
        self.double = double
        self.colours = colours

    def forward(self, x: Tensor) -> Tensor:
        x = x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)
        if self.double:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = self.conv(x)
        x = x * self.scale + self.wscale.bias.view(1, -1, 1, 1)
        return x if self.colours else F.leaky_relu(x, 0.2)


class Reference(nn.Module):
    """InterFaceGAN's progressive generator, with its state dictionary's keys."""

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.names: list[str] = []
        inputs = 512
        for size, width in WIDTHS.items():
            if size > resolution:
                break
            self._add(inputs, width, *((4, 3) if size == 4 else (3, 1)), double=size > 4)
            self._add(width, width, 3, 1)
            inputs = width
        name = f"output_{resolution}x{resolution}"
        self._add(inputs, 3, 1, 0, name=name, colours=True)

    def _add(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        padding: int,
        *,
        name: str | None = None,
        double: bool = False,
        colours: bool = False,
    ) -> None:
        self.names.append(name or f"layer{len(self.names) + 1}")
        layer = ReferenceLayer(inputs, outputs, kernel, padding, double=double, colours=colours)
        self.add_module(self.names[-1], layer)

    def forward(self, z: Tensor) -> Tensor:
        x = z.view(len(z), -1, 1, 1)
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x


def make_pair(resolution: int) -> tuple[Reference, Generator]:
    """A random reference network, its colours as bright as a photo's, and its conversion."""
    torch.manual_seed(0)
    reference = Reference(resolution).eval().requires_grad_(False)
    for name, parameter in reference.named_parameters():
        nn.init.normal_(parameter, std=0.1 if name.endswith("bias") else 1.0)
    reference.get_submodule(reference.names[-1]).conv.weight.mul_(0.5)  # type: ignore[union-attr, operator]
    generator = convert_interfacegan(reference.state_dict(), "the reference").network
    assert isinstance(generator, Generator)
    return reference, generator


# ---- measuring


CLOCK = time.perf_counter
"""What is taken for time; `--cpu-time` takes the processor's."""


def time_in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each call over `rounds` rounds in which each has its turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = CLOCK()
            call()
            times[name].append(CLOCK() - start)
    return {name: median(values) for name, values in times.items()}


def measure_peak(dtype: torch.dtype, rounds: int = 7) -> float:
    """Best products and sums a second of a plain convolution here, in flop/s.

    3x3, as many channels out as in, of sizes that the networks have.
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
    """`measure_peak` of float32, and of bfloat16 where the CPU computes in it."""
    peaks = {torch.float32: measure_peak(torch.float32)}
    if computes_bfloat16(torch.device("cpu")):
        peaks[torch.bfloat16] = measure_peak(torch.bfloat16)
    return peaks


def count_flops(network: nn.Module, argument: Tensor) -> float:
    """Two for each product of the convolutions and matrices that a call computes."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(argument)
    return float(counter.get_total_flops())


@dataclass(frozen=True)
class Row:
    """One form of the generator at one size of picture and batch.

    Attributes:
        form: reference, float32, bfloat16, compiled.
        resolution: edge in pixels.
        batch: faces a call.
        images_per_second: faces over seconds.
        ratio: the reference's seconds over this form's.
        of_peak: products a second over those of a plain convolution of this precision; of the
            prepared forms' plain products, of which Winograd's filtering saves some.
        largest: difference of colour values from the reference anywhere, 0 to 255.
        mean: difference of colour values from the reference in the mean.
        psnr: in dB, against the reference.
    """

    form: str
    resolution: int
    batch: int
    images_per_second: float
    ratio: float
    of_peak: float
    largest: int
    mean: float
    psnr: float


@torch.inference_mode()
def compare(
    resolution: int, batch: int, *, rounds: int, compiled: bool, peaks: Mapping[torch.dtype, float]
) -> list[Row]:
    """Time all forms of one random generator in turn, and compare their pictures."""
    reference, generator = make_pair(resolution)
    networks: dict[str, nn.Module] = {
        name: prepare_generator(generator, dtype=dtype)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
        if dtype in peaks
    }
    if compiled:
        plain = prepare_generator(generator, packed=False)
        networks["compiled"] = torch.compile(plain)  # type: ignore[assignment]
    z = torch.from_numpy(latents.sample(range(batch)))
    calls: dict[str, Callable[[], Tensor]] = {"reference": lambda: reference(z)}
    for name, network in networks.items():  # a face at a time, as FaceEditor does it
        calls[name] = lambda network=network: torch.cat([network(row) for row in z.split(1)])  # type: ignore[misc]
    pictures = {name: to_uint8(call()).astype(np.int16) for name, call in calls.items()}
    seconds = time_in_turn(calls, rounds)
    fewest = count_flops(prepare_generator(generator, packed=False), z[:1]) * batch
    flops = {"reference": count_flops(reference, z[:1]) * batch}
    rows = []
    for name, picture in pictures.items():
        error = np.abs(picture - pictures["reference"])
        square = float(np.square(error.astype(np.float64)).mean())
        peak = peaks[torch.bfloat16 if name == "bfloat16" else torch.float32]
        rows.append(
            Row(
                name,
                resolution,
                batch,
                batch / seconds[name],
                seconds["reference"] / seconds[name],
                flops.get(name, fewest) / seconds[name] / peak,
                int(error.max()),
                float(error.mean()),
                10 * math.log10(255**2 / square) if square else math.inf,
            )
        )
    return rows


@torch.inference_mode()
def measure_pool(count: int, *, rounds: int, peak: float) -> dict[str, dict[str, float]]:
    """The shipped bundle: faces a second and share of the peak, each network and all together."""
    editor = for_many(FaceEditor.load(device="cpu"))
    z = editor.sample(range(count))
    images = editor.render(z)
    face = to_tensor(images[:1])
    generator = prepare_generator(editor.generator, packed=False)
    classifier = prepare_backbone(editor.classifier, packed=False)
    drawing = count_flops(generator, torch.from_numpy(z[:1]))
    judging = count_flops(classifier, face)
    seconds = time_in_turn(
        {
            "generator": lambda: editor.render(z),
            "classifier": lambda: editor.score(images),
            "seeds to scores": lambda: editor.score(editor.render(editor.sample(range(count)))),
        },
        rounds,
    )
    flops = {"generator": drawing, "classifier": judging, "seeds to scores": drawing + judging}
    return {
        name: {
            "images_per_second": count / value,
            "of_peak": flops[name] * count / value / peak,
        }
        for name, value in seconds.items()
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--resolution", type=int, nargs="+", default=[256, 1024], metavar="PIXELS")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4], metavar="FACES")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of torch [default: all cores]")
    parser.add_argument("--compile", action="store_true", help="torch.compile's form too")
    parser.add_argument("--pool", action="store_true", help="the shipped bundle instead")
    parser.add_argument(
        "--cpu-time", action="store_true", help="one thread by its own time: for a busy machine"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.cpu_time:
        global CLOCK
        torch.set_num_threads(1)
        CLOCK = time.process_time
    peaks = measure_peaks()
    shown = {str(dtype).removeprefix("torch."): peak / 1e9 for dtype, peak in peaks.items()}
    if not options.json:
        values = ", ".join(f"{name} {value:.0f} Gflop/s" for name, value in shown.items())
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; peak: {values}")
    if options.pool:
        pool = measure_pool(64, rounds=options.rounds, peak=peaks[torch.float32])
        if options.json:
            print(json.dumps({"peak": shown, "pool": pool}))
        for name, figures in {} if options.json else pool.items():
            speed, share = figures["images_per_second"], figures["of_peak"]
            print(f"{name:16} {speed:8.1f} faces/s {share:6.0%} of the peak")
        return
    results = []
    for resolution in options.resolution:
        for batch in options.batch:
            rows = compare(
                resolution, batch, rounds=options.rounds, compiled=options.compile, peaks=peaks
            )
            results += rows
            for row in [] if options.json else rows:
                print(
                    f"{row.resolution:5} x {row.batch} {row.form:10}"
                    f" {row.images_per_second:8.2f} faces/s {row.ratio:5.2f}x"
                    f" {row.of_peak:5.0%} of the peak   uint8 {row.largest} at most,"
                    f" {row.mean:.3f} in the mean, {row.psnr:.1f} dB",
                    flush=True,
                )
    if options.json:
        print(json.dumps({"peak": shown, "rows": [asdict(row) for row in results]}))


if __name__ == "__main__":
    main()
