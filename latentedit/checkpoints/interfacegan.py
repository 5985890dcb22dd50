"""Progressive GANs as InterFaceGAN, HiGAN and GenForce store them in PyTorch.

Three generations of one network (b counts blocks: 0 is 4x4, 1 is 8x8, ...):

- InterFaceGAN: ``layer1`` ... ``layer{2n}`` and a single ``output_RxR``, each with
  ``.conv.weight`` and ``.wscale.bias``;
- HiGAN: ``layer{2b}``, ``layer{2b+1}``, ``output{b}`` with the same endings, and ``lod``. Where
  enlarging and convolving are fused, ``layer{2b}.weight`` [3, 3, in, out] stands in place of
  ``.conv.weight``;
- GenForce: ``layer{2b}.weight``, ``.bias``, ``output{b}``, ``lod``; fused ``layer{2b}.weight`` is
  [in, out, 3, 3].

Arithmetic of all: pixel norm, nearest-neighbour doubling, convolution without bias, scale
gain / sqrt(fan_in) with gain sqrt(2) (1 for outputs), bias, leaky ReLU 0.2 (outputs: nothing).
The first layer is a 4x4 convolution of z as one pixel with a border of 3 zeros, so the output
pixel (y, x) sees the kernel's element (3 - y, 3 - x).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from latentedit.checkpoints.accounting import Reading, Shape, account, size_of
from latentedit.checkpoints.progressive import Layers, build, correlate
from latentedit.errors import LatentEditError

NAMES = {
    "interfacegan": "InterFaceGAN progressive GAN",
    "higan": "HiGAN progressive GAN",
    "genforce": "GenForce progressive GAN",
}

_SMALL_KERNELS = 0.3
"""Root mean square below which a note is given.

Kernels with equalised learning rates begin training at 1, others at sqrt(2 / fan_in), which is 0.12
for 16 channels.
"""


def recognise(state: Mapping[str, Any]) -> str | None:
    """Return ``interfacegan``, ``higan`` or ``genforce`` if the keys look like one of them."""
    if any(re.fullmatch(r"output_\d+x\d+\.conv\.weight", key) for key in state):
        return "interfacegan"
    if "layer0.wscale.bias" in state or "layer1.wscale.bias" in state:
        return "higan"
    if "layer0.weight" in state and "output0.weight" in state:
        return "genforce"
    return None


def convert_interfacegan(state: Mapping[str, Any], what: str) -> Reading:
    """Map one of the three layouts onto a `Generator`.

    Args:
        state: the state dictionary.
        what: the file, for messages.

    Raises:
        LatentEditError: keys are missing, extra or mis-shaped, or the level of detail is not 0.
    """
    layout = recognise(state)
    if layout is None:
        raise LatentEditError(f"{what} holds no progressive GAN of InterFaceGAN, HiGAN or GenForce")
    first = 1 if layout == "interfacegan" else 0
    blocks = _count_blocks(state, first)
    kernel, bias = ("weight", "bias") if layout == "genforce" else ("conv.weight", "wscale.bias")
    sizes = [size_of(state, f"layer{first + 2 * b}.{bias}", 0) for b in range(blocks)]
    latent = size_of(state, f"layer{first}.{kernel}", 1)
    fused = _fused_blocks(state, layout, sizes)
    expected: dict[str, Shape] = {f"layer{first}.{kernel}": (sizes[0], latent, 4, 4)}
    expected |= {f"layer{first + n}.{bias}": (sizes[n // 2],) for n in range(2 * blocks)}
    for n in range(1, 2 * blocks):
        inputs, outputs = sizes[(n - 1) // 2], sizes[n // 2]
        if n % 2 == 0 and n // 2 in fused:
            higan, genforce = (3, 3, inputs, outputs), (inputs, outputs, 3, 3)
            expected[f"layer{n}.weight"] = genforce if layout == "genforce" else higan
        else:
            expected[f"layer{first + n}.{kernel}"] = (outputs, inputs, 3, 3)
    outputs_of = {b: f"output{b}" for b in range(blocks)}
    if layout == "interfacegan":
        size = 2 ** (blocks + 1)
        outputs_of = {blocks - 1: f"output_{size}x{size}"}
    for b, name in outputs_of.items():
        expected |= {f"{name}.{kernel}": (3, sizes[b], 1, 1), f"{name}.{bias}": (3,)}
    if layout != "interfacegan":
        expected["lod"] = ()
    tensors = account(state, expected, f"{what} ({NAMES[layout]})")
    check_lod(tensors.get("lod"), what)

    def layer(n: int) -> tuple[Tensor, Tensor]:
        if n % 2 == 0 and n // 2 in fused:
            weight = tensors[f"layer{n}.weight"]
            weight = correlate(weight if layout == "genforce" else weight.permute(2, 3, 0, 1))
        else:
            weight = tensors[f"layer{first + n}.{kernel}"]
        return scaled(weight, math.sqrt(2)), tensors[f"layer{first + n}.{bias}"]

    def output(name: str) -> tuple[Tensor, Tensor]:
        return scaled(tensors[f"{name}.{kernel}"], 1), tensors[f"{name}.{bias}"]

    dense, dense_bias = layer(0)
    layers = Layers(
        dense=dense.flip(2, 3).permute(0, 2, 3, 1),
        dense_bias=dense_bias,
        convs=[layer(n) for n in range(1, 2 * blocks)],
        rgbs={b: output(name) for b, name in outputs_of.items()},
    )
    notes = [f"fused enlargement in {len(fused)} blocks, split exactly in two"] if fused else []
    largest = max(float(w.square().mean().sqrt()) for w in tensors.values() if w.ndim == 4)
    if largest < _SMALL_KERNELS:
        notes.append(
            f"no kernel's root mean square is over {largest:.2g}: wrong pictures if this network "
            "was trained without equalised learning rates (use_wscale=False), which the file does "
            "not tell"
        )
    if layout == "genforce" and not fused and len(set(sizes)) == 1:
        notes.append("all widths are equal, so fused layers would not show; taken as not fused")
    if layout == "interfacegan" and blocks > 1:
        notes.append("the file has no outputs below the full resolution; they are left grey")
    return Reading(build(layers), len(tensors), notes)


def scaled(weight: Tensor, gain: float) -> Tensor:
    """Apply the equalised learning rate's scale gain / sqrt(fan_in), in double precision."""
    return weight.double() * (gain / math.sqrt(weight[0].numel()))


def check_lod(lod: Tensor | None, what: str) -> None:
    """Refuse a network that was saved before it had grown to its full size.

    Raises:
        LatentEditError: a level of detail other than 0.
    """
    if lod is not None and abs(float(lod)) > 1e-6:
        raise LatentEditError(
            f"{what} was saved at level of detail {float(lod):g}, before it had grown to its full "
            "resolution: give a later snapshot"
        )


def _count_blocks(state: Mapping[str, Any], first: int) -> int:
    numbers = [int(m[1]) for key in state if (m := re.match(r"layer(\d{1,2})\.", key))]
    return max(1, (max(numbers, default=first) - first) // 2 + 1)


def _fused_blocks(state: Mapping[str, Any], layout: str, sizes: list[int | None]) -> set[int]:
    blocks = range(1, len(sizes))
    if layout == "interfacegan":
        return set()
    if layout == "higan":
        return {b for b in blocks if f"layer{2 * b}.weight" in state}
    # GenForce keeps fused and other kernels under the same key, and one switch holds for all
    # blocks. Only a block that changes the width shows the switch, by the order of its axes.
    changes = [b for b in blocks if sizes[b] != sizes[b - 1]]
    fused = [size_of(state, f"layer{2 * b}.weight", 0) == sizes[b - 1] for b in changes]
    return set(blocks) if any(fused) else set()
