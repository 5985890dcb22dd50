"""Bundles: folders of weights, each with a JSON card, checked when they are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from latentedit.classifier import AttributeClassifier, ClassifierConfig
from latentedit.errors import LatentEditError
from latentedit.files import atomic_path, make_folder, read_json, sha256, write_json
from latentedit.generator import Generator, GeneratorConfig
from latentedit.hashing import weights_hash

DEFAULT_BUNDLE = "celeba64"

TERMS = (
    "Trained on CelebA, which is for non-commercial research only; these weights carry the same "
    "terms. Do not use them to deceive about, or to identify, real people."
)

_PACKAGE = Path(__file__).parent
_ROOTS = (_PACKAGE / "bundles", _PACKAGE.parent / "pretrained")  # in a wheel; in a checkout

Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")


def bundle_names() -> list[str]:
    """Names of the bundles that ship with the package."""
    return sorted({card.parent.name for root in _ROOTS for card in root.glob("*/generator.json")})


def find_bundle(name: str | Path | None = None) -> Path:
    """Return the folder of a bundle: the default, a shipped one by name, or any folder.

    Raises:
        LatentEditError: neither a name nor a folder.
    """
    name = DEFAULT_BUNDLE if name is None else name
    for root in _ROOTS:
        if (root / name).is_dir():
            return root / name
    if Path(name).is_dir():
        return Path(name)
    raise LatentEditError(
        f"no model {str(name)!r}: give a folder, or one of: {', '.join(bundle_names()) or 'none'}"
    )


def save_part(
    folder: str | Path, kind: str, network: nn.Module, config: Any, card: Mapping[str, Any]
) -> None:
    """Write ``KIND.safetensors`` and ``KIND.json`` into a bundle, each atomically.

    Args:
        kind: ``generator`` or ``classifier``.
        config: the network's configuration dataclass.
        card: further entries: data, commands, figures.

    Raises:
        LatentEditError: the folder cannot be written.
    """
    folder = make_folder(folder)
    weights = folder / f"{kind}.safetensors"
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    with atomic_path(weights) as temporary:
        save_file(state, temporary)
    entries = {
        "kind": kind,
        "config": asdict(config),
        "sha256": sha256(weights),
        "weights_hash": weights_hash(network),
        "terms": TERMS,
        **card,
    }
    write_json(folder / f"{kind}.json", entries)


def load_generator(folder: str | Path) -> tuple[Generator, dict[str, Any]]:
    """Load a bundle's generator in eval mode, and its card.

    Raises:
        LatentEditError: missing, damaged, or of another shape than its card says.
    """
    return _load_part(Path(folder), "generator", Generator, GeneratorConfig)


def load_classifier(folder: str | Path) -> tuple[AttributeClassifier, dict[str, Any]]:
    """Load a bundle's classifier in eval mode, and its card.

    Raises:
        LatentEditError: missing, damaged, or of another shape than its card says.
    """
    return _load_part(Path(folder), "classifier", AttributeClassifier, ClassifierConfig)


def _load_part(
    folder: Path, kind: str, network_type: type[Network], config_type: type[Any]
) -> tuple[Network, dict[str, Any]]:
    weights, card_path = folder / f"{kind}.safetensors", folder / f"{kind}.json"
    for path in (weights, card_path):
        if not path.is_file():
            raise LatentEditError(f"{folder} has no {path.name}: give a whole bundle")
    card = read_json(card_path)
    try:
        if sha256(weights) != card["sha256"]:
            raise LatentEditError(f"{weights} does not match its card's checksum: fetch it again")
        network = network_type(config_from_json(config_type, card["config"]))
    except (KeyError, TypeError, AttributeError):
        raise LatentEditError(f"{card_path} is not the card of a {kind}: fetch it again") from None
    try:
        state = load_file(weights)
    except (SafetensorError, OSError):
        raise LatentEditError(f"{weights} is not a safetensors file: fetch it again") from None
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        detail = " ".join(str(error).split())
        raise LatentEditError(f"{weights} does not fit its card: {detail}") from None
    return network.eval(), card


def config_from_json(config_type: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a configuration dataclass from JSON, lists becoming tuples.

    Raises:
        TypeError: entries that it does not have.
    """
    entries = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return config_type(**entries)
