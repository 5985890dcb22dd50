"""`latentedit boundaries`: linear boundaries from a pool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentedit import defaults
from latentedit.cli.faces import ModelOption

if TYPE_CHECKING:
    from latentedit.evaluation.effects import Effects

app = typer.Typer(help="Find the attributes' boundaries in latent space.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def fit(
    pool: Annotated[Path, typer.Option("--pool", help="A pool from 'pool build'.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write, ending in .safetensors.")
    ],
) -> None:
    """Fit a linear SVM for each attribute and print its figures.

    Samples it was fitted on, accuracy on them; then, on held-out latents, accuracy, F1, ROC AUC
    and the share of faces that have the attribute.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from latentedit.boundaries import check_path
    from latentedit.cli.progress import progress_bar
    from latentedit.cli.train import command_line
    from latentedit.files import check_writable
    from latentedit.finder import fit_boundaries
    from latentedit.pool import Pool
    from latentedit.pretrained import TERMS

    check_writable(check_path(output))
    opened = Pool(pool)
    z, scores = opened.load()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("attribute", no_wrap=True)
    for heading in ("samples", "train", "test", "F1", "ROC AUC", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    with progress_bar() as bar:
        task = bar.add_task("Fitting", total=len(opened.attributes), note="")

        def on_attribute(name: str, figures: Mapping[str, float]) -> None:
            cells = ("train_accuracy", "accuracy", "f1", "roc_auc", "prevalence")
            row = (name, str(figures["samples"]), *(f"{figures[cell]:.4f}" for cell in cells))
            table.add_row(*row)
            bar.update(task, advance=1, note=name)

        boundaries = fit_boundaries(
            z,
            scores,
            opened.attributes,
            opened.generator_hash,
            space=opened.space,
            on_attribute=on_attribute,
        )
    card = {"terms": TERMS, "data": opened.describe(), "commands": [command_line()]}
    boundaries.save(output, card)
    Console().print(table)
    print(f"{len(boundaries.names)} boundaries in {output}")


@app.command()
def measure(
    work: Annotated[
        Path, typer.Option("--work", help="Folder of what was seen; the same one goes on.")
    ] = Path("runs/measure"),
    attr: Annotated[
        list[str] | None,
        typer.Option("--attr", metavar="NAME", help="Only these; may be repeated [default: all]."),
    ] = None,
    faces: Annotated[
        int, typer.Option(min=8, help="Faces that effects are reported on.")
    ] = defaults.EFFECTS_FACES,
    lock_faces: Annotated[
        int, typer.Option(min=8, help="Other faces, that locks are chosen on.")
    ] = defaults.LOCKS_FACES,
    typical: Annotated[
        int, typer.Option(min=50, help="Unedited faces that say what is typical.")
    ] = defaults.TYPICAL_FACES,
    keep_locks: Annotated[
        bool, typer.Option("--keep-locks", help="Measure the stored locks, choose no new ones.")
    ] = False,
    dlib: Annotated[
        bool, typer.Option("--dlib", help="Identity by dlib's descriptor too (slow).")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the effects as a heat map (.png, .svg, .pdf).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what was found and change no file.")
    ] = False,
    model: ModelOption = None,
) -> None:
    """Measure what edits do: locks, side effects, safe ranges, calibrations.

    For each attribute, faces are followed along it under several locks. The auto locks of least
    leakage, the safe range of steps and the calibration are stored with the bundle's boundaries,
    the re-scoring matrix beside them in effects.safetensors. Run again to go on after a break.
    """
    from latentedit.cli.progress import track
    from latentedit.cli.train import command_line
    from latentedit.editor import BOUNDARIES_FILE, FaceEditor
    from latentedit.evaluation import drawings
    from latentedit.evaluation import measure as measuring
    from latentedit.evaluation.effects import FILE
    from latentedit.evaluation.report import check_plot
    from latentedit.files import check_writable
    from latentedit.pretrained import TERMS, find_bundle

    folder = find_bundle(model)
    if not dry_run:
        check_writable(folder / BOUNDARIES_FILE)
    if plot:
        check_writable(plot)
        check_plot(plot)
    editor = FaceEditor.load(model)
    traces = measuring.open_traces(editor, work, typical=typical, describe=dlib, track=track)
    plan = measuring.Plan(faces=faces, lock_faces=lock_faces)
    boundaries, effects = measuring.measure(
        traces, plan, attributes=attr, choose=not keep_locks, track=track
    )
    if not dry_run:
        boundaries.save_over(folder / BOUNDARIES_FILE, command_line())
        effects.save(folder / FILE, {"terms": TERMS, "commands": [command_line()]})
    if plot:
        drawings.plot_effects(plot, effects)
    for name in effects.attributes:
        low, high = boundaries.safe_range(name)
        print(f"{name}: safe from {low:+.1f} to {high:+.1f}")
    _print_locks(effects)


def _print_locks(effects: Effects) -> None:
    """One sentence an attribute, then the average."""
    from latentedit.evaluation.measure import locks_in_words, reduction

    for name, row in effects.at_half().items():
        print(locks_in_words(name, row))
    for against, words in (("none", "no locks"), ("two", "holding the two most similar")):
        share = reduction(effects, "auto", against)
        if share is not None:
            print(f"auto locks leak {share:.0%} less than {words}, averaged over attributes")
