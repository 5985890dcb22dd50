"""Bundles: folders of weights, each with a JSON card, checked when they are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from latentedit.classifiers.age import AgeConfig, AgeEstimator
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.classifiers.portrait import PortraitConfig, PortraitNetwork
from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.generators.registry import SUFFIXES, read_generator
from latentedit.io.cards import load_card, save_with_card
from latentedit.io.files import copy_file, make_folder
from latentedit.io.weights import build_network, save_weights
from latentedit.pretrained.cache import SOURCES, pulled
from latentedit.pretrained.hashing import weights_hash

EMBEDDED_BUNDLE = "faces128"
"""The model that ships whole.

It is the default if no better model was pulled. Its classifier and age estimator judge the faces of
bundles without a classifier.
"""

PULLED_BUNDLE = "ffhq1024"
"""The default if its generator was pulled (`pretrained.cache`); its other parts ship."""

PORTRAIT_BUNDLE = "portrait"
"""The bundle that holds the portrait network, and nothing else."""

KIND = "generator"

TERMS = (
    "Trained on the faces named under data (CelebA, LFW, UTKFace), which are for non-commercial "
    "research only; these weights carry the same terms. Do not use them to deceive about, or to "
    "identify, real people."
)

_PACKAGE = Path(__file__).parents[1]
_ROOTS = (_PACKAGE / "bundles", _PACKAGE.parent / "pretrained")  # in a wheel; in a checkout


def bundle_names(part: str = "generator") -> list[str]:
    """Return the names of bundles that hold a part, and ship with the package or were pulled."""
    names = {card.parent.name for root in _ROOTS for card in root.glob(f"*/{part}.json")}
    if part == KIND:
        names |= {name for name in SOURCES if pulled(name)}
    return sorted(names)


def default_bundle() -> str:
    """Return the name of the model that is used if none is named."""
    ready = pulled(PULLED_BUNDLE) and _shipped(PULLED_BUNDLE, "boundaries")
    return PULLED_BUNDLE if ready else EMBEDDED_BUNDLE


def find_bundle(name: str | Path | None = None, part: str = "generator") -> Path:
    """Return the folder of a bundle: the default, a shipped one by name, or any folder.

    Args:
        name: a name or a folder; None is the default model, or for ``portrait`` its bundle.
        part: the part that it will be opened for.

    Raises:
        LatentEditError: it is neither a name nor a folder, or a model that must be pulled first.
    """
    if name is None:
        name = PORTRAIT_BUNDLE if part == "portrait" else default_bundle()
    name = str(name)
    if name in bundle_names(part):
        own = _shipped(name, part) or _shipped(name) or pulled(name)
        assert own is not None  # because it is among the names
        return own
    if name and Path(name).is_dir():
        return Path(name)
    if name in SOURCES and part == KIND:
        raise LatentEditError(
            f"{name} is not here yet: fetch it once with 'latentedit models pull {name}'"
        )
    raise LatentEditError(
        f"no model {name!r}: give a bundle's folder, or one of: "
        f"{', '.join(bundle_names(part)) or 'none is shipped'}"
    )


def _shipped(name: str, part: str | None = None) -> Path | None:
    """Return the folder of a bundle that ships with the package, if it holds a part."""
    folders = (root / name for root in _ROOTS)
    return next(
        (each for each in folders if (each / f"{part}.json" if part else each).exists()), None
    )


def find_judges(folder: Path) -> dict[str, Path]:
    """Return the bundles whose classifier and age estimator look at a bundle's faces.

    These are its own. A bundle without a classifier, such as `latentedit convert` writes, takes
    what it lacks from the embedded bundle.

    Returns:
        Folder by part, ``classifier`` and ``age``; a part that neither bundle has is left out.
    """
    own = {part: folder for part in ("classifier", "age") if _holds(folder, part)}
    if "classifier" in own or EMBEDDED_BUNDLE not in bundle_names("classifier"):
        return own
    shipped = find_bundle(EMBEDDED_BUNDLE, "classifier")
    return {part: shipped for part in ("classifier", "age") if _holds(shipped, part)} | own


def _holds(folder: Path, part: str) -> bool:
    return any((folder / f"{part}{suffix}").is_file() for suffix in (".safetensors", ".json"))


def weights_file(folder: str | Path, part: str) -> Path:
    """Return the path of a part's weights, even if it does not exist; the card lies beside it.

    The generator of a shipped bundle may have been pulled into the user's cache.
    """
    folder = Path(folder)
    homes = [folder]
    if part == KIND and folder.parent in _ROOTS and (cached := pulled(folder.name)):
        homes.append(cached)
    files = [home / f"{part}{suffix}" for home in homes for suffix in SUFFIXES]
    return next((file for file in files if file.is_file()), files[0])


def save_part(
    folder: str | Path, kind: str, network: nn.Module, config: Any, card: Mapping[str, Any]
) -> None:
    """Write ``KIND.safetensors`` and ``KIND.json`` into a bundle, both or neither.

    Weights that float16 holds exactly are stored as float16; networks compute in float32 either
    way.

    Args:
        kind: ``generator``, ``classifier``, ``age`` or ``portrait``.
        config: the network's configuration dataclass.
        card: further entries: data, commands, figures.

    Raises:
        LatentEditError: the folder cannot be written.
    """
    entries = {
        "config": asdict(config),
        "weights_hash": weights_hash(network),
        "terms": TERMS,
        **card,
    }
    weights = make_folder(folder) / f"{kind}.safetensors"
    save_with_card(weights, lambda file: save_weights(file, network), kind, entries)


def save_generator(folder: str | Path, generator: FaceGenerator, card: Mapping[str, Any]) -> None:
    """Write a generator of any kind that a bundle can hold, and its card.

    Args:
        card: further entries: where it is from, terms, figures.

    Raises:
        LatentEditError: the folder cannot be written, or the generator is a module of the user's
            own, whose code no bundle can hold.
    """
    entries = {
        "config": asdict(generator.config),
        "weights_hash": weights_hash(generator),
        **card,
        "network": generator.kind,
    }
    weights = make_folder(folder) / f"{KIND}{generator.suffix}"
    for name, source in generator.files_beside.items():
        make_folder((weights.parent / name).parent)
        copy_file(source, weights.parent / name)
    save_with_card(weights, generator.write, KIND, entries)


def load_generator(folder: str | Path) -> tuple[FaceGenerator, dict[str, Any]]:
    """Load a bundle's generator in eval mode, and its card, which names the network.

    Raises:
        LatentEditError: it is missing, damaged or of another shape than its card says, or the
            package that runs it is not installed.
    """
    weights = weights_file(folder, KIND)
    try:
        card = _load_card(weights)
        return read_generator(weights, card), card
    except LatentEditError as error:
        name = weights.parent.name
        if weights.parent != pulled(name):
            raise
        raise LatentEditError(
            f"{error}: remove {weights.parent}, then 'latentedit models pull {name}'"
        ) from error


def load_classifier(folder: str | Path) -> tuple[AttributeClassifier, dict[str, Any]]:
    """Load a bundle's classifier in eval mode, and its card.

    Raises:
        LatentEditError: missing, damaged, or of another shape than its card says.
    """
    return _load_part(AttributeClassifier, ClassifierConfig, folder, "classifier")


def load_age_estimator(folder: str | Path) -> tuple[AgeEstimator, dict[str, Any]]:
    """Load a bundle's age estimator in eval mode, and its card.

    Raises:
        LatentEditError: missing, damaged, or of another shape than its card says.
    """
    return _load_part(AgeEstimator, AgeConfig, folder, "age")


def load_portrait(folder: str | Path) -> tuple[PortraitNetwork, dict[str, Any]]:
    """Load a bundle's portrait network in eval mode, and its card.

    Raises:
        LatentEditError: missing, damaged, or of another shape than its card says.
    """
    return _load_part(PortraitNetwork, PortraitConfig, folder, "portrait")


def _load_part(
    network: type[nn.Module], config: type[Any], folder: str | Path, part: str
) -> tuple[Any, dict[str, Any]]:
    weights = Path(folder) / f"{part}.safetensors"
    card = _load_card(weights)
    return build_network(network, config, card.get("config"), weights), card


def _load_card(weights: Path) -> dict[str, Any]:
    if not weights.parent.is_dir():
        raise LatentEditError(f"{weights.parent} is not a folder: give a bundle's folder")
    return load_card(weights, weights.stem)
