"""A bundle as a whole."""

from __future__ import annotations

from pathlib import Path

from latentedit.pretrained.bundles import EMBEDDED_BUNDLE, find_bundle
from latentedit.pretrained.hashing import weights_hash
from latentedit.pretrained.model import Bundle


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
