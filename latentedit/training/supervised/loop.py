"""The loop shared by the networks that are trained with labels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from latentedit.classifiers.backbone import Backbone
from latentedit.data.face_file import Faces
from latentedit.errors import LatentEditError
from latentedit.inference.devices import autocast, place
from latentedit.io.images import to_tensor
from latentedit.io.weights import config_from_json
from latentedit.training.options import SupervisedOptions
from latentedit.training.runs import Run
from latentedit.training.state import StateKeeper, load_network, load_state
from latentedit.training.workers import Workers, check_batch

Network = TypeVar("Network", bound=nn.Module)


class Normalised(Protocol):
    """A network that keeps its input's mean and spread."""

    def normalise_to(self, images: Tensor) -> None: ...


class Task(Protocol):
    """What is learned: random changes of pictures, the loss, and figures on validation faces."""

    def augment(self, images: Tensor, targets: Tensor) -> Tensor:
        """Change a training batch [N, 3, R, R] in [-1, 1] at random; targets may decide how."""
        ...

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        ...

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Return figures on all validation faces; the key ``score`` is to be maximised."""
        ...


@dataclass(frozen=True)
class LabelledFaces:
    """uint8 [N, R, R, 3] faces, their targets [N, ...], and where they came from."""

    images: Faces
    targets: Tensor
    source: str = ""


@dataclass(frozen=True)
class Place:
    """How far a run is; its state keeps this.

    Attributes:
        epoch: number of finished epochs.
        best, stale: the best score so far, and the number of epochs since.
        order: seed of the order of the faces in the current epoch; None before it begins.
        step: number of finished steps of the current epoch.
        losses: sum of the losses of these steps.
    """

    epoch: int = 0
    best: float = -math.inf
    stale: int = 0
    order: int | None = None
    step: int = 0
    losses: float = 0.0


def fit(
    network: nn.Module,
    task: Task,
    train: LabelledFaces,
    validation: LabelledFaces,
    run_folder: str | Path,
    options: SupervisedOptions,
    *,
    network_options: Mapping[str, Any],
    workers: Workers | None = None,
    command: str = "",
    resume: bool = False,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, total, figures: None,
) -> nn.Module:
    """Train `network` and return its averaged weights as a network in eval mode.

    On several processes (see `workers`) each works on its share of every batch.

    Args:
        network: images [N, 3, H, W] in [-1, 1] -> outputs for `task`.
        run_folder: where options, log and state go.
        network_options: the network's configuration, saved with the options.
        workers: the processes that train together; by default those that were launched.
        command: the command line, for the model's card.
        resume: go on from the last saved step; the state is saved after each epoch, and in between
            when `StateKeeper.due`.
        on_step: called after every step with (step, all steps, last figures).

    Raises:
        LatentEditError: the run folder holds another run, there is none to resume, or the faces
            do not fill one batch.
    """
    run, workers = Run(run_folder), workers or Workers(options.device)
    run.check(resume)
    check_batch(options.batch_size)
    steps = steps_an_epoch(len(train.images), options.batch_size)
    torch.manual_seed(options.seed)
    network = place(network, workers.device)
    average = rising_average(options.ema_decay)
    averaged = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=options.weight_decay)
    parts: dict[str, Any] = {
        "networks": {"network": network, "averaged": averaged},
        "optimizers": {"optimizer": optimizer},
    }
    at = Place()
    if resume:
        at = Place(**load_state(run.state, **parts))
        if workers.leads:
            run.rewind_log("epoch", at.epoch)
    workers.wait()
    if workers.leads:
        chosen, source = asdict(options), train.source
        run.begin(chosen, data=source, command=command, network=network_options, resume=resume)
    keeper = StateKeeper(run.state, **parts)
    figures: dict[str, float] = {}
    while at.epoch < options.epochs and not (options.patience and at.stale >= options.patience):
        started = time.perf_counter()
        for now in _epoch(network, task, train, optimizer, workers, options, at):
            at = now
            averaged.update_parameters(network)
            done = at.epoch * steps + at.step
            if workers.leads and at.step < steps and keeper.due:
                keeper.save(asdict(at))
            on_step(done, steps * options.epochs, figures)
        outputs = predict(averaged, validation.images, workers.device, bf16=options.bf16)
        figures = task.metrics(outputs, validation.targets)
        mean_loss = workers.mean(at.losses / steps)
        score = workers.mean(figures["score"])  # batch norms differ, but all must stop together
        stale = 0 if score > at.best else at.stale + 1
        at = Place(at.epoch + 1, max(at.best, score), stale)
        if workers.leads:
            seconds = round(time.perf_counter() - started, 1)
            run.write_log({"epoch": at.epoch, "loss": mean_loss, **figures, "seconds": seconds})
            keeper.save(asdict(at))
    return averaged.module.eval()


def _epoch(
    network: nn.Module,
    task: Task,
    train: LabelledFaces,
    optimizer: torch.optim.Optimizer,
    workers: Workers,
    options: SupervisedOptions,
    at: Place,
) -> Iterator[Place]:
    """Take the remaining steps of an epoch; yield after each how far the run is."""
    network.train()
    if at.order is None:
        at = replace(at, order=int(torch.randint(2**31, ())))
    steps = steps_an_epoch(len(train.images), options.batch_size)
    batches = _batches(train, options.batch_size, at.order)
    for batch in islice(batches, at.step, None):
        done = (at.epoch * steps + at.step) / (steps * options.epochs)
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * _schedule(done, options.warmup)
        rows = workers.share(batch)
        loss = _step(network, task, train, rows, optimizer, workers, bf16=options.bf16)
        at = replace(at, step=at.step + 1, losses=at.losses + loss)
        yield at


def _step(
    network: nn.Module,
    task: Task,
    train: LabelledFaces,
    rows: NDArray[np.int64],
    optimizer: torch.optim.Optimizer,
    workers: Workers,
    *,
    bf16: bool,
) -> float:
    """Learn from this worker's faces, while the others learn from theirs; return the mean loss."""
    targets = train.targets[rows].to(workers.device)
    images = task.augment(to_tensor(train.images[rows], workers.device), targets)
    with autocast(workers.device, bf16):
        outputs = network(images)
    loss = task.loss(outputs.float(), targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    workers.average_gradients(network.parameters())
    optimizer.step()
    return float(loss.detach())


def normalise(network: Normalised, images: NDArray[np.uint8]) -> None:
    """Set a network's normalisation from about a thousand of its training faces."""
    network.normalise_to(to_tensor(images[:: max(1, len(images) // 1000)]))


def start_from(source: Backbone, target: Backbone) -> None:
    """Copy a network of the same kind whole, or only the stages of another kind.

    A classifier of other attributes is of another kind.

    Raises:
        LatentEditError: the two have different shapes.
    """
    weights = source.state_dict()
    if _kind(source) != _kind(target):
        own = ("head.", "mean", "std")
        weights = {name: value for name, value in weights.items() if not name.startswith(own)}
    try:
        target.load_state_dict(weights, strict=False)
    except RuntimeError:
        raise LatentEditError(
            "the network to start from has another shape: leave out --init"
        ) from None


def _kind(network: Backbone) -> tuple[type[Backbone], tuple[str, ...]]:
    """Return the network's type, and the attributes that its head answers, if any."""
    return type(network), getattr(network.config, "attributes", ())


def load_averaged(
    run_folder: str | Path, config_type: type[Any], build: Callable[[Any], Network], what: str
) -> Network:
    """Return the averaged network of a run of `fit`, in eval mode.

    Args:
        run_folder: the run.
        config_type: type of the network's configuration, which `fit` got as ``network_options``.
        build: makes the network that was given to `fit`.
        what: names such a run in errors, "a classifier's run".

    Raises:
        LatentEditError: another network's run, or no state saved yet.
    """
    run = Run(run_folder)
    try:
        network = build(config_from_json(config_type, run.read_options()["network"]))
    except (KeyError, TypeError):
        raise LatentEditError(f"{run_folder} is not {what}") from None
    load_network(run.state, "averaged.module", network)
    return network.eval()


def predict(
    network: nn.Module,
    images: Faces,
    device: torch.device,
    *,
    batch_size: int = 256,
    bf16: bool = True,
    mirrored: bool = False,
) -> Tensor:
    """Return the network's outputs, float32 [N, ...] on the CPU, in eval mode."""
    network.eval()
    outputs = []
    with torch.inference_mode(), autocast(device, bf16):
        for start in range(0, len(images), batch_size):
            rows = np.arange(start, min(start + batch_size, len(images)))
            batch = to_tensor(images[rows], device)
            outputs.append(network(batch.flip(-1) if mirrored else batch).cpu())
    return torch.cat(outputs).float()


def steps_an_epoch(faces: int, batch_size: int) -> int:
    """Return how many batches the faces fill.

    Raises:
        LatentEditError: they do not fill one.
    """
    if faces < batch_size:
        raise LatentEditError(
            f"{faces} faces do not fill a batch of {batch_size}: lower --batch-size"
        )
    return faces // batch_size


def _batches(train: LabelledFaces, size: int, seed: int | None) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch of an epoch; the seed decides the order of the faces."""
    count = len(train.images)
    chance = torch.Generator()
    if seed is not None:
        chance.manual_seed(seed)
    order = torch.randperm(count, generator=chance).numpy()
    for start in range(0, count - size + 1, size):
        yield np.sort(order[start : start + size])


def _schedule(done: float, warmup: float) -> float:
    if done < warmup:
        return done / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (done - warmup) / (1 - warmup))


def rising_average(decay: float) -> Callable[[Any, Any, Any], None]:
    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], steps: Tensor | int) -> None:
        weight = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:
                mean.copy_(value)

    return update
