"""The kinds of generators that a bundle can hold, by their names in cards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.generators.mobilestylegan import MobileStyleGAN
from latentedit.generators.onnx import OnnxGenerator
from latentedit.generators.progressive import Generator
from latentedit.generators.progressive_w import ProgressiveW
from latentedit.generators.stylegan2 import StyleGAN2Generator
from latentedit.io.weights import config_from_json, no_such_network

_KNOWN: tuple[type[FaceGenerator], ...] = (
    Generator,
    ProgressiveW,
    StyleGAN2Generator,
    MobileStyleGAN,
    OnnxGenerator,
)
"""All kinds. If a card names no kind, its generator is of the first."""

KINDS = {network.kind: network for network in _KNOWN}
SUFFIXES = tuple(dict.fromkeys(network.suffix for network in _KNOWN))
"""Endings of the files that their weights are in."""


def read_generator(weights: Path, card: Mapping[str, Any]) -> FaceGenerator:
    """Build the generator that a card describes, with the weights of a file, in eval mode.

    Args:
        weights: the file; its ending is one of `SUFFIXES`.
        card: its ``network`` names the kind, its ``config`` the shape.

    Raises:
        LatentEditError: the kind is unknown or does not fit the file's ending; or see
            `FaceGenerator.read`.
    """
    network = KINDS.get(str(card.get("network", _KNOWN[0].kind)))
    if network is None or network.suffix != weights.suffix:
        raise LatentEditError(no_such_network(weights))
    return network.read(weights, card.get("config"))


def card_resolution(card: Mapping[str, Any]) -> int | None:
    """Return the edge of the pictures of a card's generator; None if the card describes none."""
    network = KINDS.get(str(card.get("network", _KNOWN[0].kind)))
    try:
        config: Any = config_from_json(network.config_type, card["config"]) if network else None
    except (KeyError, TypeError, AttributeError, LatentEditError):
        return None
    return config.resolution if network else None
