"""Make a part of a bundle from a finished run: averaged weights, and a card with their origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from latentedit.errors import LatentEditError
from latentedit.pretrained.bundles import TERMS, save_generator, save_part
from latentedit.pretrained.model import ENCODER, PREVIEWS
from latentedit.training.encoder import load_encoder_run
from latentedit.training.gan.adversarial import load_generator_run
from latentedit.training.gan.snapshots import mean_of_snapshots, mean_of_two
from latentedit.training.previews import load_previews_run
from latentedit.training.runs import Run
from latentedit.training.state import read_progress
from latentedit.training.supervised.age_task import load_age_run
from latentedit.training.supervised.attribute_task import load_classifier_run
from latentedit.training.supervised.calibration import read_calibration
from latentedit.training.supervised.portrait_task import load_portrait_run

LOADERS: Mapping[str, Callable[[str | Path], object]] = {
    "classifier": load_classifier_run,
    "age": load_age_run,
    "portrait": load_portrait_run,
    PREVIEWS: load_previews_run,
    ENCODER: load_encoder_run,
}
"""How each part's run is read, but for a generator's, which has averages to choose from."""


def bundle_generator(
    run_folder: str | Path,
    folder: str | Path,
    *,
    ema_kimg: float | None = None,
    snapshots: tuple[float, float] | None = None,
    psi: float | None = None,
    blend: str | Path | None = None,
) -> None:
    """Write a run's averaged generator and its card.

    Weights are rounded to float16. One more training step would change them more than that.

    Args:
        run_folder: the run.
        folder: the bundle.
        ema_kimg: half-life of the average to take; the run's first by default.
        snapshots: two numbers, in thousands of images; take the mean of the snapshots between them
            instead. The card then describes the run up to the last of these snapshots.
        psi: see `Generator.truncated`; averaged weights may need more than 1. By default a student
            has its teacher's, and other generators stay as they are.
        blend: another run, such as the one that this run started from; take the mean of both
            generators' weights (Wang et al. 2018, ESRGAN, sec. 3.4). Of the other one, its first
            average counts.

    Raises:
        LatentEditError: not a generator's run, `psi` is out of range, both `ema_kimg` and
            `snapshots` are given, the other run's generator has another shape or another teacher,
            or the folder cannot be written; see `mean_of_snapshots` too.
    """
    if ema_kimg is not None and snapshots is not None:
        raise LatentEditError("an average has a half-life or snapshots: give one of the two")
    run, until = Run(run_folder), float("inf")
    taken: dict[str, Any] = {}
    if snapshots is not None:
        network, taken["snapshots"] = mean_of_snapshots(run_folder, *snapshots)
        progress, until = read_progress(run.state), taken["snapshots"][-1]
        seen = until
    else:
        network, progress = load_generator_run(run_folder, ema_kimg)
        seen = progress["images"]
    if ema_kimg is not None:
        taken["ema_kimg"] = ema_kimg
    if blend is not None:
        other, other_progress = load_generator_run(blend)
        _check_one_teacher(run, Run(blend))
        network = mean_of_two(network, other)
        taken["blended_with"] = {
            **Run(blend).origin(),
            "images_seen": other_progress.get("images_before", 0) + other_progress["images"],
        }
    if psi is not None:
        network, taken["psi"] = network.truncated(psi), psi
    network = network.half().float()
    log = [record for record in run.read_log() if record["images"] <= until]
    card = {
        **run.origin(),
        "images_seen": progress.get("images_before", 0) + seen,
        **taken,
        "hours": run.hours(until),
        "last_figures": log[-1] if log else {},
    }
    save_generator(folder, network, {"terms": TERMS, **card})


def _check_one_teacher(run: Run, other: Run) -> None:
    """Refuse to blend students of two teachers, which map z to w in their own ways."""
    hashes = [each.origin().get("teacher", {}).get("generator_hash") for each in (run, other)]
    if hashes[0] != hashes[1]:
        raise LatentEditError(
            f"{run.folder} and {other.folder} had other teachers: blend a run with the one it "
            "started from"
        )


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
        "calibration": {
            name: value
            for name, value in read_calibration(run_folder).items()
            if name not in ("scale", "shift")  # they are in the weights already
        },
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


def bundle_previews(run_folder: str | Path, folder: str | Path) -> None:
    """Write a run's preview heads and their card, which names the generator they belong to.

    Raises:
        LatentEditError: not a run of preview heads, or the folder cannot be written.
    """
    run = Run(run_folder)
    heads = load_previews_run(run_folder).half().float()
    card = {
        **run.origin(),
        "generator_hash": run.read_options()["generator_hash"],
        "terms": "Trained on pictures of the generator alone; the generator's own terms apply.",
        "steps": run.read_log(),
    }
    save_part(folder, PREVIEWS, heads, heads.config, card)


def bundle_encoder(run_folder: str | Path, folder: str | Path) -> None:
    """Write a run's averaged encoder and its card, which names the generator it belongs to.

    Raises:
        LatentEditError: not an encoder's run, or the folder cannot be written.
    """
    run = Run(run_folder)
    network = load_encoder_run(run_folder).half().float()
    card = {
        **run.origin(),
        "generator_hash": run.read_options()["generator_hash"],
        "steps": run.read_log(),
    }
    save_part(folder, ENCODER, network, network.config, card)
