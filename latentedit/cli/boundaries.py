"""`latentedit boundaries`: fit linear boundaries from a pool, and measure them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit import defaults
from latentedit.cli.options import ModelOption, PrecisionOption
from latentedit.cli.words import say
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from latentedit.boundaries.model import Boundaries
    from latentedit.boundaries.samples import Samples
    from latentedit.boundaries.whitening import Whitening
    from latentedit.editing.editor import FaceEditor
    from latentedit.evaluation.edits.effects import Effects

app = typer.Typer(help="Find the attributes' boundaries in latent space.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def fit(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write, ending in .safetensors.")
    ],
    pool: Annotated[Path | None, typer.Option("--pool", help="A pool from 'pool build'.")] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Your own attributes: a .csv with a column 'seed' and one for each attribute, or "
            "a .npy with one row for each latent of --pool; labels 0 and 1, or probabilities. "
            "They are added to the boundaries in --output."
        ),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Names of a .npy's columns, in order.")
    ] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write the table, with the slides' figures in it.")
    ] = None,
    model: ModelOption = None,
) -> None:
    """Fit a linear SVM for each attribute and print its figures.

    First come the number of samples that it was fitted on, and the accuracy on them. The other
    figures are measured on held-out latents at natural prevalence: accuracy, F1, ROC AUC, average
    precision and the share of faces that have the attribute.
    """
    from latentedit.boundaries.fitting import (
        FEW,
        are_labels,
        choose_whitening,
        fit_boundaries,
        held_out,
    )
    from latentedit.boundaries.model import Boundaries, check_path, is_weak
    from latentedit.cli.invocation import command_line
    from latentedit.cli.progress import progress_bar
    from latentedit.evaluation.figures.slides import boundary_rows
    from latentedit.io.cards import check_report
    from latentedit.io.files import check_writable, write_json
    from latentedit.io.locks import claimed
    from latentedit.pretrained.bundles import TERMS

    check_writable(check_path(output))
    if as_json:
        check_writable(as_json)
        check_report(as_json, output)
    _refuse_unused(scores, pool, model)
    if name and (scores is None or scores.suffix.lower() != ".npy"):
        raise LatentEditError("--name is for the columns of a .npy: give one as --scores")
    samples = _own_samples(scores, pool, name, model) if scores else _pool_samples(pool)
    with progress_bar() as bar:
        task = bar.add_task("Fitting", total=len(samples.names), note="")
        found = fit_boundaries(
            samples.latents,
            samples.scores,
            samples.names,
            samples.generator_hash,
            space=samples.space,
            whitening=samples.whitening or choose_whitening(samples.latents, samples.space),
            on_attribute=lambda name, _: bar.update(task, advance=1, note=name),
        )
    card = {"terms": TERMS, "data": samples.data, "commands": [command_line()]}
    with claimed(output, waits=True):
        if scores and output.exists():
            Boundaries.load(output).merged(found).save_over(output, command_line())
        else:
            found.save(output, card)
    rows = boundary_rows(found)
    if as_json:
        write_json(as_json, {"data": samples.data, "attributes": rows})
    advice = "label more faces" if scores else "build a larger pool"
    _print_fit(rows, advice)
    if len(samples.latents) <= FEW and all(map(are_labels, samples.scores.T)):
        print(
            f"figures come from a fit that held out {held_out(len(samples.latents))} of the "
            f"{len(samples.latents)} faces; the boundaries in the file are fitted on all of them"
        )
    if weak := [name for name in found.names if is_weak(found.figures.get(name, {}))]:
        print(
            f"no better than chance, as far as these latents tell, so auto never holds them: "
            f"{', '.join(weak)}: {advice}"
        )
    print(f"{len(found.names)} boundaries in {output}")


def _refuse_unused(scores: Path | None, pool: Path | None, model: str | None) -> None:
    """Refuse a pool where seeds say which latents, and a model where a pool says which one."""
    seeds = scores is not None and scores.suffix.lower() == ".csv"
    if seeds and pool is not None:
        raise LatentEditError("a .csv names its latents by seed: leave out --pool")
    if not seeds and model is not None and pool is not None:
        raise LatentEditError("a pool knows its model: leave out --model")


def _pool_samples(folder: Path | None) -> Samples:
    from latentedit.boundaries.pool import Pool
    from latentedit.boundaries.samples import Samples

    if folder is None:
        raise LatentEditError("give --pool, a pool from 'latentedit pool build'")
    pool = Pool(folder)
    return Samples(
        pool.latents,
        pool.scores(),
        pool.attributes,
        pool.generator_hash,
        pool.space,
        pool.describe(),
    )


def _own_samples(
    scores: Path, pool: Path | None, names: list[str] | None, model: str | None
) -> Samples:
    from latentedit.boundaries.pool import Pool
    from latentedit.boundaries.samples import samples_of_csv, samples_of_npy
    from latentedit.editing.editor import FaceEditor

    if scores.suffix.lower() == ".csv":
        editor = FaceEditor.load(model)
        return replace(samples_of_csv(scores, editor), whitening=model_whitening(editor))
    if scores.suffix.lower() != ".npy":
        raise LatentEditError(f"cannot read scores from {scores}: give a .csv or a .npy")
    if pool is None:
        raise LatentEditError(f"the scores in {scores} belong to a pool: give it with --pool")
    return samples_of_npy(scores, Pool(pool), names or [scores.stem])


def model_whitening(editor: FaceEditor) -> Whitening | None:
    """Return the coordinates to fit in, or None for the latents as they are.

    They are those of the model's own boundaries. A model without boundaries gets coordinates from
    as many sampled latents as a pool has.
    """
    from latentedit.boundaries.fitting import choose_whitening

    if editor.has_boundaries:
        return editor.boundaries.whitening
    first = defaults.POOL_FIRST_SEED
    some = range(first, first + (defaults.POOL_SIZE if editor.space != "z" else 1))
    return choose_whitening(editor.sample(some), editor.space)


def _print_fit(rows: Mapping[str, Mapping[str, float | bool | None]], advice: str) -> None:
    columns = {
        "samples": "size",
        "train_accuracy": "train",
        "accuracy": "test",
        "slides_accuracy": "slides",
        "f1": "F1",
        "slides_f1": "slides",
        "roc_auc": "AUC",
        "average_precision": "AP",
        "prevalence": "share",
    }
    print("".join((" " * 20, *(f"{heading:>7}" for heading in columns.values()))))
    for name, row in rows.items():
        cells = [row[key] for key in columns]
        texts = ["" if c is None else str(c) if c == row["samples"] else f"{c:.3f}" for c in cells]
        print("".join((f"{name:<20}", *(f"{text:>7}" for text in texts))))
    if rare := [name for name, row in rows.items() if row["rare"]]:
        print(
            f"too rare among the generator's faces to be trusted: {', '.join(rare)}: {advice}, "
            "or do without them"
        )


MeasuredOption = Annotated[
    list[str] | None,
    typer.Option(
        "--attr",
        metavar="NAME",
        help="Only these; may be repeated [default: all that the classifier scores].",
    ),
]
HoldFacesOption = Annotated[
    int | None,
    typer.Option(
        "--hold-faces",
        "--lock-faces",
        min=8,
        help=f"Other faces, on which holds are chosen [default: {defaults.HOLDS_FACES}].",
    ),
]
SearchPoolOption = Annotated[
    Path | None,
    typer.Option(
        "--pool", help="A pool of this model, to search holds with; the larger the better."
    ),
]
SearchLatentsOption = Annotated[
    int | None,
    typer.Option(
        min=defaults.SEARCH_LEAST,
        help="Without --pool: how many latents are scored to search holds "
        f"[default: {defaults.SEARCH_LATENTS}].",
    ),
]
KeepHoldsOption = Annotated[
    bool,
    typer.Option(
        "--keep-holds", "--keep-locks", help="Measure the stored holds; choose no new ones."
    ),
]


@app.command()
def measure(
    work: Annotated[
        Path,
        typer.Option("--work", help="Folder that keeps measurements, so that a run can go on."),
    ] = Path("runs/measure"),
    attr: MeasuredOption = None,
    faces: Annotated[
        int, typer.Option(min=8, help="Faces that effects are reported on.")
    ] = defaults.EFFECTS_FACES,
    hold_faces: HoldFacesOption = None,
    pool: SearchPoolOption = None,
    search_latents: SearchLatentsOption = None,
    typical: Annotated[
        int, typer.Option(min=50, help="Unedited faces that show what is typical.")
    ] = defaults.TYPICAL_FACES,
    keep_holds: KeepHoldsOption = False,
    dlib: Annotated[
        bool, typer.Option("--dlib", help="Measure identity by dlib's descriptor too (slow).")
    ] = False,
    compare: Annotated[
        str,
        typer.Option(
            metavar="KINDS",
            help="Kinds of holds to compare, with commas between them: none, InterFaceGAN's one "
            "or two most similar, auto, all others. 'auto' is always among them.",
        ),
    ] = ",".join(defaults.EFFECT_MODES),
    plot: Annotated[
        Path | None, typer.Option(help="Draw the effects as a heat map (.png, .svg, .pdf).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what was found and change no file.")
    ] = False,
    precision: PrecisionOption = defaults.PRECISION,
    model: ModelOption = None,
) -> None:
    """Measure what edits do, and choose holds.

    Side effects, safe ranges and calibrations are stored with the boundaries.

    For each attribute, faces are edited along it with several kinds of holds. The bundle's
    boundaries then keep the auto holds with the least leakage, the safe range of steps and the
    calibration. The re-scoring matrix is stored beside them, in effects.safetensors. Effects of
    other attributes stay there if they were measured with the same boundaries. Run again to go on
    after a break. Several processes share the work if torchrun or 'accelerate launch' starts them.
    """
    from latentedit.boundaries.pool import Pool
    from latentedit.cli.progress import track
    from latentedit.editing.editor import FaceEditor
    from latentedit.evaluation.edits import measure as measuring
    from latentedit.evaluation.edits.modes import find_modes
    from latentedit.evaluation.figures import drawings
    from latentedit.evaluation.figures.plots import check_plot
    from latentedit.io.files import check_writable
    from latentedit.io.launch import launch
    from latentedit.pretrained.bundles import find_bundle
    from latentedit.pretrained.model import BOUNDARIES_FILE

    searches = {"--pool": pool, "--search-latents": search_latents, "--hold-faces": hold_faces}
    if keep_holds and (given := [name for name, value in searches.items() if value is not None]):
        raise LatentEditError(f"--keep-holds chooses no holds: leave out {' and '.join(given)}")
    if pool is not None and search_latents is not None:
        raise LatentEditError("holds are searched with a --pool or --search-latents: give one")
    modes = find_modes(compare.split(","))
    folder = find_bundle(model)
    if not dry_run:
        check_writable(folder / BOUNDARIES_FILE)
    if plot:
        check_writable(plot)
        check_plot(plot)
    editor = FaceEditor.load(model, precision=precision)
    plan = measuring.Plan(
        faces,
        hold_faces or defaults.HOLDS_FACES,
        modes,
        search_latents=search_latents or defaults.SEARCH_LATENTS,
    )
    if not dry_run:
        chosen = measuring.measured_attributes(editor.boundaries, editor.attributes, attr)
        facts = measuring.describe_plan(editor, editor.boundaries, plan)
        _check_stored(folder, facts, chosen)
    pooled = Pool(pool) if pool else None
    traces = measuring.open_traces(editor, work, typical=typical, describe=dlib, track=track)
    boundaries, effects = measuring.measure(
        traces, plan, attributes=attr, choose=not keep_holds, pool=pooled, track=track
    )
    if not launch().leads:
        return
    if not dry_run:
        _store(folder, boundaries, effects)
    if plot:
        drawings.plot_effects(plot, effects)
    _print_measured(boundaries, effects)


def _check_stored(folder: Path, facts: Mapping[str, Any], chosen: Sequence[str]) -> None:
    """Check what a measurement would do to the stored effects of other attributes.

    Effects that were measured with older boundaries cannot stay; a note says that they are dropped.

    Raises:
        LatentEditError: stored effects of other attributes were measured with other settings.
    """
    from latentedit.evaluation.edits.effects import FILE, Effects

    path = folder / FILE
    if not path.is_file():
        return
    stored = Effects.load(path)
    lost = set(stored.attributes) - set(chosen)
    if not lost:
        return
    if stored.facts.get("boundaries") != facts["boundaries"]:
        say(
            [
                f"the boundaries were fitted anew since the effects of {len(lost)} other "
                "attributes were measured, so these effects are dropped: measure all attributes to "
                "have them again"
            ]
        )
        return
    for name, value in facts.items():
        if stored.facts.get(name) != value:
            raise LatentEditError(
                f"{path} also holds effects of {', '.join(sorted(lost)[:3])}, measured with "
                f"another {name} ({stored.facts.get(name)}, now {value}): measure all attributes, "
                "or use the earlier settings, or give --dry-run"
            )


def _store(folder: Path, boundaries: Boundaries, effects: Effects) -> None:
    """Store measurements in the bundle."""
    from latentedit.boundaries.model import Boundaries
    from latentedit.cli.invocation import command_line
    from latentedit.evaluation.edits.effects import FILE
    from latentedit.io.locks import claimed
    from latentedit.pretrained.bundles import TERMS
    from latentedit.pretrained.model import BOUNDARIES_FILE

    with claimed(folder / BOUNDARIES_FILE, waits=True):
        stored = Boundaries.load(folder / BOUNDARIES_FILE)  # another process may have written it
        measured = stored.with_measured(boundaries, effects.attributes)
        measured.save_over(folder / BOUNDARIES_FILE, command_line())
        effects.save_beside(folder / FILE, command_line(), {"terms": TERMS})


def _print_measured(boundaries: Boundaries, effects: Effects) -> None:
    """Print safe ranges, a sentence on each attribute's holds, and how much leakage they avoid."""
    from latentedit.evaluation.edits.measure import holds_in_words, reduction

    for name in effects.attributes:
        low, high = boundaries.safe_range(name)
        print(f"{name}: safe from {low:+.1f} to {high:+.1f}")
    for name, row in effects.at_half().items():
        print(holds_in_words(name, row))
    for against, words in (("none", "no holds"), ("two", "holding the two most similar")):
        if found := reduction(effects, "auto", against):
            print(found.in_words(words))
