"""Snapshots of a run's averaged generator, for curves of figures against images seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators.progressive_w import Growing
from latentedit.io.files import atomic_path, make_folder
from latentedit.io.images import UInt8Array, to_uint8
from latentedit.io.resampling import upsample
from latentedit.training.gan.networks import generator_of
from latentedit.training.gan.schedule import Phase
from latentedit.training.runs import Run, read_generator_options

_BATCH = 32


@dataclass(frozen=True)
class Snapshot:
    """One moment of a run.

    Attributes:
        images: number of images seen in this run until then.
        phase: the resolution, and how far it had faded in.
        generator: the averaged weights, in eval mode.
    """

    images: int
    phase: Phase
    generator: Growing

    @torch.inference_mode()
    def render(self, seeds: Iterable[int], *, resolution: int | None = None) -> UInt8Array:
        """Draw faces uint8 [N, R, R, 3]; smaller pictures are enlarged.

        Args:
            seeds: seeds of the faces.
            resolution: R, at least the run's final resolution, which is the default.
        """
        latents = torch.from_numpy(self.generator.sample(seeds))
        times = (resolution or self.generator.config.resolution) // self.phase.resolution
        batches = []
        for rows in latents.split(_BATCH):
            images = self.generator(rows, resolution=self.phase.resolution, alpha=self.phase.alpha)
            batches.append(to_uint8(upsample(images, times)))
        return np.concatenate(batches)


def save_snapshot(run: Run, images: int, generator: nn.Module) -> None:
    """Save averaged weights in half precision."""
    folder = make_folder(run.folder / "snapshots")
    halves = {name: value.half().contiguous() for name, value in generator.state_dict().items()}
    with atomic_path(folder / f"{images:09d}.safetensors") as temporary:
        save_file(halves, temporary)


def snapshot_files(run_folder: str | Path) -> dict[int, Path]:
    """Return a run's snapshots: number of images seen -> file, in that order.

    Raises:
        LatentEditError: the run has no snapshot yet.
    """
    folder = Path(run_folder) / "snapshots"
    files = {int(path.stem): path for path in sorted(folder.glob("[0-9]*.safetensors"))}
    if not files:
        raise LatentEditError(
            f"{run_folder} has no snapshots: train a generator with snapshot_kimg above 0"
        )
    return files


def load_snapshot(run_folder: str | Path, images: int) -> Snapshot:
    """Load one moment of a run.

    Raises:
        LatentEditError: not a generator's run, no such snapshot, or a damaged one.
    """
    options = read_generator_options(Run(run_folder))
    generator, files = generator_of(Run(run_folder)), snapshot_files(run_folder)
    if images not in files:
        raise LatentEditError(
            f"{run_folder} has no snapshot of {images} images: choose from "
            f"{', '.join(map(str, files))}"
        )
    try:
        weights = load_file(files[images])
        generator.load_state_dict({name: value.float() for name, value in weights.items()})
    except (SafetensorError, RuntimeError):
        raise LatentEditError(f"{files[images]} is damaged: delete it") from None
    return Snapshot(images, options.schedule.at(images), generator.eval())


def mean_of_snapshots(
    run_folder: str | Path, first: float, last: float
) -> tuple[Growing, list[int]]:
    """Return the mean of a run's snapshots: an average over more time than its own averages.

    Source: stochastic weight averaging, Izmailov et al. 2018.

    Args:
        run_folder: the run.
        first: thousands of images of the first snapshot that counts.
        last: thousands of images of the last one.

    Returns:
        The generator, in eval mode, and the images seen at each of its snapshots.

    Raises:
        LatentEditError: no snapshot between the two, one from before the final resolution had
            faded in, or see `load_snapshot`.
    """
    known = snapshot_files(run_folder)
    # half an image of room: 1000 * first may be a rounding error away from the number of images
    chosen = [n for n in known if 1000 * first - 0.5 <= n <= 1000 * last + 0.5]
    if not chosen:
        raise LatentEditError(
            f"{run_folder} has no snapshot between {first:g} and {last:g} thousand images: choose "
            f"from {min(known) / 1000:.10g} to {max(known) / 1000:.10g}"
        )
    snapshots = [load_snapshot(run_folder, images) for images in chosen]
    generator = snapshots[0].generator
    early = snapshots[0].phase
    if early.alpha < 1 or early.resolution < generator.config.resolution:
        raise LatentEditError(
            f"{run_folder} had not grown up at {chosen[0] / 1000:.10g} thousand images: start "
            "later, with a snapshot at the final resolution"
        )
    states = [snapshot.generator.state_dict() for snapshot in snapshots]
    generator.load_state_dict(_mean(states))
    return generator, chosen


def mean_of_two(generator: Growing, other: Growing) -> Growing:
    """Give a generator the mean of its weights and another one's, and return it.

    The mean draws faces only if one of the two was trained from the other.

    Raises:
        LatentEditError: the two have different shapes, or one smooths and the other does not.
    """
    if other.config != generator.config:
        raise LatentEditError(
            "generators of different shapes or kinds have no mean: blend a run with the one it "
            "started from"
        )
    generator.load_state_dict(_mean([generator.state_dict(), other.state_dict()]))
    return generator


def _mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
