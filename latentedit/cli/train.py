"""`latentedit train`: networks from a training file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentedit import defaults
from latentedit.errors import LatentEditError
from latentedit.training.options import (
    OBJECTIVES,
    BaselineOptions,
    GeneratorOptions,
    SupervisedOptions,
)

if TYPE_CHECKING:
    from latentedit.age import AgeEstimator
    from latentedit.backbone import Backbone
    from latentedit.classifier import AttributeClassifier

app = typer.Typer(help="Train a network; every run can be resumed.", no_args_is_help=True)

SUPERVISED, GENERATOR = SupervisedOptions(), GeneratorOptions()
PORTRAIT, BASELINE = SupervisedOptions(epochs=10), BaselineOptions()

DataOption = Annotated[Path, typer.Option("--data", help="Training file from 'prepare'.")]
RunOption = Annotated[Path, typer.Option("-o", "--output", help="The run's folder.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last saved state.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check data and options, say what would run, and stop.")
]
ValidationOption = Annotated[
    int, typer.Option(min=1, help="Hold out the last so many faces of the file.")
]
CalibrationOption = Annotated[
    int, typer.Option(min=1, help="So many faces before these calibrate the probabilities.")
]
EpochsOption = Annotated[int, typer.Option(min=1, help="Passes over the faces.")]
BatchOption = Annotated[int, typer.Option(min=2, help="Faces a step.")]
PatienceOption = Annotated[
    int, typer.Option(min=0, help="Stop after so many epochs without a better score; 0: never.")
]
RateOption = Annotated[float, typer.Option(min=0, help="Peak of the cosine schedule.")]
SeedOption = Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


@app.callback()
def _group() -> None:
    pass


@app.command()
def classifier(
    data: DataOption,
    output: RunOption,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(help="Learn from this classifier (bundle or run) too; give it several times."),
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option(help="Training file of further faces, for the teachers to label.")
    ] = None,
    epochs: EpochsOption = SUPERVISED.epochs,
    batch_size: BatchOption = SUPERVISED.batch_size,
    learning_rate: RateOption = SUPERVISED.learning_rate,
    patience: PatienceOption = SUPERVISED.patience,
    validation: ValidationOption = defaults.VALIDATION,
    seed: SeedOption = SUPERVISED.seed,
    device: DeviceOption = SUPERVISED.device,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Train the 40-attribute classifier."""
    from latentedit.training.attribute_task import Teaching, train_classifier
    from latentedit.training.data import open_face_data

    if unlabelled and not teacher:
        raise LatentEditError("--unlabelled needs a --teacher to label its faces")
    faces = open_face_data(data)
    teaching = None
    if teacher:
        teaching = Teaching(
            [_load_classifier(folder) for folder in teacher],
            unlabelled=open_face_data(unlabelled) if unlabelled else None,
        )
    options = SupervisedOptions(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        seed=seed,
        device=device,
    )
    if dry_run:
        _say_plan(options, len(faces), validation, output)
        return
    with _score_bar("accuracy", 1.0) as on_step:
        train_classifier(
            faces,
            output,
            options,
            validation=validation,
            teaching=teaching,
            command=command_line(),
            resume=resume,
            on_step=on_step,
        )
    _plot_epochs(output, "validation accuracy, mean of the attributes", 1.0)
    print(f"classifier trained in {output}; next: latentedit bundle --classifier {output}")


@app.command()
def age(
    data: DataOption,
    output: RunOption,
    init: Annotated[
        Path | None,
        typer.Option(help="Age estimator's or classifier's run, or a bundle, to start from."),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Age estimator (bundle or run) that labels --unlabelled.")
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            help=f"Training file in the shared frame; its last {defaults.VALIDATION} stay held out."
        ),
    ] = None,
    epochs: EpochsOption = SUPERVISED.epochs,
    batch_size: BatchOption = SUPERVISED.batch_size,
    learning_rate: RateOption = SUPERVISED.learning_rate,
    patience: PatienceOption = SUPERVISED.patience,
    validation: ValidationOption = defaults.AGE_VALIDATION,
    seed: SeedOption = SUPERVISED.seed,
    device: DeviceOption = SUPERVISED.device,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Train the age estimator."""
    from latentedit.training.age_task import AgeTeaching, train_age_estimator
    from latentedit.training.data import open_face_data

    faces = open_face_data(data)
    options = SupervisedOptions(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        seed=seed,
        device=device,
    )
    if (teacher is None) != (unlabelled is None):
        raise LatentEditError("--teacher and --unlabelled go together: give both or neither")
    teaching = None
    if teacher and unlabelled:
        more, _ = open_face_data(unlabelled).split(defaults.VALIDATION)
        teaching = AgeTeaching(_load_age_estimator(teacher), more)
    start = _load_backbone(init) if init else None
    if dry_run:
        _say_plan(options, len(faces), validation, output)
        return
    with _score_bar("mean error in years", -1.0) as on_step:
        train_age_estimator(
            faces,
            output,
            options,
            validation=validation,
            start=start,
            teaching=teaching,
            command=command_line(),
            resume=resume,
            on_step=on_step,
        )
    _plot_epochs(output, "mean absolute error on validation faces, years", -1.0)
    print(f"age estimator trained in {output}; next: latentedit bundle --age {output}")


@app.command()
def portrait(
    data: DataOption,
    output: RunOption,
    epochs: EpochsOption = PORTRAIT.epochs,
    batch_size: BatchOption = PORTRAIT.batch_size,
    learning_rate: RateOption = PORTRAIT.learning_rate,
    validation: ValidationOption = defaults.VALIDATION,
    calibration: CalibrationOption = defaults.PORTRAIT_CALIBRATION,
    seed: SeedOption = PORTRAIT.seed,
    device: DeviceOption = PORTRAIT.device,
    resume: ResumeOption = False,
) -> None:
    """Train one network for the six qualities of portraits, and calibrate it."""
    from latentedit.training.data import open_face_data
    from latentedit.training.portrait_task import train_portrait

    options = SupervisedOptions(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )
    with _score_bar("balanced accuracy", 1.0) as on_step:
        train_portrait(
            open_face_data(data),
            output,
            options,
            validation=validation,
            calibration=calibration,
            command=command_line(),
            resume=resume,
            on_step=on_step,
        )
    _plot_epochs(output, "balanced accuracy, mean of the six qualities", 1.0)
    print(f"portrait network trained in {output}; next: latentedit bundle --portrait {output}")


@app.command("portrait-baselines")
def portrait_baselines(
    data: DataOption,
    output: RunOption,
    quality: Annotated[
        list[str] | None, typer.Option(help="Only this one; give it several times.")
    ] = None,
    epochs: EpochsOption = BASELINE.epochs,
    images: Annotated[int, typer.Option(min=100, help="Portraits for each.")] = BASELINE.images,
    validation: ValidationOption = defaults.VALIDATION,
    calibration: CalibrationOption = defaults.PORTRAIT_CALIBRATION,
    seed: SeedOption = BASELINE.seed,
    resume: ResumeOption = False,
) -> None:
    """Train the slides' six networks, one for each quality, with the slides' settings."""
    from latentedit.cli.progress import progress_bar
    from latentedit.evaluation.report import can_plot, plot_accuracy_by_epoch
    from latentedit.portrait_network import QUALITIES
    from latentedit.training.data import open_face_data
    from latentedit.training.portrait_baselines import train_baselines
    from latentedit.training.runs import Run

    options = BaselineOptions(epochs=epochs, images=images, seed=seed)
    names = tuple(quality) if quality else QUALITIES
    with progress_bar() as bar:
        task = bar.add_task("Training", total=epochs * len(names), note="")

        def on_epoch(name: str, epoch: int, figures: dict[str, float]) -> None:
            note = f"{name} {figures['held_out_accuracy']:.4f}"
            bar.update(task, completed=epochs * names.index(name) + epoch, note=note)

        train_baselines(
            open_face_data(data),
            output,
            options,
            qualities=names,
            validation=validation,
            calibration=calibration,
            command=command_line(),
            resume=resume,
            on_epoch=on_epoch,
        )
    logs = {name: Run(output / name).read_log() for name in names}
    if can_plot():
        plot_accuracy_by_epoch(output / "accuracy.png", logs)
    for name, log in logs.items():
        last = log[-1]
        print(
            f"{name}: held-out accuracy {last['held_out_accuracy']:.4f} after {last['epoch']} "
            f"epochs, {sum(record['seconds'] for record in log):.0f} s"
        )


@app.command()
def generator(
    data: DataOption,
    output: RunOption,
    objective: Annotated[str, typer.Option(help=f"{', '.join(OBJECTIVES)}.")] = GENERATOR.objective,
    classifier: Annotated[
        Path | None,
        typer.Option(help="Classifier run or bundle: the projected objective's features."),
    ] = None,
    resolution: Annotated[
        int, typer.Option(min=4, help="Final edge in pixels.")
    ] = GENERATOR.resolution,
    fmap_base: Annotated[
        int, typer.Option(min=1, help="Width: published 8192.")
    ] = GENERATOR.fmap_base,
    fmap_max: Annotated[
        int, typer.Option(min=1, help="Largest width: published 512.")
    ] = GENERATOR.fmap_max,
    start: Annotated[int, typer.Option(min=4, help="First resolution.")] = GENERATOR.start,
    stable_kimg: Annotated[
        str, typer.Option(help="Thousands of images before each growth.")
    ] = ",".join(f"{kimg:g}" for kimg in GENERATOR.stable_kimg),
    fade_kimg: Annotated[str, typer.Option(help="Thousands of images of each fade.")] = ",".join(
        f"{kimg:g}" for kimg in GENERATOR.fade_kimg
    ),
    total_kimg: Annotated[
        float, typer.Option(min=0, help="Thousands of images in all.")
    ] = GENERATOR.total_kimg,
    decay_kimg: Annotated[
        float, typer.Option(min=0, help="The rate falls to zero over the last so many.")
    ] = GENERATOR.decay_kimg,
    batch_size: Annotated[int, typer.Option(min=2, help="Images a step.")] = GENERATOR.batch_size,
    learning_rate: Annotated[
        float, typer.Option(min=0, help="The generator's rate.")
    ] = GENERATOR.learning_rate,
    discriminator_learning_rate: Annotated[
        float, typer.Option(min=0, help="The pixel discriminator's rate.")
    ] = GENERATOR.discriminator_learning_rate,
    projected_weight: Annotated[
        float, typer.Option(min=0, help="Weight of the projected losses beside the pixel ones.")
    ] = GENERATOR.projected_weight,
    r1_gamma: Annotated[
        float, typer.Option(min=0, help="Weight of the R1 penalty.")
    ] = GENERATOR.r1_gamma,
    augment: Annotated[
        bool | None,
        typer.Option(help="Differentiable augmentation [default: only projected]."),
    ] = GENERATOR.augment,
    ema_kimg: Annotated[
        str, typer.Option(help="Half-lives of the averaged weights; samples show the first.")
    ] = ",".join(f"{kimg:g}" for kimg in GENERATOR.ema_kimg),
    init: Annotated[
        Path | None,
        typer.Option(help="Run or bundle to start from, of this resolution or a smaller one."),
    ] = None,
    frozen_kimg: Annotated[
        float, typer.Option(min=0, help="Let the generator rest for the first so many thousands.")
    ] = GENERATOR.frozen_kimg,
    save_kimg: Annotated[
        float, typer.Option(min=0.1, help="Save every so many thousands.")
    ] = GENERATOR.save_kimg,
    validation: ValidationOption = defaults.VALIDATION,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and noise.")] = GENERATOR.seed,
    device: DeviceOption = GENERATOR.device,
    bf16: Annotated[bool, typer.Option(help="bfloat16 autocast.")] = GENERATOR.bf16,
    resume: ResumeOption = False,
) -> None:
    """Train the progressive generator."""
    from latentedit.cli.progress import progress_bar
    from latentedit.training.adversarial import Report, train_generator
    from latentedit.training.data import open_face_data

    options = GeneratorOptions(
        objective=objective,
        resolution=resolution,
        fmap_base=fmap_base,
        fmap_max=fmap_max,
        start=start,
        stable_kimg=_numbers(stable_kimg, "--stable-kimg"),
        fade_kimg=_numbers(fade_kimg, "--fade-kimg"),
        total_kimg=total_kimg,
        decay_kimg=decay_kimg,
        batch_size=batch_size,
        learning_rate=learning_rate,
        discriminator_learning_rate=discriminator_learning_rate,
        projected_weight=projected_weight,
        r1_gamma=r1_gamma,
        augment=augment,
        ema_kimg=_numbers(ema_kimg, "--ema-kimg"),
        frozen_kimg=frozen_kimg,
        save_kimg=save_kimg,
        seed=seed,
        device=device,
        bf16=bf16,
    )
    with progress_bar() as bar:
        task = bar.add_task("Training", total=None, note="")

        def on_step(report: Report) -> None:
            phase = report.phase
            fade = f" fading {phase.alpha:.2f}" if phase.alpha < 1 else ""
            size = f"{phase.resolution}x{phase.resolution}{fade}"
            note = f"{size}  {report.images_per_second:.0f} images/s"
            bar.update(task, completed=report.images, total=report.total, note=note)

        train_generator(
            open_face_data(data),
            output,
            options,
            validation=validation,
            classifier=_load_classifier(classifier) if classifier else None,
            init=init,
            command=command_line(),
            resume=resume,
            on_step=on_step,
        )
    print(f"generator trained in {output}; next: latentedit bundle --generator {output}")


@app.command()
def pack(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A generator's run.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")],
) -> None:
    """Keep a smaller copy of a run, from which training can go on."""
    from latentedit.files import make_folder
    from latentedit.training.adversarial import read_options
    from latentedit.training.runs import Run
    from latentedit.training.state import pack_state

    run = Run(run_folder)
    read_options(run)
    kept = Run(make_folder(output))
    pack_state(run.state, kept.state)
    for source, target in ((run.options, kept.options), (run.log, kept.log)):
        if source.exists():
            target.write_bytes(source.read_bytes())
    size = kept.state.stat().st_size / 1e6
    print(f"{size:.1f} MB in {output}; copy it to runs/ and train on with --resume")


def command_line() -> str:
    """The command being run, as one would type it again."""
    import shlex
    import sys

    return shlex.join(["latentedit", *sys.argv[1:]])


@contextmanager
def _score_bar(name: str, sign: float) -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """A progress bar that shows the score times `sign`; gives `on_step` for the training."""
    from latentedit.cli.progress import progress_bar

    with progress_bar() as bar:
        task = bar.add_task("Training", total=None, note="")

        def on_step(step: int, total: int, figures: dict[str, float]) -> None:
            note = f"{name} {sign * figures['score']:.4f}" if figures else ""
            bar.update(task, completed=step, total=total, note=note)

        yield on_step


def _say_plan(options: SupervisedOptions, faces: int, validation: int, output: Path) -> None:
    steps = max(0, faces - validation) // options.batch_size
    print(
        f"would train on {faces - validation} faces for {options.epochs} epochs of {steps} steps, "
        f"hold out {validation}, and write to {output}; with {options}"
    )


def _plot_epochs(run_folder: Path, title: str, sign: float) -> None:
    """Draw the score by epoch beside the log, where matplotlib is installed."""
    from latentedit.evaluation.report import can_plot, plot_epochs
    from latentedit.training.runs import Run

    log = Run(run_folder).read_log()
    if can_plot() and log:
        plot_epochs(
            run_folder / "epochs.png",
            [record["epoch"] for record in log],
            [sign * record["score"] for record in log],
            title,
        )


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise LatentEditError(f"cannot read {option} {text!r}: write numbers like 10,20") from None


def _load_backbone(folder: Path) -> Backbone:
    """What to start an age estimator from: one, if it is there, else a classifier."""
    try:
        return _load_age_estimator(folder)
    except LatentEditError:
        return _load_classifier(folder)


def _load_age_estimator(folder: Path) -> AgeEstimator:
    """The age estimator of a bundle or of a run."""
    from latentedit.pretrained import load_age_estimator
    from latentedit.training.age_task import load_age_run

    if (folder / "age.json").is_file():
        return load_age_estimator(folder)[0]
    return load_age_run(folder)


def _load_classifier(folder: Path) -> AttributeClassifier:
    """The classifier of a bundle or of a run."""
    from latentedit.pretrained import load_classifier
    from latentedit.training.attribute_task import load_classifier_run

    if (folder / "classifier.json").is_file():
        return load_classifier(folder)[0]
    return load_classifier_run(folder)
