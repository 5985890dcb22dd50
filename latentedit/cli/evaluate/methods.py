"""`latentedit evaluate methods`: compare published methods at equal effect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit import defaults
from latentedit.cli.options import BoundariesOption, ModelOption, PrecisionOption
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latentedit.evaluation.methods.base import Method


def methods(
    output: Annotated[Path, typer.Option("-o", "--output", help="The report's folder.")],
    faces: Annotated[int, typer.Option(min=2, help="How many faces every method edits.")] = (
        defaults.METHODS_FACES
    ),
    attributes: Annotated[
        str | None, typer.Option(help="Names with commas between them [default: all].")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Names with commas between them [default: all].")
    ] = None,
    directions: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="A method of your own: boundaries or directions."),
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option(help="A pool of this model to learn from; without one, faces are scored."),
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option(metavar="FILE.onnx", help="A classifier of your own that looks at the edits."),
    ] = None,
    share: Annotated[
        float, typer.Option(help="Share of faces in which the target flips, equal for all methods.")
    ] = 0.5,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Edge in pixels of the judged pictures [default: the fastest]."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=39, help="Which faces.")] = 0,
    work: Annotated[
        Path,
        typer.Option("--work", help="Folder that keeps measurements, so that a run can go on."),
    ] = Path("runs/evaluate/methods"),
    boundaries: BoundariesOption = None,
    precision: PrecisionOption = defaults.PRECISION,
    model: ModelOption = None,
) -> None:
    """Compare methods at equal effect.

    Each method goes as far as it must to flip the same share of faces. What else changes there,
    and is it still the same person?

    It writes report.json, table.csv, table.md, faces.png and, with the extra 'plots',
    frontiers.png and methods.png.
    """
    from latentedit.boundaries.pool import Pool
    from latentedit.cli.invocation import command_line
    from latentedit.cli.progress import track
    from latentedit.editing.editor import FaceEditor
    from latentedit.evaluation.classifiers.onnx_judge import OnnxJudge
    from latentedit.evaluation.edits.measure import measured_attributes
    from latentedit.evaluation.figures.method_plots import method_sheet
    from latentedit.evaluation.methods.comparison import Comparison, Plan, compare
    from latentedit.evaluation.methods.registry import find_methods
    from latentedit.evaluation.methods.report import build_report, standing_in_words, to_markdown
    from latentedit.io.files import check_writable, make_folder
    from latentedit.io.images import save_image

    chosen = find_methods(_names(methods), [_given(text) for text in directions or ()])
    plan = Plan(faces=faces, seed=seed, share=share, size=size)
    check_writable(make_folder(output) / "report.json")
    editor = FaceEditor.load(model, boundaries=boundaries, precision=precision)
    names = measured_attributes(editor.boundaries, editor.attributes, _names(attributes))
    comparison = Comparison(
        editor,
        work,
        plan,
        pool=Pool(pool) if pool else None,
        judge=OnnxJudge(judge) if judge else None,
        track=track,
    )
    rows = compare(comparison, chosen, names, track=track)
    report = {**build_report(comparison, chosen, rows), "command": command_line()}
    _save(output, report)
    save_image(output / "faces.png", method_sheet(comparison, chosen, rows))
    print(to_markdown(report))
    for line in standing_in_words(report):
        print(line)
    print(f"report in {output}")


def _save(folder: Path, report: Mapping[str, Any]) -> None:
    """Write the figures: plain data, tables and, if matplotlib is installed, plots."""
    from latentedit.evaluation.figures.method_plots import plot_frontiers, plot_methods
    from latentedit.evaluation.figures.plots import can_plot
    from latentedit.evaluation.methods.report import to_csv, to_markdown
    from latentedit.io.files import atomic_path, write_json

    write_json(folder / "report.json", report)
    for name, text in (("table.csv", to_csv(report)), ("table.md", to_markdown(report))):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if can_plot():
        plot_frontiers(folder / "frontiers.png", report)
        plot_methods(folder / "methods.png", report)


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise LatentEditError("no names were given: write NAME,NAME")
    return names


def _given(text: str) -> Method:
    from latentedit.evaluation.methods.given import from_file

    name, equals, path = text.partition("=")
    if not equals or not name.strip() or not path.strip():
        raise LatentEditError(f"cannot read --directions {text!r}: write NAME=FILE")
    return from_file(name.strip(), Path(path.strip()))
