"""`latentedit train portrait` and `train portrait-baselines`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from latentedit import defaults
from latentedit.cli.invocation import command_line
from latentedit.cli.train.networks import load_portrait
from latentedit.cli.train.options import (
    BatchOption,
    CalibrationOption,
    DataOption,
    DeviceOption,
    EpochsOption,
    RateOption,
    ResumeOption,
    RunOption,
    SeedOption,
    ValidationOption,
)
from latentedit.cli.train.supervised import plot_epochs, score_bar
from latentedit.training.options import BaselineOptions, SupervisedOptions

PORTRAIT, BASELINE = SupervisedOptions(epochs=10), BaselineOptions()


def portrait(
    data: DataOption,
    output: RunOption,
    init: Annotated[
        Path | None, typer.Option(help="Portrait network's run or bundle, to start from.")
    ] = None,
    epochs: EpochsOption = PORTRAIT.epochs,
    batch_size: BatchOption = PORTRAIT.batch_size,
    learning_rate: RateOption = PORTRAIT.learning_rate,
    validation: ValidationOption = defaults.VALIDATION,
    calibration: CalibrationOption = defaults.PORTRAIT_CALIBRATION,
    seed: SeedOption = PORTRAIT.seed,
    device: DeviceOption = PORTRAIT.device,
    resume: ResumeOption = False,
) -> None:
    """Train the network of the portrait check.

    One network judges six qualities. It is calibrated at the end.
    """
    from latentedit.data.face_file import open_face_data
    from latentedit.training.supervised.portrait_task import train_portrait

    options = SupervisedOptions(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )
    with score_bar("balanced accuracy", 1.0) as on_step:
        train_portrait(
            open_face_data(data),
            output,
            options,
            validation=validation,
            calibration=calibration,
            start=load_portrait(init) if init else None,
            command=command_line(),
            resume=resume,
            on_step=on_step,
        )
    plot_epochs(output, "balanced accuracy, mean of the six qualities", 1.0)
    print(f"portrait network trained in {output}; next: latentedit bundle --portrait {output}")


def portrait_baselines(
    data: DataOption,
    output: RunOption,
    quality: Annotated[
        list[str] | None, typer.Option(help="Only this quality; give it several times.")
    ] = None,
    epochs: EpochsOption = BASELINE.epochs,
    images: Annotated[
        int, typer.Option(min=100, help="Portraits for each network.")
    ] = BASELINE.images,
    validation: ValidationOption = defaults.VALIDATION,
    calibration: CalibrationOption = defaults.PORTRAIT_CALIBRATION,
    seed: SeedOption = BASELINE.seed,
    resume: ResumeOption = False,
) -> None:
    """Train the slides' networks, one for each quality.

    There are six qualities. The networks are trained with the slides' settings.
    """
    # between small operations, torch's idle threads would spin and take cores from convolutions
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    from latentedit.classifiers.portrait import QUALITIES
    from latentedit.cli.progress import progress_bar
    from latentedit.data.face_file import open_face_data
    from latentedit.evaluation.figures.plots import can_plot, plot_accuracy_by_epoch
    from latentedit.training.baselines.portraits import train_baselines
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
