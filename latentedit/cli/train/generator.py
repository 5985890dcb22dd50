"""`latentedit train generator` and `train pack`."""

from __future__ import annotations

import difflib
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentedit import defaults
from latentedit.cli.invocation import command_line, finite
from latentedit.cli.train.networks import load_classifier
from latentedit.cli.train.options import ResumeOption, RunOption
from latentedit.errors import LatentEditError
from latentedit.io.launch import launch
from latentedit.training.options import GeneratorOptions
from latentedit.training.recipes import read_options, setting_types

if TYPE_CHECKING:
    from rich.progress import Progress

    from latentedit.training.gan.meter import Report
    from latentedit.training.gan.teacher import Teacher
    from latentedit.training.runs import Run

LENIENT = {"ignore_unknown_options": True, "allow_extra_args": True}
"""Settings that let options of old versions reach `_refuse_extra`, which says what to write now."""


FacesOption = Annotated[
    Path | None, typer.Option(help="Training file from 'prepare' [default: the teacher's].")
]
TeacherOption = Annotated[
    str | None,
    typer.Option(
        help="Model to learn from instead of --data: its latents and their pictures.",
        metavar="MODEL",
    ),
]
PairsOption = Annotated[
    Path | None,
    typer.Option(
        help="Where the teacher's pairs are kept [default: in the run's folder, or where they "
        "were when the run began]."
    ),
]
RecipeOption = Annotated[
    Path | None, typer.Option(help="TOML file of settings, such as recipes/faces128.toml.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting in place of the recipe's."),
]
ClassifierOption = Annotated[
    Path | None,
    typer.Option(
        help="Classifier's run or bundle: discriminators look through its frozen features."
    ),
]
FeatureDataOption = Annotated[
    Path | None,
    typer.Option(
        help="Training file for the features instead of --data; it may hold smaller faces."
    ),
]
PeopleOption = Annotated[
    Path | None,
    typer.Option(
        help="Classifier's run on UTKFace: a second projected discriminator and sliced "
        "distance look through its features, at the face alone."
    ),
]
InitOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="Run or bundle to start from, of this resolution or a smaller one. Give a run and "
        "then a bundle for the run's discriminators and the bundle's generator."
    ),
]
HeldOutOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="How many faces to hold out: the last of the file "
        f"[default: {defaults.VALIDATION}, or as the run began].",
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(
        min=0, max=defaults.MAX_SEED, help="Seed of weights, order, noise [default: the recipe's]."
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda or mps [default: the recipe's].")
]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        min=0, callback=finite, help="Save and stop after so many minutes; --resume goes on."
    ),
]


def generator(
    context: typer.Context,
    output: RunOption,
    data: FacesOption = None,
    teacher: TeacherOption = None,
    pairs_folder: PairsOption = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    classifier: ClassifierOption = None,
    feature_data: FeatureDataOption = None,
    people: PeopleOption = None,
    init: InitOption = None,
    validation: HeldOutOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    resume: ResumeOption = False,
    minutes: MinutesOption = None,
) -> None:
    """Train a generator, from photos or from a larger one.

    A run that is resumed without a recipe keeps the settings that it began with.
    """
    from latentedit.cli.progress import progress_bar
    from latentedit.data.face_file import open_face_data
    from latentedit.training.gan.adversarial import train_generator
    from latentedit.training.gan.networks import PAIRS_FOLDER, VALIDATION
    from latentedit.training.gan.starts import check_options
    from latentedit.training.runs import Run

    started = time.monotonic()
    _refuse_extra(context)
    options = _options(output, recipe, settings or (), resume=resume)
    options = replace(
        options, seed=options.seed if seed is None else seed, device=device or options.device
    )
    if (data is None) == (teacher is None):
        raise LatentEditError("give what to learn from: photographs by --data, or a --teacher")
    if teacher is None and pairs_folder is not None:
        raise LatentEditError("--pairs-folder is for a --teacher's pairs: leave it out")
    frozen = load_classifier(classifier) if classifier else None
    judge = load_classifier(people) if people else None
    features = open_face_data(feature_data) if feature_data else None
    check_options(options, features, judge, taught=teacher is not None)
    run = Run(output)
    begun = run.read_options() if resume else {}
    if validation is None:
        validation = begun.get(VALIDATION, defaults.VALIDATION)
    with progress_bar() as bar:
        shown = _Shown(bar)
        folder = pairs_folder or Path(begun.get(PAIRS_FOLDER, output / "pairs"))
        known = _teacher(teacher, folder, options, run, shown.on_pairs)
        passed = (time.monotonic() - started) / 60
        train_generator(
            known.faces if known else open_face_data(data or ""),
            output,
            options,
            feature_data=features,
            validation=validation,
            classifier=frozen,
            people=judge,
            teacher=known,
            init=init or (),
            command=command_line(),
            resume=resume,
            minutes=math.inf if minutes is None else max(0, minutes - passed),
            on_step=shown.on_step,
        )
    last = shown.last
    if last is not None and last.images < last.total:
        print(f"time is up, at {last.images} of {last.total} images; to go on, add --resume")
    else:
        print(f"generator trained in {output}; next: latentedit bundle --generator {output}")


class _Shown:
    """Shows on a bar how far pairs and training are.

    Attributes:
        last: report of the last step, None before the first.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar, self._task = bar, bar.add_task("Training", total=None, note="")
        self.last: Report | None = None

    def on_pairs(self, done: int, total: int) -> None:
        """Show how many pairs are drawn."""
        self._bar.update(self._task, description="Pairs", completed=done, total=total)

    def on_step(self, report: Report) -> None:
        """Show how many images the run has seen, at which size and speed."""
        if self.last is None:
            self._bar.reset(self._task)  # the pairs are drawn
        self.last, phase = report, report.phase
        fade = f" fading {phase.alpha:.2f}" if phase.alpha < 1 else ""
        size = f"{phase.resolution}x{phase.resolution}{fade}"
        self._bar.update(
            self._task,
            description="Training",
            completed=report.images,
            total=report.total,
            note=f"{size}  {report.images_per_second:.0f} images/s",
        )


def _options(
    output: Path, recipe: Path | None, settings: Sequence[str], *, resume: bool
) -> GeneratorOptions:
    """Return a run's options; a run that is resumed without a recipe keeps its own."""
    from latentedit.training.runs import Run, read_generator_options

    run = Run(output)
    run.check(resume)
    begun = read_generator_options(run) if resume and recipe is None else None
    options = read_options(recipe, settings, begun)
    if launch().leads and options.total_kimg < options.schedule.kimg:
        print(
            f"note: {options.resolution}x{options.resolution} has not faded in before "
            f"{options.schedule.kimg:g} thousand images: raise total_kimg, or shorten stable_kimg "
            "and fade_kimg",
            file=sys.stderr,
        )
    return options


def _teacher(
    model: str | None,
    folder: Path,
    options: GeneratorOptions,
    run: Run,
    on_pairs: Callable[[int, int], None],
) -> Teacher | None:
    """Return the teacher with its pairs, or None if no model is named."""
    if model is None:
        return None
    from latentedit.pretrained.model import Bundle
    from latentedit.training.gan.teacher import open_teacher

    bundle = Bundle.find(model)
    generator, card = bundle.generator(), bundle.cards.get("generator", {})
    if launch().leads:
        run.hold()  # before pairs are drawn
    return open_teacher(bundle.name, generator, card, folder, options, on_pairs)


def _refuse_extra(context: typer.Context) -> None:
    """Refuse words that are no options; for options of old versions, say what replaces them.

    Raises:
        LatentEditError: there is such a word.
    """
    words = context.args
    if not words:
        return
    name, _, value = words[0].partition("=")
    key = name.removeprefix("--").removeprefix("no-").replace("-", "_")
    if not name.startswith("--") or key not in setting_types():
        known = [name for option in context.command.params for name in option.opts]
        near = difflib.get_close_matches(name, known, 1)
        advice = f"did you mean {near[0]}?" if near else "leave it out."
        raise LatentEditError(f"no option {name!r}: {advice} See '{context.command_path} --help'")
    flag = "false" if name.startswith("--no-") else "true"
    follows = words[1] if len(words) > 1 and not words[1].startswith("-") else flag
    raise LatentEditError(
        f"{name} is a setting now: write --set {key}={value or follows}, or put it in a --recipe"
    )


def pack(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A generator's run.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")],
    ema_kimg: Annotated[
        float | None,
        typer.Option(help="Half-life of the average to keep [default: the run's first]."),
    ] = None,
    generator: Annotated[
        bool,
        typer.Option(help="Keep the generator too; without it, its bundle is needed."),
    ] = True,
) -> None:
    """Write a smaller copy of a run, to go on training from."""
    from latentedit.training.gan.packing import pack_discriminators, pack_run

    if generator:
        _, size = pack_run(run_folder, output, ema_kimg)
        begin = f"-o {output} --resume"
    elif ema_kimg is not None:
        raise LatentEditError(
            "--ema-kimg chooses an average of the generator: leave it or --no-generator out"
        )
    else:
        size = pack_discriminators(run_folder, output)
        begin = f"--init {output} --init BUNDLE, the bundle that has its generator"
    print(
        f"{size / 1e6:.1f} MB in {output}; to go on training, give {begin}, and the data of the "
        "last command in its options.json"
    )
