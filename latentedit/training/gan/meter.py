"""What is measured and shown while a generator learns: figures, speed, sample grids."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentedit.data.face_file import FaceData
from latentedit.generators.progressive_w import Growing
from latentedit.io.files import make_folder
from latentedit.io.images import grid, save_image, to_tensor, to_uint8
from latentedit.io.resampling import downsample, upsample
from latentedit.training.gan.batches import HELD_OUT_BATCH, MEASURED, RunFaces, Source
from latentedit.training.gan.losses import Objective
from latentedit.training.gan.schedule import Phase
from latentedit.training.runs import Run
from latentedit.training.workers import Workers

SHOWN, COLUMNS = 48, 12
"""Faces on a grid of samples, and in one of its rows."""


@dataclass(frozen=True)
class Report:
    """What a progress display may show: images seen, images in all, speed, phase, last figures."""

    images: int
    total: int
    images_per_second: float
    phase: Phase
    figures: Mapping[str, float]


class Meter:
    """Means of the figures, and the speed, since the last reading.

    Attributes:
        figures: means by name, from the last reading.
        on_held_out: the last figures of `memory_check` and `pair_check`.
        speed: images a second.
    """

    def __init__(self, images: int) -> None:
        self.figures: dict[str, float] = {}
        self.on_held_out: dict[str, float] = {}
        self.speed = 0.0
        self._since, self._images = time.perf_counter(), images
        self._values: dict[str, list[Tensor]] = {}

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Remember the figures of one step: scalars that the device may still be computing."""
        for name, value in figures.items():
            self._values.setdefault(name, []).append(value)

    def read(self, images: int, workers: Workers) -> None:
        """Average all figures added since the last reading, over all workers.

        `images` is the number of images seen until now.
        """
        self.speed = (images - self._images) / (time.perf_counter() - self._since)
        self._since, self._images = time.perf_counter(), images
        self.figures = {
            name: workers.mean(float(torch.stack(values).mean()))
            for name, values in self._values.items()
        }
        self._values.clear()

    def record(self, images: int, phase: Phase) -> dict[str, Any]:
        """Return the last reading as a record of the log."""
        figures = self.figures | self.on_held_out
        return {
            "images": images,
            "resolution": phase.resolution,
            "alpha": round(phase.alpha, 4),
            "images_per_second": round(self.speed, 1),
            **{name: round(value, 5) for name, value in figures.items()},
        }


@torch.inference_mode()
def memory_check(
    objective: Objective | None, run_faces: RunFaces, phase: Phase, device: torch.device
) -> dict[str, float]:
    """Return the pixel discriminator's mean score of training faces, and of held-out faces.

    The two scores differ if it knows the training faces by heart (Karras et al. 2020, sec. 2). The
    check draws no random number, so a run is the same with and without it.
    """
    if objective is None:
        return {}
    both = run_faces.judged, run_faces.held_out
    fewest = min(MEASURED, *map(len, both))
    size = min(HELD_OUT_BATCH, fewest)
    count = fewest // size * size  # as many of both, in batches of one size
    means = {}
    for name, faces in zip(("on_training", "on_held_out"), both, strict=True):
        rows = np.linspace(0, len(faces) - 1, count).astype(int)
        scores = [
            _judged(objective, faces, some, phase, device) for some in np.split(rows, count // size)
        ]
        means[name] = float(torch.cat(scores).mean())
    return means


def _judged(
    objective: Objective,
    faces: FaceData,
    rows: NDArray[np.int_],
    phase: Phase,
    device: torch.device,
) -> Tensor:
    """Return the pixel discriminator's scores of some faces."""
    images = downsample(
        to_tensor(faces.images[rows], device), max(1, faces.resolution // phase.resolution)
    )
    fading = images.shape[-1] == phase.resolution
    scores: Tensor = objective.networks["pixel"](images, alpha=phase.alpha if fading else 1.0)
    return scores.float()


@torch.inference_mode()
def pair_check(average: Growing, source: Source, phase: Phase) -> dict[str, float]:
    """Return how far the average's faces are from the teacher's, for held-out latents.

    Returns:
        ``pairs_l1``, the mean absolute difference of pixels in a range of 2, and ``pairs_psnr`` in
        dB, the mean over pictures; nothing if there are no held-out latents.
    """
    apart: list[Tensor] = []
    decibels: list[Tensor] = []
    for batch in source.held_out(phase):
        assert batch.wanted is not None
        drawn = average(batch.latents, resolution=phase.resolution, alpha=phase.alpha)
        difference = drawn.clamp(-1, 1) - batch.wanted
        apart.append(difference.abs().mean((1, 2, 3)))
        squares = difference.square().mean((1, 2, 3)).clamp_min(1e-10)
        decibels.append(10 * torch.log10(4 / squares))
    if not apart:
        return {}
    return {
        "pairs_l1": float(torch.cat(apart).mean()),
        "pairs_psnr": float(torch.cat(decibels).mean()),
    }


def draw_samples(
    run: Run, average: Growing, source: Source, phase: Phase, seen: int, resolution: int
) -> None:
    """Save a grid of the average's faces at full resolution.

    If there is a teacher, its faces are above each row.
    """
    batch = source.examples(SHOWN, phase)
    with torch.inference_mode():
        images = average(batch.latents, resolution=phase.resolution, alpha=phase.alpha)
        if batch.wanted is not None:
            rows = zip(batch.wanted.split(COLUMNS), images.split(COLUMNS), strict=True)
            images = torch.cat([each for pair in rows for each in pair])
        images = upsample(images, resolution // phase.resolution)
    folder = make_folder(run.folder / "samples")
    save_image(folder / f"{seen:09d}.png", grid(to_uint8(images), columns=COLUMNS))
