"""Write a bundle: its networks and what belongs to its generator; remove what was there before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from latentedit.classifiers.age import AgeEstimator
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.generators.registry import SUFFIXES
from latentedit.io.files import copy_file, read_json
from latentedit.pretrained.bundles import save_generator, save_part
from latentedit.pretrained.model import COMPANIONS, PARTS, Bundle


def save_networks(
    folder: Path,
    generator: FaceGenerator,
    classifier: AttributeClassifier | None,
    age_estimator: object | None,
    cards: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write a model's networks as a bundle.

    Args:
        folder: made if it is missing.
        age_estimator: an `AgeEstimator`, or None.
        cards: entries for the card of each part, by part.

    Raises:
        LatentEditError: no bundle can hold the generator or the age estimator, or the folder cannot
            be written.
    """
    if age_estimator is not None and not isinstance(age_estimator, AgeEstimator):
        raise LatentEditError("a bundle cannot hold an age estimator of your own: leave it out")
    save_generator(folder, generator, cards["generator"])
    if classifier is not None:
        save_part(folder, "classifier", classifier, classifier.config, cards["classifier"])
    if age_estimator is not None:
        save_part(folder, "age", age_estimator, age_estimator.config, cards["age"])


def save_companions(folder: Path, bundle: Bundle | None, generator_hash: str) -> None:
    """Copy the preview heads and the encoder that belong to a generator into its new bundle.

    Where `bundle` has none for this generator, those that lie in `folder` from before are removed.

    Args:
        folder: see `save_networks`.
        bundle: the bundle that the generator is from, if it is from one.
        generator_hash: the hash of its weights.

    Raises:
        LatentEditError: the folder cannot be written.
    """
    for part in COMPANIONS:
        card = bundle.cards.get(part, {}) if bundle else {}
        fits = card.get("generator_hash") == generator_hash
        if not fits and _is_part(folder / f"{part}.json", part):
            for suffix in (".json", ".safetensors"):
                (folder / f"{part}{suffix}").unlink(missing_ok=True)
        for suffix in (".safetensors", ".json"):
            target = folder / f"{part}{suffix}"
            if not fits:
                continue
            assert bundle is not None
            source = bundle.homes[part] / target.name
            if target.exists() and target.samefile(source):
                continue
            copy_file(source, target)


def remove_leftovers(
    folder: Path, bundle: Bundle | None, suffix: str, written: Collection[str]
) -> None:
    """Remove what a new bundle's folder holds from another bundle: parts that were not written.

    Nothing is removed where a bundle is written into its own folder. Files are removed only if
    their card says that they are such a part.

    Args:
        folder: see `save_networks`.
        bundle: the bundle that the parts are from, if they are from one.
        suffix: of the generator's file; generators with other suffixes are removed.
        written: the parts that were written.
    """
    if bundle is not None and bundle.folder.exists() and bundle.folder.samefile(folder):
        return
    for other in SUFFIXES:
        if other != suffix:
            (folder / f"generator{other}").unlink(missing_ok=True)
    for part in (*PARTS, "effects"):
        if part not in written and _is_part(folder / f"{part}.json", part):
            for ending in (".safetensors", ".json"):
                (folder / f"{part}{ending}").unlink(missing_ok=True)


def _is_part(card: Path, part: str) -> bool:
    """Return whether a file is the card of a bundle's part."""
    try:
        entries = read_json(card)
    except (LatentEditError, OSError):
        return False
    return isinstance(entries, dict) and entries.get("kind") == part


def kept_entries(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a loaded card that stay true when the part is written again."""
    written_anew = {"kind", "sha256", "config", "weights_hash", "network"}
    written_anew |= {"generator_hash", "space", "attributes"}  # of boundaries
    return {key: value for key, value in card.items() if key not in written_anew}
