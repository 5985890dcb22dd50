"""`latentedit evaluate classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit.cli.evaluate.shared import (
    CardOption,
    LabelledOption,
    LastOption,
    check_outputs,
    finish,
    labelled,
    looking,
    origin,
)
from latentedit.cli.options import ModelOption
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from collections.abc import Mapping


def classifier(
    data: LabelledOption,
    output: Annotated[Path, typer.Option("--json", help="The report to write.")],
    last: LastOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the accuracy by attribute (.png, .svg, .pdf).")
    ] = None,
    card: CardOption = False,
    model: ModelOption = None,
) -> None:
    """Compare the classifier's 40 probabilities with labels."""
    import numpy as np

    from latentedit.cli.progress import print_skipped
    from latentedit.editing.editor import FaceEditor
    from latentedit.evaluation.classifiers.attributes import evaluate_classifier
    from latentedit.evaluation.classifiers.labels import predict_folder
    from latentedit.evaluation.figures import plots as drawing
    from latentedit.generators.base import SHARED_FRAME

    check_outputs(output, plot)
    faces, names = labelled(data)
    editor = FaceEditor.load(model)
    missing = [name for name in editor.attributes if name not in names]
    if missing:
        raise LatentEditError(f"{data} has no labels of {', '.join(missing[:3])}")
    found = predict_folder(
        editor.judges.with_frame(SHARED_FRAME).score,  # faces of a training file stand there
        faces,
        resolution=editor.classifier.config.resolution,
        last=last,
        track=looking,
    )
    order = [names.index(name) for name in editor.attributes]
    figures = evaluate_classifier(
        found.outputs, np.asarray(found.labels)[:, order], editor.attributes
    )
    report = {**origin(model, data, last, found.skipped), **figures, **_calibration(model)}
    finish(report, output, model, "classifier" if card else None)
    if plot:
        drawing.plot_accuracies(plot, report)
    print_skipped(found.skipped)
    _print_classifier(report)


def _calibration(model: str | None) -> dict[str, Any]:
    """Return the calibration that the classifier's card holds; its figures are cross-fitted."""
    from latentedit.pretrained.model import Bundle

    card = Bundle.find(model).cards.get("classifier", {})
    return {"calibration": card["calibration"]} if card.get("calibration") else {}


def _print_classifier(report: Mapping[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from latentedit.attributes import display_name
    from latentedit.evaluation.classifiers.attributes import BEYOND_PUBLISHED

    columns = {
        "acc.": "accuracy",
        "slides": "slides",
        "major.": "majority",
        "bal.": "balanced_accuracy",
        "F1": "f1",
        "MSE": "mse",
        "ECE": "ece",
        "chance": "ece_if_calibrated",
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("attribute", no_wrap=True)
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for name, row in report["attributes"].items():
        cells = [f"{row[key]:.3f}" if key in row else "" for key in columns.values()]
        table.add_row(display_name(name) + (" *" if name in BEYOND_PUBLISHED else ""), *cells)
    print(f"{report['model']}: {report['n']} faces of {report['data']}")
    Console().print(table)
    published = ", ".join(
        f"{display_name(name)} {value:.3f}" for name, value in BEYOND_PUBLISHED.items()
    )
    print(f"* the slides exceed the best published (MCNN-AUX 2017: {published})")
    print(
        f"mean accuracy {report['mean_accuracy']:.4f} (majority {report['mean_majority']:.4f}), "
        f"{report['skipped']} skipped"
    )
    print(
        f"mean calibration error (ECE) {report['mean_ece']:.4f}; by chance, on so few faces, "
        f"exactly right probabilities would show {report['mean_ece_if_calibrated']:.4f}"
    )
    if "calibration" in report:
        fitted = report["calibration"]
        print(
            f"calibrated on {fitted['faces']} faces held out from training; on these, with each "
            f"half calibrated on the other: accuracy {fitted['accuracy']:.4f}, "
            f"ECE {fitted['ece']:.4f} (chance {fitted['ece_if_calibrated']:.4f})"
        )
