"""Make the README.md of a bundle on the Hugging Face Hub from the cards of its parts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from latentedit.io.files import read_json

PICTURE = "sample.jpg"
"""Path of the card's picture in the bundle."""

TAGS = ("gan", "face-editing", "latent-space", "interfacegan", "image-editing")

_HEAD = ("---", "library_name: latentedit")

_UNSTATED = "Not stated: ask whoever made the weights."

Cards = Mapping[str, Mapping[str, Any]]


def model_card(folder: str | Path, name: str) -> str:
    """Return the README.md of a bundle, with the metadata that the Hub reads.

    Args:
        folder: the bundle's; its `PICTURE` is shown, if there is one.
        name: ``OWNER/NAME``, or the folder's name for a bundle that is not on the Hub.
    """
    folder = Path(folder)
    paths = sorted(folder.glob("*.json"))
    cards = {path.stem: card for path in paths if isinstance(card := read_json(path), dict)}
    terms = list(dict.fromkeys(str(card["terms"]) for card in cards.values() if "terms" in card))
    picture = [f"![Faces of {name}, and an edit]({PICTURE})", ""]
    parts = [
        *_metadata(name, terms, has_picture=(folder / PICTURE).is_file()),
        f"# {name}",
        "",
        *(picture if (folder / PICTURE).is_file() else ()),
        "A generator of faces and what edits them, as a bundle of `latentedit`.",
        "",
        *_use(name, edits="boundaries" in cards),
        *_parts(cards),
        *_figures(cards),
        "## Terms",
        "",
        *(f"{text}\n" for text in terms or (_UNSTATED,)),
    ]
    return "\n".join(parts)


def is_model_card(path: Path) -> bool:
    """Return whether a file is missing or begins as `model_card` does, so that it may be replaced.

    A README.md that somebody wrote does not.
    """
    if not path.exists():
        return True
    head = "\n".join(_HEAD).encode()
    with path.open("rb") as file:
        return file.read(len(head)) == head


def _metadata(name: str, terms: list[str], *, has_picture: bool) -> list[str]:
    """Return YAML between dashes; `license_link` leads to the section Terms of the same page."""
    stated = any("non-commercial" in text for text in terms)
    return [
        *_HEAD,
        "license: other",
        f"license_name: {'non-commercial-research' if stated else 'see-terms'}",
        f"license_link: https://huggingface.co/{name}#terms",
        "pipeline_tag: unconditional-image-generation",
        "tags:",
        *(f"- {tag}" for tag in TAGS),
        *((f"thumbnail: {PICTURE}",) if has_picture else ()),
        "---",
        "",
    ]


def _use(name: str, *, edits: bool) -> list[str]:
    lines = [
        "from latentedit import FaceEditor",
        "",
        f"editor = FaceEditor.from_pretrained({name!r})",
        "latents = editor.sample(seeds=range(4))",
        "faces = editor.render(latents)  # uint8 [4, H, W, 3]",
    ]
    if edits:
        lines.append('older = editor.render(editor.edit(latents, {"Young": -2.0}))')
    return [
        "## Use",
        "",
        "```sh",
        "pip install 'latentedit[hub]'",
        "```",
        "",
        "```python",
        *lines,
        "```",
        "",
        "No code of this repository is run: weights are safetensors, or ONNX, and cards are JSON.",
        "",
    ]


def _parts(cards: Cards) -> list[str]:
    rows = [
        f"| {part} | {_cell(card.get('data', ''))} | "
        f"`{card.get('weights_hash', card.get('generator_hash', ''))}` |"
        for part, card in cards.items()
    ]
    config = json.dumps(cards.get("generator", {}).get("config", {}))
    return [
        "## Parts",
        "",
        "| part | data | weights |",
        "|---|---|---|",
        *rows,
        "",
        f"Generator: `{config}`",
        "",
    ]


def _figures(cards: Cards) -> list[str]:
    """Return a table of figures from the cards; nothing is measured here."""
    generator, classifier, age, boundaries = (
        cards.get(part, {}).get("figures", {})
        for part in ("generator", "classifier", "age", "boundaries")
    )
    areas = [
        values["roc_auc"]
        for values in boundaries.values()
        if isinstance(values, Mapping) and "roc_auc" in values
    ]
    found = (
        (
            "Fréchet distance to held-out faces, dlib's descriptor",
            _within(generator, "spaces", "dlib", "frechet", "samples"),
        ),
        ("share of samples in which a face is found", _within(generator, "face_found", "samples")),
        ("accuracy of the classifier, held-out faces", _within(classifier, "mean_accuracy")),
        ("error of the age estimator in years, held-out faces", _within(age, "mae")),
        (
            f"area under the ROC curve of {len(areas)} boundaries, held-out latents",
            fmean(areas) if areas else None,
        ),
    )
    rows = [f"| {words} | {value:.3g} |" for words, value in found if value is not None]
    return ["## Figures", "", "| what | value |", "|---|---|", *rows, ""] if rows else []


def _within(values: Any, *path: str) -> float | None:
    """Return a number inside nested entries, or None if there is none."""
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    return float(values) if isinstance(values, int | float) else None


def _cell(text: object) -> str:
    """Return text for one cell of a table: on one line, without a bare ``|``."""
    return " ".join(str(text).split()).replace("|", "\\|")
