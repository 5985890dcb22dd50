"""`latentedit label`: say which attributes faces have, and how old they look."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentedit.cli.many_photos import PhotosArgument, Seen, look_at_photos
from latentedit.cli.options import ModelOption
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

    from latentedit.inference.judges import Judges

THRESHOLD = 0.5
"""Probability above which an attribute is named."""


@dataclass(frozen=True)
class LabelledFace:
    """What was found in one photo.

    Attributes:
        file: the photo.
        faces: how many faces are in it; None if faces were not searched for.
        age: years, or None without an age estimator.
        attributes: probabilities by name.
    """

    file: Path
    faces: int | None
    age: float | None
    attributes: dict[str, float]

    def as_json(self) -> dict[str, object]:
        """Return plain data: ``file``, ``faces``, ``age`` and ``attributes``; None is left out."""
        return {
            "file": str(self.file),
            **({} if self.faces is None else {"faces": self.faces}),
            **({} if self.age is None else {"age": round(self.age, 1)}),
            "attributes": {name: round(p, 4) for name, p in self.attributes.items()},
        }


def label(
    photos: PhotosArgument,
    aligned: Annotated[
        bool,
        typer.Option("--aligned", help="Pictures are cut to the face already: look for none."),
    ] = False,
    attributes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="Print the probabilities of these alone, a column for each."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="With several photos, name the attributes that are more probable than this "
            f"[default: {THRESHOLD:g}].",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV, a column for each attribute.")
    ] = False,
    model: ModelOption = None,
) -> None:
    """Say which attributes faces have, and how old they look.

    If a photo has several faces, only the largest is looked at. One photo gets a list of all
    attributes; several photos get a row each. A photo that cannot be read or has no face is named,
    and the others are still done.
    """
    from latentedit.attributes import find_attribute
    from latentedit.inference.judges import Judges

    if as_json and as_csv:
        raise LatentEditError("give only one of --json and --csv")
    if threshold is not None and (as_json or as_csv or attributes):
        raise LatentEditError("--threshold is for names: leave it out, or ask for no probabilities")
    judges = Judges.load(model)
    words = None if attributes is None else attributes.split(",")
    chosen = words and list(dict.fromkeys(find_attribute(w, judges.attributes) for w in words))
    seen = _look(photos, aligned)
    rows = _label(judges, seen, chosen or list(judges.attributes))
    seen.report()
    if as_json:
        empty: dict[str, object] = {"faces": 0, "attributes": {}}
        unseen = [{"file": str(path), **empty, "message": why} for path, why in seen.refused]
        print(json.dumps([row.as_json() for row in rows] + unseen))
    elif as_csv:
        _print_csv(rows, seen.refused, chosen or list(judges.attributes))
    elif rows:
        _print_table(rows, chosen, THRESHOLD if threshold is None else threshold)
    seen.finish("labelled")


Found = tuple["NDArray[np.uint8]", int | None]
"""A face in the shared frame, and how many faces are in the photo, or None if not searched for."""


def _look(photos: Sequence[Path], aligned: bool) -> Seen[Found]:
    from latentedit.io.images import open_image, to_frame
    from latentedit.photos.align import check_detector

    if aligned:
        return look_at_photos(photos, lambda path: (to_frame(open_image(path)), None))
    check_detector()
    return look_at_photos(photos, _largest_face)


def _largest_face(path: Path) -> Found:
    """Return the largest face of a photo, and how many faces there are.

    Raises:
        LatentEditError: there is no face, or the photo cannot be read.
    """
    from latentedit.inference.judges import JUDGED_EDGE
    from latentedit.io.images import open_image
    from latentedit.photos.align import align, find_faces
    from latentedit.photos.faces import MIN_SCORE

    image = open_image(path)
    found = find_faces(image)
    sure = [face for face in found if face.score >= MIN_SCORE]
    if found and not sure:
        print(f"note: {path}: it is not sure that this is a face", file=sys.stderr)
    found = sure or found[:1]
    if not found:
        raise LatentEditError(
            f"no face was found in {path}: give a photo in which a face looks towards the camera, "
            "or --aligned where the picture is cut to the face"
        )
    return align(image, found[0], JUDGED_EDGE), len(found)


def _label(judges: Judges, seen: Seen[Found], names: Sequence[str]) -> list[LabelledFace]:
    rows = []
    for path, (face, count) in seen.answers:
        shares = dict(zip(judges.attributes, judges.score(face)[0].tolist(), strict=True))
        age = float(judges.age(face)[0]) if judges.estimates_age else None
        rows.append(LabelledFace(path, count, age, {name: shares[name] for name in names}))
    return rows


def _print_csv(
    rows: Sequence[LabelledFace], refused: Sequence[tuple[Path, str]], names: Sequence[str]
) -> None:
    """Print a row for each photo; for a refused photo it has only a message."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["file", "faces", "age", *names, "message"])
    for row in rows:
        age = "" if row.age is None else f"{row.age:.1f}"
        shares = [f"{row.attributes[name]:.4f}" for name in names]
        table.writerow([row.file, row.faces, age, *shares, ""])
    for path, why in refused:
        table.writerow([path, 0, "", *("" for _ in names), why])


def _print_table(
    rows: Sequence[LabelledFace], chosen: Sequence[str] | None, threshold: float
) -> None:
    from rich.console import Console

    table = _table_of_one(rows[0]) if len(rows) == 1 else _table_of_many(rows, chosen, threshold)
    console = Console(soft_wrap=False)
    needs = console.measure(table, options=console.options.update(max_width=10_000))
    if needs.minimum > console.width:
        console.width = needs.maximum  # let the terminal wrap long lines, so that no column is lost
    console.print(table)
    if any((row.faces or 1) > 1 for row in rows):
        print("Of several faces in a photo the largest was looked at.")


def _table_of_one(row: LabelledFace) -> Table:
    """Return a table with a line for each attribute."""
    from rich.markup import escape

    from latentedit.attributes import display_name

    table = _table()
    table.add_column("attribute", no_wrap=True)
    table.add_column(escape(row.file.name), justify="right", min_width=4, overflow="fold")
    if (row.faces or 1) > 1:
        table.add_row("Faces", str(row.faces), end_section=row.age is None)
    if row.age is not None:
        table.add_row("Estimated age", f"{row.age:.0f}", end_section=True)
    for name, p in row.attributes.items():
        table.add_row(display_name(name), _cell(p))
    return table


def _table_of_many(
    rows: Sequence[LabelledFace], chosen: Sequence[str] | None, threshold: float
) -> Table:
    """Return a row for each photo: chosen attributes in columns, or the names of probable ones."""
    from rich.markup import escape

    from latentedit.attributes import display_name

    table = _table()
    names = _short_names([row.file for row in rows])
    widest = max(map(len, names))
    table.add_column("photo", overflow="fold", max_width=32, min_width=min(20, widest))
    counted = any(row.faces is not None for row in rows)
    aged = any(row.age is not None for row in rows)
    for heading, shown in (("faces", counted), ("age", aged)):
        if shown:
            table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
    if chosen is None:
        table.add_column(f"attributes above {threshold:g}")
    for name in chosen or ():
        heading = display_name(name)
        longest = max(4, *map(len, heading.split()))
        table.add_column(heading, justify="right", min_width=longest)
    for short, row in zip(names, rows, strict=True):
        cells = [escape(short)]
        cells += [str(row.faces)] if counted else []
        cells += ["" if row.age is None else f"{row.age:.0f}"] if aged else []
        if chosen is None:
            likely = sorted(row.attributes, key=lambda name: -row.attributes[name])
            likely = [name for name in likely if row.attributes[name] > threshold]
            cells.append(", ".join(map(display_name, likely)))
        else:
            cells += [_cell(row.attributes[name]) for name in chosen]
        table.add_row(*cells)
    return table


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return file names alone if all lie in one folder, else whole paths."""
    parents = {path.parent for path in paths}
    if len(parents) == 1:
        return [path.name for path in paths]
    return [str(path) for path in paths]


def _table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD)


def _cell(p: float) -> str:
    return f"[bold]{p:.2f}[/bold]" if p > THRESHOLD else f"{p:.2f}"
