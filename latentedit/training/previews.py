"""Training of preview heads, which draw small pictures from a generator's early features.

Some generators were published without layers that draw small pictures; preview heads add them. They
learn to draw the generator's whole pictures, made smaller, and need no other data. Features of one
patch of each picture are kept on disk, so that no step of the training has to run the generator.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentedit import defaults
from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.generators.mobilestylegan import MobileStyleGAN
from latentedit.generators.previews import PreviewHead, PreviewHeads, PreviewHeadsConfig
from latentedit.inference.devices import autocast, keep_memory, pick_device
from latentedit.io.files import atomic_path, make_folder, read_json, write_json
from latentedit.io.resampling import downsample
from latentedit.photos.resemblance import decibels
from latentedit.pretrained.hashing import weights_hash
from latentedit.training.options import PreviewOptions
from latentedit.training.runs import Run, read_network
from latentedit.training.state import StateKeeper, load_network, load_state

FACTS = "pictures.json"
"""What a folder of examples was made of."""

SHARD = 50
"""Pictures in one file of examples."""

MARGIN = 6
"""Pixels at a patch's edges that do not count: they depend on features outside the patch."""

Progress = Callable[[str, int, int, str], None]
"""Called with the name of the work, how much of it is done, the total, and a note."""


def render_examples(
    generator: MobileStyleGAN, folder: Path, options: PreviewOptions, on_progress: Progress
) -> None:
    """Save one patch of each picture, and its features; finished files are kept.

    Each file ``NNNN.safetensors`` holds `SHARD` examples: ``w`` [n, S], and for each size
    ``features.SIZE`` float16 [n, C, s, s] and ``pictures.SIZE`` uint8 [n, 3, 2s, 2s].

    Raises:
        LatentEditError: the folder holds examples of another generator or of other sizes.
    """
    make_folder(folder)
    facts = {"generator_hash": weights_hash(generator), "sizes": list(options.sizes)}
    if not (folder / FACTS).exists():
        write_json(folder / FACTS, facts)
    elif read_json(folder / FACTS) != facts:
        raise LatentEditError(
            f"{folder} holds pictures of another generator, or of other sizes: choose another run"
        )
    shards = math.ceil(options.pictures / SHARD)
    for shard in range(shards):
        path = folder / f"{shard:04d}.safetensors"
        if not path.is_file():
            examples = [
                _example(generator, shard * SHARD + index, options.sizes) for index in range(SHARD)
            ]
            tensors = {
                name: torch.stack([example[name] for example in examples]) for name in examples[0]
            }
            with atomic_path(path) as temporary:
                save_file(tensors, temporary)
        on_progress("Pictures", (shard + 1) * SHARD, shards * SHARD, "")


@torch.inference_mode()
def _example(generator: MobileStyleGAN, number: int, sizes: tuple[int, ...]) -> dict[str, Tensor]:
    """Make one example by its number: features and pixels of the same patch at every size."""
    random = np.random.RandomState(number)
    device = generator.mean.device
    # edits reach beyond what is sampled, so the heads learn from more and less typical faces
    generator = generator.in_space("w").truncated(float(random.uniform(0.5, 1)))
    latent = torch.from_numpy(generator.sample([defaults.PREVIEW_FIRST_SEED + number])).to(device)
    styles = generator.styles(latent)
    picture = generator.synthesize(latent).clamp(-1, 1)
    top, left = random.uniform(size=2) / 2
    example = {"w": latent[0].float().cpu()}
    for size in sizes:
        features = generator.features(styles, generator.depth_of(size))
        edge = features.shape[-1] // 2
        y, x = round(top * features.shape[-1]), round(left * features.shape[-1])
        patch = features[0, :, y : y + edge, x : x + edge]
        pixels = downsample(picture, generator.resolution // size)[0]
        pixels = pixels[:, 2 * y : 2 * (y + edge), 2 * x : 2 * (x + edge)]
        example[f"features.{size}"] = patch.half().cpu()
        example[f"pictures.{size}"] = ((pixels + 1) * 127.5).round().byte().cpu()
    return example


class Examples:
    """Examples of one size in memory: latents, features and pixels.

    Args:
        folder: see `render_examples`.
        size: edge of the pictures.
        count: how many examples, rounded up to whole files of `SHARD`.

    Attributes:
        w: float32 [N, S].
        features: bfloat16 [N, C, s, s], channels last.
        pictures: uint8 [N, 3, 2s, 2s].
    """

    def __init__(self, folder: Path, size: int, count: int) -> None:
        files = sorted(folder.glob("*.safetensors"))[: math.ceil(count / SHARD)]
        shards = [load_file(path) for path in files]
        if not shards:
            raise LatentEditError(f"{folder} holds no pictures: begin the run anew")
        self.w = torch.cat([shard["w"] for shard in shards])
        features = torch.cat([shard[f"features.{size}"] for shard in shards])
        self.features = features.bfloat16().contiguous(memory_format=torch.channels_last)
        self.pictures = torch.cat([shard[f"pictures.{size}"] for shard in shards])

    def __len__(self) -> int:
        return len(self.w)

    def batch(self, rows: Tensor, edge: int, at: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return features and pixels of a smaller patch, and the latents.

        Args:
            rows: int [n], the examples.
            edge: edge of the smaller patch, in places of the features.
            at: its top and left place inside the patch that is kept.
        """
        top, left = at
        features = self.features[rows, :, top : top + edge, left : left + edge]
        pixels = self.pictures[rows, :, 2 * top : 2 * (top + edge), 2 * left : 2 * (left + edge)]
        return features, pixels.float() / 127.5 - 1, self.w[rows]


def train_previews(
    generator: FaceGenerator,
    run_folder: str | Path,
    options: PreviewOptions,
    *,
    command: str = "",
    resume: bool = False,
    on_progress: Progress = lambda what, done, total, note: None,
) -> PreviewHeads:
    """Train one head for each size; a run that was killed goes on with `resume`.

    Args:
        generator: the generator whose pictures are learned; its weights stay as they are.
        run_folder: where examples, options, log and state go.
        options: sizes, pictures, steps.
        command: the command line, for the card.
        resume: go on from the last saved state; existing pictures are kept in any case.
        on_progress: see `Progress`.

    Returns:
        The heads, in eval mode.

    Raises:
        LatentEditError: the generator cannot draw a size, the run folder holds another run, or
            there is no run to resume.
    """
    keep_memory()
    run, device = Run(run_folder), pick_device(options.device)
    run.check(resume)
    if options.validation >= options.pictures:
        raise LatentEditError(
            f"{options.validation} of {options.pictures} pictures held out leave none to learn "
            "from: lower --validation"
        )
    torch.manual_seed(options.seed)
    heads = cast(PreviewHeads, generator.new_heads(options.sizes).to(device))
    network = cast(MobileStyleGAN, generator.to(device).eval().requires_grad_(False))
    optimizers = {
        size: torch.optim.AdamW(heads.head(size).parameters(), weight_decay=0)
        for size in options.sizes
    }
    parts: dict[str, Any] = {
        "networks": {"heads": heads},
        "optimizers": {f"adam_{size}": optimizer for size, optimizer in optimizers.items()},
    }
    step = load_state(run.state, **parts)["step"] if resume else 0
    run.begin(
        asdict(options),
        data="pictures of the generator itself",
        command=command,
        network=asdict(heads.config),
        facts={"generator_hash": weights_hash(network)},
        resume=resume,
    )
    folder = run.folder / "pictures"
    render_examples(network, folder, options, on_progress)
    examples = {size: Examples(folder, size, options.pictures) for size in options.sizes}
    if not step:
        for size in options.sizes:
            # a tenth is enough for a mean square, and fits into memory
            heads.head(size).scale_to(examples[size].features[: -options.validation : 10].float())
    if resume:
        run.rewind_log("step", step)
    started, keeper = time.perf_counter(), StateKeeper(run.state, **parts)
    while step < options.steps:
        losses = {
            size: _step(heads.head(size), optimizers[size], examples[size], options, step)
            for size in options.sizes
        }
        step += 1
        measures = step % options.save_steps == 0 or step == options.steps
        if measures:
            quality = {
                size: measure(heads.head(size), examples[size], options) for size in options.sizes
            }
            run.write_log(
                {
                    "step": step,
                    **{f"psnr_{size}": decibels(loss) for size, loss in losses.items()},
                    **{f"validation_{size}": value for size, value in quality.items()},
                    "seconds": round(time.perf_counter() - started, 1),
                }
            )
        if measures or keeper.due:
            keeper.save({"step": step})
        on_progress("Steps", step, options.steps, _note(losses))
    return heads.eval()


def _note(losses: dict[int, float]) -> str:
    return ", ".join(f"{size} px {decibels(loss):.1f} dB" for size, loss in losses.items())


def _step(
    head: PreviewHead,
    optimizer: torch.optim.Optimizer,
    examples: Examples,
    options: PreviewOptions,
    step: int,
) -> float:
    """Train one head on one batch; return the mean square error, of pixels in [-1, 1]."""
    done = step / options.steps
    rate = options.learning_rate * min(1, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * done))
    for group in optimizer.param_groups:
        group["lr"] = rate
    rows = torch.randint(len(examples) - options.validation, (options.batch_size,))
    whole = examples.features.shape[-1]
    edge = max(whole // 2, min(whole, 2 * MARGIN))
    top, left = torch.randint(whole - edge + 1, (2,)).tolist()
    device = next(head.parameters()).device
    features, pixels, w = (each.to(device) for each in examples.batch(rows, edge, (top, left)))
    with autocast(device, options.bf16):
        drawn = head(features, w)
    loss = F.mse_loss(inside(drawn.float()), inside(pixels))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(head.parameters(), 0.5)
    optimizer.step()
    return float(loss.detach())


def inside(pixels: Tensor) -> Tensor:
    """Return patches without `MARGIN` pixels at each edge; small patches lose fewer."""
    margin = min(MARGIN, (pixels.shape[-1] - 1) // 4)
    return pixels[..., margin:-margin, margin:-margin] if margin else pixels


@torch.inference_mode()
def measure(head: PreviewHead, examples: Examples, options: PreviewOptions) -> float:
    """Return the mean PSNR in dB over the held-out examples, the last `options.validation`."""
    device = next(head.parameters()).device
    values = []
    for row in range(len(examples) - options.validation, len(examples)):
        edge = examples.features.shape[-1]
        features, pixels, w = (
            each.to(device) for each in examples.batch(torch.tensor([row]), edge, (0, 0))
        )
        drawn = head(features.float(), w).clamp(-1, 1)
        values.append(decibels(float(F.mse_loss(inside(drawn), inside(pixels)))))
    return round(float(np.mean(values)), 2)


def load_previews_run(run_folder: str | Path) -> PreviewHeads:
    """Return a run's heads, in eval mode.

    Raises:
        LatentEditError: not a run of preview heads, or no state saved yet.
    """
    run = Run(run_folder)
    heads = PreviewHeads(read_network(run, PreviewHeadsConfig, "preview heads"))
    load_network(run.state, "heads", heads)
    return heads.eval()
