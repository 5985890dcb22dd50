"""Cards beside weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from latentedit.errors import LatentEditError
from latentedit.io.cards import card_path, load_card, save_with_card, update_card


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "boundaries.safetensors"
    save_with_card(path, lambda file: save_file({"a": np.ones(2)}, file), "boundaries", {})
    return path


def test_entries_are_added_and_replaced(weights: Path) -> None:
    update_card(weights, {"figures": 1})
    update_card(weights, {"figures": 2, "notes": "two"})
    card = load_card(weights, "boundaries")
    assert (card["figures"], card["notes"]) == (2, "two")


@pytest.mark.parametrize("text", ["[]", "3", "null", '"card"'])
def test_a_card_that_is_no_object_is_refused_and_stays(weights: Path, text: str) -> None:
    card_path(weights).write_text(text)
    with pytest.raises(LatentEditError, match="is not the card"):
        update_card(weights, {"figures": 1})
    assert card_path(weights).read_text() == text
