"""Options that several training commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentedit import defaults
from latentedit.cli.invocation import finite

DataOption = Annotated[Path, typer.Option("--data", help="Training file from 'prepare'.")]
RunOption = Annotated[Path, typer.Option("-o", "--output", help="The run's folder.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last saved state.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check data and options, say what would run, and stop.")
]
ValidationOption = Annotated[
    int, typer.Option(min=1, help="How many faces to hold out: the last of the file.")
]
CalibrationOption = Annotated[
    int,
    typer.Option(min=1, help="Faces just before the held-out ones; they calibrate probabilities."),
]
EpochsOption = Annotated[int, typer.Option(min=1, help="Passes over the faces.")]
BatchOption = Annotated[int, typer.Option(min=2, help="Faces in each step.")]
PatienceOption = Annotated[
    int, typer.Option(min=0, help="Stop after so many epochs without a better score; 0: never.")
]
RateOption = Annotated[
    float,
    typer.Option(min=0, callback=finite, help="Learning rate at the peak of the cosine schedule."),
]
SeedOption = Annotated[
    int,
    typer.Option(min=0, max=defaults.MAX_SEED, help="Seed of weights, order and augmentation."),
]
InitOption = Annotated[
    Path | None,
    typer.Option(
        "--init", help="Run or bundle with a classifier or an age estimator to start from."
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
