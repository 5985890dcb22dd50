"""Where a run starts: anew, from other runs or bundles, or where it was stopped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from latentedit import defaults
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.data.face_file import FaceData
from latentedit.data.utkface import QUESTIONS
from latentedit.errors import LatentEditError
from latentedit.pretrained.bundles import load_generator
from latentedit.training.gan.teacher import Teacher
from latentedit.training.gan.widening import copy_or_widen
from latentedit.training.options import GeneratorOptions
from latentedit.training.runs import Run, choose_average, read_generator_options, select_origin
from latentedit.training.state import (
    ALONE,
    average_name,
    check_whole,
    load_state,
    read_progress,
    read_state,
    with_prefix,
)
from latentedit.training.workers import check_batch

BUNDLED = "generator.json"
"""The file that marks a bundle; a run has no such file."""


@dataclass(frozen=True)
class Start:
    """Where a run begins, or goes on.

    Attributes:
        hashes: hash of each frozen network, by name; None if the run does not use it.
        images_before: number of images that its weights saw in other runs.
        images: number of images seen in this run.
        steps: number of steps of the optimisers in this run.
        history: origin of the weights that it starts from; None if it starts anew or resumes.
    """

    hashes: Mapping[str, str | None] = field(default_factory=dict)
    images_before: int = 0
    images: int = 0
    steps: int = 0
    history: Mapping[str, Any] | None = None

    def progress(self, images: int, steps: int) -> dict[str, Any]:
        """Return the progress for a state: how far the run is."""
        before = {"images_before": self.images_before}
        return {**before, "images": images, "step": steps, **self.hashes}


def start_from(
    folders: Sequence[str | Path],
    networks: Mapping[str, nn.Module],
    hashes: Mapping[str, str | None],
) -> Start:
    """Copy the networks of runs and bundles; if several hold the same one, the last one counts.

    Args:
        folders: runs or bundles; none to start anew.
        networks: networks by their names in a state.
        hashes: of the frozen networks, see `Start`.

    Raises:
        LatentEditError: a folder is neither a run nor a bundle, its networks do not fit, or the
            last one has no generator.
    """
    starts = [Path(folder) for folder in folders]
    if not starts:
        return Start(hashes)
    _check_last(starts[-1])
    for folder in starts:
        history = _copy(folder, networks, hashes)
    return Start(hashes, images_before=history["images_seen"], history=history)


def resume_run(
    run: Run,
    parts: Mapping[str, Any],
    hashes: Mapping[str, str | None],
    options: GeneratorOptions,
) -> Start:
    """Load a run's last saved state.

    Args:
        run: the run to go on with.
        parts: networks and optimisers, as `state.load_state` takes them.
        hashes: of the frozen networks, see `Start`.
        options: of the run from now on.

    Raises:
        LatentEditError: no generator in the state, the run began with other frozen networks, or
            its generator computes otherwise.
    """
    _check_resumed(run, hashes)
    before = read_generator_options(run)
    for name in ("smooths", "discriminator_hidden"):  # without weights, so the state fits both ways
        if getattr(before, name) != getattr(options, name):
            raise LatentEditError(
                f"{name} cannot change within a run: leave it as it was, or start another run from "
                f"this one with --init {run.folder}"
            )
    progress = load_state(run.state, **parts)
    return Start(hashes, progress.get("images_before", 0), progress["images"], progress["step"])


def check_faces(data: FaceData, options: GeneratorOptions) -> None:
    """Refuse faces that do not fit the options.

    Raises:
        LatentEditError: they are too small, or of no power of two.
    """
    if data.resolution < options.resolution:
        raise LatentEditError(
            f"the faces are {data.resolution}x{data.resolution}, too small for "
            f"{options.resolution}: prepare them larger, or set a lower resolution"
        )
    if data.resolution % options.resolution:
        raise LatentEditError(
            f"faces of {data.resolution}x{data.resolution} cannot be halved down to "
            f"{options.resolution}: prepare them at a power of two"
        )


def check_teacher(entries: Mapping[str, Any], teacher: Teacher | None) -> None:
    """Refuse weights that learnt from another teacher, whose mapping they keep.

    Args:
        entries: of the run or the card that the weights come from.
        teacher: of this run.

    Raises:
        LatentEditError: it is another one.
    """
    before = entries.get("teacher")
    if before and teacher and before["generator_hash"] != teacher.hash:
        raise LatentEditError(
            f"these weights learnt from another teacher, {before['name']}, and keep its mapping "
            f"from z to w: give it again, or start anew from {teacher.name}"
        )


def check_options(
    options: GeneratorOptions,
    feature_data: FaceData | None,
    people: AttributeClassifier | None,
    *,
    taught: bool,
) -> None:
    """Refuse options that do not fit each other, or the number of processes.

    Raises:
        LatentEditError: an option does not fit; the message names it.
    """
    _ = options.schedule  # refuses impossible schedules
    if options.batch_size < 1:
        raise LatentEditError(f"batch_size cannot be {options.batch_size}: give 1 or more")
    check_batch(options.batch_size)
    for name, value in asdict(options).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise LatentEditError(f"{name} must be a finite number")
    if not 0 <= options.seed <= defaults.MAX_SEED:
        raise LatentEditError(f"seed cannot be {options.seed}: give 0 to {defaults.MAX_SEED}")
    for name in (name for name in asdict(options) if name.endswith("learning_rate")):
        if getattr(options, name) < 0:
            raise LatentEditError(f"{name} cannot be below 0")
    if people is not None and people.config.attributes != QUESTIONS:
        raise LatentEditError(
            "--people is for a classifier of UTKFace's genders and races: train one with "
            "'latentedit train classifier' on a file from 'prepare utkface'"
        )
    halves = options.ema_kimg
    if not (halves and all(0 < kimg < math.inf for kimg in halves)) or (
        len({average_name(kimg) for kimg in halves}) < len(halves)
    ):
        raise LatentEditError(
            "ema_kimg must be thousands of images above 0, each given once, such as 5,2,20"
        )
    if not taught and (options.adversarial_weight == 0 or options.alone_kimg > 0):
        raise LatentEditError(
            "without discriminators there is nothing to learn from: raise adversarial_weight, set "
            "alone_kimg to 0, or give a --teacher"
        )
    if options.balanced and not (taught and (options.distil_pixels or options.distil_faces)):
        raise LatentEditError(
            "balanced weighs discriminators against a teacher's pictures: give a --teacher and a "
            "distil_pixels or distil_faces above 0, or leave it out"
        )
    hidden = options.discriminator_hidden
    if hidden and (hidden < 1 or hidden & (hidden - 1) or hidden >= options.start):
        raise LatentEditError(
            f"discriminator_hidden cannot be {hidden}: give 0, or a power of two below start, "
            f"which is {options.start}"
        )
    if hidden and feature_data is not None:
        raise LatentEditError("discriminator_hidden is not for --feature-data: leave one out")
    if taught and feature_data is not None:
        raise LatentEditError(
            "a student learns from its teacher's pictures alone: leave out --feature-data"
        )
    if options.objective != "projected":
        for name, given in (
            ("--feature-data", feature_data is not None),
            ("imagenet_weight", options.imagenet_weight > 0),
            ("--people", people is not None),
        ):
            if given:
                raise LatentEditError(
                    f"objective {options.objective} looks at no frozen features: leave out {name}"
                )


def _check_resumed(run: Run, hashes: Mapping[str, str | None]) -> None:
    """Refuse to resume without a generator, or with other frozen networks than before."""
    progress = read_progress(run.state)
    check_whole(progress, run.folder)
    for name, given in hashes.items():
        if given is not None and progress.get(name) is None:
            raise LatentEditError(
                f"this run began without such a network: leave out --{name}, or start "
                f"another run from this one with --init {run.folder}"
            )
        if progress.get(name) != given:
            raise LatentEditError(
                f"this run began with another {name}: give --{name} the same weights"
            )


def _check_last(folder: Path) -> None:
    """Check that the last folder that a run starts from has a generator, if it is a run."""
    if not (folder / BUNDLED).is_file():
        check_whole(read_progress(Run(folder).state), folder)


def _copy(
    folder: Path, networks: Mapping[str, nn.Module], hashes: Mapping[str, str | None]
) -> dict[str, Any]:
    """Copy the networks of a run, or the generator of a bundle; return where they come from.

    Heads and queues begin anew if they are for features of another network, and a discriminator
    does if it saw other detail. Narrower networks are widened. Averages that a run did not keep
    begin as a copy of its first one.

    Raises:
        LatentEditError: neither a run nor a bundle, or networks that do not fit.
    """
    generators = [name for name in networks if not name.startswith("objective.")]
    if (folder / BUNDLED).is_file():
        bundled, card = load_generator(folder)
        origin = {"images_seen": 0, **select_origin(card)}
        weights = {
            f"{name}.{key}": value
            for name in generators
            for key, value in bundled.state_dict().items()
        }
    else:
        run = Run(folder)
        progress, weights = read_state(run.state)
        if "images" not in progress:
            raise LatentEditError(f"{folder} is not a generator's run: give another one to --init")
        if progress.get(ALONE):
            generators = []
        images = progress.get("images_before", 0) + progress["images"]
        origin = {**run.origin(), "images_seen": images, "hours": run.hours()}
        for name, theirs in (
            ("classifier", ("objective.projected.", "objective.sliced.")),
            ("people", ("objective.people.", "objective.sliced_people.")),
        ):
            if progress.get(name) != hashes[name]:
                weights = {k: value for k, value in weights.items() if not k.startswith(theirs)}
        hidden = getattr(networks.get("objective.pixel"), "hidden", 0)
        if read_generator_options(run).discriminator_hidden != hidden:
            weights = {k: v for k, v in weights.items() if not k.startswith("objective.pixel.")}
        first = with_prefix(weights, average_name(choose_average(run, None)))
        for name in generators:
            if not with_prefix(weights, name):
                weights |= {f"{name}.{key}": value for key, value in first.items()}
    for name, network in networks.items():
        found = with_prefix(weights, name)
        copied = copy_or_widen(found, network)
        if name in generators and not copied:
            raise LatentEditError(
                f"{folder} holds a generator of another kind: if this run has a teacher, start "
                "from one that had a teacher too; if not, from one without"
            )
        if name in generators and len(found) != copied:
            raise LatentEditError(f"{folder} has a larger resolution: set the same or a larger one")
    return origin
