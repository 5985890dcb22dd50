"""Write a network's weights to a safetensors file, and build a network from its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.io.cards import card_path

Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)


def save_weights(weights: Path, network: nn.Module) -> None:
    """Write a network's state; tensors that float16 holds exactly are stored in float16."""
    state = network.state_dict().items()
    save_file({name: _compact(value.detach().cpu()) for name, value in state}, weights)


def _compact(value: Tensor) -> Tensor:
    """Return the same numbers in float16 if it holds them exactly."""
    half = value.half() if value.dtype == torch.float32 else value
    return (half if torch.equal(half.to(value.dtype), value) else value).contiguous()


def build_network(
    build: Callable[[Config], Network], config_type: type[Config], config: Any, weights: Path
) -> Network:
    """Build the network that a card describes and load its weights.

    Args:
        build: makes the network from its configuration.
        config_type: the configuration's dataclass.
        config: the card's entry.
        weights: a safetensors file; its name without the suffix says what the network is.

    Returns:
        The network in eval mode.

    Raises:
        LatentEditError: no such configuration, or weights that are damaged or of another shape.
    """
    try:
        with torch.random.fork_rng(devices=[]):  # new weights are random: keep torch's state
            network = build(config_from_json(config_type, config))
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError):
        raise LatentEditError(no_such_network(weights)) from None
    try:
        state = load_file(weights)
    except (SafetensorError, OSError):
        raise LatentEditError(f"{weights} is not a safetensors file: fetch it again") from None
    misfit = _misfit(network.state_dict(), state)
    if misfit:
        raise LatentEditError(f"{weights} does not fit its card, {misfit}: fetch both again")
    network.load_state_dict(state)
    return network.eval()


def no_such_network(weights: Path) -> str:
    """Return the message for a card that describes no network that can be built."""
    return f"{card_path(weights)} describes no {weights.stem} that can be built: fetch it again"


def _misfit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """Return the first difference in names or shapes, in words; None if there is none."""
    for name in sorted({*wanted, *found}):
        shapes = [list(state[name].shape) if name in state else None for state in (wanted, found)]
        if shapes[0] != shapes[1]:
            expected, actual = ("nothing" if s is None else s for s in shapes)
            return f"{name} is {actual} where {expected} is expected"
    return None


def config_from_json(config_type: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a configuration dataclass from JSON; lists become tuples.

    Raises:
        TypeError: the JSON has entries that the dataclass does not have.
    """
    entries = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return config_type(**entries)
