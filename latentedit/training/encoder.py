"""Training of an encoder: from pairs that the generator draws, then from photos.

Pairs say what latents a picture has, and are free. Photos have none: there what the generator
draws of the encoder's latents is compared with the photo, by pixels, the classifier's features
and identity (Tov et al. 2021; Alaluf et al. 2021).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.random import RandomState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from latentedit.boundaries.whitening import Whitening
from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.inference.devices import autocast, keep_memory, pick_device, place
from latentedit.inference.renderer import Renderer
from latentedit.io.images import to_tensor
from latentedit.io.weights import config_from_json
from latentedit.photos.encoder import Encoder, EncoderConfig
from latentedit.training.options import EncoderOptions
from latentedit.training.pairs import Pairs, render_pairs
from latentedit.training.runs import Run
from latentedit.training.state import load_network, load_state, save_state
from latentedit.training.wear import wear

INFLUENCE_PAIRS = 24
"""Pairs by which the influence of each layer on the picture is measured."""

DRAWN = 60
"""Held-out pairs that are drawn again to measure, at least."""

WARM_STEPS = 200
"""In which the rate rises."""

Progress = Callable[[str, int, int, str], None]
"""Called with what is done, how much of it, of how much, and a note."""


def train_encoder(
    generator: FaceGenerator,
    run_folder: str | Path,
    options: EncoderOptions,
    *,
    pairs_folder: str | Path | None = None,
    command: str = "",
    resume: bool = False,
    on_progress: Progress = lambda what, done, total, note: None,
) -> Encoder:
    """Train an encoder of a generator; killed at any moment, a run goes on with `resume`.

    Args:
        generator: to be inverted, used in a space whose layers take a latent each.
        run_folder: where options, log and state go.
        options: see `EncoderOptions`.
        pairs_folder: where pairs are, or are drawn to; by default ``pairs`` in the run folder.
        command: the command line, for the card.
        resume: go on from the last saved state; pairs that are there are kept in any case.
        on_progress: see `Progress`.

    Returns:
        The averaged encoder, in eval mode.

    Raises:
        LatentEditError: the run folder holds another run, or there is none to resume, or pairs of
            another generator.
    """
    keep_memory()
    run, device = Run(run_folder), pick_device(options.device)
    run.check(resume)
    precision = "bfloat16" if options.bf16 else "float32"
    renderer = Renderer(generator, device=options.device, precision=precision)
    config = config_of(renderer)
    folder = Path(pairs_folder) if pairs_folder else run.folder / "pairs"
    render_pairs(
        renderer,
        folder,
        options.pairs,
        config.resolution,
        lambda done, total: on_progress("Pairs", done, total, ""),
    )
    pairs = Pairs.read(folder)
    torch.manual_seed(options.seed)
    network = new_encoder(config, pairs, renderer)
    network = place(network, device)
    averaged = AveragedModel(
        network, multi_avg_fn=get_ema_multi_avg_fn(options.ema_decay), use_buffers=False
    )
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=options.weight_decay)
    parts: dict[str, Any] = {
        "networks": {"network": network, "averaged": averaged},
        "optimizers": {"adam": optimizer},
    }
    step = load_state(run.state, **parts)["step"] if resume else 0
    run.begin(
        asdict(options),
        data="pictures of the generator itself",
        command=command,
        network=asdict(config),
        facts={"generator_hash": renderer.hash},
        resume=resume,
    )
    if resume:
        run.rewind_log("step", step)
    influence = layer_influence(renderer, pairs).to(device)
    total = options.steps
    with Feed(pairs, options, step, total) as feed:
        started = time.perf_counter()
        while step < total:
            pictures, latents = (part.to(device) for part in feed.next())
            loss = _pair_step(network, optimizer, pictures, latents, influence, options, step)
            averaged.update_parameters(network)
            step += 1
            on_progress("Steps", step, total, f"loss {loss:.3f}")
            if step % options.save_steps == 0 or step == total:
                figures = measure(
                    cast(Encoder, averaged.module), renderer, pairs, influence, options
                )
                seconds = round(time.perf_counter() - started, 1)
                run.write_log({"step": step, "loss": loss, **figures, "seconds": seconds})
                save_state(run.state, **parts, progress={"step": step})
    return cast(Encoder, averaged.module.eval())


def config_of(renderer: Renderer) -> EncoderConfig:
    """The shape of an encoder for a generator: groups are the layers of a block each."""
    space, usual = renderer.space, EncoderConfig()
    layers = space.layers
    groups = tuple(first for first in usual.groups if first < layers)
    edge = min(usual.resolution, renderer.resolution)
    return EncoderConfig(resolution=edge, style=space.dim, layers=layers, groups=groups)


def new_encoder(config: EncoderConfig, pairs: Pairs, renderer: Renderer) -> Encoder:
    """An untrained encoder that knows the generator's mean, spread and mean face."""
    network = Encoder(config)
    whitening = Whitening.of(pairs.first)
    mean = whitening.mean.astype(np.float32)
    network.mean.copy_(torch.from_numpy(mean))
    network.basis.copy_(torch.from_numpy(whitening.basis.astype(np.float32)))
    network.start.copy_(to_tensor(renderer.render(mean[None], config.resolution))[0])
    nn.init.normal_(network.heads.weight, std=0.1 / config.hidden**0.5)
    return network


def layer_influence(renderer: Renderer, pairs: Pairs) -> Tensor:
    """How much each layer decides of the picture, float32 [L], 1 in the mean.

    The mean square change of pixels where one layer's latent is taken from the next pair.
    """
    count = min(INFLUENCE_PAIRS, len(pairs))
    latents = pairs.latents(np.arange(count)).numpy()
    before = renderer.render(latents, pairs.size).astype(np.float32)
    changes = []
    for layer in range(pairs.layers):
        moved = latents.copy()
        moved[:, layer] = np.roll(latents[:, layer], 1, axis=0)
        changes.append(np.square(renderer.render(moved, pairs.size) - before).mean())
    values = np.array(changes, dtype=np.float32)
    return torch.from_numpy(values / max(values.mean(), 1e-12))


def pair_loss(network: Encoder, pictures: Tensor, latents: Tensor, influence: Tensor) -> Tensor:
    """Mean square difference of coordinates, layers weighed by their influence."""
    found = network.changes(pictures).float()[:, network.group_of_layers()]
    with torch.no_grad():
        wanted = network.coordinates(latents)
    return ((found - wanted).square().mean((0, 2)) * influence).mean()


def _pair_step(
    network: Encoder,
    optimizer: torch.optim.Optimizer,
    pictures: Tensor,
    latents: Tensor,
    influence: Tensor,
    options: EncoderOptions,
    step: int,
) -> float:
    done = step / options.steps
    rate = options.learning_rate * min(1, (step + 1) / WARM_STEPS)
    for group in optimizer.param_groups:
        group["lr"] = rate * (0.5 + 0.5 * math.cos(math.pi * done))
    with autocast(pictures.device, options.bf16):
        loss = pair_loss(network, pictures, latents, influence)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


@torch.inference_mode()
def measure(
    network: Encoder,
    renderer: Renderer,
    pairs: Pairs,
    influence: Tensor,
    options: EncoderOptions,
) -> dict[str, float]:
    """The loss on held-out pairs, and mean square error and PSNR of some that are drawn again."""
    network.eval()
    rows = np.arange(len(pairs) - options.validation, len(pairs))
    losses: list[float] = []
    errors: list[float] = []
    for start in range(0, len(rows), options.batch_size):
        chosen = rows[start : start + options.batch_size]
        pictures = to_tensor(np.stack([pairs.picture(row) for row in chosen]))
        pictures, latents = pictures.to(renderer.device), pairs.latents(chosen).to(renderer.device)
        losses.append(float(pair_loss(network, pictures, latents, influence)) * len(chosen))
        if len(errors) < DRAWN:
            again = renderer.render(network(pictures).cpu().numpy(), pairs.size)
            drawn = to_tensor(again).to(pictures)
            errors += (drawn - pictures).square().mean((1, 2, 3)).tolist()
    error = float(np.mean(errors))
    return {
        "validation": sum(losses) / len(rows),
        "mse": error,
        "psnr": round(10 * math.log10(4 / max(error, 1e-10)), 2),
    }


class Feed:
    """Batches of worn pictures and their latents, made ready one step ahead.

    A batch depends on its step alone, so a resumed run goes on with what would have come.
    """

    def __init__(self, pairs: Pairs, options: EncoderOptions, step: int, last: int) -> None:
        self._pairs, self._options = pairs, options
        self._step, self._last = step, last
        self._worker = ThreadPoolExecutor(1)

    def __enter__(self) -> Feed:
        self._ahead = self._worker.submit(self._batch, self._step)
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.shutdown(cancel_futures=True)

    def next(self) -> tuple[Tensor, Tensor]:
        """Pictures [n, 3, S, S] in [-1, 1] and w+ [n, L, D]."""
        batch = self._ahead.result()
        self._step += 1
        if self._step < self._last:
            self._ahead = self._worker.submit(self._batch, self._step)
        return batch

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        random = RandomState([self._options.seed, step])
        known = len(self._pairs) - self._options.validation
        rows = random.randint(0, known, self._options.batch_size)
        pictures = np.stack([wear(self._pairs.picture(row), random) for row in rows])
        return to_tensor(pictures), self._pairs.latents(rows)


def load_encoder_run(run_folder: str | Path) -> Encoder:
    """Return a run's averaged encoder, in eval mode.

    Raises:
        LatentEditError: not such a run, or no state saved yet.
    """
    run = Run(run_folder)
    try:
        config = config_from_json(EncoderConfig, run.read_options()["network"])
    except (KeyError, TypeError):
        raise LatentEditError(f"{run_folder} is not a run of an encoder") from None
    averaged = AveragedModel(Encoder(config))
    load_network(run.state, "averaged", averaged)
    return cast(Encoder, averaged.module.eval())
