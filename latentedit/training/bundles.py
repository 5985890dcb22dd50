"""From a finished run to a bundle's part: averaged weights and a card that says where from."""

from __future__ import annotations

from pathlib import Path

from latentedit.pretrained import save_part
from latentedit.training.adversarial import load_generator_run
from latentedit.training.age_task import load_age_run
from latentedit.training.attribute_task import load_classifier_run, read_calibration
from latentedit.training.portrait_task import load_portrait_run
from latentedit.training.runs import Run


def bundle_generator(
    run_folder: str | Path,
    folder: str | Path,
    *,
    ema_kimg: float | None = None,
    psi: float = 1.0,
) -> None:
    """Write a run's averaged generator and its card.

    Args:
        run_folder: the run.
        folder: the bundle.
        ema_kimg: half-life of the average to take; the run's first by default.
        psi: see `Generator.truncated`; averaged weights may need more than 1.

    Raises:
        LatentEditError: not a generator's run, `psi` out of range, or the folder cannot be written.
    """
    run = Run(run_folder)
    network, progress = load_generator_run(run_folder, ema_kimg)
    if psi != 1:
        network = network.truncated(psi)
    log = run.read_log()
    card = {
        **run.origin(),
        "images_seen": progress.get("images_before", 0) + progress["images"],
        **({"ema_kimg": ema_kimg} if ema_kimg is not None else {}),
        **({"psi": psi} if psi != 1 else {}),
        "hours": run.hours(),
        "last_figures": log[-1] if log else {},
    }
    save_part(folder, "generator", network, network.config, card)


def bundle_classifier(run_folder: str | Path, folder: str | Path) -> None:
    """Write a run's averaged classifier and its card.

    Raises:
        LatentEditError: not a classifier's run, or the folder cannot be written.
    """
    run = Run(run_folder)
    network = load_classifier_run(run_folder)
    card = {
        **run.origin(),
        "epochs": run.read_log(),
        "calibration": read_calibration(run_folder),
    }
    save_part(folder, "classifier", network, network.config, card)


def bundle_age_estimator(run_folder: str | Path, folder: str | Path) -> None:
    """Write a run's averaged age estimator and its card.

    Raises:
        LatentEditError: not an age estimator's run, or the folder cannot be written.
    """
    run = Run(run_folder)
    network = load_age_run(run_folder)
    card = {**run.origin(), "epochs": run.read_log()}
    save_part(folder, "age", network, network.config, card)


def bundle_portrait(run_folder: str | Path, folder: str | Path) -> None:
    """Write a run's averaged and calibrated portrait network and its card.

    Raises:
        LatentEditError: not a portrait run, or the folder cannot be written.
    """
    run = Run(run_folder)
    network = load_portrait_run(run_folder)
    card = {**run.origin(), "epochs": run.read_log()}
    save_part(folder, "portrait", network, network.config, card)
