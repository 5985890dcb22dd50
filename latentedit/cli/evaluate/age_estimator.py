"""`latentedit evaluate age-estimator`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit import defaults
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
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from latentedit.data.labelled import LabelledFolder
    from latentedit.inference.judges import Judges
    from latentedit.io.images import UInt8Array


def age_estimator(
    data: LabelledOption,
    output: Annotated[Path, typer.Option("--json", help="The report to write.")],
    last: LastOption = None,
    celeba: Annotated[
        Path | None,
        typer.Option(
            help="CelebA's folder or file: do ages tell Young from the others in its last 1,000?"
        ),
    ] = None,
    generated: Annotated[
        int,
        typer.Option(
            min=0, help="Compare with an independent estimator on so many samples, and on --celeba."
        ),
    ] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw estimates against ages (.png, .svg, .pdf).")
    ] = None,
    card: CardOption = False,
    model: ModelOption = None,
) -> None:
    """Compare estimated ages with true ones.

    This is measured in UTKFace's framing and in the shared frame.
    """
    import numpy as np

    from latentedit.cli.progress import print_skipped
    from latentedit.data.utkface import RESOLUTION, to_shared_frame
    from latentedit.editing.editor import FaceEditor
    from latentedit.evaluation.classifiers.age_estimator import agreement, evaluate_age_estimator
    from latentedit.evaluation.classifiers.independent_age import independent_ages
    from latentedit.evaluation.classifiers.labels import predict_folder
    from latentedit.evaluation.figures import plots as drawing
    from latentedit.generators.base import SHARED_FRAME

    check_outputs(output, plot)
    faces, names = labelled(data)
    if "Age" not in names:
        raise LatentEditError(f"{data} has no ages: give UTKFace's folder or file")
    others = labelled(celeba) if celeba else None
    if others and "Young" not in others[1]:
        raise LatentEditError(f"{celeba} has no labels of Young: give CelebA's folder or file")
    editor = FaceEditor.load(model)
    framed = editor.judges.with_frame(SHARED_FRAME)
    found = predict_folder(
        lambda chips: np.stack(
            (framed.age(chips, tight=True), framed.age(to_shared_frame(chips))), axis=1
        ),
        faces,
        resolution=RESOLUTION,
        last=last,
        track=looking,
    )
    ages = found.labels[:, names.index("Age")]
    figures = evaluate_age_estimator(found.outputs[:, 0], ages)
    wide = evaluate_age_estimator(found.outputs[:, 1], ages)
    report = {
        **origin(model, data, last, found.skipped),
        **figures,
        "shared_frame": {key: wide[key] for key in ("mae", "cs5", "bias")},
    }
    if others:
        report |= _on_celeba(framed, *others, independent=generated > 0)
    if generated:
        first = defaults.EVALUATION_FIRST_SEED
        samples = editor.render(editor.sample(range(first, first + generated)))
        cut = editor.judges.cut
        report["generated"] = {
            **agreement(editor.age(samples), independent_ages(cut(samples), looking)),
            "generator_hash": editor.generator_hash,
        }
    finish(report, output, model, "age" if card else None)
    if plot:
        drawing.plot_ages(plot, found.outputs[:, 0], ages, figures)
    print_skipped(found.skipped)
    _print_ages(report)


def _on_celeba(
    judges: Judges, faces: LabelledFolder, names: Sequence[str], *, independent: bool
) -> dict[str, Any]:
    """Measure on CelebA's last faces how well ages tell Young from the others.

    With `independent`, the agreement with the independent estimator is measured too.
    """
    import numpy as np

    from latentedit.data.utkface import RESOLUTION
    from latentedit.evaluation.classifiers.age_estimator import agreement, separation
    from latentedit.evaluation.classifiers.independent_age import independent_ages
    from latentedit.evaluation.classifiers.labels import predict_folder

    estimators: list[Callable[[UInt8Array], NDArray[np.float32]]] = [judges.age]
    if independent:
        estimators.append(independent_ages)
    seen = predict_folder(
        lambda images: np.stack([estimate(images) for estimate in estimators], axis=1),
        faces,
        resolution=RESOLUTION,
        last=min(defaults.VALIDATION, len(faces.names)),
        track=looking,
    )
    young = seen.labels[:, names.index("Young")]
    report = {"young_auc": separation(seen.outputs[:, 0], young), "young_n": len(young)}
    return {**report, "real": agreement(*seen.outputs.T)} if independent else report


def _print_ages(report: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report['model']}: {report['n']} faces of {report['data']}")
    for name in ("age", "n", "mean absolute error", "mean error", "within 5 years"):
        table.add_column(name, justify="right")
    for decade, row in report["by_decade"].items():
        table.add_row(
            decade, str(row["n"]), f"{row['mae']:.2f}", f"{row['bias']:+.2f}", f"{row['cs5']:.3f}"
        )
    Console().print(table)
    wide = report["shared_frame"]
    print(
        f"mean absolute error {report['mae']:.2f} years, {report['cs5']:.3f} within 5; "
        f"in the shared frame {wide['mae']:.2f}; {report['skipped']} skipped"
    )
    for kind, faces in (("generated", "samples"), ("real", "faces of CelebA")):
        if kind in report:
            row = report[kind]
            r = "unknown" if row["pearson_r"] is None else f"{row['pearson_r']:.3f}"
            print(f"against an independent estimator on {row['n']} {faces}: Pearson's r {r}")
    if "young_auc" in report:
        auc = f"{report['young_auc']:.4f}"
        print(f"Young from not Young, {report['young_n']} CelebA faces: AUC {auc}")
