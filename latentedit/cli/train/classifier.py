"""`latentedit train classifier`."""

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


def classifier(
    data: DataOption,
    output: RunOption,
    init: InitOption = None,
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
    """Train the 40-attribute classifier on CelebA.

    On UTKFace, it trains one of genders and races, for 'train generator --people'.
    """
    from latentedit.data.face_file import open_face_data
    from latentedit.data.utkface import LABELS
    from latentedit.training.supervised.attribute_task import check_labels, train_classifier
    from latentedit.training.supervised.teaching import Teaching

    if unlabelled and not teacher:
        raise LatentEditError("--unlabelled needs a --teacher to label its faces")
    faces = open_face_data(data)
    teaching = None
    if teacher:
        teaching = Teaching(
            [load_classifier(folder) for folder in teacher],
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
        more = teaching.unlabelled if teaching else None
        say_plan(options, faces, validation, output, check_labels, len(more) if more else 0)
        return
    with score_bar("accuracy", 1.0) as on_step:
        train_classifier(
            faces,
            output,
            options,
            validation=validation,
            start=load_backbone(init, load_classifier, load_age_estimator) if init else None,
            teaching=teaching,
            command=command_line(),
            resume=resume,
            on_step=on_step,
        )
    plot_epochs(output, "validation accuracy, mean of the attributes", 1.0)
    use = "train generator --people" if faces.label_names == LABELS else "bundle --classifier"
    print(f"classifier trained in {output}; next: latentedit {use} {output}")
