"""Checkpoints as other projects' code writes them, and what their networks compute.

Everything here is written from the formats' descriptions, apart from the package: the references
work on the stored keys with the arithmetic of the project that stores them, so that reader and
reference can only agree if both understood the format.
"""

from __future__ import annotations

import argparse
import math
import pickle
import re
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

Z = 24  # length of the small latents


def widths_for(resolution: int, most: int = 16, base: int = 512) -> list[int]:
    """Channels at 4, 8, ... by the published formula, at a small scale."""
    return [min(base // 2**i, most) for i in range(2, int(math.log2(resolution)) + 1)]


def draw(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator)


def latents(count: int = 3, size: int = Z) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(99))


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / torch.sqrt((x**2).mean(dim=1, keepdim=True) + 1e-8)


def twice(x: torch.Tensor) -> torch.Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


# InterFaceGAN, HiGAN and GenForce -------------------------------------------------------------


def pggan_state(layout: str, widths: list[int], *, fused: bool = False) -> OrderedDict:
    """A state dictionary of ``interfacegan``, ``higan`` or ``genforce``."""
    g = torch.Generator().manual_seed(len(widths))
    first = 1 if layout == "interfacegan" else 0
    conv, bias = ("weight", "bias") if layout == "genforce" else ("conv.weight", "wscale.bias")
    state = OrderedDict()
    if layout != "interfacegan":
        state["lod"] = torch.zeros(())
    for block, width in enumerate(widths):
        before = widths[block - 1] if block else Z
        name = f"layer{first + 2 * block}"
        if block == 0:
            state[f"{name}.{conv}"] = draw(g, width, Z, 4, 4)
        elif fused and layout == "genforce":
            state[f"{name}.weight"] = draw(g, before, width, 3, 3)
        elif fused:
            state[f"{name}.weight"] = draw(g, 3, 3, before, width)
        else:
            state[f"{name}.{conv}"] = draw(g, width, before, 3, 3)
        state[f"{name}.{bias}"] = draw(g, width)
        name = f"layer{first + 2 * block + 1}"
        state[f"{name}.{conv}"] = draw(g, width, width, 3, 3)
        state[f"{name}.{bias}"] = draw(g, width)
        if layout != "interfacegan":
            state[f"output{block}.{conv}"] = draw(g, 3, width, 1, 1)
            state[f"output{block}.{bias}"] = draw(g, 3)
    if layout == "interfacegan":
        size = 2 ** (len(widths) + 1)
        state[f"output_{size}x{size}.conv.weight"] = draw(g, 3, widths[-1], 1, 1)
        state[f"output_{size}x{size}.wscale.bias"] = draw(g, 3)
    return state


def pggan_images(state: dict, layout: str, z: torch.Tensor, *, fused: bool = False) -> torch.Tensor:
    """Pixel norm, doubling, convolution, scale, bias, leaky ReLU: in that order, layer by layer."""
    first = 1 if layout == "interfacegan" else 0
    conv, bias = ("weight", "bias") if layout == "genforce" else ("conv.weight", "wscale.bias")
    blocks = sum(key.startswith("layer") and key.endswith(bias) for key in state) // 2
    x = z[:, :, None, None]
    for n in range(2 * blocks):
        name = f"layer{first + n}"
        x = unit(x)
        b = state[f"{name}.{bias}"][None, :, None, None]
        if fused and n and n % 2 == 0:
            kernel = state[f"{name}.weight"]
            kernel = kernel if layout == "genforce" else kernel.permute(2, 3, 0, 1)
            scale = math.sqrt(2) / math.sqrt(9 * kernel.shape[0])
            big = torch.zeros(*kernel.shape[:2], 4, 4)
            for dy in (0, 1):
                for dx in (0, 1):
                    big[:, :, dy : dy + 3, dx : dx + 3] += kernel
            x = F.conv_transpose2d(x, big, stride=2, padding=1) * scale + b
        else:
            weight = state[f"{name}.{conv}"]
            if n and n % 2 == 0:
                x = twice(x)
            padding = 3 if n == 0 else 1
            scale = math.sqrt(2) / math.sqrt(weight.shape[1] * weight.shape[2] * weight.shape[3])
            x = F.conv2d(x, weight, padding=padding) * scale + b
        x = torch.where(x > 0, x, 0.2 * x)
    size = 2 ** (blocks + 1)
    name = f"output_{size}x{size}" if layout == "interfacegan" else f"output{blocks - 1}"
    weight = state[f"{name}.{conv}"]
    x = F.conv2d(unit(x), weight) / math.sqrt(weight.shape[1])
    return x + state[f"{name}.{bias}"][None, :, None, None]


# TensorFlow pickles ---------------------------------------------------------------------------


def tensorflow_variables(widths: list[int], *, fused: bool) -> OrderedDict:
    """Variables of `G_paper` in TensorFlow's axis orders."""
    r = np.random.RandomState(len(widths))

    def rand(*shape: int) -> np.ndarray:
        return r.randn(*shape).astype(np.float32)

    v = OrderedDict(lod=np.float32(0.0))
    v["4x4/Dense/weight"] = rand(Z, 16 * widths[0])
    v["4x4/Dense/bias"] = rand(widths[0])
    v["4x4/Conv/weight"] = rand(3, 3, widths[0], widths[0])
    v["4x4/Conv/bias"] = rand(widths[0])
    last = len(widths) - 1
    v[f"ToRGB_lod{last}/weight"] = rand(1, 1, widths[0], 3)
    v[f"ToRGB_lod{last}/bias"] = rand(3)
    for b in range(1, len(widths)):
        size = f"{4 * 2**b}x{4 * 2**b}"
        if fused:
            v[f"{size}/Conv0_up/weight"] = rand(3, 3, widths[b], widths[b - 1])
            v[f"{size}/Conv0_up/bias"] = rand(widths[b])
        else:
            v[f"{size}/Conv0/weight"] = rand(3, 3, widths[b - 1], widths[b])
            v[f"{size}/Conv0/bias"] = rand(widths[b])
        v[f"{size}/Conv1/weight"] = rand(3, 3, widths[b], widths[b])
        v[f"{size}/Conv1/bias"] = rand(widths[b])
        v[f"ToRGB_lod{last - b}/weight"] = rand(1, 1, widths[b], 3)
        v[f"ToRGB_lod{last - b}/bias"] = rand(3)
    return v


def tensorflow_images(variables: dict, z: torch.Tensor, *, fused: bool) -> torch.Tensor:
    """Convolution, bias, leaky ReLU, pixel norm, as `G_paper` builds them."""
    v = {name: torch.from_numpy(np.array(value)) for name, value in variables.items()}

    def finish(x: torch.Tensor, name: str) -> torch.Tensor:
        x = x + v[f"{name}/bias"].reshape(1, -1, 1, 1)
        x = torch.maximum(0.2 * x, x)
        return x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-8)

    def conv(x: torch.Tensor, name: str) -> torch.Tensor:
        w = v[f"{name}/weight"]
        w = w * (math.sqrt(2) / math.sqrt(w.shape[0] * w.shape[1] * w.shape[2]))
        return finish(F.conv2d(x, w.permute(3, 2, 0, 1), padding=1), name)

    def conv_up(x: torch.Tensor, name: str) -> torch.Tensor:
        w = v[f"{name}/weight"]  # [3, 3, out, in]
        w = w * (math.sqrt(2) / math.sqrt(9 * w.shape[3]))
        w = F.pad(w.permute(2, 3, 0, 1), (1, 1, 1, 1)).permute(2, 3, 0, 1)
        w = w[1:, 1:] + w[:-1, 1:] + w[1:, :-1] + w[:-1, :-1]
        # TensorFlow's conv2d_transpose is the gradient of conv2d with respect to its input.
        forward = w.permute(3, 2, 0, 1)  # [in, out, 4, 4]: out -> in, stride 2
        shape = (len(x), forward.shape[1], 2 * x.shape[2], 2 * x.shape[3])
        x = torch.nn.grad.conv2d_input(shape, forward, x.contiguous(), stride=2, padding=1)
        return finish(x, name)

    z = z * torch.rsqrt((z * z).mean(1, keepdim=True) + 1e-8)
    dense = v["4x4/Dense/weight"] * (math.sqrt(2) / 4 / math.sqrt(z.shape[1]))
    x = finish((z @ dense).reshape(len(z), -1, 4, 4), "4x4/Dense")
    x = conv(x, "4x4/Conv")
    for b in range(1, sum(name.endswith("Conv1/weight") for name in v) + 1):
        size = f"{4 * 2**b}x{4 * 2**b}"
        x = conv_up(x, f"{size}/Conv0_up") if fused else conv(twice(x), f"{size}/Conv0")
        x = conv(x, f"{size}/Conv1")
    w = v["ToRGB_lod0/weight"]
    x = F.conv2d(x, (w / math.sqrt(w.shape[2])).permute(3, 2, 0, 1))
    return x + v["ToRGB_lod0/bias"].reshape(1, -1, 1, 1)


@contextmanager
def fake_module(name: str, **members: type):
    """A module that exists while a pickle is written, and not when it is read."""
    added = []
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        part = ".".join(parts[:i])
        if part not in sys.modules:
            sys.modules[part] = types.ModuleType(part)
            added.append(part)
    for key, member in members.items():
        member.__module__, member.__qualname__ = name, key
        setattr(sys.modules[name], key, member)
    try:
        yield
    finally:
        for part in added:
            del sys.modules[part]


def write_tensorflow(
    path: Path,
    variables: dict,
    *,
    protocol: int = 4,
    options: dict | None = None,
    names: tuple[str, ...] = ("G", "D", "Gs"),
) -> None:
    """The tuple (G, D, Gs) of pickled `tfutil.Network` objects; only Gs has these variables."""

    class Network:
        def __init__(self, name: str, variables: dict) -> None:
            self.name, self.variables = name, variables

        def __getstate__(self) -> dict:
            return {
                "version": 2,
                "name": self.name,
                "static_kwargs": {"num_channels": 3, "label_size": 0, **(options or {})},
                "build_module_src": "import os\nos.system('touch run-by-the-pickle')\n",
                "build_func_name": "D_paper" if self.name == "D" else "G_paper",
                "variables": list(self.variables.items()),
            }

        def __setstate__(self, state: dict) -> None:
            raise AssertionError("the network's own code ran")

    other = {name: np.zeros_like(value) for name, value in variables.items()}
    with fake_module("tfutil", Network=Network):
        networks = tuple(Network(n, variables if n in ("Gs", "") else other) for n in names)
        data = pickle.dumps(networks if len(networks) > 1 else networks[0], protocol=protocol)
    # numpy of 2018 called its core numpy.core
    data = data.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
    path.write_bytes(data.replace(b"cnumpy._core", b"cnumpy.core"))


# pytorch_GAN_zoo ------------------------------------------------------------------------------


def gan_zoo_state(widths: list[int], *, module: str = ".module") -> OrderedDict:
    g = torch.Generator().manual_seed(len(widths))
    state = OrderedDict()

    def add(name: str, *shape: int) -> None:
        state[f"{name}{module}.weight"] = draw(g, *shape)
        state[f"{name}{module}.bias"] = draw(g, shape[0])

    for scale in range(1, len(widths)):
        add(f"scaleLayers.{scale - 1}.0", widths[scale], widths[scale - 1], 3, 3)
        add(f"scaleLayers.{scale - 1}.1", widths[scale], widths[scale], 3, 3)
    for scale, width in enumerate(widths):
        add(f"toRGBLayers.{scale}", 3, width, 1, 1)
    add("formatLayer", 16 * widths[0], Z)
    add("groupScale0.0", widths[0], widths[0], 3, 3)
    return state


def gan_zoo_images(
    state: dict, z: torch.Tensor, *, module: str = ".module", equalised: bool = True
) -> torch.Tensor:
    """(weight * x + bias) * sqrt(2 / fan_in), leaky ReLU, pixel norm."""

    def constant(name: str) -> float:
        weight = state[f"{name}{module}.weight"]
        return math.sqrt(2.0 / weight[0].numel()) if equalised else 1.0

    def conv(x: torch.Tensor, name: str, padding: int = 1) -> torch.Tensor:
        weight, bias = state[f"{name}{module}.weight"], state[f"{name}{module}.bias"]
        return F.conv2d(x, weight, bias, padding=padding) * constant(name)

    scales = sum(key.startswith("toRGB") for key in state) // 2
    x = unit(z)
    x = F.linear(x, state[f"formatLayer{module}.weight"], state[f"formatLayer{module}.bias"])
    x = F.leaky_relu(x * constant("formatLayer"), 0.2).view(len(z), -1, 4, 4)
    x = unit(x)
    x = unit(F.leaky_relu(conv(x, "groupScale0.0"), 0.2))
    for scale in range(scales - 1):
        x = twice(x)
        for layer in (0, 1):
            x = unit(F.leaky_relu(conv(x, f"scaleLayers.{scale}.{layer}"), 0.2))
    return conv(x, f"toRGBLayers.{scales - 1}", padding=0)


def write_gan_zoo(path: Path, state: dict, **options: object) -> None:
    """``netG``, ``netD``, ``avgG`` and the pickled `BaseConfig`, as `BaseGAN.save` writes them."""

    class BaseConfig:
        pass

    config = BaseConfig()
    config.__dict__ = {
        "depthScale0": 8,
        "leakyReluLeak": 0.2,
        "perChannelNormalization": True,
        "alpha": 0,
        "equalizedlR": True,
        "dimOutput": 3,
        "categoryVectorDim": 0,
        "lossCriterion": "WGANGP",
        "attribKeysOrder": None,
        **options,
    }
    other = OrderedDict((name, torch.zeros_like(value)) for name, value in state.items())
    with fake_module("models.utils.config", BaseConfig=BaseConfig):
        checkpoint = {
            "config": config,
            "netG": other,
            "netD": {"fromRGBLayers.0.module.weight": torch.zeros(4, 3, 1, 1)},
            "avgG": state,
        }
        torch.save(checkpoint, path, _use_new_zipfile_serialization=False)


# StyleGAN2 ------------------------------------------------------------------------------------

FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def rosinality_state(widths: list[int], *, style: int = 16, depth: int = 3) -> OrderedDict:
    g = torch.Generator().manual_seed(len(widths))
    state = OrderedDict()
    for i in range(1, depth + 1):
        state[f"style.{i}.weight"] = draw(g, style, style) / 0.01
        state[f"style.{i}.bias"] = draw(g, style)
    state["input.input"] = draw(g, 1, widths[0], 4, 4)

    def modulated(name: str, inputs: int, outputs: int, kernel: int) -> None:
        state[f"{name}.conv.weight"] = draw(g, 1, outputs, inputs, kernel, kernel)
        state[f"{name}.conv.modulation.weight"] = draw(g, inputs, style)
        state[f"{name}.conv.modulation.bias"] = 1 + 0.1 * draw(g, inputs)

    def styled(name: str, inputs: int, outputs: int, *, up: bool) -> None:
        modulated(name, inputs, outputs, 3)
        if up:
            state[f"{name}.conv.blur.kernel"] = FILTER * 4
        state[f"{name}.noise.weight"] = draw(g, 1)
        state[f"{name}.activate.bias"] = draw(g, outputs)

    def colours(name: str, width: int, *, up: bool) -> None:
        state[f"{name}.bias"] = draw(g, 1, 3, 1, 1)
        if up:
            state[f"{name}.upsample.kernel"] = FILTER * 4
        modulated(name, width, 3, 1)

    styled("conv1", widths[0], widths[0], up=False)
    colours("to_rgb1", widths[0], up=False)
    state["noises.noise_0"] = draw(g, 1, 1, 4, 4)
    for block in range(1, len(widths)):
        styled(f"convs.{2 * block - 2}", widths[block - 1], widths[block], up=True)
        styled(f"convs.{2 * block - 1}", widths[block], widths[block], up=False)
        colours(f"to_rgbs.{block - 1}", widths[block], up=True)
        for i in (2 * block - 1, 2 * block):
            state[f"noises.noise_{i}"] = draw(g, 1, 1, 4 * 2**block, 4 * 2**block)
    return state


def upfirdn(x: torch.Tensor, kernel: torch.Tensor, up: int, pad: tuple[int, int]) -> torch.Tensor:
    """Put zeros between pixels, pad, filter: the operation the projects build everything from."""
    n, c, h, w = x.shape
    spread = torch.zeros(n, c, h * up, w * up, dtype=x.dtype)
    spread[:, :, ::up, ::up] = x
    spread = F.pad(spread, (*pad, *pad))
    kernel = kernel.flip(0, 1).to(x)[None, None].expand(c, 1, -1, -1)
    return F.conv2d(spread, kernel, groups=c)


def rosinality_map(state: dict, z: torch.Tensor) -> torch.Tensor:
    w = unit(z)
    for i in range(1, sum(key.startswith("style.") for key in state) // 2 + 1):
        weight, bias = state[f"style.{i}.weight"], state[f"style.{i}.bias"]
        w = F.linear(w, weight * (0.01 / math.sqrt(weight.shape[1])), bias * 0.01)
        w = F.leaky_relu(w, 0.2) * math.sqrt(2)
    return w


def rosinality_images(state: dict, w: torch.Tensor) -> torch.Tensor:
    """Weights modulated and demodulated one by one for each picture, as in the paper's code."""

    def conv(x: torch.Tensor, name: str, index: int, *, demodulate: bool) -> torch.Tensor:
        weight = state[f"{name}.conv.weight"][0]
        m = state[f"{name}.conv.modulation.weight"]
        style = w[index] @ (m.T / math.sqrt(m.shape[1])) + state[f"{name}.conv.modulation.bias"]
        weight = weight / math.sqrt(weight[0].numel()) * style[None, :, None, None]
        if demodulate:
            weight = weight / torch.sqrt((weight**2).sum((1, 2, 3), keepdim=True) + 1e-8)
        if f"{name}.conv.blur.kernel" in state:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            return upfirdn(x, state[f"{name}.conv.blur.kernel"], 1, (1, 1))
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def styled(x: torch.Tensor, name: str, index: int, noise: int) -> torch.Tensor:
        x = conv(x, name, index, demodulate=True)
        x = x + state[f"{name}.noise.weight"] * state[f"noises.noise_{noise}"]
        x = x + state[f"{name}.activate.bias"][None, :, None, None]
        return F.leaky_relu(x, 0.2) * math.sqrt(2)

    def colours(x: torch.Tensor, name: str, index: int) -> torch.Tensor:
        return conv(x, name, index, demodulate=False) + state[f"{name}.bias"]

    images = []
    for index in range(len(w)):
        x = styled(state["input.input"], "conv1", index, 0)
        image = colours(x, "to_rgb1", index)
        for block in range(sum(key.startswith("to_rgbs.") for key in state) // 5):
            x = styled(x, f"convs.{2 * block}", index, 2 * block + 1)
            x = styled(x, f"convs.{2 * block + 1}", index, 2 * block + 2)
            image = upfirdn(image, state[f"to_rgbs.{block}.upsample.kernel"], 2, (2, 1))
            image = image + colours(x, f"to_rgbs.{block}", index)
        images.append(image)
    return torch.cat(images)


def write_rosinality(path: Path, state: dict, mean: torch.Tensor | None = None) -> None:
    """What the training script saves, optimisers and parsed options included."""
    moments = {"step": torch.tensor(1.0), "exp_avg": torch.ones(2), "exp_avg_sq": torch.ones(2)}
    group = {"lr": 0.002, "betas": (0.0, 0.99), "eps": 1e-8, "amsgrad": False, "params": [0]}
    optimiser = {"state": {0: moments}, "param_groups": [group]}
    checkpoint = {
        "g": OrderedDict((name, torch.zeros_like(value)) for name, value in state.items()),
        "d": OrderedDict({"convs.0.0.weight": torch.zeros(4, 3, 1, 1)}),
        "g_ema": state,
        "g_optim": optimiser,
        "d_optim": optimiser,
        "args": argparse.Namespace(path="lmdb", iter=800000, mixing=0.9, wandb=False),
        "ada_aug_p": 0.0,
    }
    if mean is not None:
        checkpoint["latent_avg"] = mean
    torch.save(checkpoint, path)


def genforce_stylegan2(state: dict, mean: torch.Tensor) -> OrderedDict:
    """The same network in GenForce's names: biases without the 1, enlarging kernels mirrored."""
    out = OrderedDict()
    for i in range(1, sum(key.startswith("style.") for key in state) // 2 + 1):
        out[f"mapping.dense{i - 1}.weight"] = state[f"style.{i}.weight"]
        out[f"mapping.dense{i - 1}.bias"] = state[f"style.{i}.bias"]
    out["truncation.w_avg"] = mean
    out["synthesis.early_layer.const"] = state["input.input"]

    def copy(source: str, target: str, mirrored: bool) -> None:
        weight = state[f"{source}.conv.weight"][0]
        out[f"{target}.weight"] = weight.flip(2, 3) if mirrored else weight
        out[f"{target}.style.weight"] = state[f"{source}.conv.modulation.weight"]
        out[f"{target}.style.bias"] = state[f"{source}.conv.modulation.bias"] - 1

    layers = ["conv1"] + [f"convs.{i}" for i in range(sum("activate" in k for k in state) - 1)]
    for i, source in enumerate(layers):
        target = f"synthesis.layer{i}"
        copy(source, target, mirrored=i % 2 == 1)
        out[f"{target}.bias"] = state[f"{source}.activate.bias"]
        out[f"{target}.noise"] = state[f"noises.noise_{i}"]
        out[f"{target}.noise_strength"] = state[f"{source}.noise.weight"][0]
        if i % 2 == 1:
            out[f"{target}.filter.kernel"] = FILTER[None, None] * 4
    for block in range((len(layers) + 1) // 2):
        source = "to_rgb1" if block == 0 else f"to_rgbs.{block - 1}"
        copy(source, f"synthesis.output{block}", mirrored=False)
        out[f"synthesis.output{block}.bias"] = state[f"{source}.bias"].flatten()
    out["synthesis.upsample.kernel"] = FILTER[None, None] * 4
    return out


def nvidia_stylegan2(state: dict, mean: torch.Tensor) -> OrderedDict:
    """The same network as `rosinality_state`'s, as NVIDIA's PyTorch code keeps it.

    Kernels there have no scale; the demodulation takes any away but for its epsilon.
    """
    out = OrderedDict({"mapping.w_avg": mean})
    out["synthesis.b4.const"] = state["input.input"][0]
    for index in range(sum(re.fullmatch(r"style\.\d+\.weight", key) is not None for key in state)):
        for part in ("weight", "bias"):
            out[f"mapping.fc{index}.{part}"] = state[f"style.{index + 1}.{part}"]

    def copy(source: str, target: str, scale: float = 1.0) -> None:
        kernel = state[f"{source}.conv.weight"][0]
        out[f"{target}.weight"] = kernel * scale
        for part in ("weight", "bias"):
            out[f"{target}.affine.{part}"] = state[f"{source}.conv.modulation.{part}"]

    blocks = 1 + sum(re.fullmatch(r"to_rgbs\.\d+\.bias", key) is not None for key in state)
    for block in range(blocks):
        name = f"synthesis.b{4 * 2**block}"
        out[f"{name}.resample_filter"] = FILTER
        for conv in (1,) if block == 0 else (0, 1):
            index = 2 * block - 1 + conv
            source, target = "conv1" if index == 0 else f"convs.{index - 1}", f"{name}.conv{conv}"
            fan_in = state[f"{source}.conv.weight"][0, 0].numel()
            copy(source, target, 1 / math.sqrt(fan_in))
            out[f"{target}.bias"] = state[f"{source}.activate.bias"]
            out[f"{target}.resample_filter"] = FILTER
            out[f"{target}.noise_const"] = state[f"noises.noise_{index}"][0, 0]
            out[f"{target}.noise_strength"] = state[f"{source}.noise.weight"][0]
        source = "to_rgb1" if block == 0 else f"to_rgbs.{block - 1}"
        copy(source, f"{name}.torgb")
        out[f"{name}.torgb.bias"] = state[f"{source}.bias"].flatten()
    return out


def write_onnx(path, weight: np.ndarray, batch: int | str = "n", spatial: bool = False) -> None:
    """sigmoid(z @ weight) as [N, 3, 4, 4]."""
    import onnx
    import onnx.numpy_helper

    helper, kinds = onnx.helper, onnx.TensorProto
    shape = [batch, len(weight), 1, 1] if spatial else [batch, len(weight)]
    nodes = [
        helper.make_node("Flatten", ["z"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Reshape", ["b", "shape"], ["image"]),
    ]
    graph = helper.make_graph(
        nodes,
        "generator",
        [helper.make_tensor_value_info("z", kinds.FLOAT, shape)],
        [helper.make_tensor_value_info("image", kinds.FLOAT, [batch, 3, 4, 4])],
        [
            onnx.numpy_helper.from_array(weight, "weight"),
            onnx.numpy_helper.from_array(np.array([-1, 3, 4, 4]), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))


# Whole networks -------------------------------------------------------------------------------


def module_tree(state: dict, make: type) -> torch.nn.Module:
    """Modules of a class, nested as the dots of a state dictionary's keys say."""
    root = make()
    for key, value in state.items():
        *path, name = key.split(".")
        here = root
        for part in path:
            if part not in here._modules:
                here.add_module(part, make())
            here = here._modules[part]
        if name in ("w_avg", "resample_filter", "noise_const"):
            here.register_buffer(name, value.clone())
        else:
            here.register_parameter(name, torch.nn.Parameter(value.clone()))
    return root


def write_nvidia_snapshot(
    path: Path, state: dict, *, classes: int = 0, rate: float = 0.01, protocol: int = 4
) -> None:
    """A training snapshot: modules pickled by ``torch_utils.persistence``, their source inside."""

    class Layer(torch.nn.Module):
        def __reduce__(self) -> tuple:
            meta = {
                "type": "class",
                "version": 6,
                "module_src": "import os\nos.system('touch run-by-the-pickle')\n",
                "class_name": "Generator",
                "state": super().__reduce__()[2],
            }
            return _reconstruct_persistent_obj, (meta,), None

    def _reconstruct_persistent_obj(meta: dict) -> None:
        raise AssertionError("the network's own code ran")

    class EasyDict(dict):
        pass

    def network(weights: dict) -> torch.nn.Module:
        made = module_tree(weights, Layer)
        made.c_dim, made.z_dim = classes, 16
        made._init_kwargs = EasyDict(mapping_kwargs=EasyDict(num_layers=3))
        if "mapping" in made._modules:
            made.mapping.fc0.bias_gain = rate
        return made

    names = {"_reconstruct_persistent_obj": _reconstruct_persistent_obj}
    with (
        fake_module("torch_utils.persistence", **names),
        fake_module("dnnlib.util", EasyDict=EasyDict),
    ):
        _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
        zeros = {key: torch.zeros_like(value) for key, value in state.items()}
        snapshot = {
            "training_set_kwargs": EasyDict(path="faces.zip", max_size=10),
            "G": network(zeros),
            "D": network({"b4.out.weight": torch.zeros(1, 4)}),
            "G_ema": network(state),
            "augment_pipe": None,
        }
        path.write_bytes(pickle.dumps(snapshot, protocol))


def basicsr_stylegan2(state: dict) -> OrderedDict:
    """`rosinality_state` in the names of BasicSR's ``StyleGAN2Generator``."""
    out = OrderedDict()
    for key, value in state.items():
        layer, _, rest = key.partition(".")
        if layer in ("convs", "to_rgbs"):
            number, _, rest = rest.partition(".")
            layer = f"{layer}.{number}"
        if rest == "noise.weight":
            rest = "weight"
        rest = rest.replace("conv.blur.kernel", "modulated_conv.smooth.kernel")
        rest = re.sub(r"^conv\.", "modulated_conv.", rest)
        layer = {"style": "style_mlp", "conv1": "style_conv1"}.get(layer, layer)
        name = f"{layer.replace('convs.', 'style_convs.')}.{rest}"
        name = {"input.input": "constant_input.weight"}.get(name, name)
        out[name.replace("noises.noise_", "noises.noise")] = value
    return out
