"""Bundles that are written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.generators.progressive import Generator
from latentedit.pretrained.model import Bundle
from latentedit.pretrained.saving import kept_entries, save_networks


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
