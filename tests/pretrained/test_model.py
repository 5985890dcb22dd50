"""A bundle as a whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.generators.progressive import Generator
from latentedit.pretrained.bundles import EMBEDDED_BUNDLE, find_bundle
from latentedit.pretrained.hashing import weights_hash
from latentedit.pretrained.model import Bundle, kept_entries, save_networks


def test_where_parts_are_and_what_their_cards_say(tiny_bundle: Path) -> None:
    bundle = Bundle.find(tiny_bundle)
    assert (bundle.folder, bundle.name) == (tiny_bundle, "tiny")
    assert bundle.homes == dict.fromkeys(("generator", "classifier", "boundaries"), tiny_bundle)
    assert bundle.cards.keys() == bundle.homes.keys()
    assert weights_hash(bundle.generator()) == bundle.cards["generator"]["weights_hash"]
    assert bundle.boundaries_file == tiny_bundle / "boundaries.safetensors"
    assert bundle.age_estimator() is None
    assert bundle.classifier() is not None


def test_judges_come_from_the_default_bundle(tiny_bundle: Path) -> None:
    for part in ("classifier", "boundaries"):
        for suffix in (".json", ".safetensors"):
            (tiny_bundle / f"{part}{suffix}").unlink()
    bundle = Bundle.find(tiny_bundle)
    assert bundle.boundaries_file is None
    assert bundle.homes["classifier"] == bundle.homes["age"] == find_bundle(EMBEDDED_BUNDLE)
    assert bundle.cards["age"]["kind"] == "age"


def test_cards_are_kept_where_the_folder_is_not(
    tiny_bundle: Path,
    tmp_path: Path,
    tiny_generator: Generator,
    tiny_classifier: AttributeClassifier,
) -> None:
    bundle = Bundle.find(tiny_bundle)
    shutil.rmtree(tiny_bundle)
    cards = {part: kept_entries(card) for part, card in bundle.cards.items()}
    save_networks(tmp_path / "new", tiny_generator, tiny_classifier, None, cards)
    again = Bundle.find(tmp_path / "new")
    assert again.cards["generator"] == {**bundle.cards["generator"], "network": "progressive"}
    assert again.cards["classifier"] == bundle.cards["classifier"]
    with pytest.raises(LatentEditError, match="leave it out"):
        save_networks(tmp_path / "new", tiny_generator, None, object(), cards)
