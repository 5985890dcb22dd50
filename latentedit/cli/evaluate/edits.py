"""`latentedit evaluate age` and `evaluate all`: measure what edits do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from latentedit import defaults
from latentedit.cli.evaluate.shared import check_outputs
from latentedit.cli.options import ModelOption, PrecisionOption
from latentedit.errors import LatentEditError

WorkOption = Annotated[
    Path, typer.Option("--work", help="Folder that keeps measurements, so that a run can go on.")
]

_REPORT_WORK = Path("runs/evaluate")
"""Folder for the report's measurements; those of `age` lie in it, where the report finds them."""


def age(
    output: Annotated[Path, typer.Option("--json", help="The report to write.")],
    n: Annotated[int, typer.Option("--n", "-n", min=2, help="How many faces.")] = (
        defaults.AGE_FACES
    ),
    seed: Annotated[int, typer.Option(min=0, max=4000, help="Which faces.")] = 0,
    step: Annotated[
        str,
        typer.Option(
            help="Length of both moves, or auto: the one that comes nearest to the goals."
        ),
    ] = "auto",
    hold: Annotated[str, typer.Option(help="What must not change, as in 'edit'.")] = defaults.HOLD,
    keep: Annotated[
        bool, typer.Option("--keep", help="Bring back lost glasses or gender, as in 'edit'.")
    ] = False,
    slow: Annotated[
        int,
        typer.Option(
            min=1,
            help="Faces that the slow estimator and dlib look at, rounded up to hundreds.",
        ),
    ] = defaults.AGE_SLOW_FACES,
    images: Annotated[Path | None, typer.Option(help="Folder for example pairs.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw years and the frontier (.png, .svg, .pdf).")
    ] = None,
    work: WorkOption = _REPORT_WORK / "age",
    precision: PrecisionOption = defaults.PRECISION,
    model: ModelOption = None,
) -> None:
    """Make faces young and old: years, identity, what is kept.

    The bundle's age estimator measures the years. If the extras 'faces' and 'evaluate' are
    installed, an independent estimator and dlib's descriptor measure too. Several processes share
    the work if torchrun or 'accelerate launch' starts them.
    """
    from latentedit.cli.progress import track
    from latentedit.editing.editor import FaceEditor
    from latentedit.editing.holds import parse_hold
    from latentedit.evaluation.edits.aging import evaluate_age, installed_judges
    from latentedit.evaluation.figures import drawings
    from latentedit.io.files import write_json
    from latentedit.io.launch import launch

    check_outputs(output, plot)
    length = _length(step)
    report = evaluate_age(
        FaceEditor.load(model, precision=precision),
        work,
        n,
        seed=seed,
        step=length,
        hold=parse_hold(hold),
        keep=keep,
        judges=installed_judges(slow),
        images=images if launch().leads else None,
        track=track,
    )
    if not launch().leads:
        return
    write_json(output, report)
    if plot:
        drawings.plot_aging(plot, report)
    _print_age(report)


def _in_words(pair: dict[str, float]) -> str:
    """Return a figure for the two ends of one face and, if it is there, for ends of strangers."""
    others = f", of strangers {pair['strangers']:.3f}" if "strangers" in pair else ""
    return f"{pair['same']:.3f}{others}"


def _length(step: str) -> float | None:
    if step.strip().lower() == "auto":
        return None
    try:
        length = float(step)
    except ValueError:
        length = 0.0
    if not 0 < length <= 100:
        raise LatentEditError(
            f"cannot use --step {step!r}: give auto, or a length up to 100 such as 2.5"
        )
    return length


def _print_age(report: dict[str, Any]) -> None:
    steps, slides = report["steps"], report["slides"]
    print(f"{report['n']} faces, Young {steps['old']:+.2f} and {steps['young']:+.2f}")
    for name, row in report["years"].items():
        low, high = row["interval"]
        print(
            f"years by the {name.replace('_', '-')} estimator: {row['mean']:.1f} "
            f"on {row['n']:,} faces (95 %: {low:.1f} to {high:.1f}; the slides: {slides['years']} "
            f"on {slides['n']:,}), {row['signed']:.1f} with their sign"
        )
    for name, value in report["identity"].items():
        print(f"identity, cosine in {name}: {value:.3f}")
    for name, pair in report.get("person", {}).items():
        print(f"dlib's descriptors, {name.replace('_', ' ')}: {_in_words(pair)}")
    for name, value in report["kept"].items():
        print(f"{name} kept in {value:.1%}")
    for name, value in report.get("kept_independent", {}).items():
        print(f"{name} kept in {value:.1%} by an independent judge")
    if below := report["wanted"]["missed"]:
        print(f"goals that are not reached: {', '.join(below)}")
    for point in report["frontier"] or ():
        figures = [f"{row['mean']:.1f} years ({name})" for name, row in point["years"].items()]
        figures += [f"{value:.3f} in {name}" for name, value in point["identity"].items()]
        if "person" in point:
            figures.append(f"one person by dlib {point['person']['within']['same']:.0%}")
        figures += [f"{name} {value:.0%}" for name, value in point["kept"].items()]
        figures.append(f"{point['shortfall']:.2f} short of the goals")
        print(f"at {point['share']:.0%} of the safe range: {', '.join(figures)}")


def everything(
    output: Annotated[Path, typer.Option("-o", "--output", help="The report's folder.")],
    part: Annotated[
        list[str] | None,
        typer.Option(
            "--part",
            metavar="NAME",
            help="boundaries, effects, strips, directions, age, methods or photos; may be repeated "
            "[default: all that can be made].",
        ),
    ] = None,
    faces: Annotated[
        int, typer.Option(min=8, help="Faces that effects are measured on, if they are not yet.")
    ] = defaults.EFFECTS_FACES,
    age_faces: Annotated[int, typer.Option(min=2, help="Faces that are aged.")] = (
        defaults.AGE_FACES
    ),
    methods: Annotated[
        Path | None, typer.Option(help="The folder that 'evaluate methods' wrote.")
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            help="The .json of 'evaluate photos'; its sheet is the .png of the same name."
        ),
    ] = None,
    work: WorkOption = _REPORT_WORK,
    precision: PrecisionOption = defaults.PRECISION,
    model: ModelOption = None,
) -> None:
    """Write the whole evaluation as one HTML page.

    Every figure lies beside it as JSON.

    Effects are those that 'boundaries measure' stored with the model; if there are none, they are
    measured here. Run again to go on after a break. Several processes share the measuring if
    torchrun or 'accelerate launch' starts them.
    """
    from latentedit.cli.progress import track
    from latentedit.editing.editor import FaceEditor
    from latentedit.evaluation.edits.effects import FILE
    from latentedit.evaluation.edits.measure import Plan
    from latentedit.evaluation.figures.full_report import Settings, build_report, share_report
    from latentedit.evaluation.figures.plots import check_plot
    from latentedit.io.launch import launch
    from latentedit.pretrained.bundles import find_bundle

    check_plot(output / "effects.png")
    stored = find_bundle(model) / FILE
    settings = Settings(
        work=work,
        plan=Plan(faces=faces),
        age_faces=age_faces,
        effects=stored if stored.is_file() else None,
        methods=methods,
        photos=photos,
    )
    editor = FaceEditor.load(model, precision=precision)
    if not launch().leads:
        share_report(editor, settings, parts=part)
        return
    page = build_report(editor, output, settings, parts=part, track=track)
    print(f"report in {page}")
