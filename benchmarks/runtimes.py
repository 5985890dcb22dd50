"""Compare all forms that can run a network: speed, pixels, and time to the first result.

    python benchmarks/runtimes.py                                 # everything: about ten minutes
    python benchmarks/runtimes.py progressive1024 --batch 1
    python benchmarks/runtimes.py ffhq1024 --ir SynthesisNetwork.xml    # beside the original files

All forms of a network run in turn in one process, so that other load on the machine slows all of
them. A figure is the median over the rounds; the spread is the middle half of the rounds. The
output is a Markdown table, or JSON with `--json`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timing
import torch
from numpy.typing import NDArray
from reference import make_pair
from torch import Tensor, nn

from latentedit import FaceEditor
from latentedit.generators import progressive
from latentedit.generators.base import FaceGenerator
from latentedit.generators.layers import EqualizedConv2d, UpsampleConv2d, box_kernel, pixel_norm
from latentedit.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from latentedit.inference.devices import autocast, computes_bfloat16
from latentedit.inference.openvino import load_openvino
from latentedit.inference.prepare import prepare
from latentedit.io.images import to_uint8
from latentedit.io.resampling import resize
from latentedit.pretrained.cache import pulled

CPU = torch.device("cpu")
Call = Callable[[Tensor], Tensor]

# ---- networks


@dataclass
class Case:
    """A network, its argument (and size), and other calls that compute the same."""

    name: str
    network: nn.Module
    argument: Tensor
    size: int | None = None
    others: dict[str, Call] | None = None


def cases(names: list[str], batch: int, options: argparse.Namespace) -> Iterator[Case]:
    """Yield the networks that were asked for."""
    if {"faces128", "classifier"} & set(names):
        editor = FaceEditor.load("faces128", device="cpu")
        z = torch.from_numpy(editor.sample(range(batch)))
        if "faces128" in names:
            yield Case("faces128", editor.generator, z)
        if "classifier" in names:
            faces = resize(editor.generator(z).clamp(-1, 1), editor.classifier.config.resolution)
            yield Case("classifier", editor.classifier, faces)
    for resolution in (256, 1024):
        if f"progressive{resolution}" in names:
            reference, generator = make_pair(resolution)
            z = torch.randn(batch, 512, generator=torch.Generator().manual_seed(0))
            yield Case(f"progressive{resolution}", generator, z, others={"reference": reference})
    if "ffhq1024" in names:
        network = photographer()
        w = torch.from_numpy(network.sample(range(batch)))
        others = {"original IR": original(options.ir)} if options.ir else {}
        yield Case("ffhq1024", network, w, others=others)
        for size in network.previews:
            yield Case(f"ffhq1024 at {size}", network, w, size)


def photographer() -> FaceGenerator:
    """Return the generator of ffhq1024, or a random one of its shape if that was not pulled."""
    if pulled("ffhq1024"):
        return FaceEditor.load("ffhq1024", device="cpu").generator
    torch.manual_seed(0)
    network = MobileStyleGAN(MobileStyleGANConfig(previews=(128, 256)))
    return network.eval().requires_grad_(False)


def original(path: Path) -> Call:
    """Return the published synthesis network, one w at a time, in float32."""
    run = compiled(load_openvino().Core().read_model(path), torch.float32)
    return lambda w: torch.cat([run(row) for row in w.split(1)])


# ---- forms


def plain(case: Case, dtype: torch.dtype) -> Call:
    """Run the network in PyTorch, unchanged."""
    network = case.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def call(x: Tensor) -> Tensor:
        with autocast(CPU, dtype != torch.float32):
            return (network(x, case.size) if case.size else network(x)).float()

    return call


def prepared(case: Case, dtype: torch.dtype) -> Call:
    """Run it as this package does, one face at a time: by OpenVINO, with the extra `fast`."""
    network = prepare(case.network, dtype)
    arguments = (case.size,) if case.size else ()
    return lambda x: torch.cat([network(row, *arguments) for row in x.split(1)])


@contextmanager
def exporting() -> Iterator[None]:
    """Switch off gradients and warnings; use operators for activations that exporters know."""

    def activated(x: Tensor) -> Tensor:
        return pixel_norm(nn.functional.leaky_relu(x, 0.2))

    kept, progressive.normalized_leaky_relu = progressive.normalized_leaky_relu, activated
    try:
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        progressive.normalized_leaky_relu = kept


class Fixed(nn.Module):
    """A network for exporters: its size is fixed, and its convolutions' scales are folded in."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.network, self.size = folded(copy.deepcopy(case.network)), case.size
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, self.size) if self.size else self.network(x)


def folded(network: nn.Module) -> nn.Module:
    """Replace a network's equalised convolutions by plain ones; return the network."""
    for name, child in network.named_children():
        if not isinstance(child, EqualizedConv2d):
            folded(child)
            continue
        weight = child.weight.detach() * child.scale
        if isinstance(child, UpsampleConv2d):
            weight = box_kernel(weight).transpose(0, 1).flip(2, 3)
            plain: nn.Module = nn.ConvTranspose2d(*weight.shape[:2], 4, 2, 1)
        else:
            edge = weight.shape[-1]
            plain = nn.Conv2d(weight.shape[1], weight.shape[0], edge, padding=edge // 2)
        plain.load_state_dict({"weight": weight, "bias": child.bias.detach()})
        setattr(network, name, plain)
    return network


def traced_openvino(case: Case, dtype: torch.dtype) -> Call:
    """Run the network as OpenVINO itself converts it."""
    with exporting():
        model = load_openvino().convert_model(Fixed(case), example_input=case.argument.clone())
    model.reshape(list(case.argument.shape))
    return compiled(model, dtype)


def compiled(model: Any, dtype: torch.dtype) -> Call:
    """Compile an OpenVINO model for this precision and torch's number of threads."""
    openvino = load_openvino()
    hint = openvino.properties.hint
    settings = {
        hint.inference_precision: getattr(
            openvino.Type, "f32" if dtype is torch.float32 else "bf16"
        ),
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        openvino.properties.inference_num_threads: torch.get_num_threads(),
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda x: torch.from_numpy(request.infer([x.numpy()])[0].copy())


def onnx_runtime(case: Case, dtype: torch.dtype) -> Call | None:
    """Run the network in ONNX Runtime, which has no bfloat16 on CPUs."""
    if dtype != torch.float32:
        return None
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        with exporting():
            torch.onnx.export(Fixed(case), (case.argument.clone(),), path, dynamo=False)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, settings, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


FORMS: dict[str, Callable[[Case, torch.dtype], Call | None]] = {
    "plain": plain,
    "prepared": prepared,
    "OpenVINO, traced": traced_openvino,
    "ONNX Runtime": onnx_runtime,
}

# ---- measuring


@dataclass(frozen=True)
class Row:
    """One form of a network.

    Attributes:
        network: its name.
        batch: faces per call.
        form: reference, plain, prepared, ...
        precision: float32 or bfloat16.
        seconds: median per call.
        spread: lowest and highest of the middle half of the rounds.
        ratio: seconds of the first form (a reference, or plain in float32) over this form's.
        ready: seconds from the network in PyTorch to the first result.
        largest: largest difference from plain in float32, of 255 (for the classifier, of
            probabilities times 255).
        mean: mean of these differences.
        psnr: peak signal-to-noise ratio in dB.
    """

    network: str
    batch: int
    form: str
    precision: str
    seconds: float
    spread: tuple[float, float]
    ratio: float
    ready: float
    largest: int
    mean: float
    psnr: float


def _shown(values: Tensor) -> NDArray[np.int16]:
    """Return pictures, or a classifier's probabilities, as whole numbers 0 to 255."""
    if values.ndim == 2:
        values = 2 * torch.sigmoid(values)[:, None, None] - 1
    return to_uint8(values.expand(-1, 3, -1, -1)).astype(np.int16)


@torch.inference_mode()
def compare(case: Case, *, rounds: int, forms: dict[str, Any] | None = None) -> list[Row]:
    """Time all forms of a network in turn, and compare their results."""
    x = case.argument
    calls: dict[tuple[str, str], Call] = {
        (name, "float32"): call for name, call in (case.others or {}).items()
    }
    ready = dict.fromkeys(calls, math.nan)
    for precision in ("float32", "bfloat16") if computes_bfloat16(CPU) else ("float32",):
        for name, form in (FORMS if forms is None else forms).items():
            start = time.perf_counter()
            with suppress(ImportError):
                if call := form(case, getattr(torch, precision)):
                    call(x)
                    ready[name, precision] = time.perf_counter() - start
                    calls[name, precision] = call
    results = {key: _shown(call(x)) for key, call in calls.items()}
    truth = results.get(("plain", "float32"), next(iter(results.values())))
    named = {"|".join(key): lambda call=call: call(x) for key, call in calls.items()}
    times = dict(zip(calls, timing.times_in_turn(named, rounds).values(), strict=True))  # type: ignore[arg-type]
    first = np.median(next(iter(times.values())))
    rows = []
    for key, values in times.items():
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        error = np.abs(results[key] - truth)
        square = float(np.square(error.astype(np.float64)).mean())
        rows.append(
            Row(
                case.name,
                len(x),
                *key,
                float(middle),
                (float(low), float(high)),
                float(first / middle),
                ready[key],
                int(error.max()),
                float(error.mean()),
                10 * math.log10(255**2 / square) if square else math.inf,
            )
        )
    return rows


HEAD = "| network | faces | form | precision | ms (middle half) | times | ready, s | of 255 |"


def line(row: Row) -> str:
    """Return a row of the Markdown table."""
    low, high = row.spread
    return (
        f"| {row.network} | {row.batch} | {row.form} | {row.precision} |"
        f" {1e3 * row.seconds:.1f} ({1e3 * low:.1f} to {1e3 * high:.1f}) | {row.ratio:.2f} |"
        f" {row.ready:.1f} | {row.largest}, {row.mean:.3f} |"
    )


NAMES = ["faces128", "classifier", "progressive256", "progressive1024", "ffhq1024"]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", default=NAMES, metavar="NETWORK", choices=NAMES)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4], metavar="FACES")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, help="threads of torch [default: all cores]")
    parser.add_argument("--ir", type=Path, help="the published SynthesisNetwork.xml of ffhq1024")
    parser.add_argument(
        "--cpu-time", action="store_true", help="one thread, in processor time: for a busy machine"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.cpu_time:
        timing.use_cpu_time()
    rows = []
    if not options.json:
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n\n{HEAD}")
        print("|" + "---|" * (HEAD.count("|") - 1), flush=True)
    for batch in options.batch:
        for case in cases(options.networks, batch, options):
            rows += (found := compare(case, rounds=options.rounds))
            for row in [] if options.json else found:
                print(line(row), flush=True)
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
