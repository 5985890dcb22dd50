"""`latentedit evaluate`: how good a model is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit import defaults
from latentedit.cli.faces import ModelOption
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from latentedit.editor import FaceEditor
    from latentedit.training.labelled import LabelledFolder

LabelledOption = Annotated[
    Path, typer.Option("--data", help="A training file, or the data set's folder as it ships.")
]
LastOption = Annotated[
    int | None, typer.Option(min=1, help="Only the last so many faces, held out from training.")
]
CardOption = Annotated[
    bool, typer.Option("--card", help="Keep the figures in the model's card too.")
]

app = typer.Typer(help="Measure a model against held-out faces.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def generator(
    data: Annotated[Path, typer.Option(help="A training file, from 'latentedit prepare'.")],
    output: Annotated[Path, typer.Option("--json", help="The report to write.")],
    n: Annotated[int, typer.Option("--n", "-n", min=8, help="How many samples.")] = 5000,
    validation: Annotated[
        int, typer.Option(min=8, help="The last faces, held out from training.")
    ] = defaults.VALIDATION,
    first_seed: Annotated[
        int, typer.Option(min=0, help="Samples are the seeds from here on.")
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
    """Compare samples with held-out faces; every figure has its value for real faces beside it."""
    from latentedit.cli.progress import track
    from latentedit.editor import FaceEditor
    from latentedit.evaluation import generator as evaluation
    from latentedit.evaluation import report as drawing
    from latentedit.files import check_writable
    from latentedit.images import save_image
    from latentedit.training.data import open_face_data

    for path in (output, plot, neighbours):
        if path:
            check_writable(path)
    if plot:
        drawing.check_plot(plot)
    evaluation.check_extras()
    faces = open_face_data(data)
    editor = FaceEditor.load(model)
    classifier = editor.classifier
    real = evaluation.look_at_real(
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
    _finish(report, output, model, "generator" if card else None)
    if plot:
        drawing.plot_frequencies(plot, report)
    if neighbours:
        strips = evaluation.nearest_training_faces(
            samples, faces, classifier, validation=validation, device=editor.device, track=track
        )
        save_image(neighbours, drawing.neighbours_panel(strips))
    _print_report(report, drawing.generator_rows(report))


@app.command()
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

    from latentedit.editor import FaceEditor
    from latentedit.evaluation import report as drawing
    from latentedit.evaluation.classifier import evaluate_classifier
    from latentedit.evaluation.labels import predict_folder

    _check_outputs(output, plot)
    faces, names = _labelled(data)
    editor = FaceEditor.load(model)
    missing = [name for name in editor.attributes if name not in names]
    if missing:
        raise LatentEditError(f"{data} has no labels of {', '.join(missing[:3])}")
    found = predict_folder(
        editor.score,
        faces,
        resolution=editor.classifier.config.resolution,
        last=last,
        track=_looking,
    )
    order = [names.index(name) for name in editor.attributes]
    figures = evaluate_classifier(
        found.outputs, np.asarray(found.labels)[:, order], editor.attributes
    )
    report = {**_origin(model, data, last, found.skipped), **figures}
    _finish(report, output, model, "classifier" if card else None)
    if plot:
        drawing.plot_accuracies(plot, report)
    _print_skipped(found.skipped)
    _print_classifier(report)


@app.command("age-estimator")
def age_estimator(
    data: LabelledOption,
    output: Annotated[Path, typer.Option("--json", help="The report to write.")],
    last: LastOption = None,
    celeba: Annotated[
        Path | None,
        typer.Option(
            help="CelebA's folder or file: is Young told from the others in its last 1,000?"
        ),
    ] = None,
    generated: Annotated[
        int, typer.Option(min=0, help="Compare with an independent estimator on so many samples.")
    ] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw estimates against ages (.png, .svg, .pdf).")
    ] = None,
    card: CardOption = False,
    model: ModelOption = None,
) -> None:
    """Compare estimated ages with true ones, in UTKFace's framing and in the shared frame."""
    import numpy as np

    from latentedit.editor import FaceEditor
    from latentedit.evaluation import report as drawing
    from latentedit.evaluation.age_estimator import evaluate_age_estimator, separation
    from latentedit.evaluation.labels import predict_folder
    from latentedit.training.utkface import RESOLUTION, to_shared_frame

    _check_outputs(output, plot)
    faces, names = _labelled(data)
    if "Age" not in names:
        raise LatentEditError(f"{data} has no ages: give UTKFace's folder or file")
    editor = FaceEditor.load(model)
    found = predict_folder(
        lambda chips: np.stack(
            (editor.age(chips, tight=True), editor.age(to_shared_frame(chips))), axis=1
        ),
        faces,
        resolution=RESOLUTION,
        last=last,
        track=_looking,
    )
    ages = found.labels[:, names.index("Age")]
    figures = evaluate_age_estimator(found.outputs[:, 0], ages)
    wide = evaluate_age_estimator(found.outputs[:, 1], ages)
    report = {
        **_origin(model, data, last, found.skipped),
        **figures,
        "shared_frame": {key: wide[key] for key in ("mae", "cs5", "bias")},
    }
    if celeba:
        others, labels = _labelled(celeba)
        held_out = min(defaults.VALIDATION, len(others.names))
        seen = predict_folder(
            editor.age, others, resolution=RESOLUTION, last=held_out, track=_looking
        )
        young = seen.labels[:, labels.index("Young")]
        report["young_auc"] = separation(seen.outputs, young)
        report["young_n"] = len(young)
    if generated:
        report["generated"] = {"n": generated, "pearson_r": _agreement(editor, generated)}
    _finish(report, output, model, "age" if card else None)
    if plot:
        drawing.plot_ages(plot, found.outputs[:, 0], ages, figures)
    _print_skipped(found.skipped)
    _print_ages(report)


@app.command()
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
        int, typer.Option(min=2, help="Faces to spoil in kinds that training did not use.")
    ] = 100,
    card: CardOption = False,
    model: Annotated[
        str | None, typer.Option(help="Bundle with a portrait network [default: the shipped one].")
    ] = None,
) -> None:
    """Compare the six portrait qualities with flags, and see that worse portraits score worse."""
    import numpy as np

    from latentedit.cli.progress import track
    from latentedit.evaluation import portrait as evaluation
    from latentedit.portrait import PortraitAssessor
    from latentedit.portrait_network import QUALITIES
    from latentedit.training.data import open_face_data
    from latentedit.training.portrait_baselines import load_baselines, predict_slides
    from latentedit.training.portraits import as_taken, split_faces

    _check_outputs(output, None)
    faces = open_face_data(data)
    _, held_out = split_faces(faces, validation)
    flags = held_out.labels[:, : len(QUALITIES)]
    assessor = PortraitAssessor.load(model)
    ours = evaluation.evaluate_flags(1 - assessor.scores(held_out.images), flags)
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
        "order_faces": len(good),
        "order": ordered,
    }
    _finish(report, output, model, "portrait" if card else None)
    _print_portrait(report, evaluation.portrait_rows(report["qualities"]))


_SPOILT = [0, 1, 3]  # blur, occlusion, illumination


def _agreement(editor: FaceEditor, n: int) -> float:
    """Pearson's r between the bundle's ages of n samples and an independent estimator's."""
    import numpy as np

    from latentedit.evaluation.independent_age import independent_ages

    first = defaults.EVALUATION_FIRST_SEED
    images = editor.render(editor.sample(range(first, first + n)))
    return float(np.corrcoef(editor.age(images), independent_ages(images, _looking))[0, 1])


def _labelled(path: Path) -> tuple[LabelledFolder, tuple[str, ...]]:
    """Labelled faces, from a training file or a data set's folder, and their labels' names."""
    from latentedit.attributes import ATTRIBUTES
    from latentedit.training.celeba import is_celeba, open_celeba
    from latentedit.training.data import open_face_data
    from latentedit.training.utkface import LABELS, open_utkface

    if not path.is_dir():
        faces = open_face_data(path)
        return faces, faces.label_names
    if is_celeba(path):
        return open_celeba(path), ATTRIBUTES
    return open_utkface(path), LABELS


def _looking(rows: Iterator[int], total: int) -> Iterator[int]:
    from latentedit.cli.progress import track

    return track(rows, total, "Looking")


def _check_outputs(output: Path, plot: Path | None) -> None:
    """Refuse early what could not be written at the end."""
    from latentedit.evaluation.report import check_plot
    from latentedit.files import check_writable

    check_writable(output)
    if plot:
        check_writable(plot)
        check_plot(plot)


def _origin(
    model: str | None, data: Path, last: int | None, skipped: Sequence[str]
) -> dict[str, Any]:
    from latentedit.pretrained import find_bundle

    return {
        "model": find_bundle(model).resolve().name,
        "data": data.name,
        "last": last,
        "skipped": len(skipped),
    }


def _finish(report: dict[str, Any], output: Path, model: str | None, part: str | None) -> None:
    """Write the report, and into a part's card if one is named."""
    from latentedit.cards import update_card
    from latentedit.files import write_json
    from latentedit.pretrained import find_bundle

    write_json(output, report)
    if part:
        update_card(find_bundle(model, part) / f"{part}.safetensors", {"figures": report})


def _print_skipped(skipped: Sequence[str]) -> None:
    from latentedit.cli.progress import console

    for message in skipped:
        console.print(f"skipped: {message}", highlight=False, markup=False)


def _print_classifier(report: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from latentedit.attributes import display_name
    from latentedit.evaluation.classifier import BEYOND_PUBLISHED

    table = Table(title=f"{report['model']}: {report['n']} faces of {report['data']}")
    table.add_column("attribute", no_wrap=True)
    keys = ("accuracy", "slides", "majority", "balanced_accuracy", "f1", "mse", "ece")
    for title in ("acc.", "slides", "major.", "balanced", "F1", "MSE", "ECE"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, row in report["attributes"].items():
        cells = [f"{row[key]:.3f}" if key in row else "" for key in keys]
        table.add_row(display_name(name) + (" *" if name in BEYOND_PUBLISHED else ""), *cells)
    Console().print(table)
    published = ", ".join(
        f"{display_name(name)} {value:.3f}" for name, value in BEYOND_PUBLISHED.items()
    )
    print(f"* the slides exceed the best published (MCNN-AUX 2017: {published})")
    print(
        f"mean accuracy {report['mean_accuracy']:.4f} (majority {report['mean_majority']:.4f}), "
        f"mean calibration error {report['mean_ece']:.4f}, {report['skipped']} skipped"
    )


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
    if "generated" in report:
        row = report["generated"]
        r = f"{row['pearson_r']:.3f}"
        print(f"against an independent estimator on {row['n']} samples: Pearson's r {r}")
    if "young_auc" in report:
        auc = f"{report['young_auc']:.4f}"
        print(f"Young from not Young, {report['young_n']} CelebA faces: AUC {auc}")


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


def _print_portrait(report: Mapping[str, Any], rows: list[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("quality", "poor", "accuracy", "balanced", "F1", "ROC AUC", "ECE", "slides"):
        table.add_column(name, justify="left" if name == "quality" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    print(
        f"{report['portraits']} portraits of {report['held_out_faces']} held-out faces, "
        "this network/the slides' networks"
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
