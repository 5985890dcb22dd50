"""Build a `latentedit.generators.progressive.Generator` from effective kernels.

All published progressive GANs compute the same function; they differ in how they store it. Each
reader turns its layout into `Layers`: kernels and biases as they act, with every scale multiplied
in, and every kernel in the order of a correlation ("output, input, y, x"). `build` divides by the
scales that `Generator` applies when it runs, so that the products are the same again.

Two differences between layouts need no switch. First, pixel norm comes before a layer
(InterFaceGAN) or after the activation (Karras et al.). Both are the same function: each layer ends
with its activation, the first layer gets a normalised latent in both, and nearest-neighbour
enlargement commutes with anything done pixel by pixel. Second, a transposed convolution of stride 2
whose kernel is summed over a 2x2 box is enlargement followed by a correlation with the mirrored
kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from latentedit.errors import LatentEditError
from latentedit.generators.progressive import Generator, GeneratorConfig


@dataclass
class Layers:
    """A progressive generator's effective weights.

    Attributes:
        dense: [C, 4, 4, L], the layer that turns z into the first 4x4 features.
        dense_bias: [C] or [C, 4, 4].
        convs: kernels [O, I, 3, 3] and biases [O]: one for 4x4, then two for each resolution.
        rgbs: kernels [3, C, 1, 1] and biases [3] by block; blocks that have none stay grey.
    """

    dense: Tensor
    dense_bias: Tensor
    convs: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    rgbs: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


def build(layers: Layers) -> Generator:
    """Build the generator that computes with these kernels.

    Raises:
        LatentEditError: the resolution is over 1024.
    """
    widths = [len(layers.dense), *(len(bias) for _, bias in layers.convs[2::2])]
    per_pixel = layers.dense_bias.ndim == 3
    config = config_for(widths, latent_dim=layers.dense.shape[-1])
    generator = Generator(replace(config, bias_per_pixel=per_pixel))
    state = {key: torch.zeros_like(value) for key, value in generator.state_dict().items()}
    names = ["blocks.0.conv"]
    names += [f"blocks.{b}.{conv}" for b in range(1, len(widths)) for conv in ("conv0", "conv1")]
    modules = dict(generator.named_modules())
    dense = layers.dense.flatten(0, 2).double() / modules["blocks.0.dense"].scale
    state["blocks.0.dense.weight"] = dense.float()
    state["blocks.0.bias"] = layers.dense_bias.float().view_as(state["blocks.0.bias"])
    kernels = {
        **dict(zip(names, layers.convs, strict=True)),
        **{f"to_rgb.{block}": pair for block, pair in layers.rgbs.items()},
    }
    for name, (kernel, bias) in kernels.items():
        scale = modules[name].scale
        state[f"{name}.weight"] = (kernel.double() / scale).float()
        state[f"{name}.bias"] = bias.float()
    generator.load_state_dict(state)
    return generator.eval()


def config_for(widths: Sequence[int], latent_dim: int) -> GeneratorConfig:
    """Return the configuration with these channels at 4, 8, ...; by its formula if that fits.

    Raises:
        LatentEditError: the resolution is over 1024.
    """
    resolution = 4 * 2 ** (len(widths) - 1)
    if resolution > 1024:
        raise LatentEditError(f"a generator of {resolution} pixels is too large: 1024 is the most")
    most = max(widths)
    products = {
        4 * 2**block * width // 2 for block, width in enumerate(widths) if width < most
    } or {most * resolution // 2}
    config = GeneratorConfig(resolution, latent_dim, fmap_base=max(products), fmap_max=most)
    if [config.channels(size) for size in config.resolutions] == list(widths):
        return config
    return GeneratorConfig(resolution, latent_dim, max(products), most, tuple(widths))


def correlate(transposed: Tensor) -> Tensor:
    """Kernel [I, O, k, k] of a box-summed transposed convolution -> [O, I, k, k], mirrored."""
    return transposed.transpose(0, 1).flip(2, 3)
