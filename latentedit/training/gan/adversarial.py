"""Training the progressive generator: one loop for every objective."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentedit import defaults
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.data.face_file import FaceData
from latentedit.errors import LatentEditError
from latentedit.generators.progressive_w import Growing
from latentedit.inference.devices import device_name, place
from latentedit.pretrained.hashing import weights_hash
from latentedit.training.gan.adversaries import Adversaries
from latentedit.training.gan.batches import (
    Photographs,
    RunFaces,
    Source,
    TeachersPairs,
    hold_out,
)
from latentedit.training.gan.meter import (
    Meter,
    Report,
    draw_samples,
    memory_check,
    pair_check,
)
from latentedit.training.gan.networks import generator_facts, generator_of, new_generator
from latentedit.training.gan.objectives import build_distillation, build_objective
from latentedit.training.gan.snapshots import save_snapshot
from latentedit.training.gan.starts import (
    Start,
    check_faces,
    check_options,
    check_teacher,
    resume_run,
    start_from,
)
from latentedit.training.gan.teacher import Teacher
from latentedit.training.options import GeneratorOptions
from latentedit.training.runs import Run, choose_average
from latentedit.training.state import (
    StateKeeper,
    average_name,
    check_whole,
    load_network,
    read_progress,
)
from latentedit.training.workers import Workers

LOG_EVERY = 1000
"""Images between two records of the log."""


def train_generator(
    data: FaceData,
    run_folder: str | Path,
    options: GeneratorOptions,
    *,
    feature_data: FaceData | None = None,
    validation: int = defaults.VALIDATION,
    classifier: AttributeClassifier | None = None,
    people: AttributeClassifier | None = None,
    teacher: Teacher | None = None,
    init: Sequence[str | Path] = (),
    command: str = "",
    resume: bool = False,
    minutes: float = math.inf,
    on_step: Callable[[Report], None] = lambda report: None,
) -> Growing:
    """Train a generator; save its state and grids of samples on the way.

    For training on several processes see `workers`.

    Args:
        data: faces at `options.resolution` or larger by a power of two.
        run_folder: where options, log, samples and state go.
        feature_data: faces that frozen features look at instead of `data`. It helps if `data`
            holds only the few faces that are sharp enough. These faces may be smaller.
        validation: number of faces at the end of each file that are held out, for measuring the
            result.
        classifier: the network with the frozen features of the projected objective.
        people: a further frozen network, for tightly cropped faces (see `utkface.as_questions`).
        teacher: the generator that drew `data`; the new one then learns to draw in its w.
        init: runs or bundles to start from, of this resolution or smaller ones; if several hold the
            same network, the last one counts.
        command: the command line, for the model's card.
        resume: go on from the last saved state: the same weights, averages, optimisers, phase,
            images seen and random numbers. So a killed run ends like a run that was not killed.
        minutes: save the state and stop after this time, even before `total_kimg`.
        on_step: called after every step.

    Returns:
        the generator with weights averaged over the first half-life, in eval mode.

    Raises:
        LatentEditError: options that do not fit the data or the state, or losses that are no
            longer finite.
    """
    until = time.monotonic() + 60 * minutes
    check_options(options, feature_data, people, taught=teacher is not None)
    check_faces(data, options)
    faces = hold_out(data, feature_data, validation, patches=options.patch_weight > 0)
    run, workers = Run(run_folder), Workers(options.device)
    run.check(resume)
    frozen = {"classifier": classifier, "people": people}
    adversaries = _build(options, frozen, feature_data, teacher, workers)
    source = _source(faces, teacher, adversaries.generator, workers)
    hashes = {
        name: None if network is None else weights_hash(network) for name, network in frozen.items()
    }
    if resume:
        start = resume_run(run, adversaries.parts, hashes, options)
        if workers.leads:
            run.rewind_log("images", start.images)
    else:
        start = start_from(init, adversaries.parts["networks"], hashes)
    check_teacher(run.read_options() if resume else start.history or {}, teacher)
    workers.wait()
    if workers.leads:
        run.begin(
            asdict(options),
            data=faces.source + _seen_through(options, people, taught=teacher is not None),
            command=command,
            resume=resume,
            before=start.history,
            device=device_name(workers.device),
            facts=generator_facts(adversaries.generator, teacher, validation),
        )
    return _train(run, options, faces, source, adversaries, workers, start, until, on_step)


def _train(
    run: Run,
    options: GeneratorOptions,
    faces: RunFaces,
    source: Source,
    adversaries: Adversaries,
    workers: Workers,
    start: Start,
    until: float,
    on_step: Callable[[Report], None],
) -> Growing:
    """Run the loop: draw a batch, take a step; now and then log, make a snapshot, save the state.

    The number of images seen decides when. Only the saving of states also depends on time, so that
    everything else is the same in every run.
    """
    schedule, batch_size = options.schedule, options.batch_size
    total, judged = int(options.total_kimg * 1000), options.adversarial_weight > 0
    seen, step, meter = start.images, start.steps, Meter(start.images)
    keeper = StateKeeper(run.state, **adversaries.parts)
    while seen < total:
        phase = schedule.at(seen)
        adversaries.set_rate(min(1.0, (total - seen) / max(options.decay_kimg * 1000, 1)))
        alone = seen < options.alone_kimg * 1000
        freeze = judged and not alone and seen < (options.alone_kimg + options.frozen_kimg) * 1000
        batch = source.draw(batch_size, phase)
        seen += batch_size
        images = start.images_before + seen
        figures = adversaries.step(batch, phase, step, images=images, freeze=freeze, alone=alone)
        step += 1
        meter.add(figures)
        ends = seen >= total or (until < math.inf and workers.any(time.monotonic() > until))
        saves = ends or _passed(seen, batch_size, int(options.save_kimg * 1000))
        logs = _passed(seen, batch_size, LOG_EVERY)
        timely = workers.leads and keeper.due
        if logs or saves or timely:
            _check_finite(figures, seen)
        if workers.leads and saves:
            meter.on_held_out = {
                **memory_check(
                    None if alone else adversaries.objective, faces, phase, workers.device
                ),
                **pair_check(adversaries.shown, source, phase),
            }
        if logs:
            meter.read(seen, workers)
            if workers.leads:
                run.write_log(meter.record(seen, phase))
        # before the state: if the run is killed in between, it makes the snapshot again
        if workers.leads and _passed(seen, batch_size, int(options.snapshot_kimg * 1000)):
            save_snapshot(run, seen, adversaries.shown)
        if workers.leads and saves:
            draw_samples(run, adversaries.shown, source, phase, seen, options.resolution)
        if workers.leads and (saves or timely):
            keeper.save(start.progress(seen, step))
        on_step(Report(seen, total, meter.speed, phase, meter.figures))
        if ends:
            break
    return adversaries.shown


def _build(
    options: GeneratorOptions,
    frozen: Mapping[str, AttributeClassifier | None],
    feature_data: FaceData | None,
    teacher: Teacher | None,
    workers: Workers,
) -> Adversaries:
    """Build generator, discriminators and optimisers; the run's seed decides the weights."""
    torch.backends.cudnn.benchmark = True  # shapes stay the same for a whole phase
    torch.manual_seed(options.seed)
    generator = new_generator(options, teacher).to(workers.device)
    for network in frozen.values():
        if network is not None:
            place(network, workers.device)
    objective = build_objective(
        options,
        frozen["classifier"],
        feature_data.resolution if feature_data else None,
        workers.device,
        frozen["people"],
    )
    distillation = (
        build_distillation(options, frozen["classifier"], workers.device) if teacher else None
    )
    return Adversaries(options, generator, objective, workers, distillation)


def _source(
    faces: RunFaces, teacher: Teacher | None, generator: Growing, workers: Workers
) -> Source:
    """Return the source of batches: photographs, or the teacher's pairs."""
    if teacher is None:
        return Photographs(faces, generator.latent_dim, workers)
    return TeachersPairs(faces, teacher.latents, teacher.paired, workers)


def _seen_through(
    options: GeneratorOptions, people: AttributeClassifier | None, *, taught: bool
) -> str:
    """Return words for the card: the other data sets whose features a run uses."""
    words, judged = "", options.adversarial_weight > 0
    if (judged and options.imagenet_weight > 0) or (taught and options.distil_imagenet > 0):
        words += "; seen through features learned on ImageNet"
    if judged and people is not None:
        words += "; seen through features learned on UTKFace"
    return words


def _check_finite(figures: Mapping[str, Tensor], seen: int) -> None:
    losses = [value for name, value in figures.items() if name.endswith("_loss")]
    if not torch.isfinite(torch.stack(losses)).all():
        raise LatentEditError(
            f"the losses are no longer finite after {seen} images: "
            "resume from the last state with a lower learning_rate"
        )


def _passed(seen: int, batch: int, every: int) -> bool:
    """Return whether the last batch passed a multiple of `every` images; False if that is 0."""
    return every > 0 and seen // every > (seen - batch) // every


def load_generator_run(
    run_folder: str | Path, ema_kimg: float | None = None
) -> tuple[Growing, dict[str, Any]]:
    """Return a run's averaged generator, in eval mode, and its progress.

    Args:
        run_folder: the run.
        ema_kimg: half-life of the average; the run's first by default.

    Raises:
        LatentEditError: not a generator run, no state saved yet, or no such average in it.
    """
    run = Run(run_folder)
    generator = generator_of(run)
    average = average_name(choose_average(run, ema_kimg))
    check_whole(read_progress(run.state), run.folder)
    progress = load_network(run.state, average, generator)
    return generator.eval(), progress
