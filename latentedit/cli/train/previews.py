"""`latentedit train previews`."""

from __future__ import annotations

from typing import Annotated

import typer

from latentedit.cli.invocation import command_line, parse_numbers
from latentedit.cli.options import ModelOption
from latentedit.cli.train.options import (
    BatchOption,
    DeviceOption,
    RateOption,
    ResumeOption,
    RunOption,
    SeedOption,
)
from latentedit.training.options import PreviewOptions

DEFAULTS = PreviewOptions()


def previews(
    output: RunOption,
    model: ModelOption = None,
    sizes: Annotated[
        str, typer.Option(metavar="PIXELS,...", help="Edges of the previews.")
    ] = ",".join(map(str, DEFAULTS.sizes)),
    pictures: Annotated[
        int, typer.Option(min=2, help="Whole pictures that they learn from.")
    ] = DEFAULTS.pictures,
    validation: Annotated[
        int, typer.Option(min=1, help="How many pictures are held out: the last ones.")
    ] = DEFAULTS.validation,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each head.")] = DEFAULTS.steps,
    batch_size: BatchOption = DEFAULTS.batch_size,
    learning_rate: RateOption = DEFAULTS.learning_rate,
    seed: SeedOption = DEFAULTS.seed,
    device: DeviceOption = DEFAULTS.device,
    resume: ResumeOption = False,
) -> None:
    """Train heads that draw small pictures fast.

    They learn from the generator alone.
    """
    from latentedit.cli.progress import progress_bar
    from latentedit.pretrained.model import Bundle
    from latentedit.training.previews import train_previews

    advice = f"cannot read --sizes {sizes!r}: write edges in pixels like 128,256"
    options = PreviewOptions(
        sizes=tuple(sorted({int(number) for number in parse_numbers(sizes, advice)})),
        pictures=pictures,
        validation=validation,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )
    generator = Bundle.find(model).generator()
    with progress_bar() as bar:
        task = bar.add_task("Pictures", total=None, note="")

        def show(what: str, done: int, total: int, note: str) -> None:
            bar.update(task, description=what, completed=done, total=total, note=note)

        train_previews(
            generator, output, options, command=command_line(), resume=resume, on_progress=show
        )
    print(f"preview heads trained in {output}; next: latentedit bundle --previews {output}")
