"""`latentedit train generator` and `train pack`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from latentedit import defaults
from latentedit.cli.invocation import command_line, parse_numbers
from latentedit.cli.train.networks import load_classifier
from latentedit.cli.train.options import (
    DataOption,
    DeviceOption,
    ResumeOption,
    RunOption,
    ValidationOption,
)
from latentedit.errors import LatentEditError
from latentedit.training.options import OBJECTIVES, PIXEL_OBJECTIVES, GeneratorOptions

GENERATOR = GeneratorOptions()


def _listed(numbers: tuple[float, ...]) -> str:
    """As `_numbers` reads them."""
    return ",".join(f"{number:g}" for number in numbers)


def generator(
    data: DataOption,
    output: RunOption,
    objective: Annotated[str, typer.Option(help=f"{', '.join(OBJECTIVES)}.")] = GENERATOR.objective,
    pixel_objective: Annotated[
        str,
        typer.Option(
            help=f"Of the pixel discriminator beside projected ones: {', '.join(PIXEL_OBJECTIVES)}."
        ),
    ] = GENERATOR.pixel_objective,
    classifier: Annotated[
        Path | None,
        typer.Option(help="Classifier run or bundle: the projected objective's features."),
    ] = None,
    feature_data: Annotated[
        Path | None,
        typer.Option(help="Training file the features look at instead; it may hold smaller faces."),
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
    discriminator_fmap_base: Annotated[
        int, typer.Option(min=1, help="Width of the pixel discriminator.")
    ] = GENERATOR.discriminator_fmap_base,
    discriminator_fmap_max: Annotated[
        int, typer.Option(min=1, help="Its largest width.")
    ] = GENERATOR.discriminator_fmap_max,
    start: Annotated[int, typer.Option(min=4, help="First resolution.")] = GENERATOR.start,
    stable_kimg: Annotated[
        str, typer.Option(help="Thousands of images before each growth.")
    ] = _listed(GENERATOR.stable_kimg),
    fade_kimg: Annotated[str, typer.Option(help="Thousands of images of each fade.")] = _listed(
        GENERATOR.fade_kimg
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
    imagenet_weight: Annotated[
        float,
        typer.Option(min=0, help="Weight of the same through features learned on ImageNet."),
    ] = GENERATOR.imagenet_weight,
    people: Annotated[
        Path | None,
        typer.Option(
            help="Classifier's run on UTKFace: another projected discriminator and sliced "
            "distance look through it, at the face alone."
        ),
    ] = None,
    people_weight: Annotated[
        float,
        typer.Option(min=0, help="Weight of that discriminator's losses, where --people is given."),
    ] = GENERATOR.people_weight,
    sliced_weight: Annotated[
        float,
        typer.Option(
            min=0,
            help="Weight of the sliced Wasserstein distance between features, --people's too.",
        ),
    ] = GENERATOR.sliced_weight,
    patch_weight: Annotated[
        float,
        typer.Option(
            min=0,
            help="Weight of small patches' losses; only they judge detail beyond --feature-data.",
        ),
    ] = GENERATOR.patch_weight,
    r1_gamma: Annotated[
        float, typer.Option(min=0, help="Weight of the R1 penalty.")
    ] = GENERATOR.r1_gamma,
    augment: Annotated[
        bool | None,
        typer.Option(help="Differentiable augmentation [default: only projected]."),
    ] = GENERATOR.augment,
    ema_kimg: Annotated[
        str, typer.Option(help="Half-lives of the averaged weights; samples show the first.")
    ] = _listed(GENERATOR.ema_kimg),
    init: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run or bundle to start from, of this resolution or a smaller one. Give a run and "
            "then a bundle for the run's discriminators and the bundle's generator."
        ),
    ] = None,
    frozen_kimg: Annotated[
        float, typer.Option(min=0, help="Let the generator rest for the first so many thousands.")
    ] = GENERATOR.frozen_kimg,
    save_kimg: Annotated[
        float, typer.Option(min=0.1, help="Save every so many thousands.")
    ] = GENERATOR.save_kimg,
    snapshot_kimg: Annotated[
        float,
        typer.Option(min=0, help="Keep the average every so many thousands, for 'evaluate run'."),
    ] = GENERATOR.snapshot_kimg,
    validation: ValidationOption = defaults.VALIDATION,
    seed: Annotated[
        int, typer.Option(min=0, max=defaults.MAX_SEED, help="Seed of weights, order and noise.")
    ] = GENERATOR.seed,
    device: DeviceOption = GENERATOR.device,
    bf16: Annotated[bool, typer.Option(help="bfloat16 autocast.")] = GENERATOR.bf16,
    cuda_graphs: Annotated[
        bool, typer.Option(help="On a GPU, record steps as CUDA graphs: far faster.")
    ] = GENERATOR.cuda_graphs,
    resume: ResumeOption = False,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Save and stop after so many minutes; --resume goes on."),
    ] = None,
) -> None:
    """Train the progressive generator."""
    from latentedit.cli.progress import progress_bar
    from latentedit.data.face_file import open_face_data
    from latentedit.training.gan.adversarial import train_generator
    from latentedit.training.gan.meter import Report

    options = GeneratorOptions(
        objective=objective,
        pixel_objective=pixel_objective,
        resolution=resolution,
        fmap_base=fmap_base,
        fmap_max=fmap_max,
        discriminator_fmap_base=discriminator_fmap_base,
        discriminator_fmap_max=discriminator_fmap_max,
        start=start,
        stable_kimg=_numbers(stable_kimg, "--stable-kimg"),
        fade_kimg=_numbers(fade_kimg, "--fade-kimg"),
        total_kimg=total_kimg,
        decay_kimg=decay_kimg,
        batch_size=batch_size,
        learning_rate=learning_rate,
        discriminator_learning_rate=discriminator_learning_rate,
        projected_weight=projected_weight,
        imagenet_weight=imagenet_weight,
        people_weight=people_weight,
        sliced_weight=sliced_weight,
        patch_weight=patch_weight,
        r1_gamma=r1_gamma,
        augment=augment,
        ema_kimg=_numbers(ema_kimg, "--ema-kimg"),
        frozen_kimg=frozen_kimg,
        save_kimg=save_kimg,
        snapshot_kimg=snapshot_kimg,
        seed=seed,
        device=device,
        bf16=bf16,
        cuda_graphs=cuda_graphs,
    )
    if total_kimg < options.schedule.kimg:
        print(
            f"note: {resolution}x{resolution} has not faded in before {options.schedule.kimg:g} "
            "thousand images: raise --total-kimg, or shorten --stable-kimg and --fade-kimg",
            file=sys.stderr,
        )
    last: Report | None = None
    with progress_bar() as bar:
        task = bar.add_task("Training", total=None, note="")

        def on_step(report: Report) -> None:
            nonlocal last
            last, phase = report, report.phase
            fade = f" fading {phase.alpha:.2f}" if phase.alpha < 1 else ""
            size = f"{phase.resolution}x{phase.resolution}{fade}"
            note = f"{size}  {report.images_per_second:.0f} images/s"
            bar.update(task, completed=report.images, total=report.total, note=note)

        train_generator(
            open_face_data(data),
            output,
            options,
            feature_data=open_face_data(feature_data) if feature_data else None,
            validation=validation,
            classifier=load_classifier(classifier) if classifier else None,
            people=load_classifier(people) if people else None,
            init=init or (),
            command=command_line(),
            resume=resume,
            minutes=math.inf if minutes is None else minutes,
            on_step=on_step,
        )
    if last is not None and last.images < last.total:
        print(f"stopped in time at {last.images} of {last.total} images; to go on, add --resume")
    else:
        print(f"generator trained in {output}; next: latentedit bundle --generator {output}")


def pack(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A generator's run.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")],
    ema_kimg: Annotated[
        float | None,
        typer.Option(help="Half-life of the average to keep [default: the run's first]."),
    ] = None,
    generator: Annotated[
        bool,
        typer.Option(help="Keep the generator too, or discriminators alone, beside its bundle."),
    ] = True,
) -> None:
    """Keep a smaller copy of a run, from which training can go on."""
    from latentedit.training.gan.packing import pack_discriminators, pack_run

    if generator:
        kept, size = pack_run(run_folder, output, ema_kimg)
        begin = f"-o {output} --resume --ema-kimg {kept:g}"
    elif ema_kimg is not None:
        raise LatentEditError(
            "--ema-kimg chooses an average of the generator: leave it or --no-generator out"
        )
    else:
        size = pack_discriminators(run_folder, output)
        begin = f"--init {output} --init BUNDLE, the bundle that has its generator"
    print(
        f"{size / 1e6:.1f} MB in {output}; to train on, give {begin}, and the rest of the last "
        "command in its options.json"
    )


def _numbers(text: str, option: str) -> tuple[float, ...]:
    return parse_numbers(text, f"cannot read {option} {text!r}: write numbers like 10,20")
