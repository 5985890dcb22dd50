"""What the `evaluate` commands share: options, labelled faces, and writing the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from latentedit.data.labelled import LabelledFolder

TrainingFileOption = Annotated[
    Path, typer.Option("--data", help="A training file, from 'latentedit prepare'.")
]
HeldOutOption = Annotated[int, typer.Option(min=8, help="The last faces, held out from training.")]
LabelledOption = Annotated[
    Path, typer.Option("--data", help="A training file, or the data set's folder as it ships.")
]
LastOption = Annotated[
    int | None, typer.Option(min=1, help="Only so many of the last faces, held out from training.")
]
CardOption = Annotated[
    bool, typer.Option("--card", help="Keep the figures in the model's card too.")
]


def labelled(path: Path) -> tuple[LabelledFolder, tuple[str, ...]]:
    """Open the faces of a training file or a data set's folder; return them and label names."""
    from latentedit.attributes import ATTRIBUTES
    from latentedit.data.celeba import is_celeba, open_celeba
    from latentedit.data.face_file import open_face_data
    from latentedit.data.utkface import LABELS, open_utkface

    if not path.is_dir():
        faces = open_face_data(path)
        return faces, faces.label_names
    if is_celeba(path):
        return open_celeba(path), ATTRIBUTES
    return open_utkface(path), LABELS


def looking(rows: Iterator[int], total: int) -> Iterator[int]:
    from latentedit.cli.progress import track

    return track(rows, total, "Looking")


def check_outputs(output: Path, plot: Path | None) -> None:
    """Refuse, before work starts, outputs that could not be written at the end."""
    from latentedit.evaluation.figures.plots import check_plot
    from latentedit.io.cards import check_report
    from latentedit.io.files import check_writable

    check_writable(output)
    check_report(output)
    if plot:
        check_writable(plot)
        check_plot(plot)


def origin(
    model: str | None, data: Path, last: int | None, skipped: Sequence[str]
) -> dict[str, Any]:
    from latentedit.pretrained.bundles import find_bundle

    return {
        "model": find_bundle(model).resolve().name,
        "data": data.name,
        "last": last,
        "skipped": len(skipped),
    }


def finish(report: dict[str, Any], output: Path, model: str | None, part: str | None) -> None:
    """Write the report; if a part is named, write the figures into its card too."""
    from latentedit.io.cards import update_card
    from latentedit.io.files import write_json
    from latentedit.pretrained.bundles import find_bundle, weights_file
    from latentedit.pretrained.model import Bundle

    write_json(output, report)
    if part:
        homes = {} if part == "portrait" else Bundle.find(model).homes
        home = homes.get(part) or find_bundle(model, part)
        update_card(weights_file(home, part), {"figures": report})
