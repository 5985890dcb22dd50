"""Training of an encoder: from pairs that the generator draws, then from photos.

A pair is a picture with its latents; the generator can draw any number of them. A photo has no
known latents. So the generator draws the encoder's latents, and this picture is compared with the
photo, by pixels, the classifier's features and identity (Tov et al. 2021; Alaluf et al. 2021).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from latentedit.boundaries.whitening import Whitening
from latentedit.data.face_file import FaceData
from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.inference.devices import keep_memory, pick_device, place
from latentedit.inference.renderer import Renderer
from latentedit.io.files import atomic_path
from latentedit.io.images import to_tensor
from latentedit.io.resampling import resize
from latentedit.photos.encoder import Encoder, EncoderConfig
from latentedit.photos.resemblance import Resemblance, decibels
from latentedit.training.encoder_stages import FaceStage, PairStage
from latentedit.training.options import EncoderOptions
from latentedit.training.pairs import Pairs, render_pairs
from latentedit.training.runs import Run, read_network
from latentedit.training.shown import Shown, grouped
from latentedit.training.state import StateKeeper, load_network, load_state
from latentedit.training.supervised.loop import rising_average

SHOWN = "shown.safetensors"
"""The file in a run's folder that keeps the map of `Shown`."""

DRAWN = 60
"""Least number of held-out pairs whose latents the encoder finds and the generator draws again."""

Progress = Callable[[str, int, int, str], None]
"""Called with the name of the work, how much of it is done, the total, and a note."""


def train_encoder(
    generator: FaceGenerator,
    run_folder: str | Path,
    options: EncoderOptions,
    *,
    resemblance: Resemblance,
    network: EncoderConfig | None = None,
    pairs_folder: str | Path | None = None,
    photos: FaceData | None = None,
    command: str = "",
    resume: bool = False,
    on_progress: Progress = lambda what, done, total, note: None,
) -> Encoder:
    """Train an encoder of a generator; a run that was killed goes on with `resume`.

    Args:
        generator: the generator to invert, used in a space whose layers take a latent each.
        run_folder: where options, log and state go.
        options: see `EncoderOptions`.
        resemblance: the loss of the last steps; its descriptors are also the encoder's input.
        network: the encoder's shape; by default the shipped one's, for this generator.
        pairs_folder: the folder of the pairs; missing ones are drawn into it. By default ``pairs``
            in the run folder.
        photos: photos for the last steps, aligned as the generator's faces are; by default these
            steps use pairs alone.
        command: the command line, for the card.
        resume: go on from the last saved state; existing pairs are kept in any case.
        on_progress: see `Progress`.

    Returns:
        The averaged encoder, in eval mode.

    Raises:
        LatentEditError: the run folder holds another run, another process trains in it, there is no
            run to resume, no pairs are left to learn from, or the pairs are of another generator.
    """
    keep_memory()
    run, device = Run(run_folder), pick_device(options.device)
    run.check(resume)
    if options.validation >= options.pairs:
        raise LatentEditError(
            f"{options.validation} of {options.pairs} pairs held out leave none to learn from: "
            "lower --validation"
        )
    renderer = Renderer(generator, device=options.device)
    renderer = renderer.quick if options.bf16 else renderer
    config = network or config_of(renderer)
    folder = Path(pairs_folder) if pairs_folder else run.folder / "pairs"
    run.hold()  # before pairs are drawn
    render_pairs(
        renderer,
        folder,
        options.pairs,
        config.resolution,
        lambda done, total: on_progress("Pairs", done, total, ""),
    )
    pairs = Pairs.read(folder, options.pairs)
    torch.manual_seed(options.seed)
    resemblance = resemblance.to(device)
    encoder = place(new_encoder(config, pairs, renderer, resemblance), device)
    average = rising_average(options.ema_decay)
    averaged = AveragedModel(encoder, multi_avg_fn=average, use_buffers=True)
    optimizer = torch.optim.AdamW(encoder.parameters(), weight_decay=options.weight_decay)
    parts: dict[str, Any] = {
        "networks": {"network": encoder, "averaged": averaged},
        "optimizers": {"adam": optimizer},
    }
    step = load_state(run.state, **parts)["step"] if resume else 0
    run.begin(
        asdict(options),
        data="; ".join(["pictures of the generator itself", *([photos.source] if photos else [])]),
        command=command,
        network=asdict(config),
        facts={"generator_hash": renderer.hash},
        resume=resume,
    )
    if resume:
        run.rewind_log("step", step)
    if not resume:
        (run.folder / SHOWN).unlink(missing_ok=True)  # of a run that ended before its first state
    shown = _shown(run, encoder, pairs, resemblance, options, on_progress)
    learnt = PairStage(encoder, optimizer, pairs, shown, resemblance, options)
    refined = FaceStage(encoder, optimizer, pairs, photos, renderer.generator, resemblance, options)
    total, started = options.steps + options.face_steps, time.perf_counter()
    keeper = StateKeeper(run.state, **parts)
    while step < total:
        loss = (learnt if step < options.steps else refined).step(step)
        averaged.update_parameters(encoder)
        step += 1
        on_progress("Steps", step, total, f"loss {loss:.3f}")
        measures = step % options.save_steps == 0 or step in (options.steps, total)
        if measures:
            mean = cast(Encoder, averaged.module)
            figures = measure(mean, renderer, pairs, shown, resemblance, options)
            seconds = round(time.perf_counter() - started, 1)
            run.write_log({"step": step, "loss": loss, **figures, "seconds": seconds})
        if measures or keeper.due:
            keeper.save({"step": step})
    return cast(Encoder, averaged.module.eval())


def config_of(renderer: Renderer) -> EncoderConfig:
    """Return the shape of an encoder for a generator: the shipped one's, fitted to it."""
    space, usual = renderer.space, EncoderConfig()
    layers = space.layers
    groups = tuple(first for first in usual.groups if first < layers)
    edge = min(usual.resolution, renderer.resolution)
    return EncoderConfig(resolution=edge, style=space.dim, layers=layers, groups=groups)


def _shown(
    run: Run,
    encoder: Encoder,
    pairs: Pairs,
    resemblance: Resemblance,
    options: EncoderOptions,
    on_progress: Progress,
) -> Shown:
    """Return `Shown`, fitted to the pairs; its map is kept in the run's folder."""
    path = run.folder / SHOWN
    if not path.is_file():
        shown = Shown.fit(
            encoder,
            pairs,
            len(pairs) - options.validation,
            resemblance.looks,
            on_progress=lambda done, total: on_progress("Looking at pairs", done, total, ""),
        )
        with atomic_path(path) as temporary:
            save_file({"map": shown.map.contiguous().cpu()}, temporary)
    return Shown(load_file(path)["map"].to(encoder.mean.device))


def new_encoder(
    config: EncoderConfig, pairs: Pairs, renderer: Renderer, resemblance: Resemblance
) -> Encoder:
    """Return an untrained encoder that holds the mean, spread and mean face of the generator."""
    network = Encoder(config)
    whitening = Whitening.of(pairs.first)
    mean = whitening.mean.astype(np.float32)
    network.mean.copy_(torch.from_numpy(mean))
    network.basis.copy_(torch.from_numpy(whitening.basis.astype(np.float32)))
    start = to_tensor(renderer.render(mean[None], config.resolution), renderer.device)
    network.start.copy_(resize(start, network.start.shape[-1])[0])
    descriptors = resemblance.looks(start).descriptors
    if descriptors is not None:
        network.start_descriptor.copy_(descriptors[0])
    nn.init.normal_(network.heads.weight, std=0.1 / config.hidden**0.5)
    return network


@torch.inference_mode()
def measure(
    network: Encoder,
    renderer: Renderer,
    pairs: Pairs,
    shown: Shown,
    resemblance: Resemblance,
    options: EncoderOptions,
) -> dict[str, float]:
    """Return figures on held-out pairs.

    ``validation`` is the loss, divided by the loss of the mean latent. The other figures compare
    pictures with those that the generator draws again, for at least `DRAWN` pairs: ``mse`` and
    ``psnr`` (in dB) of pixels in [-1, 1], and ``apart``, the mean distance of the descriptors.
    """
    network.eval()
    rows = np.arange(len(pairs) - options.validation, len(pairs))
    losses: list[float] = []
    nothing: list[float] = []
    errors: list[float] = []
    apart: list[float] = []
    for start in range(0, len(rows), options.batch_size):
        chosen = rows[start : start + options.batch_size]
        pictures = to_tensor(np.stack([pairs.picture(row) for row in chosen]), renderer.device)
        looks = resemblance.looks(pictures)
        found = network.changes(looks)
        wanted = grouped(network, pairs.latents(chosen).to(renderer.device))
        losses.append(float(shown(found, wanted)) * len(chosen))
        nothing.append(float(shown(torch.zeros_like(wanted), wanted)) * len(chosen))
        if len(errors) < DRAWN:
            again = renderer.render(network.latents(found).cpu().numpy(), pairs.size)
            drawn = resemblance.looks(to_tensor(again, renderer.device))
            errors += (drawn.pixels - pictures).square().mean((1, 2, 3)).tolist()
            if looks.descriptors is not None and drawn.descriptors is not None:
                apart += (drawn.descriptors - looks.descriptors).norm(dim=1).tolist()
    error = float(np.mean(errors))
    return {
        "validation": sum(losses) / sum(nothing),
        "mse": error,
        "psnr": decibels(error),
        **({"apart": float(np.mean(apart))} if apart else {}),
    }


def load_encoder_run(run_folder: str | Path) -> Encoder:
    """Return a run's averaged encoder, in eval mode.

    Raises:
        LatentEditError: not an encoder's run, or no state saved yet.
    """
    run = Run(run_folder)
    averaged = AveragedModel(Encoder(read_network(run, EncoderConfig, "an encoder")))
    load_network(run.state, "averaged", averaged)
    return cast(Encoder, averaged.module.eval())
