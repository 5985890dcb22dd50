"""Progressive GANs of pytorch_GAN_zoo (the Torch Hub ``PGAN`` checkpoints).

A checkpoint holds ``config``, ``netG``, ``netD`` and ``avgG``, the moving average. Keys of a
generator: ``formatLayer`` [16 C, L] (rows ordered channel, y, x), ``groupScale0.0``,
``scaleLayers.{s}.{0,1}``, ``toRGBLayers.{s}``, each with ``.module.weight`` and ``.module.bias``
(early versions leave ``module`` out).

Arithmetic: latent pixel-normalised; every layer is (weight * x + bias) * sqrt(2 / fan_in): the
scale multiplies the bias too, and toRGB has the gain sqrt(2) as well; leaky ReLU 0.2, then pixel
norm; nearest-neighbour doubling before the first layer of a scale; no activation at the end for
the loss WGANGP, tanh for the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from latentedit.checkpoints.accounting import Reading, Shape, account, size_of
from latentedit.checkpoints.objects import Settings, in_short
from latentedit.checkpoints.progressive import Layers, build
from latentedit.errors import LatentEditError

NAME = "pytorch_GAN_zoo progressive GAN"

_AS_PUBLISHED: dict[str, tuple[Any, ...]] = {
    "leakyReluLeak": (0.2,),
    "perChannelNormalization": (True,),
    "dimOutput": (3,),
    "categoryVectorDim": (0,),
    "lossCriterion": ("WGANGP", "WGANGP2"),
}


def recognise(state: Mapping[str, Any]) -> bool:
    """Whether the keys are those of a GAN zoo checkpoint or of one of its generators."""
    for name in ("avgG", "netG"):
        if isinstance(state.get(name), Mapping):
            return recognise(state[name])
    return any(re.match(r"(module\.)?formatLayer\.", str(key)) for key in state)


def convert_gan_zoo(state: Mapping[str, Any], what: str) -> Reading:
    """Map a GAN zoo checkpoint, or a generator's state dictionary alone, onto a `Generator`.

    Args:
        state: what is in the file.
        what: the file, for messages.

    Raises:
        LatentEditError: keys are missing, extra or mis-shaped, or an option is not that of the
            published generators.
    """
    notes, unused, equalised = [], {}, True
    part = next((name for name in ("avgG", "netG") if isinstance(state.get(name), Mapping)), None)
    if part is not None:
        equalised = _check_options(state.get("config"), what)
        if "config" not in state:
            notes.append("the file has no options; those of the published models are taken")
        reasons = {"netG": "the moving average avgG is used", "config": "options, checked"}
        unused = {
            key: reasons.get(key, "not part of the generator") for key in state if key != part
        }
        state = state[part]
    else:
        notes.append("the file has no options; those of the published models are taken")
    state = {str(key): value for key, value in state.items()}
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    middle = ".module" if "formatLayer.module.weight" in state else ""
    scales = [int(m[1]) for key in state if (m := re.match(r"scaleLayers\.(\d{1,2})\.", str(key)))]
    blocks = 2 + max(scales, default=-1)
    names = ["groupScale0.0"]
    names += [f"scaleLayers.{scale}.{layer}" for scale in range(blocks - 1) for layer in (0, 1)]
    widths = [size_of(state, f"{names[2 * b]}{middle}.bias", 0) for b in range(blocks)]
    latent = size_of(state, f"formatLayer{middle}.weight", 1)
    features = None if widths[0] is None else 16 * widths[0]
    shapes: dict[str, tuple[Shape, Shape]] = {"formatLayer": ((features, latent), (features,))}
    for index, name in enumerate(names):
        outputs, inputs = widths[(index + 1) // 2], widths[index // 2]
        shapes[name] = ((outputs, inputs, 3, 3), (outputs,))
    for b in range(blocks):
        shapes[f"toRGBLayers.{b}"] = ((3, widths[b], 1, 1), (3,))
    expected: dict[str, Shape] = {}
    for name, (weight, bias) in shapes.items():
        expected |= {f"{name}{middle}.weight": weight, f"{name}{middle}.bias": bias}
    tensors = account(state, expected, f"{what} ({NAME})")

    def layer(name: str) -> tuple[Tensor, Tensor]:
        weight = tensors[f"{name}{middle}.weight"].double()
        scale = math.sqrt(2 / weight[0].numel()) if equalised else 1.0
        return weight * scale, tensors[f"{name}{middle}.bias"].double() * scale

    dense, dense_bias = layer("formatLayer")
    layers = Layers(
        dense=dense.reshape(-1, 4, 4, dense.shape[1]),
        dense_bias=dense_bias.reshape(-1, 4, 4),
        convs=[layer(name) for name in names],
        rgbs={b: layer(f"toRGBLayers.{b}") for b in range(blocks)},
    )
    return Reading(build(layers), len(tensors), notes, unused)


def _check_options(config: Any, what: str) -> bool:
    """Refuse options that `Generator` does not have; return whether the scales are equalised."""
    if not isinstance(config, Settings):
        return True
    for name, allowed in _AS_PUBLISHED.items():
        value = config.get(name, allowed[0])
        if value not in allowed:
            raise LatentEditError(
                f"{what} was trained with {name}={in_short(value, 40)}; only "
                f"{' or '.join(map(str, allowed))} can be read"
            )
    if config.get("alpha", 0) not in (0, 0.0):
        raise LatentEditError(
            f"{what} was saved while a new resolution faded in (alpha {config.get('alpha', 0)}): "
            "give a later snapshot"
        )
    return bool(config.get("equalizedlR", True))
