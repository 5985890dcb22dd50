"""Weights and the JSON card beside them: written together, checked together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_paths, read_json, sha256, write_json
from latentedit.io.locks import claimed


def save_with_card(
    weights: Path, write: Callable[[Path], None], kind: str, card: Mapping[str, Any]
) -> None:
    """Write ``NAME.safetensors`` and its card ``NAME.json``; both are complete before either shows.

    Args:
        weights: the file of weights.
        write: writes the weights to the path that it is given.
        kind: what the weights are; checked by `load_card`.
        card: the card's entries; ``kind`` and the weights' ``sha256`` are added.

    Raises:
        LatentEditError: the folder cannot be written, or it holds weights of another kind under
            this name.
    """
    found = _kind(weights)
    if found not in (None, kind):
        raise LatentEditError(f"{weights} holds {found} already: choose another name for {kind}")
    with atomic_paths(weights, card_path(weights)) as (weights_file, card_file):
        write(weights_file)
        entries = {"kind": kind, "sha256": sha256(weights_file), **card}
        card_file.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def _kind(weights: Path) -> object:
    """Return the kind that the weights' card names; None without a readable card."""
    try:
        card = read_json(card_path(weights))
    except LatentEditError:  # a missing or damaged card is written anew
        return None
    return card.get("kind") if isinstance(card, dict) else None


def load_card(weights: Path, kind: str) -> dict[str, Any]:
    """Read the card of a file of weights and check the weights against it.

    Raises:
        LatentEditError: a file is missing, the card is damaged or of another kind, or the weights
            are not those that the card describes.
    """
    for path in (weights, card_path(weights)):
        if not path.is_file():
            raise LatentEditError(
                f"{path} is missing: check the path, or make it; {kind} is two files, "
                f"{weights.name} and {card_path(weights).name}"
            )
    for _ in range(2):  # another process may just have replaced one of the two
        card = read_json(card_path(weights))
        if not isinstance(card, dict) or card.get("kind") != kind:
            raise LatentEditError(f"{card_path(weights)} is not the card of {kind}: fetch it again")
        if card.get("sha256") == sha256(weights):
            return card
    raise LatentEditError(f"{weights} does not match its card's checksum: fetch both again")


def update_card(weights: Path, entries: Mapping[str, Any]) -> None:
    """Add entries to the card of a file of weights, or replace them.

    Raises:
        LatentEditError: see `load_card`, or the folder cannot be written.
    """
    with claimed(weights, waits=True):
        card = read_json(card_path(weights))
        kind = str(card.get("kind", "")) if isinstance(card, dict) else ""
        write_json(card_path(weights), {**load_card(weights, kind), **entries})


def card_path(weights: Path) -> Path:
    """The card's path beside a file of weights."""
    return weights.with_suffix(".json")


def check_report(path: str | Path, weights_to_be: Path | None = None) -> None:
    """Refuse a report whose file would replace a card, or that is not named as JSON.

    Args:
        path: of the report.
        weights_to_be: weights that the command is to write, with their card.

    Raises:
        LatentEditError: `path` does not end in .json, or weights of the same name lie, or are to
            lie, beside it.
    """
    path = Path(path)
    if path.suffix != ".json":
        raise LatentEditError(f"a report is JSON: end the name of {path} in .json")
    for weights in (path.with_suffix(suffix) for suffix in (".safetensors", ".onnx")):
        is_to_be = weights_to_be is not None and weights.resolve() == weights_to_be.resolve()
        if weights.is_file() or is_to_be:
            raise LatentEditError(f"{path} is the card of {weights}: choose another name or folder")
