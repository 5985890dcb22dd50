"""Training the progressive generator: one loop for every objective."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from latentedit import defaults
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.data.face_file import FaceData
from latentedit.data.utkface import QUESTIONS
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.progressive import Generator
from latentedit.inference.devices import device_name, place
from latentedit.io.files import make_folder
from latentedit.io.images import grid, save_image, to_range, to_tensor, to_uint8
from latentedit.io.resampling import downsample, upsample
from latentedit.pretrained.bundles import load_generator
from latentedit.pretrained.hashing import weights_hash
from latentedit.training.augment import flip
from latentedit.training.gan.adversaries import Adversaries
from latentedit.training.gan.losses import Objective
from latentedit.training.gan.objectives import build_objective
from latentedit.training.gan.schedule import Phase
from latentedit.training.gan.snapshots import save_snapshot
from latentedit.training.gan.widening import copy_or_widen
from latentedit.training.options import GeneratorOptions
from latentedit.training.runs import (
    Run,
    choose_average,
    read_generator_options,
    select_origin,
)
from latentedit.training.state import (
    ALONE,
    average_name,
    check_whole,
    load_network,
    load_state,
    read_progress,
    read_state,
    save_state,
    with_prefix,
)
from latentedit.training.workers import Workers

BUNDLED = "generator.json"
"""Of a bundle's files the one that tells it from a run."""

SHARE_FOR_FACES = 0.25
"""Of a GPU's free memory, that training files may take."""


@dataclass(frozen=True)
class Report:
    """What a progress display may want: images seen and to see, speed, phase, last figures."""

    images: int
    total: int
    images_per_second: float
    phase: Phase
    figures: Mapping[str, float]


def train_generator(
    data: FaceData,
    run_folder: str | Path,
    options: GeneratorOptions,
    *,
    feature_data: FaceData | None = None,
    validation: int = defaults.VALIDATION,
    classifier: AttributeClassifier | None = None,
    people: AttributeClassifier | None = None,
    init: Sequence[str | Path] = (),
    command: str = "",
    resume: bool = False,
    minutes: float = math.inf,
    on_step: Callable[[Report], None] = lambda report: None,
) -> Generator:
    """Train, saving state and sample grids on the way; on several processes see `workers`.

    Args:
        data: faces at `options.resolution` or larger by a power of two.
        run_folder: where options, log, samples and state go.
        feature_data: faces that frozen features look at instead of `data`, as when `data` holds
            only the few that are sharp enough; they may be smaller.
        validation: hold out the last so many faces of each, for measuring the result.
        classifier: frozen features of the projected objective.
        people: further ones, of tightly cropped faces (see `utkface.as_questions`).
        init: runs or bundles to start from, of this resolution or smaller ones; what several of
            them hold comes from the last.
        command: the command line, for the model's card.
        resume: go on from the last saved state: the same weights, averages, optimisers, phase,
            images seen and random numbers, so a killed run ends as an undisturbed one.
        minutes: save the state and stop after so many, even if images are left to see.
        on_step: called after every step.

    Returns:
        the generator with weights averaged over the first half-life, in eval mode.

    Raises:
        LatentEditError: options that do not fit the data or the state.
    """
    until = time.monotonic() + 60 * minutes
    _check(data, feature_data, people, options)
    source = f"{data.source}; the last {validation} held out"
    feature_resolution = feature_data.resolution if feature_data else None
    data, held_out = data.split(validation)
    judged = data
    if feature_data is not None:
        source += f"; for frozen features {feature_data.source}; the last {validation} held out"
        feature_data, others = feature_data.split(validation)
        if options.patch_weight:
            judged, held_out = feature_data, others
    if options.imagenet_weight > 0:
        source += "; seen through features learned on ImageNet"
    if people is not None:
        source += "; seen through features learned on UTKFace"
    run, workers = Run(run_folder), Workers(options.device)
    run.check(resume)
    workers.check_batch(options.batch_size)
    schedule, device = options.schedule, workers.device
    torch.backends.cudnn.benchmark = True  # shapes stay the same for a whole phase
    torch.manual_seed(options.seed)
    generator = Generator(options.generator).to(device)
    looked_through = {"classifier": classifier, "people": people}
    for network in looked_through.values():
        if network is not None:
            place(network, device)
    objective = build_objective(options, classifier, feature_resolution, device, people)
    adversaries = Adversaries(options, generator, objective, workers)
    parts = adversaries.parts
    hashes = {
        name: None if network is None else weights_hash(network)
        for name, network in looked_through.items()
    }
    before, seen, step, history = 0, 0, 0, None
    starts = [] if resume else [Path(folder) for folder in init]
    if starts:
        _check_last(starts[-1])
    for folder in starts:
        history = _start_from(folder, parts["networks"], hashes)
        before = history["images_seen"]
    if resume:
        _check_resumed(run, hashes)
        progress = load_state(run.state, **parts)
        before, seen, step = progress.get("images_before", 0), progress["images"], progress["step"]
        if workers.leads:
            run.rewind_log("images", seen)
    workers.wait()
    if workers.leads:
        run.begin(
            asdict(options),
            data=source,
            command=command,
            resume=resume,
            before=history,
            device=device_name(device),
        )
    total = int(options.total_kimg * 1000)
    fixed = torch.from_numpy(latents.sample(range(48))).to(device)
    faces = _Faces(data, workers)
    feature_faces = _Faces(feature_data, workers) if feature_data else None
    meter = _Meter(seen)
    on_held_out: dict[str, float] = {}

    while seen < total:
        phase = schedule.at(seen)
        adversaries.set_rate(min(1.0, (total - seen) / max(options.decay_kimg * 1000, 1)))
        real = faces.batch(options.batch_size, phase)
        seen_by_features = feature_faces.batch(options.batch_size, phase) if feature_faces else None
        z = workers.share(torch.randn(options.batch_size, options.generator.latent_dim)).to(device)
        freeze = seen < options.frozen_kimg * 1000
        seen += options.batch_size
        now = adversaries.step(
            z, real, seen_by_features, phase, step, images=before + seen, freeze=freeze
        )
        step += 1
        meter.add(now)
        reads = _passed(seen, options.batch_size, 1000)
        ends = seen >= total or (minutes < math.inf and workers.any(time.monotonic() > until))
        saves = _passed(seen, options.batch_size, int(options.save_kimg * 1000)) or ends
        if (reads or saves) and not torch.isfinite(
            now["generator_loss"] + now["discriminator_loss"]
        ):
            raise LatentEditError(
                f"the losses are no longer finite after {seen} images: "
                "resume from the last state with a lower --learning-rate"
            )
        if reads:
            meter.read(seen, workers)
            figures = {k: round(value, 5) for k, value in (meter.figures | on_held_out).items()}
            if workers.leads:
                run.write_log(
                    {
                        "images": seen,
                        "resolution": phase.resolution,
                        "alpha": round(phase.alpha, 4),
                        "images_per_second": round(meter.speed, 1),
                        **figures,
                    }
                )
        # before the state: a run killed in between makes it again
        if workers.leads and _passed(seen, options.batch_size, int(options.snapshot_kimg * 1000)):
            save_snapshot(run, seen, adversaries.shown)
        if workers.leads and saves:
            on_held_out = _memory_check(objective, judged, held_out, phase, device)
            _draw(run, adversaries.shown, fixed, phase, seen, options.resolution)
            save_state(
                run.state,
                **parts,
                progress={
                    "images_before": before,
                    "images": seen,
                    "step": step,
                    **hashes,
                },
            )
        on_step(Report(seen, total, meter.speed, phase, meter.figures))
        if ends:
            break
    return adversaries.shown


def _check(
    data: FaceData,
    feature_data: FaceData | None,
    people: AttributeClassifier | None,
    options: GeneratorOptions,
) -> None:
    """Refuse options that do not fit the faces."""
    if data.resolution < options.resolution:
        raise LatentEditError(
            f"the faces are {data.resolution}x{data.resolution}, too small for "
            f"{options.resolution}: prepare them larger or lower --resolution"
        )
    if data.resolution % options.resolution:
        raise LatentEditError(
            f"faces of {data.resolution}x{data.resolution} cannot be halved down to "
            f"{options.resolution}: prepare them at a power of two"
        )
    for name, value in asdict(options).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise LatentEditError(f"--{name.replace('_', '-')} must be a finite number")
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
            "--ema-kimg must be thousands of images above 0, each given once, such as 5,2,20"
        )
    if options.objective != "projected":
        for name, given in (
            ("--feature-data", feature_data is not None),
            ("--imagenet-weight", options.imagenet_weight > 0),
            ("--people", people is not None),
        ):
            if given:
                raise LatentEditError(
                    f"--objective {options.objective} looks at no frozen features: leave out {name}"
                )


def _check_resumed(run: Run, hashes: Mapping[str, str | None]) -> None:
    """Refuse to resume without a generator, or through other networks than the run began with."""
    progress = read_progress(run.state)
    check_whole(progress, run.folder)
    for name, given in hashes.items():
        if given is not None and progress.get(name) is None:
            raise LatentEditError(
                f"this run did not look through such a network: leave out --{name}, or start "
                f"another run from this one with --init {run.folder}"
            )
        if progress.get(name) != given:
            raise LatentEditError(
                f"this run looked through another {name}: give --{name} the same weights"
            )


class _Meter:
    """Means of the figures and the speed since they were read last."""

    def __init__(self, images: int) -> None:
        self.figures: dict[str, float] = {}
        self.speed = 0.0
        self._since, self._images = time.perf_counter(), images
        self._values: dict[str, list[Tensor]] = {}

    def add(self, figures: Mapping[str, Tensor]) -> None:
        for name, value in figures.items():
            self._values.setdefault(name, []).append(value)

    def read(self, images: int, workers: Workers) -> None:
        self.speed = (images - self._images) / (time.perf_counter() - self._since)
        self._since, self._images = time.perf_counter(), images
        self.figures = {
            name: workers.mean(float(torch.stack(values).mean()))
            for name, values in self._values.items()
        }
        self._values.clear()


def _check_last(folder: Path) -> None:
    """Check that the last of those that a run starts from has a generator, if it is a run."""
    if not (folder / BUNDLED).is_file():
        check_whole(read_progress(Run(folder).state), folder)


def _start_from(
    folder: Path, networks: Mapping[str, nn.Module], hashes: Mapping[str, str | None]
) -> dict[str, Any]:
    """Copy the networks of a run, or the generator of a bundle; return where they come from.

    Heads and queues of another network's features are left to begin anew, narrower networks are
    widened, and averages that a run did not keep begin as its first.

    Raises:
        LatentEditError: neither a run nor a bundle, or one of other widths.
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
        first = with_prefix(weights, average_name(choose_average(run, None)))
        for name in generators:
            if not with_prefix(weights, name):
                weights |= {f"{name}.{key}": value for key, value in first.items()}
    for name, network in networks.items():
        found = with_prefix(weights, name)
        copied = copy_or_widen(found, network)
        if name in generators and not 0 < len(found) == copied:
            raise LatentEditError(f"{folder} has a larger resolution: give no smaller --resolution")
    return origin


def load_generator_run(
    run_folder: str | Path, ema_kimg: float | None = None
) -> tuple[Generator, dict[str, Any]]:
    """Return a run's averaged generator, in eval mode, and its progress.

    Args:
        run_folder: the run.
        ema_kimg: half-life of the average; the run's first by default.

    Raises:
        LatentEditError: not a generator run, no state saved yet, or no such average in it.
    """
    run = Run(run_folder)
    options = read_generator_options(run)
    generator = Generator(options.generator)
    average = average_name(choose_average(run, ema_kimg))
    check_whole(read_progress(run.state), run.folder)
    progress = load_network(run.state, average, generator)
    return generator.eval(), progress


@torch.inference_mode()
def _memory_check(
    objective: Objective, training: FaceData, held_out: FaceData, phase: Phase, device: torch.device
) -> dict[str, float]:
    """The pixel discriminator's mean score of training and of held-out faces.

    They part when it knows the training faces by heart (Karras et al. 2020, sec. 2). No random
    number is drawn, so a run is the same with and without it.
    """
    means = {}
    for name, faces in (("on_training", training), ("on_held_out", held_out)):
        rows = np.linspace(0, len(faces) - 1, min(256, len(faces))).astype(int)
        images = downsample(
            to_tensor(faces.images[rows], device), max(1, faces.resolution // phase.resolution)
        )
        fading = images.shape[-1] == phase.resolution
        scores = objective.networks["pixel"](images, alpha=phase.alpha if fading else 1.0)
        means[name] = float(scores.float().mean())
    return means


class _Faces:
    """Random batches of a training file; where a GPU has room, the file is copied to it once."""

    def __init__(self, data: FaceData, workers: Workers) -> None:
        self._data, self._workers = data, workers
        self._copy: Tensor | None = None
        if workers.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(workers.device)
            if len(data) * data.resolution**2 * 3 < SHARE_FOR_FACES * free:
                self._copy = torch.from_numpy(np.array(data.images)).to(workers.device)

    def batch(self, count: int, phase: Phase) -> Tensor:
        """Mirrored by chance, at the phase's resolution or smaller where the file's is."""
        drawn = torch.randint(len(self._data), (count,)).sort().values
        rows, device = self._workers.share(drawn), self._workers.device
        if self._copy is None:
            images = to_tensor(self._data.images[rows.numpy()], device)
        else:
            images = to_range(self._copy[rows.to(device)])
        images = downsample(flip(images), max(1, self._data.resolution // phase.resolution))
        if phase.alpha < 1 and images.shape[-1] == phase.resolution:
            # fade in the reals' detail as the networks' (Karras et al. 2018, sec. 2)
            images = torch.lerp(upsample(downsample(images)), images, phase.alpha)
        return images


def _passed(seen: int, batch: int, every: int) -> bool:
    return every > 0 and seen // every > (seen - batch) // every


def _draw(
    run: Run, average: Generator, z: Tensor, phase: Phase, seen: int, resolution: int
) -> None:
    with torch.inference_mode():
        images = average(z, resolution=phase.resolution, alpha=phase.alpha)
        images = upsample(images, resolution // phase.resolution)
    folder = make_folder(run.folder / "samples")
    save_image(folder / f"{seen:09d}.png", grid(to_uint8(images), columns=12))
