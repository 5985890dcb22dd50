"""`latentedit train`: networks from a training file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentedit import defaults

if TYPE_CHECKING:
    from latentedit.classifier import AttributeClassifier

app = typer.Typer(help="Train a network; every run can be resumed.", no_args_is_help=True)

DataOption = Annotated[Path, typer.Option("--data", help="Training file from 'prepare'.")]
RunOption = Annotated[Path, typer.Option("-o", "--output", help="The run's folder.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last saved state.")]
ValidationOption = Annotated[
    int, typer.Option(min=1, help="Hold out the last so many faces of the file.")
]


@app.callback()
def _group() -> None:
    pass


@app.command()
def classifier(
    data: DataOption,
    output: RunOption,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the faces.")] = 16,
    batch_size: Annotated[int, typer.Option(min=2, help="Faces a step.")] = 64,
    validation: ValidationOption = defaults.VALIDATION,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    resume: ResumeOption = False,
) -> None:
    """Train the 40-attribute classifier."""
    from latentedit.cli.progress import progress_bar
    from latentedit.training.attribute_task import train_classifier
    from latentedit.training.data import open_face_data
    from latentedit.training.supervised import SupervisedOptions

    options = SupervisedOptions(epochs=epochs, batch_size=batch_size, seed=seed, device=device)
    with progress_bar() as bar:
        task = bar.add_task("Training", total=None, note="")

        def on_step(step: int, total: int, figures: dict[str, float]) -> None:
            note = f"accuracy {figures['score']:.4f}" if figures else ""
            bar.update(task, completed=step, total=total, note=note)

        train_classifier(
            open_face_data(data),
            output,
            options,
            validation=validation,
            command=command_line(),
            resume=resume,
            on_step=on_step,
        )
    print(f"classifier trained in {output}; next: latentedit bundle --classifier {output}")


@app.command()
def generator(
    data: DataOption,
    output: RunOption,
    objective: Annotated[
        str, typer.Option(help="projected, r1 (non-saturating) or wgan-gp.")
    ] = "projected",
    classifier: Annotated[
        Path | None,
        typer.Option(help="Classifier run or bundle: the projected objective's features."),
    ] = None,
    resolution: Annotated[int, typer.Option(min=4, help="Final edge in pixels.")] = 64,
    fmap_base: Annotated[int, typer.Option(min=1, help="Width: published 8192.")] = 1024,
    fmap_max: Annotated[int, typer.Option(min=1, help="Largest width: published 512.")] = 128,
    start: Annotated[int, typer.Option(min=4, help="First resolution.")] = 8,
    stable_kimg: Annotated[
        str, typer.Option(help="Thousands of images before each growth.")
    ] = "10,20,35",
    fade_kimg: Annotated[str, typer.Option(help="Thousands of images of each fade.")] = "10,15,20",
    total_kimg: Annotated[float, typer.Option(min=0, help="Thousands of images in all.")] = 270,
    decay_kimg: Annotated[
        float, typer.Option(min=0, help="The rate falls to zero over the last so many.")
    ] = 40,
    batch_size: Annotated[int, typer.Option(min=2, help="Images a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(min=0, help="The generator's rate.")] = 7e-4,
    projected_weight: Annotated[
        float, typer.Option(min=0, help="Weight of the projected losses beside the pixel ones.")
    ] = 0.15,
    r1_gamma: Annotated[float, typer.Option(min=0, help="Weight of the R1 penalty.")] = 0.3,
    save_kimg: Annotated[float, typer.Option(min=0.1, help="Save every so many thousands.")] = 5,
    validation: ValidationOption = defaults.VALIDATION,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    bf16: Annotated[bool, typer.Option(help="bfloat16 autocast.")] = True,
    resume: ResumeOption = False,
) -> None:
    """Train the progressive generator."""
    from latentedit.cli.progress import progress_bar
    from latentedit.training.adversarial import GeneratorOptions, Report, train_generator
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
        projected_weight=projected_weight,
        r1_gamma=r1_gamma,
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
            command=command_line(),
            resume=resume,
            on_step=on_step,
        )
    print(f"generator trained in {output}; next: latentedit bundle --generator {output}")


def command_line() -> str:
    """The command being run, as one would type it again."""
    import shlex
    import sys

    return shlex.join(["latentedit", *sys.argv[1:]])


def _numbers(text: str, option: str) -> tuple[float, ...]:
    from latentedit.errors import LatentEditError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise LatentEditError(f"cannot read {option} {text!r}: write numbers like 10,20") from None


def _load_classifier(folder: Path) -> AttributeClassifier:
    """The classifier of a bundle or of a run."""
    from latentedit.pretrained import load_classifier
    from latentedit.training.attribute_task import load_classifier_run

    if (folder / "classifier.json").is_file():
        return load_classifier(folder)[0]
    return load_classifier_run(folder)
