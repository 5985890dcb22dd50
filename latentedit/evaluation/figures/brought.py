"""Parts of the report that other commands measured: methods compared, and photos."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from latentedit.attributes import display_name
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.evaluation.figures.html import Cell, Section, Table, good
from latentedit.evaluation.methods.registry import OURS
from latentedit.evaluation.methods.report import standing_in_words, summary_table
from latentedit.io.files import copy_file, read_json, write_json

_METHOD_PICTURES = {
    "methods.png": "Left: leakage by attribute. Right: means over the attributes that a method and "
    "ours both reach; below and left is better",
    "frontiers.png": "How leakage grows with the share of faces that flip. The dot marks the "
    "share at which methods are compared",
    "faces.png": "Each method at its step of equal effect",
}

_PHOTO_ROWS = {
    "identity": "dlib's distance between photo and inversion (one person: below 0.6)",
    "mse": "mean square error at 256 pixels, colours from -1 to 1",
    "ms_ssim": "MS-SSIM at 256 pixels",
}


_METHOD_KEYS = ("generator_hash", "boundaries", "methods", "attributes", "faces")
_PHOTO_KEYS = ("generator_hash", "means", "edits", "n")


def bring_methods(editor: FaceEditor, folder: Path, source: Path) -> None:
    """Copy what ``evaluate methods`` wrote to the report's folder.

    Raises:
        LatentEditError: its report is missing, or is of another generator or other boundaries.
    """
    report = _checked(editor, source / "report.json", "evaluate methods", _METHOD_KEYS)
    if report["boundaries"] != editor.boundaries.hash:
        raise LatentEditError(
            f"{source} was measured with other boundaries: run 'latentedit evaluate methods' again"
        )
    for name in _METHOD_PICTURES:
        _copy(source / name, folder / f"methods-{name}")
    write_json(folder / "methods.json", report)


def show_methods(folder: Path) -> Section:
    """Show methods at equal effect: plots, means by method, leakage by attribute."""
    report: dict[str, Any] = read_json(folder / "methods.json")
    titles = {name: method["title"] for name, method in report["methods"].items()}
    return Section(
        "Methods compared",
        (
            f"{report['faces']} faces, {len(report['attributes'])} attributes. Each method goes as "
            "far as it takes to flip the same share of the faces (the classifier's probability "
            "crosses 0.5). Leakage is the mean absolute change of the other attributes there.",
            *standing_in_words(report),
        ),
        (Table(*summary_table(report)), _leakages(report, titles)),
        _pictures(folder, "methods-", _METHOD_PICTURES),
    )


def _leakages(report: Mapping[str, Any], titles: Mapping[str, str]) -> Table:
    lines: list[list[str | Cell]] = []
    for name, row in report["attributes"].items():
        cells: list[str | Cell] = [display_name(name), f"{row['share']:.0%}"]
        for method in titles:
            leakage = row["methods"].get(method, {}).get("leakage")
            text = "" if leakage is None else f"{leakage:.4f}"
            cells.append(good(text) if row["winner"] == method else text)
        lines.append(cells)
    heads = (f"{title} (ours)" if name == OURS else title for name, title in titles.items())
    return Table(("leakage of", "flipped", *heads), lines)


def bring_photos(editor: FaceEditor, folder: Path, source: Path) -> None:
    """Copy what ``evaluate photos --json FILE --sheet FILE.png`` wrote to the report's folder.

    Raises:
        LatentEditError: the JSON file is missing, or is of another generator.
    """
    report = _checked(editor, source, "evaluate photos", _PHOTO_KEYS)
    _copy(source.with_suffix(".png"), folder / "photos.png")
    write_json(folder / "photos.json", report)


def show_photos(folder: Path) -> Section:
    """Show how well photos are inverted, and what edits do to them."""
    report: dict[str, Any] = read_json(folder / "photos.json")
    means = report["means"]
    lines = [
        [words, *(f"{means[key][way]:.3f}" for way in ("encoder", "refined"))]
        for key, words in _PHOTO_ROWS.items()
        if key in means
    ]
    within = means["within"]
    lines.append(["one person by dlib", *(f"{within[way]:.0%}" for way in ("encoder", "refined"))])
    edits = [
        [
            f"{display_name(name)} {report['edits'][name]:+g}",
            "" if row.get("flips") is None else f"{row['flips']:.0%}",
            f"{row['within']:.0%}",
        ]
        for name, row in means["edits"].items()
    ]
    return Section(
        "Photos",
        (
            f"{report['n']} photos: the latents of the face in each are found by the encoder alone "
            "and refined, and edits are put back into the photo.",
        ),
        (
            Table(("of the inversion", "encoder", "refined"), lines),
            Table(("edit", "flipped", "one person after it"), edits),
        ),
        _pictures(folder, "", {"photos.png": "Photo, inversion, and the edits"}),
    )


def _checked(editor: FaceEditor, file: Path, command: str, keys: Collection[str]) -> dict[str, Any]:
    if not file.is_file():
        raise LatentEditError(f"no {file}: make it with 'latentedit {command}'")
    report = read_json(file)
    if not isinstance(report, dict) or not report.keys() >= set(keys):
        raise LatentEditError(f"{file} is no report of 'latentedit {command}': give one")
    if report["generator_hash"] != editor.generator_hash:
        raise LatentEditError(
            f"{file} is not of this generator, {editor.generator_hash}: measure it with "
            f"'latentedit {command} --model {editor.name}'"
        )
    return report


def _copy(source: Path, target: Path) -> None:
    if source.is_file():  # it may be missing: plots need an extra, sheets an option
        copy_file(source, target)


def _pictures(
    folder: Path, prefix: str, captions: Mapping[str, str]
) -> tuple[tuple[Path, str], ...]:
    paths = ((folder / f"{prefix}{name}", caption) for name, caption in captions.items())
    return tuple((path, caption) for path, caption in paths if path.is_file())
