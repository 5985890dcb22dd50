"""`latentedit evaluate run` and `evaluate truncation`: measure figures along a curve."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit import defaults
from latentedit.cli.evaluate.shared import HeldOutOption, TrainingFileOption, check_outputs
from latentedit.cli.invocation import parse_numbers
from latentedit.cli.options import ModelOption
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from latentedit.evaluation.generators.curves import Render

_USUAL_PSI = (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5)
"""Truncations that are measured by default, as far as the generator takes them."""

OutputOption = Annotated[
    Path, typer.Option("--json", help="The report; figures already in it are kept.")
]
SamplesOption = Annotated[int, typer.Option("--n", "-n", min=8, help="Samples at each point.")]
PlotOption = Annotated[Path | None, typer.Option(help="Draw the curves (.png, .svg, .pdf).")]


def run(
    run_folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="A generator's run, and runs that went on from it."),
    ],
    data: TrainingFileOption,
    output: OutputOption,
    n: SamplesOption = 1000,
    validation: HeldOutOption = defaults.VALIDATION,
    plot: PlotOption = None,
    model: ModelOption = None,
) -> None:
    """Measure the snapshots of training runs.

    Figures are drawn against the images seen.

    If a run started from another run's weights, the images of that run count too. If a run ended
    at a smaller resolution than the others, its faces are enlarged.
    """
    from latentedit.training.gan.snapshots import load_snapshot, snapshot_files
    from latentedit.training.runs import Run, read_generator_options

    check_outputs(output, plot)
    resolution = max(read_generator_options(Run(folder)).resolution for folder in run_folders)

    def load(folder: Path, images: int) -> Render:
        return partial(load_snapshot(folder, images).render, resolution=resolution)

    moments: dict[float, Callable[[], Render]] = {}
    sources: dict[float, str] = {}
    for folder in run_folders:
        origin = Run(folder).origin()
        before = origin.get("before", {}).get("images_seen", 0)
        for images in snapshot_files(folder):
            if before + images in moments:
                raise LatentEditError(
                    f"{folder} and a run before it both have a snapshot at {before + images} "
                    "images: give runs that went on from one another"
                )
            moments[float(before + images)] = partial(load, folder, images)
            sources[float(before + images)] = origin["commands"][0]
    _measure(
        "images seen",
        moments,
        data,
        output,
        n,
        validation,
        resolution,
        plot,
        model,
        sources=sources,
    )


def truncation(
    data: TrainingFileOption,
    output: OutputOption,
    psi: Annotated[
        str | None,
        typer.Option(
            help="Truncations to measure [default: from 0.5 on, to 1 with a mapping network, else "
            "to 1.5]."
        ),
    ] = None,
    n: SamplesOption = 1000,
    validation: HeldOutOption = defaults.VALIDATION,
    plot: PlotOption = None,
    model: ModelOption = None,
) -> None:
    """Measure a generator's truncation: variety against quality."""
    from latentedit.editing.editor import FaceEditor
    from latentedit.evaluation.generators.report import in_shared_frame
    from latentedit.pretrained.bundles import find_bundle, load_generator
    from latentedit.pretrained.hashing import weights_hash

    check_outputs(output, plot)
    generator, _ = load_generator(find_bundle(model))
    values = tuple(each for each in _USUAL_PSI if each <= generator.most_psi)
    if psi is not None:
        values = parse_numbers(psi, f"--psi {psi}: give numbers such as 0.5,0.75,1")
    for value in values:
        generator.truncated(value)  # an impossible value is refused before work starts

    def load(value: float) -> Render:
        editor = FaceEditor(generator.truncated(value))
        return lambda seeds: in_shared_frame(
            editor, editor.render(editor.sample(seeds)), editor.resolution
        )

    moments = {value: partial(load, value) for value in values}
    resolution = generator.resolution
    whose = {"generator_hash": weights_hash(generator)}
    _measure("truncation", moments, data, output, n, validation, resolution, plot, model, whose)


def _measure(
    along: str,
    moments: Mapping[float, Callable[[], Render]],
    data: Path,
    output: Path,
    n: int,
    validation: int,
    resolution: int,
    plot: Path | None,
    model: str | None,
    subject: Mapping[str, str] | None = None,
    sources: Mapping[float, str] | None = None,
) -> None:
    from latentedit.cli.progress import track
    from latentedit.data.face_file import open_face_data
    from latentedit.evaluation.figures import plots as drawing
    from latentedit.evaluation.generators import report as evaluation
    from latentedit.evaluation.generators.curves import measure_curve
    from latentedit.pretrained.model import Bundle

    evaluation.check_extras()
    bundle = Bundle.find(model)
    classifier = bundle.classifier()
    if classifier is None:
        raise LatentEditError(
            f"model {bundle.name} has no classifier: give --model one that has, such as faces128"
        )
    real = evaluation.describe_real_faces(
        open_face_data(data),
        classifier,
        n,
        validation=validation,
        resolution=resolution,
        track=track,
    )
    curve = measure_curve(
        output,
        moments,
        classifier,
        real,
        along=along,
        first_seed=defaults.EVALUATION_FIRST_SEED,
        subject=subject,
        sources=sources,
        track=track,
    )
    if plot:
        drawing.plot_curve(plot, curve)
    _print(curve)


def _print(curve: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    halves = curve["points"][0]["spaces"]["dlib"]["frechet"]["halves"]
    table = Table(
        title=f"dlib's descriptor; Fréchet distance of two halves of the real {halves:.4f}"
    )
    for name in (curve["along"], "Fréchet", "times halves", "precision", "recall", "coverage"):
        table.add_column(name, justify="right")
    for point in curve["points"]:
        row = point["spaces"]["dlib"]
        table.add_row(
            f"{point[curve['along']]:.10g}",
            f"{row['frechet']['samples']:.4f}",
            f"{row['frechet']['times_halves']:.2f}",
            *(f"{row[name]['samples']:.3f}" for name in ("precision", "recall", "coverage")),
        )
    Console().print(table)
