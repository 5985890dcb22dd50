"""A bundle as a whole: where its parts lie, what their cards say, how parts are loaded.

This module does not read boundaries; it only knows where their file lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from latentedit.classifiers.age import AgeEstimator
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.io.cards import load_card
from latentedit.io.files import read_json
from latentedit.io.weights import build_network
from latentedit.photos.encoder import Encoder, EncoderConfig
from latentedit.pretrained.bundles import (
    find_bundle,
    find_judges,
    load_age_estimator,
    load_classifier,
    load_generator,
    weights_file,
)

PARTS = ("generator", "classifier", "age", "boundaries")
"""What a face editor is made of."""

PREVIEWS = "previews"
"""Preview heads that ship apart from the generator they belong to."""

ENCODER = "encoder"
"""The network that finds the latents of a photo; only some models have one."""

COMPANIONS = (PREVIEWS, ENCODER)
"""What belongs to one generator and ships apart from it."""

BOUNDARIES_FILE = "boundaries.safetensors"


@dataclass(frozen=True)
class Bundle:
    """Where a model's parts are.

    Attributes:
        folder: the bundle.
        name: what recipes call the model.
        homes: the folder of each part that has weights or a card; a judge may be in the embedded
            bundle, see `find_judges`.
        cards: the card of each part that has one.
    """

    folder: Path
    name: str
    homes: Mapping[str, Path]
    cards: Mapping[str, Any]

    @classmethod
    def find(cls, model: str | Path | None = None) -> Self:
        """Look into a bundle: the default, a shipped one by name, or a folder.

        Raises:
            LatentEditError: `model` is neither a name nor a folder, or a card is no JSON.
        """
        folder = find_bundle(model)
        has = {path.stem for path in folder.iterdir() if path.suffix in (".safetensors", ".json")}
        homes = {part: folder for part in (*PARTS, PREVIEWS, ENCODER) if part in has} | find_judges(
            folder
        )
        if (weights := weights_file(folder, "generator")).is_file():
            homes["generator"] = weights.parent
        files = {part: home / f"{part}.json" for part, home in homes.items()}
        cards = {part: read_json(file) for part, file in files.items() if file.is_file()}
        return cls(folder, folder.resolve().name, homes, cards)

    def generator(self) -> FaceGenerator:
        """Load the generator, with its preview heads; see `load_generator`.

        Raises:
            LatentEditError: see `load_generator`, or the preview heads are of another generator.
        """
        generator, card = load_generator(self.folder)
        home = self.homes.get(PREVIEWS)
        if home is None:
            return generator
        weights = home / f"{PREVIEWS}.safetensors"
        heads = _card_of_generator(weights, PREVIEWS, card.get("weights_hash"), "train previews")
        return generator.read_previews(weights, heads.get("config"))

    def encoder(self) -> Encoder | None:
        """Load the encoder, which finds the latents of photos, if there is one.

        Raises:
            LatentEditError: it belongs to another generator, or is damaged.
        """
        home = self.homes.get(ENCODER)
        if home is None:
            return None
        weights = home / f"{ENCODER}.safetensors"
        generator_hash = self.cards.get("generator", {}).get("weights_hash")
        card = _card_of_generator(weights, ENCODER, generator_hash, "train encoder")
        return build_network(Encoder, EncoderConfig, card.get("config"), weights)

    def classifier(self) -> AttributeClassifier | None:
        """Load the classifier, if there is one; see `load_classifier`."""
        home = self.homes.get("classifier")
        return load_classifier(home)[0] if home else None

    def age_estimator(self) -> AgeEstimator | None:
        """Load the age estimator, if there is one; see `load_age_estimator`."""
        home = self.homes.get("age")
        return load_age_estimator(home)[0] if home else None

    @property
    def boundaries_file(self) -> Path | None:
        """The file of boundaries, if there is one."""
        home = self.homes.get("boundaries")
        return home / BOUNDARIES_FILE if home else None


def _card_of_generator(
    weights: Path, part: str, generator_hash: object, remedy: str
) -> dict[str, Any]:
    """Return the card of a part, such as an encoder, that belongs to one generator.

    Raises:
        LatentEditError: the part belongs to another generator, or see `load_card`.
    """
    card = load_card(weights, part)
    if card.get("generator_hash") != generator_hash:
        raise LatentEditError(
            f"{weights} belongs to generator {card.get('generator_hash')}, this one is "
            f"{generator_hash}: make another with 'latentedit {remedy}'"
        )
    return card
