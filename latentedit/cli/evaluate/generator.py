"""`latentedit evaluate generator`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit import defaults
from latentedit.cli.evaluate.shared import (
    CardOption,
    HeldOutOption,
    check_outputs,
    finish,
)
from latentedit.cli.options import ModelOption, check_picture
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentedit.data.face_file import FaceData
    from latentedit.editing.editor import FaceEditor


def generator(
    output: Annotated[Path, typer.Option("--json", help="The report to write.")],
    data: Annotated[
        Path | None, typer.Option(help="A training file, from 'latentedit prepare'.")
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Model whose pictures count as real faces instead of --data; a student of it is "
            "also compared face by face.",
            metavar="MODEL",
        ),
    ] = None,
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
    from latentedit.evaluation.generators.teaching import compare_pairs
    from latentedit.io.images import save_image

    if (data is None) == (teacher is None):
        raise LatentEditError("give the real faces: a training file by --data, or a --teacher")
    if teacher is not None and neighbours is not None:
        raise LatentEditError("--neighbours is for real faces: leave it out with --teacher")
    check_outputs(output, plot)
    if neighbours:
        check_picture(neighbours)
    evaluation.check_extras()
    editor = FaceEditor.load(model)
    classifier = editor.classifier
    if teacher is None:
        faces, taught = open_face_data(data or ""), None
    else:
        faces, taught = _teachers_faces(teacher, model, editor, n + validation)
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
    if taught is not None:
        drawn = editor.render(editor.sample(taught[-validation:]))
        report["pairs"] = compare_pairs(drawn, real.reference)
    finish(report, output, model, "generator" if card else None)
    if plot:
        drawing.plot_frequencies(plot, report)
    if neighbours:
        strips = evaluation.nearest_training_faces(
            samples, faces, classifier, validation=validation, device=editor.device, track=track
        )
        save_image(neighbours, drawing.neighbours_panel(strips))
    _print_report(report, drawing.generator_rows(report))


def _teachers_faces(
    name: str, model: str | None, student: FaceEditor, count: int
) -> tuple[FaceData, range | None]:
    """Return faces of a teacher, and their seeds if the other model is its student, else None."""
    from latentedit.boundaries.pool import for_many
    from latentedit.cli.progress import track
    from latentedit.editing.editor import FaceEditor
    from latentedit.evaluation.generators.teaching import draw_teachers_faces
    from latentedit.generators.mapped import MappedGenerator
    from latentedit.pretrained.model import Bundle

    teacher = for_many(FaceEditor.load(name))
    card = Bundle.find(model).cards["generator"]
    seeds = range(defaults.TEACHER_FIRST_SEED, defaults.TEACHER_FIRST_SEED + count)
    taught = card.get("teacher", {}).get("generator_hash") == teacher.generator_hash
    psi = None
    if taught and isinstance(student.generator, MappedGenerator):
        psi = student.generator.truncation
    faces = draw_teachers_faces(teacher, seeds, student.resolution, psi=psi, track=track)
    return faces, seeds if taught else None


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
    if pairs := report.get("pairs"):
        print(
            f"{pairs['n']} faces beside the teacher's: PSNR {pairs['psnr']:.1f} dB, "
            f"dlib's distance {pairs['identity']:.3f}, one person in {pairs['one_person']:.1%}"
        )
    off = [display_name(name) for name in report["attributes_off"]]
    print(f"attributes off by more than a factor of two: {', '.join(off) or 'none'}")
