"""Wider networks that compute the same as a narrower one, with room to learn more.

Net2WiderNet of Chen et al. 2016, for layers of equalised learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators.layers import EqualizedConv2d, EqualizedLinear

NOISE = 0.05
"""Standard deviation of the noise that makes copies differ, as a share of the weights' own."""


def copy_or_widen(tensors: Mapping[str, Tensor], network: nn.Module) -> int:
    """Copy weights into a network of the same or larger widths and as many or more blocks.

    If the network is wider, features are repeated. The weight of a repeated input is divided among
    its copies; the layer's run-time scale is taken into account. A little noise, the same at every
    call, lets the copies learn different things. Pixel norms and a batch's standard deviation stay
    the same if all features are repeated equally often.

    Args:
        tensors: the narrower network's tensors, with the same names.
        network: changed in place; what `tensors` lacks stays as it is.

    Returns:
        the number of tensors that were copied.

    Raises:
        LatentEditError: a weight is larger than the network's.
    """
    own = network.state_dict()
    layers = {
        f"{name}.weight"
        for name, layer in network.named_modules()
        if isinstance(layer, EqualizedConv2d | EqualizedLinear)
    }
    random = torch.Generator().manual_seed(0)
    taken = {}
    for key, value in tensors.items():
        if key not in own:
            continue
        if value.shape == own[key].shape:
            taken[key] = value
        elif key in layers:
            taken[key] = _widen_weight(value, own[key], random)
        elif key.endswith("bias"):
            taken[key] = value[_sources(len(own[key]), len(value))]
    network.load_state_dict(taken, strict=False)
    return len(taken)


def _widen_weight(weight: Tensor, wide: Tensor, random: torch.Generator) -> Tensor:
    """Widen a weight to the shape of `wide`: repeat its rows, repeat and divide its columns."""
    if any(new < old for new, old in zip(wide.shape, weight.shape, strict=True)):
        raise LatentEditError(
            f"weights of {tuple(weight.shape)} do not fit into {tuple(wide.shape)}: give the "
            "widths of the network to start from, or larger ones"
        )
    rows, columns = _sources(len(wide), len(weight)), _sources(wide.shape[1], weight.shape[1])
    copies = torch.bincount(columns)[columns]
    # the layer divides by the root of its inputs when it runs
    share = math.sqrt(wide.shape[1] / weight.shape[1]) / copies
    repeated = weight[rows][:, columns] * share.view(-1, *[1] * (weight.dim() - 2))
    noise = torch.randn(repeated.shape, generator=random)
    return repeated + noise * (NOISE * repeated.std())


def _sources(wide: int, narrow: int) -> Tensor:
    """Return which of `narrow` features each of `wide` features repeats.

    If `narrow` is odd, its last feature is the batch's standard deviation, which is not repeated.
    """
    if wide == narrow:
        return torch.arange(wide)
    features = narrow - narrow % 2
    sources = torch.arange(wide) % features
    sources[wide - narrow % 2 :] = features
    return sources
