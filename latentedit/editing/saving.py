"""Write a whole model as a bundle."""

from __future__ import annotations

from pathlib import Path

from latentedit.boundaries.model import Boundaries
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.generators.base import FaceGenerator
from latentedit.io.files import atomic_path
from latentedit.pretrained.hashing import weights_hash
from latentedit.pretrained.model import BOUNDARIES_FILE, PARTS, Bundle
from latentedit.pretrained.model_card import is_model_card, model_card
from latentedit.pretrained.saving import (
    kept_entries,
    remove_leftovers,
    save_companions,
    save_networks,
)


def save_model(
    folder: Path,
    name: str,
    bundle: Bundle | None,
    generator: FaceGenerator,
    classifier: AttributeClassifier | None,
    age_estimator: object | None,
    boundaries: Boundaries | None,
) -> None:
    """Write a model as a bundle, with the README.md that the Hub shows.

    Args:
        folder: made if it is missing; a bundle in it is replaced, a README.md of the user's stays.
        name: what the README.md calls it.
        bundle: the bundle that the parts are from, if they are from one; its cards are kept.
        age_estimator: an `AgeEstimator`, or None.

    Raises:
        LatentEditError: see `save_networks`.
    """
    known = bundle.cards if bundle else {}
    cards = {part: kept_entries(known.get(part, {})) for part in PARTS}
    save_networks(folder, generator, classifier, age_estimator, cards)
    save_companions(folder, bundle, weights_hash(generator))
    if boundaries is not None:
        boundaries.save(folder / BOUNDARIES_FILE, cards["boundaries"])
    parts = dict(zip(PARTS, (generator, classifier, age_estimator, boundaries), strict=True))
    written = {part for part, value in parts.items() if value is not None}
    remove_leftovers(folder, bundle, generator.suffix, written)
    readme = folder / "README.md"
    if is_model_card(readme):
        with atomic_path(readme) as file:
            file.write_text(model_card(folder, name), encoding="utf-8")
