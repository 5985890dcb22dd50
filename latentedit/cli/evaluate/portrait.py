"""`latentedit evaluate portrait`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit import defaults
from latentedit.cli.evaluate.shared import CardOption, check_outputs, finish
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPOILT = [0, 1, 3]  # blur, occlusion, illumination


def portrait(
    data: Annotated[Path, typer.Option(help="A file from 'latentedit prepare portraits'.")],
    output: Annotated[Path, typer.Option("--json", help="The report to write.")],
    baselines: Annotated[
        Path | None, typer.Option(help="Folder of the slides' networks, to compare with.")
    ] = None,
    validation: Annotated[
        int, typer.Option(min=1, help="The last faces, held out from training.")
    ] = defaults.VALIDATION,
    order: Annotated[
        int, typer.Option(min=2, help="Faces to spoil in ways that training did not use.")
    ] = 100,
    card: CardOption = False,
    model: Annotated[
        str | None, typer.Option(help="Bundle with a portrait network [default: the shipped one].")
    ] = None,
) -> None:
    """Compare the six portrait qualities with flags.

    It also checks that worse portraits score worse.
    """
    import numpy as np

    from latentedit.classifiers.portrait import QUALITIES
    from latentedit.cli.progress import track
    from latentedit.data.face_file import open_face_data
    from latentedit.data.portraits import as_taken, split_faces
    from latentedit.evaluation.classifiers import portrait as evaluation
    from latentedit.portrait.assessor import PortraitAssessor
    from latentedit.portrait.baseline import EDGE
    from latentedit.training.baselines.portraits import load_baselines, predict_slides

    check_outputs(output, None)
    faces = open_face_data(data)
    if baselines and faces.resolution != EDGE:
        raise LatentEditError(
            f"the slides' networks take portraits of {EDGE} pixels: prepare them at this size, or "
            "leave out --baselines"
        )
    _, held_out = split_faces(faces, validation)
    flags = held_out.labels[:, : len(QUALITIES)]
    assessor = PortraitAssessor.load(model)
    scores = assessor.scores(held_out.images)
    ours = evaluation.evaluate_flags(1 - scores, flags)
    theirs: dict[str, Any] = {}
    epochs = {}
    for name, network, trained in load_baselines(baselines) if baselines else ():
        poor = np.full(flags.shape, np.nan, np.float32)
        logits = predict_slides(network, held_out.images).double()
        poor[:, QUALITIES.index(name)] = logits.sigmoid().numpy()
        theirs |= evaluation.evaluate_flags(poor, flags)
        epochs[name] = trained
    plain = held_out.rows(as_taken(held_out))
    good = np.flatnonzero((plain.labels[:, : len(QUALITIES)] != 1)[:, _SPOILT].all(1))[:order]
    if not len(good):
        raise LatentEditError(
            f"none of the held-out faces of {data} is good enough to be spoilt: give more faces"
        )
    ordered = evaluation.order_under_degradation(
        assessor.scores,
        plain.images[good],
        track=lambda rows, total: track(rows, total, "Spoiling"),
    )
    report: dict[str, Any] = {
        "data": faces.source,
        "held_out_faces": validation,
        "portraits": len(held_out),
        "qualities": evaluation.compare_with_baselines(ours, theirs),
        "baseline_epochs": epochs,
        "doubt": evaluation.evaluate_doubt(scores, flags),
        "order_faces": len(good),
        "order": ordered,
    }
    finish(report, output, model, "portrait" if card else None)
    _print_portrait(report, evaluation.portrait_rows(report["qualities"]))


def _print_portrait(report: Mapping[str, Any], rows: list[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("quality", "poor", "accuracy", "balanced", "F1", "ROC AUC", "ECE", "slides"):
        table.add_column(name, justify="left" if name == "quality" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(cell.removesuffix("/-").replace("/", "\n") for cell in row))
    print(
        f"{report['portraits']} portraits of {report['held_out_faces']} held-out faces, "
        "this network and, below it, the slides' networks"
    )
    Console().print(table)
    print("the last column is the slides' accuracy on WFLW: other pictures, other flags")
    for quality, kinds in report["order"].items():
        for kind, figures in kinds.items():
            print(
                f"{quality} by {kind}: Spearman {figures['spearman']:.3f} over all pictures, "
                f"{figures['by_portrait']:.3f} within a portrait; "
                f"mean scores {', '.join(f'{value:.2f}' for value in figures['mean_scores'])}"
            )
