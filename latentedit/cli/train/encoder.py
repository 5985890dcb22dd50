"""`latentedit train encoder`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentedit.cli.invocation import command_line
from latentedit.cli.options import ModelOption
from latentedit.cli.train.options import (
    BatchOption,
    DeviceOption,
    RateOption,
    ResumeOption,
    RunOption,
    SeedOption,
)
from latentedit.training.options import EncoderOptions

DEFAULTS = EncoderOptions()


def encoder(
    output: RunOption,
    model: ModelOption = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="Faces of 'prepare aligned', for the last steps [default: none]."),
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=2, help="Pairs to learn from: latents, and their pictures.")
    ] = DEFAULTS.pairs,
    pairs_folder: Annotated[
        Path | None, typer.Option(help="Where pairs are kept [default: the run's].")
    ] = None,
    validation: Annotated[
        int, typer.Option(min=1, help="How many pairs are held out: the last ones.")
    ] = DEFAULTS.validation,
    steps: Annotated[
        int, typer.Option(min=1, help="Steps that learn from pairs.")
    ] = DEFAULTS.steps,
    face_steps: Annotated[
        int, typer.Option(min=0, help="Further steps, which compare drawn faces; with photos too.")
    ] = DEFAULTS.face_steps,
    batch_size: BatchOption = DEFAULTS.batch_size,
    learning_rate: RateOption = DEFAULTS.learning_rate,
    seed: SeedOption = DEFAULTS.seed,
    device: DeviceOption = DEFAULTS.device,
    resume: ResumeOption = False,
) -> None:
    """Train the network that finds a photo's latents.

    It learns from pairs first, then from photos.
    """
    import torch

    from latentedit.cli.progress import progress_bar
    from latentedit.data.face_file import open_face_data
    from latentedit.errors import LatentEditError
    from latentedit.inference.descriptors import descriptor_network
    from latentedit.photos.resemblance import Resemblance
    from latentedit.pretrained.model import Bundle
    from latentedit.training.encoder import train_encoder

    options = EncoderOptions(
        pairs=pairs,
        validation=validation,
        steps=steps,
        face_steps=face_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )
    data = open_face_data(photos) if photos is not None else None
    bundle = Bundle.find(model)
    generator, classifier = bundle.generator(), bundle.classifier()
    if classifier is None:
        raise LatentEditError(
            f"model {bundle.name} has no classifier, which is needed to compare faces: train one "
            "and add it (latentedit train classifier, latentedit bundle --classifier)"
        )
    resemblance = Resemblance(classifier, generator.frame, descriptor_network(torch.device("cpu")))
    with progress_bar() as bar:
        task = bar.add_task("Pairs", total=None, note="")

        def show(what: str, done: int, total: int, note: str) -> None:
            bar.update(task, description=what, completed=done, total=total, note=note)

        train_encoder(
            generator,
            output,
            options,
            pairs_folder=pairs_folder,
            photos=data,
            resemblance=resemblance,
            command=command_line(),
            resume=resume,
            on_progress=show,
        )
    print(f"encoder trained in {output}; next: latentedit bundle --encoder {output}")
