"""`latentedit evaluate generator`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit import defaults
from latentedit.cli.evaluate.shared import (
    CardOption,
    HeldOutOption,
    TrainingFileOption,
    check_outputs,
    finish,
)
from latentedit.cli.options import ModelOption

if TYPE_CHECKING:
    from collections.abc import Mapping


def generator(
    data: TrainingFileOption,
    output: Annotated[Path, typer.Option("--json", help="The report to write.")],
    n: Annotated[int, typer.Option("--n", "-n", min=8, help="How many samples.")] = 5000,
    validation: HeldOutOption = defaults.VALIDATION,
    first_seed: Annotated[
        int, typer.Option(min=0, help="The samples' seeds run upwards from here.")
    ] = defaults.EVALUATION_FIRST_SEED,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the 40 attributes' frequencies (.png, .svg, .pdf).")
    ] = None,
    neighbours: Annotated[
        Path | None,
        typer.Option(help="Draw samples beside their nearest training faces (not to publish)."),
    ] = None,
    card: CardOption = False,
    model: ModelOption = None,
) -> None:
    """Compare samples with held-out faces.

    Every figure has its value for real faces beside it.
    """
    from latentedit.cli.progress import track
    from latentedit.data.face_file import open_face_data
    from latentedit.editing.editor import FaceEditor
    from latentedit.evaluation.figures import plots as drawing
    from latentedit.evaluation.generators import report as evaluation
    from latentedit.io.files import check_writable
    from latentedit.io.images import save_image

    check_outputs(output, plot)
    if neighbours:
        check_writable(neighbours)
    evaluation.check_extras()
    faces = open_face_data(data)
    editor = FaceEditor.load(model)
    classifier = editor.classifier
    real = evaluation.describe_real_faces(
        faces,
        classifier,
        n,
        validation=validation,
        resolution=editor.resolution,
        device=editor.device,
        track=track,
    )
    report, samples = evaluation.evaluate_generator(
        editor, classifier, real, first_seed=first_seed, track=track
    )
    finish(report, output, model, "generator" if card else None)
    if plot:
        drawing.plot_frequencies(plot, report)
    if neighbours:
        strips = evaluation.nearest_training_faces(
            samples, faces, classifier, validation=validation, device=editor.device, track=track
        )
        save_image(neighbours, drawing.neighbours_panel(strips))
    _print_report(report, drawing.generator_rows(report))


def _print_report(report: Mapping[str, Any], rows: list[tuple[str, str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from latentedit.attributes import display_name

    console, sizes = Console(), report["sizes"]
    table = Table(title=f"{report['model']}: {report['n']} samples, {report['resolution']} pixels")
    table.add_column("figure")
    table.add_column("samples", justify="right")
    table.add_column(f"real, {sizes['real']}", justify="right")
    table.add_column(f"real halves, {sizes['halves'][0]}", justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    ratios = report["spaces"][report["decides"]]["frechet"]
    print(
        f"Fréchet distance in dlib's descriptors (it decides): {ratios['times_real']:.2f} times "
        f"that of real faces, {ratios['times_halves']:.2f} times that between halves of them"
    )
    off = [display_name(name) for name in report["attributes_off"]]
    print(f"attributes off by more than a factor of two: {', '.join(off) or 'none'}")
