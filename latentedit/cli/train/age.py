"""`latentedit train age`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentedit import defaults
from latentedit.cli.invocation import command_line
from latentedit.cli.train.networks import load_age_estimator, load_backbone, load_classifier
from latentedit.cli.train.options import (
    BatchOption,
    DataOption,
    DeviceOption,
    DryRunOption,
    EpochsOption,
    InitOption,
    PatienceOption,
    RateOption,
    ResumeOption,
    RunOption,
    SeedOption,
    ValidationOption,
)
from latentedit.cli.train.supervised import plot_epochs, say_plan, score_bar
from latentedit.errors import LatentEditError
from latentedit.training.options import SupervisedOptions

SUPERVISED = SupervisedOptions()


def age(
    data: DataOption,
    output: RunOption,
    init: InitOption = None,
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
    from latentedit.data.face_file import open_face_data
    from latentedit.training.supervised.age_task import AgeTeaching, check_ages, train_age_estimator

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
        more = open_face_data(unlabelled)
        if len(more) <= defaults.VALIDATION:
            raise LatentEditError(
                f"{unlabelled} has {len(more)} faces, of which the last {defaults.VALIDATION} are "
                "left out: give a file of more faces to --unlabelled"
            )
        more, _ = more.split(defaults.VALIDATION)
        teaching = AgeTeaching(load_age_estimator(teacher), more)
    start = load_backbone(init, load_age_estimator, load_classifier) if init else None
    if dry_run:
        say_plan(options, faces, validation, output, check_ages, len(more) if teaching else 0)
        return
    with score_bar("mean error in years", -1.0) as on_step:
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
    plot_epochs(output, "mean absolute error on validation faces, years", -1.0)
    print(f"age estimator trained in {output}; next: latentedit bundle --age {output}")
