"""What the commands that train with labels share: the bar, the plan, the plot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from latentedit.training.options import SupervisedOptions

if TYPE_CHECKING:
    from latentedit.data.face_file import FaceData


@contextmanager
def score_bar(name: str, sign: float) -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """Show a progress bar with the score times `sign`; yield the `on_step` for the training."""
    from latentedit.cli.progress import progress_bar

    with progress_bar() as bar:
        task = bar.add_task("Training", total=None, note="")

        def on_step(step: int, total: int, figures: dict[str, float]) -> None:
            note = f"{name} {sign * figures['score']:.4f}" if figures else ""
            bar.update(task, completed=step, total=total, note=note)

        yield on_step


def say_plan(
    options: SupervisedOptions,
    faces: FaceData,
    validation: int,
    output: Path,
    check: Callable[[FaceData], None],
    further: int = 0,
) -> None:
    """Print what a run would do.

    Args:
        options: the run's options.
        faces: the training file.
        validation: how many of the faces are held out.
        output: the run's folder.
        check: raises an error if the faces cannot be learned from.
        further: how many faces without labels are learned from too.

    Raises:
        LatentEditError: the run would be refused.
    """
    from latentedit.training.supervised.loop import steps_an_epoch

    check(faces)
    training, _ = faces.split(validation)
    steps = steps_an_epoch(len(training) + further, options.batch_size)
    print(
        f"would train on {len(training)} faces for {options.epochs} epochs of {steps} steps, "
        f"hold out {validation}, and write to {output}; with {options}"
    )


def plot_epochs(run_folder: Path, title: str, sign: float) -> None:
    """Draw the score by epoch beside the log, where matplotlib is installed."""
    from latentedit.evaluation.figures.plots import can_plot, plot_epochs
    from latentedit.training.runs import Run

    log = Run(run_folder).read_log()
    if can_plot() and log:
        plot_epochs(
            run_folder / "epochs.png",
            [record["epoch"] for record in log],
            [sign * record["score"] for record in log],
            title,
        )
