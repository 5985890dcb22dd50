"""Cards beside weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from latentedit.errors import LatentEditError
from latentedit.io import cards
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


def test_weights_and_card_are_whole_before_either_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def noted(*args: Any) -> Any:
            done.append(name)
            return real(*args)

        return noted

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noting(name))
    save_with_card(
        tmp_path / "a.safetensors", lambda file: save_file({"a": np.ones(2)}, file), "thing", {}
    )
    assert done == ["fsync", "fsync", "replace", "replace"]


def test_weights_that_are_just_being_replaced_are_looked_at_again(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter(["0" * 64, cards.sha256(weights)])
    monkeypatch.setattr(cards, "sha256", lambda path: next(found))
    assert load_card(weights, "boundaries")["kind"] == "boundaries"
    monkeypatch.setattr(cards, "sha256", lambda path: "0" * 64)
    with pytest.raises(LatentEditError, match="does not match its card"):
        load_card(weights, "boundaries")
