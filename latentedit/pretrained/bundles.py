"""Bundles: folders of weights, each with a JSON card, checked when they are loaded."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentedit.classifiers.age import AgeConfig, AgeEstimator
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.classifiers.portrait import PortraitConfig, PortraitNetwork
from latentedit.errors import LatentEditError
from latentedit.generators.adapters import AdaptedConfig, OnnxGenerator
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from latentedit.io.cards import card_path, load_card, save_with_card
from latentedit.io.files import make_folder
from latentedit.pretrained.hashing import weights_hash

DEFAULT_BUNDLE = "faces128"

PORTRAIT_BUNDLE = "portrait"
"""The bundle that holds the portrait network, and nothing else."""

KIND = "generator"
ONNX_FILE = "generator.onnx"
"""In place of ``generator.safetensors`` where a bundle's generator is an ONNX file."""

TERMS = (
    "Trained on the faces named under data (CelebA, LFW, UTKFace), which are for non-commercial "
    "research only; these weights carry the same terms. Do not use them to deceive about, or to "
    "identify, real people."
)

_PACKAGE = Path(__file__).parents[1]
_ROOTS = (_PACKAGE / "bundles", _PACKAGE.parent / "pretrained")  # in a wheel; in a checkout

_NETWORKS: dict[str, dict[str, tuple[type[nn.Module], type[Any]]]] = {
    "generator": {
        "progressive": (Generator, GeneratorConfig),
        "stylegan2": (StyleGAN2Generator, StyleGAN2Config),
    },
    "classifier": {"residual": (AttributeClassifier, ClassifierConfig)},
    "age": {"residual": (AgeEstimator, AgeConfig)},
    "portrait": {"residual": (PortraitNetwork, PortraitConfig)},
}
"""What builds a kind of part, by the card's ``network``; the first where the card names none."""

Config = TypeVar("Config")


def bundle_names(part: str = "generator") -> list[str]:
    """Names of the bundles that ship with the package and hold a part."""
    return sorted({card.parent.name for root in _ROOTS for card in root.glob(f"*/{part}.json")})


def find_bundle(name: str | Path | None = None, part: str = "generator") -> Path:
    """Return the folder of a bundle: the default, a shipped one by name, or any folder.

    Args:
        name: a name or a folder; by default the bundle that holds `part`.
        part: what it will be opened for.

    Raises:
        LatentEditError: neither a name nor a folder.
    """
    if name is None:
        name = PORTRAIT_BUNDLE if part == "portrait" else DEFAULT_BUNDLE
    name = str(name)
    if name in bundle_names(part):
        return next(root / name for root in _ROOTS if (root / name / f"{part}.json").is_file())
    if name and Path(name).is_dir():
        return Path(name)
    raise LatentEditError(
        f"no model {name!r}: give a bundle's folder, or one of: "
        f"{', '.join(bundle_names(part)) or 'none is shipped'}"
    )


def find_judges(folder: Path) -> dict[str, Path]:
    """Return the bundles whose classifier and age estimator look at a bundle's faces.

    They are its own. One without a classifier, such as `latentedit convert` writes, is judged by
    the default bundle's.

    Returns:
        Folder by part, ``classifier`` and ``age``; a part that is nowhere is left out.
    """
    own = {part: folder for part in ("classifier", "age") if _holds(folder, part)}
    if "classifier" in own or DEFAULT_BUNDLE not in bundle_names("classifier"):
        return own
    shipped = find_bundle(DEFAULT_BUNDLE, "classifier")
    return {part: shipped for part in ("classifier", "age") if _holds(shipped, part)} | own


def _holds(folder: Path, part: str) -> bool:
    return any((folder / f"{part}{suffix}").is_file() for suffix in (".safetensors", ".json"))


def save_part(
    folder: str | Path, kind: str, network: nn.Module, config: Any, card: Mapping[str, Any]
) -> None:
    """Write ``KIND.safetensors`` and ``KIND.json`` into a bundle, both or neither.

    Weights that float16 holds exactly are stored in it; networks compute in float32 either way.

    Args:
        kind: ``generator``, ``classifier``, ``age`` or ``portrait``.
        config: the network's configuration dataclass.
        card: further entries: data, commands, figures.

    Raises:
        LatentEditError: the folder cannot be written.
    """
    state = {name: _compact(value.detach().cpu()) for name, value in network.state_dict().items()}
    entries = {
        "config": asdict(config),
        "weights_hash": weights_hash(network),
        "terms": TERMS,
        **card,
    }
    weights = make_folder(folder) / f"{kind}.safetensors"
    save_with_card(weights, lambda file: save_file(state, file), kind, entries)


def _compact(value: Tensor) -> Tensor:
    """The same numbers in float16, where it holds them."""
    half = value.half() if value.dtype == torch.float32 else value
    return (half if torch.equal(half.to(value.dtype), value) else value).contiguous()


def save_generator(folder: str | Path, generator: nn.Module, card: Mapping[str, Any]) -> None:
    """Write a generator of any kind that a bundle can hold, and its card.

    Raises:
        LatentEditError: the folder cannot be written, or the generator is a module of the user's
            own, whose code no bundle can hold.
    """
    if isinstance(generator, OnnxGenerator):
        save_onnx(folder, generator, card)
        return
    for name, (network_type, _) in _NETWORKS[KIND].items():
        if isinstance(generator, network_type):
            save_part(folder, KIND, generator, generator.config, {**card, "network": name})
            return
    raise LatentEditError(
        "a bundle cannot hold a module of your own: export it to ONNX and convert that"
    )


def save_onnx(folder: str | Path, generator: OnnxGenerator, card: Mapping[str, Any]) -> None:
    """Write ``generator.onnx``, the file as it is, and ``generator.json`` into a bundle.

    Raises:
        LatentEditError: the folder cannot be written.
    """
    entries = {
        "network": "onnx",
        "config": asdict(generator.config),
        "weights_hash": weights_hash(generator),
        **card,
    }

    def write(file: Path) -> None:
        shutil.copyfile(generator.path, file)

    save_with_card(make_folder(folder) / ONNX_FILE, write, KIND, entries)


def load_generator(
    folder: str | Path,
) -> tuple[Generator | StyleGAN2Generator | OnnxGenerator, dict[str, Any]]:
    """Load a bundle's generator in eval mode, and its card, which names the network.

    Raises:
        LatentEditError: missing, damaged, of another shape than its card says, or an ONNX file and
            ONNX Runtime is not installed.
    """
    folder = Path(folder)
    if (folder / ONNX_FILE).is_file():
        return _load_onnx(folder / ONNX_FILE)
    return _load_part(folder, KIND)


def _load_onnx(weights: Path) -> tuple[OnnxGenerator, dict[str, Any]]:
    card = load_card(weights, KIND)
    try:
        config = config_from_json(AdaptedConfig, card["config"])
    except (KeyError, TypeError, AttributeError):
        raise LatentEditError(
            f"{card_path(weights)} describes no ONNX generator: convert the file again"
        ) from None
    generator = OnnxGenerator(weights, value_range=config.value_range, space=config.space)
    if generator.config != config:
        raise LatentEditError(f"{weights} does not fit its card: convert the file again")
    return generator.eval(), card


def load_classifier(folder: str | Path) -> tuple[AttributeClassifier, dict[str, Any]]:
    """Load a bundle's classifier in eval mode, and its card.

    Raises:
        LatentEditError: missing, damaged, or of another shape than its card says.
    """
    return _load_part(Path(folder), "classifier")


def load_age_estimator(folder: str | Path) -> tuple[AgeEstimator, dict[str, Any]]:
    """Load a bundle's age estimator in eval mode, and its card.

    Raises:
        LatentEditError: missing, damaged, or of another shape than its card says.
    """
    return _load_part(Path(folder), "age")


def load_portrait(folder: str | Path) -> tuple[PortraitNetwork, dict[str, Any]]:
    """Load a bundle's portrait network in eval mode, and its card.

    Raises:
        LatentEditError: missing, damaged, or of another shape than its card says.
    """
    return _load_part(Path(folder), "portrait")


def _load_part(folder: Path, kind: str) -> tuple[Any, dict[str, Any]]:
    weights = folder / f"{kind}.safetensors"
    if not folder.is_dir():
        raise LatentEditError(f"{folder} is not a folder: give a bundle's folder")
    card = load_card(weights, kind)
    try:
        networks = _NETWORKS[kind]
        network_type, config_type = networks[card.get("network", next(iter(networks)))]
        with torch.random.fork_rng(devices=[]):  # first weights are random; nobody should notice
            network = network_type(config_from_json(config_type, card["config"]))
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError):
        raise LatentEditError(
            f"{card_path(weights)} describes no {kind} that can be built: fetch it again"
        ) from None
    try:
        state = load_file(weights)
    except (SafetensorError, OSError):
        raise LatentEditError(f"{weights} is not a safetensors file: fetch it again") from None
    misfit = _misfit(network.state_dict(), state)
    if misfit:
        raise LatentEditError(f"{weights} does not fit its card, {misfit}: fetch both again")
    network.load_state_dict(state)
    return network.eval(), card


def _misfit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """The first difference in names or shapes, in words, or None."""
    for name in sorted({*wanted, *found}):
        shapes = [list(state[name].shape) if name in state else None for state in (wanted, found)]
        if shapes[0] != shapes[1]:
            expected, actual = ("nothing" if s is None else s for s in shapes)
            return f"{name} is {actual} where {expected} is expected"
    return None


def config_from_json(config_type: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a configuration dataclass from JSON, lists becoming tuples.

    Raises:
        TypeError: entries that it does not have.
    """
    entries = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return config_type(**entries)
