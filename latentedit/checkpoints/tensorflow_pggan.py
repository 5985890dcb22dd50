"""The original progressive GANs of Karras et al. (TensorFlow pickles), without TensorFlow.

The file is a tuple of three `tfutil.Network` objects: G, D and Gs, the moving average. A
network's state holds its variables as pairs of name and array:

- ``4x4/Dense/weight`` [L, 16 C] (columns ordered channel, y, x), ``4x4/Dense/bias`` [C],
  ``4x4/Conv/weight`` [3, 3, in, out];
- for each further resolution ``RxR/Conv0/weight`` [3, 3, in, out] after doubling, or the fused
  ``RxR/Conv0_up/weight`` [3, 3, out, in], a transposed convolution; then ``RxR/Conv1``;
- ``ToRGB_lod{n}``, n = 0 at the full resolution; and ``lod``.

Arithmetic: convolution with weights times gain / sqrt(fan_in) (gain sqrt(2); sqrt(2) / 4 for
Dense; 1 for ToRGB), bias, leaky ReLU 0.2, pixel norm. The latent is pixel-normalised first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from latentedit.checkpoints.accounting import Reading, Shape, account, size_of
from latentedit.checkpoints.interfacegan import check_lod
from latentedit.checkpoints.progressive import Layers, build, correlate
from latentedit.checkpoints.tensors import PickledNetwork
from latentedit.errors import LatentEditError

NAME = "TensorFlow progressive GAN"

_AS_PUBLISHED = {
    "label_size": 0,
    "num_channels": 3,
    "fmap_decay": 1.0,
    "normalize_latents": True,
    "use_wscale": True,
    "use_pixelnorm": True,
    "pixelnorm_epsilon": 1e-8,
    "use_leakyrelu": True,
}
"""Options of the network that `Generator` computes; a file with others is refused."""


def convert_tensorflow(networks: Sequence[PickledNetwork], what: str) -> Reading:
    """Map a network pickle, read by `tensors.load_network_pickle`, onto a `Generator`.

    Args:
        networks: the one called Gs is taken, or the last if none is called so.
        what: the file, for messages.

    Raises:
        LatentEditError: variables are missing, extra or mis-shaped, an option is not that of the
            published generator, or the level of detail is not 0.
    """
    names = [network.name for network in networks]
    chosen = names.index("Gs") if "Gs" in names else len(names) - 1
    unused = {
        f"network {index} ({name})": "the moving average Gs is the generator to use"
        for index, name in enumerate(names)
        if index != chosen
    }
    return _convert_network(networks[chosen], what)._replace(unused=unused)


def _convert_network(network: PickledNetwork, what: str) -> Reading:
    _check_options(network, what)
    state = {
        name: torch.from_numpy(array.astype(np.float32))
        for name, array in network.variables.items()
    }
    sizes = [int(m[1]) for key in state if (m := re.match(r"(\d{1,4})x\1/", key))]
    resolution = max(sizes, default=4)
    blocks = max(1, resolution.bit_length() - 2)
    widths = [
        size_of(state, f"{_block(b)}/{'Conv' if b == 0 else 'Conv1'}/bias", 0)
        for b in range(blocks)
    ]
    latent = size_of(state, "4x4/Dense/weight", 0)
    fused = {b for b in range(1, blocks) if f"{_block(b)}/Conv0_up/weight" in state}
    features = None if widths[0] is None else 16 * widths[0]
    expected: dict[str, Shape] = {
        "lod": (),
        "4x4/Dense/weight": (latent, features),
        "4x4/Dense/bias": (widths[0],),
        "4x4/Conv/weight": (3, 3, widths[0], widths[0]),
        "4x4/Conv/bias": (widths[0],),
    }
    for b in range(1, blocks):
        inputs, outputs = widths[b - 1], widths[b]
        if b in fused:
            expected[f"{_block(b)}/Conv0_up/weight"] = (3, 3, outputs, inputs)
            expected[f"{_block(b)}/Conv0_up/bias"] = (outputs,)
        else:
            expected[f"{_block(b)}/Conv0/weight"] = (3, 3, inputs, outputs)
            expected[f"{_block(b)}/Conv0/bias"] = (outputs,)
        expected[f"{_block(b)}/Conv1/weight"] = (3, 3, outputs, outputs)
        expected[f"{_block(b)}/Conv1/bias"] = (outputs,)
    for b in range(blocks):
        expected[f"ToRGB_lod{blocks - 1 - b}/weight"] = (1, 1, widths[b], 3)
        expected[f"ToRGB_lod{blocks - 1 - b}/bias"] = (3,)
    tensors = account(state, expected, f"{what} ({NAME})")
    check_lod(tensors["lod"], what)

    def conv(name: str, gain: float = math.sqrt(2)) -> tuple[Tensor, Tensor]:
        weight, bias = tensors[f"{name}/weight"], tensors[f"{name}/bias"]
        if name.endswith("Conv0_up"):
            kernel = correlate(weight.permute(3, 2, 0, 1))
        else:
            kernel = weight.permute(3, 2, 0, 1)
        return kernel.double() * (gain / math.sqrt(kernel[0].numel())), bias

    dense = tensors["4x4/Dense/weight"].double()
    dense = dense * (math.sqrt(2) / 4 / math.sqrt(len(dense)))
    names = ["4x4/Conv"]
    for b in range(1, blocks):
        names += [f"{_block(b)}/{'Conv0_up' if b in fused else 'Conv0'}", f"{_block(b)}/Conv1"]
    layers = Layers(
        dense=dense.T.reshape(-1, 4, 4, len(dense)),
        dense_bias=tensors["4x4/Dense/bias"],
        convs=[conv(name) for name in names],
        rgbs={b: conv(f"ToRGB_lod{blocks - 1 - b}", 1) for b in range(blocks)},
    )
    notes = [f"fused enlargement in {len(fused)} blocks, split exactly in two"] if fused else []
    return Reading(build(layers), len(tensors), notes)


def _block(index: int) -> str:
    size = 4 * 2**index
    return f"{size}x{size}"


def _check_options(network: PickledNetwork, what: str) -> None:
    if network.function.split(".")[-1] != "G_paper":
        raise LatentEditError(f"{what} was built by {network.function!r}, not by G_paper")
    for name, published in _AS_PUBLISHED.items():
        value = network.options.get(name, published)
        if value != published:
            raise LatentEditError(
                f"{what} was built with {name}={str(value)[:40]}; only {published} can be read"
            )
