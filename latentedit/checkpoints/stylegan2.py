"""StyleGAN2 generators as PyTorch code of rosinality, BasicSR, GenForce and NVIDIA stores them.

rosinality: a checkpoint with ``g_ema`` (the moving average), ``g``, ``d``, optimisers and perhaps
``latent_avg``; keys ``style.{1..8}``, ``input.input``, ``conv1``, ``to_rgb1``, ``convs.{i}``,
``to_rgbs.{b}``, ``noises.noise_{i}``. Style biases include the 1 that a neutral style has.

BasicSR: rosinality's layers under other names.

GenForce: ``generator_smooth`` (the moving average) or ``generator``; keys ``mapping.dense{i}``,
``truncation.w_avg``, ``synthesis.early_layer.const``, ``synthesis.layer{i}``,
``synthesis.output{b}``. Its code adds the 1 when it runs. Kernels of enlarging layers are mirrored.

NVIDIA (stylegan2-ada-pytorch and stylegan3's StyleGAN2): the state dictionary of ``G_ema``; keys
``mapping.fc{i}``, ``mapping.w_avg``, ``synthesis.b{R}.const``, ``.conv0``, ``.conv1``, ``.torgb``
for each resolution R. Style biases include the 1. Kernels are demodulated as they are, without a
scale. Clamping at 256, against overflow in half precision, is left out.

Arithmetic of all: z pixel-normalised; mapping layers (weight * 0.01 / sqrt(fan_in), bias * 0.01,
leaky ReLU 0.2 times sqrt(2)); styles from w (weight / sqrt(fan_in)); kernels / sqrt(fan_in),
modulated, demodulated with 1e-8 (not for colours); enlarging as a transposed convolution followed
by the filter [1, 3, 3, 1]; noise times its strength, bias, leaky ReLU times sqrt(2); colours summed
over resolutions, enlarged by the same filter. The factor 0.01 is the published one; state
dictionaries do not hold it.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from latentedit.checkpoints.accounting import Reading, Shape, account, size_of
from latentedit.checkpoints.objects import SavedModule
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator

NAMES = {
    "rosinality": "rosinality StyleGAN2",
    "genforce": "GenForce StyleGAN2",
    "nvidia": "NVIDIA StyleGAN2",
    "basicsr": "BasicSR StyleGAN2",
}
MAPPING_RATE = 0.01

_MEAN_SEEDS = 4096


def recognise(state: Mapping[str, Any]) -> str | None:
    """Return the layout's name in `NAMES` if the keys look like one of them."""
    if "input.input" in state and "conv1.conv.weight" in state:
        return "rosinality"
    if "synthesis.early_layer.const" in state:
        return "genforce"
    if "synthesis.b4.const" in state and "synthesis.b4.torgb.weight" in state:
        return "nvidia"
    if "constant_input.weight" in state and "style_conv1.modulated_conv.weight" in state:
        return "basicsr"
    return None


def convert_stylegan2(
    state: Mapping[str, Any],
    what: str,
    *,
    mean: Any = None,
    space: Literal["z", "w"] = "z",
    truncation: float = 1.0,
) -> Reading:
    """Map a generator's state dictionary onto a `StyleGAN2Generator`.

    Args:
        state: the state dictionary of one generator.
        what: the file, for messages.
        mean: the mean of W [D] if it is kept beside the state dictionary (``latent_avg``).
        space: the space that latents will be given in.
        truncation: psi.

    Raises:
        LatentEditError: keys are missing, extra or mis-shaped, the network needs a class, or a
            filter is not [1, 3, 3, 1].
    """
    layout = recognise(state)
    if layout is None:
        raise LatentEditError(
            f"{what} holds no StyleGAN2 of rosinality, BasicSR, GenForce or NVIDIA"
        )
    if layout == "basicsr":
        state = _in_rosinality_names(state)
    reader = _LAYOUTS[layout](state)
    _check_unconditional(state, reader, what)
    expected = reader.expected()
    notes = []
    if mean is not None and (mean := _one_mean(mean)) is None:
        notes.append("the file's mean of W differs from layer to layer (W+), so it is not used")
    if mean is not None:
        state = {**state, "latent_avg": mean}
        expected["latent_avg"] = (reader.style,)
    tensors = account(state, expected, f"{what} ({NAMES[layout]})")
    for key in reader.filters():
        _check_filter(tensors[key], reader.filter_gain, key, what)
    config = StyleGAN2Config(
        widths=tuple(width or 0 for width in reader.widths),
        mapping=tuple(size or 0 for size in reader.mapping_sizes()),
        space=space,
        truncation=truncation,
    )
    network = StyleGAN2Generator(config).eval()
    network.load_state_dict(reader.weights(tensors))
    notes += reader.notes()
    means = ("latent_avg", "truncation.w_avg", "mapping.w_avg")
    found = [tensors[key] for key in means if key in tensors]
    if found:
        network.mean = found[0].flatten()
    else:
        network.mean = _measure_mean(network)
        notes.append(f"the file has no mean of W; measured over {_MEAN_SEEDS} seeds")
    return Reading(network, len(tensors), notes)


def _one_mean(mean: Any) -> Any:
    """Return the mean of W [D], also if W+ repeats it for every layer (pSp, e4e); else None."""
    if not isinstance(mean, Tensor) or mean.ndim < 2:
        return mean
    if mean.numel() * mean.element_size() > mean.untyped_storage().nbytes():
        return mean  # larger than what the file holds: `account` refuses it
    rows = mean.flatten(0, -2)
    return rows[0].clone() if len(rows) and bool((rows == rows[0]).all()) else None


_OF_LABELS = re.compile(r"(^|\.)(mapping\.embed|label_weight|label_embed|class_embed|embedding)\b")


def _check_unconditional(state: Mapping[str, Any], reader: _Layout, what: str) -> None:
    """Refuse a network that needs a class besides the latent."""
    labels = next((key for key in state if _OF_LABELS.search(key)), None)
    first, style = reader.mapping_sizes()[0], reader.style
    joined = first is not None and style is not None and first > style
    if labels or joined:
        sign = f"its mapping takes {first} numbers for a w of {style}: a label embedding too"
        if labels:
            sign = f"its label embedding is {labels}"
        raise LatentEditError(
            f"{what} holds a class-conditional StyleGAN2 ({sign}), which draws no face from a "
            "latent alone: fix the class in a module of your own and export that to ONNX"
        )


def check_module(module: SavedModule, what: str) -> None:
    """Refuse options of NVIDIA's code that a state dictionary would not show.

    Args:
        module: the whole network, with its entries.
        what: the file, for messages.

    Raises:
        LatentEditError: the network needs a class, or the learning rate of its mapping is not the
            published one.
    """
    classes = module.get("c_dim", 0)
    if isinstance(classes, int) and classes > 0:
        raise LatentEditError(
            f"{what} holds a class-conditional StyleGAN2 ({classes} classes), which draws no face "
            "from a latent alone: fix the class in a module of your own and export that to ONNX"
        )
    first = module.module("mapping", "fc0")
    rate = first.get("bias_gain", MAPPING_RATE) if first else MAPPING_RATE
    if isinstance(rate, int | float) and abs(rate - MAPPING_RATE) > 1e-9:
        raise LatentEditError(
            f"{what} holds a StyleGAN2 whose mapping learned at rate {rate:g}; only {MAPPING_RATE} "
            "can be read"
        )


def _in_rosinality_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Rename BasicSR's layers as rosinality names them."""
    renamed = {}
    for key, value in state.items():
        for pattern, name in _BASICSR:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    return renamed


_BASICSR = (
    (r"^style_mlp\.", "style."),
    (r"^constant_input\.weight$", "input.input"),
    (r"^style_conv1\.", "conv1."),
    (r"^style_convs\.", "convs."),
    (r"^((?:conv1|convs\.\d+))\.weight$", r"\1.noise.weight"),
    (r"\.modulated_conv\.", ".conv."),
    (r"\.conv\.smooth\.kernel$", ".conv.blur.kernel"),
    (r"^((?:conv1|convs\.\d+))\.bias$", r"\1.activate.bias"),
    (r"^noises\.noise(\d+)$", r"noises.noise_\1"),
)


@torch.no_grad()
def _measure_mean(network: StyleGAN2Generator) -> Tensor:
    z = latents.sample(range(_MEAN_SEEDS), network.config.mapping[0])
    return network.map(torch.from_numpy(z)).mean(0)


def _check_filter(kernel: Tensor, gain: float, key: str, what: str) -> None:
    taps = torch.tensor((1.0, 3.0, 3.0, 1.0))
    wanted = torch.outer(taps, taps) / 64
    if not torch.allclose(kernel.reshape(4, 4), wanted * gain, atol=1e-5):
        raise LatentEditError(f"{what} filters with another kernel than [1, 3, 3, 1] ({key})")


class _Layout(ABC):
    """What differs between the layouts: names, and how a layer's parts are stored."""

    depth: int
    blocks: int
    style: int | None
    widths: list[int | None]
    filter_gain = 4.0
    """Sum of a constant filter as it is stored."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = state

    def count(self, pattern: str) -> int:
        """One more than the largest number in keys that begin like `pattern`."""
        found = (re.match(pattern, key) for key in self.state)
        return 1 + max((int(match[1]) for match in found if match), default=-1)

    @abstractmethod
    def mapping_key(self, index: int) -> str:
        """Key of a layer of the mapping network."""

    def mapping_sizes(self) -> list[int | None]:
        """Sizes along the mapping network, from z to w."""
        keys = [self.mapping_key(index) for index in range(self.depth)]
        return [*(size_of(self.state, f"{key}.weight", 1) for key in keys), self.style]

    def conv_shapes(
        self, name: str, affine: str, inputs: int | None, outputs: int | None, kernel: int
    ) -> dict[str, Shape]:
        """Shapes of a convolution and of the layer `affine` that scales its inputs by w."""
        return {
            f"{name}.weight": (outputs, inputs, kernel, kernel),
            f"{name}.bias": (outputs,),
            f"{name}.{affine}.weight": (inputs, self.style),
            f"{name}.{affine}.bias": (inputs,),
        }

    def mapping_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {}
        for index, (inputs, outputs) in enumerate(pairwise(self.mapping_sizes())):
            shapes[f"{self.mapping_key(index)}.weight"] = (outputs, inputs)
            shapes[f"{self.mapping_key(index)}.bias"] = (outputs,)
        return shapes

    @abstractmethod
    def expected(self) -> dict[str, Shape]:
        """Shape of every tensor that the file must hold."""

    def filters(self) -> list[str]:
        """Keys of the constant filters; a file has all of them or none."""
        keys = self.filter_keys()
        return keys if any(key in self.state for key in keys) else []

    @abstractmethod
    def filter_keys(self) -> list[str]:
        """Keys under which the constant filters would stand."""

    def notes(self) -> list[str]:
        return []

    def layer_widths(self, index: int) -> tuple[int | None, int | None]:
        """Channels into and out of the styled layer `index`."""
        return self.widths[index // 2], self.widths[(index + 1) // 2]

    def layer_size(self, index: int) -> int:
        """Edge of the styled layer's output in pixels."""
        return int(4 * 2 ** ((index + 1) // 2))

    def map_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = {"mean": torch.zeros(self.style or 0)}
        for index in range(self.depth):
            weight = tensors[f"{self.mapping_key(index)}.weight"]
            scale = MAPPING_RATE / math.sqrt(weight.shape[1])
            weights[f"mapping.{index}.weight"] = weight * scale
            weights[f"mapping.{index}.bias"] = (
                tensors[f"{self.mapping_key(index)}.bias"] * MAPPING_RATE
            )
        return weights

    @abstractmethod
    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The network's state dictionary."""


def _conv_weights(
    name: str, kernel: Tensor, style_weight: Tensor, style_bias: Tensor
) -> dict[str, Tensor]:
    return {
        f"{name}.conv.weight": kernel / math.sqrt(kernel[0].numel()),
        f"{name}.conv.style.weight": style_weight / math.sqrt(style_weight.shape[1]),
        f"{name}.conv.style.bias": style_bias,
    }


class _Rosinality(_Layout):
    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(state)
        self.depth = max(1, self.count(r"style\.(\d{1,2})\.") - 1)
        self.blocks = 1 + self.count(r"to_rgbs\.(\d{1,2})\.")
        self.style = size_of(state, "conv1.conv.modulation.weight", 1)
        names = [self.layer_key(2 * block) for block in range(self.blocks)]
        self.widths = [size_of(state, f"{name}.activate.bias", 0) for name in names]
        self.has_noise = any(key.startswith("noises.") for key in state)

    def mapping_key(self, index: int) -> str:
        return f"style.{index + 1}"

    def layer_key(self, index: int) -> str:
        return "conv1" if index == 0 else f"convs.{index - 1}"

    def rgb_key(self, block: int) -> str:
        return "to_rgb1" if block == 0 else f"to_rgbs.{block - 1}"

    def expected(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"input.input": (1, self.widths[0], 4, 4)}
        shapes |= self.mapping_shapes()
        for index in range(2 * self.blocks - 1):
            name, (inputs, outputs) = self.layer_key(index), self.layer_widths(index)
            shapes[f"{name}.conv.weight"] = (1, outputs, inputs, 3, 3)
            shapes[f"{name}.conv.modulation.weight"] = (inputs, self.style)
            shapes[f"{name}.conv.modulation.bias"] = (inputs,)
            shapes[f"{name}.noise.weight"] = (1,)
            shapes[f"{name}.activate.bias"] = (outputs,)
            if self.has_noise:
                size = self.layer_size(index)
                shapes[f"noises.noise_{index}"] = (1, 1, size, size)
        for block in range(self.blocks):
            name, width = self.rgb_key(block), self.widths[block]
            shapes[f"{name}.bias"] = (1, 3, 1, 1)
            shapes[f"{name}.conv.weight"] = (1, 3, width, 1, 1)
            shapes[f"{name}.conv.modulation.weight"] = (width, self.style)
            shapes[f"{name}.conv.modulation.bias"] = (width,)
        return shapes | dict.fromkeys(self.filters(), (4, 4))

    def filter_keys(self) -> list[str]:
        enlarging = range(0, 2 * self.blocks - 2, 2)
        return [f"convs.{index}.conv.blur.kernel" for index in enlarging] + [
            f"to_rgbs.{block}.upsample.kernel" for block in range(self.blocks - 1)
        ]

    def notes(self) -> list[str]:
        return [] if self.has_noise else ["the file has no noise pictures; rendered without noise"]

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights = self.map_weights(tensors) | {"const": tensors["input.input"]}
        for index in range(2 * self.blocks - 1):
            source, target = self.layer_key(index), f"layers.{index}"
            size = self.layer_size(index)
            noise = tensors.get(f"noises.noise_{index}", torch.zeros(1, 1, size, size))
            weights |= self.conv(tensors, source, target)
            weights[f"{target}.noise"] = noise * tensors[f"{source}.noise.weight"]
            weights[f"{target}.bias"] = tensors[f"{source}.activate.bias"]
        for block in range(self.blocks):
            source, target = self.rgb_key(block), f"to_rgb.{block}"
            weights |= self.conv(tensors, source, target)
            weights[f"{target}.bias"] = tensors[f"{source}.bias"].flatten()
        return weights

    def conv(self, tensors: Mapping[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
        return _conv_weights(
            target,
            tensors[f"{source}.conv.weight"][0],
            tensors[f"{source}.conv.modulation.weight"],
            tensors[f"{source}.conv.modulation.bias"],
        )


class _GenForce(_Layout):
    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(state)
        self.depth = max(1, self.count(r"mapping\.dense(\d{1,2})\."))
        self.blocks = max(1, self.count(r"synthesis\.output(\d{1,2})\."))
        self.style = size_of(state, "truncation.w_avg", 0)
        names = [f"synthesis.layer{2 * block}" for block in range(self.blocks)]
        self.widths = [size_of(state, f"{name}.bias", 0) for name in names]

    def mapping_key(self, index: int) -> str:
        return f"mapping.dense{index}"

    def expected(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {
            "truncation.w_avg": (self.style,),
            "synthesis.early_layer.const": (1, self.widths[0], 4, 4),
        }
        shapes |= self.mapping_shapes()
        for index in range(2 * self.blocks - 1):
            name, (inputs, outputs) = f"synthesis.layer{index}", self.layer_widths(index)
            size = self.layer_size(index)
            shapes |= self.conv_shapes(name, "style", inputs, outputs, 3)
            shapes[f"{name}.noise"] = (1, 1, size, size)
            shapes[f"{name}.noise_strength"] = ()
        for block in range(self.blocks):
            shapes |= self.conv_shapes(
                f"synthesis.output{block}", "style", self.widths[block], 3, 1
            )
        return shapes | dict.fromkeys(self.filters(), (1, 1, 4, 4))

    def filter_keys(self) -> list[str]:
        layers = [f"synthesis.layer{index}.filter" for index in range(1, 2 * self.blocks - 1, 2)]
        return [f"{name}.kernel" for name in [*layers, "synthesis.upsample"]]

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights = self.map_weights(tensors) | {"const": tensors["synthesis.early_layer.const"]}
        for index in range(2 * self.blocks - 1):
            source, target = f"synthesis.layer{index}", f"layers.{index}"
            weights |= self.conv(tensors, source, target, mirrored=index % 2 == 1)
            weights[f"{target}.noise"] = (
                tensors[f"{source}.noise"] * tensors[f"{source}.noise_strength"]
            )
            weights[f"{target}.bias"] = tensors[f"{source}.bias"]
        for block in range(self.blocks):
            source, target = f"synthesis.output{block}", f"to_rgb.{block}"
            weights |= self.conv(tensors, source, target, mirrored=False)
            weights[f"{target}.bias"] = tensors[f"{source}.bias"]
        return weights

    def conv(
        self, tensors: Mapping[str, Tensor], source: str, target: str, *, mirrored: bool
    ) -> dict[str, Tensor]:
        kernel = tensors[f"{source}.weight"]
        return _conv_weights(
            target,
            kernel.flip(2, 3) if mirrored else kernel,
            tensors[f"{source}.style.weight"],
            tensors[f"{source}.style.bias"] + 1,
        )


class _Nvidia(_Layout):
    filter_gain = 1.0

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(state)
        self.depth = max(1, self.count(r"mapping\.fc(\d{1,2})\."))
        largest = self.count(r"synthesis\.b(\d{1,4})\.") - 1
        self.blocks = max(1, largest.bit_length() - 2)
        self.style = size_of(state, "mapping.w_avg", 0)
        self.widths = [
            size_of(state, f"{self.layer_key(2 * block)}.bias", 0) for block in range(self.blocks)
        ]

    def mapping_key(self, index: int) -> str:
        return f"mapping.fc{index}"

    def layer_key(self, index: int) -> str:
        return f"synthesis.b{self.layer_size(index)}.conv{1 - index % 2}"

    def rgb_key(self, block: int) -> str:
        return f"synthesis.b{4 * 2**block}.torgb"

    def expected(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {
            "mapping.w_avg": (self.style,),
            "synthesis.b4.const": (self.widths[0], 4, 4),
        }
        shapes |= self.mapping_shapes()
        for index in range(2 * self.blocks - 1):
            name, (inputs, outputs) = self.layer_key(index), self.layer_widths(index)
            size = self.layer_size(index)
            shapes |= self.conv_shapes(name, "affine", inputs, outputs, 3)
            shapes[f"{name}.noise_const"] = (size, size)
            shapes[f"{name}.noise_strength"] = ()
        for block in range(self.blocks):
            shapes |= self.conv_shapes(self.rgb_key(block), "affine", self.widths[block], 3, 1)
        return shapes | dict.fromkeys(self.filters(), (4, 4))

    def filter_keys(self) -> list[str]:
        layers = [self.layer_key(index) for index in range(2 * self.blocks - 1)]
        blocks = [f"synthesis.b{4 * 2**block}" for block in range(self.blocks)]
        return [f"{name}.resample_filter" for name in [*layers, *blocks]]

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        weights = self.map_weights(tensors) | {"const": tensors["synthesis.b4.const"][None]}
        for index in range(2 * self.blocks - 1):
            source, target = self.layer_key(index), f"layers.{index}"
            weights |= self.conv(tensors, source, target)
            weights[f"{target}.conv.weight"] = tensors[f"{source}.weight"]
            noise = tensors[f"{source}.noise_const"] * tensors[f"{source}.noise_strength"]
            weights[f"{target}.noise"] = noise[None, None]
            weights[f"{target}.bias"] = tensors[f"{source}.bias"]
        for block in range(self.blocks):
            source, target = self.rgb_key(block), f"to_rgb.{block}"
            weights |= self.conv(tensors, source, target)
            weights[f"{target}.bias"] = tensors[f"{source}.bias"]
        return weights

    def conv(self, tensors: Mapping[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
        return _conv_weights(
            target,
            tensors[f"{source}.weight"],
            tensors[f"{source}.affine.weight"],
            tensors[f"{source}.affine.bias"],
        )


_LAYOUTS: dict[str, Callable[[Mapping[str, Any]], _Layout]] = {
    "rosinality": _Rosinality,
    "basicsr": _Rosinality,
    "genforce": _GenForce,
    "nvidia": _Nvidia,
}
