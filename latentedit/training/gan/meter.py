"""What is measured and shown while a generator learns: figures, speed, sample grids."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentedit.generators.progressive import Generator
from latentedit.io.files import make_folder
from latentedit.io.images import grid, save_image, to_tensor, to_uint8
from latentedit.io.resampling import downsample, upsample
from latentedit.training.gan.batches import RunFaces
from latentedit.training.gan.losses import Objective
from latentedit.training.gan.schedule import Phase
from latentedit.training.runs import Run
from latentedit.training.workers import Workers


@dataclass(frozen=True)
class Report:
    """What a progress display may want: images seen and to see, speed, phase, last figures."""

    images: int
    total: int
    images_per_second: float
    phase: Phase
    figures: Mapping[str, float]


class Meter:
    """Means of the figures and the speed since they were read last.

    Attributes:
        figures: means by name, as read last.
        on_held_out: of `memory_check`, as measured last.
        speed: images a second.
    """

    def __init__(self, images: int) -> None:
        self.figures: dict[str, float] = {}
        self.on_held_out: dict[str, float] = {}
        self.speed = 0.0
        self._since, self._images = time.perf_counter(), images
        self._values: dict[str, list[Tensor]] = {}

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Remember the figures of one step, scalars that may still be being computed."""
        for name, value in figures.items():
            self._values.setdefault(name, []).append(value)

    def read(self, images: int, workers: Workers) -> None:
        """Average what was added since, over all workers; `images` are seen by now."""
        self.speed = (images - self._images) / (time.perf_counter() - self._since)
        self._since, self._images = time.perf_counter(), images
        self.figures = {
            name: workers.mean(float(torch.stack(values).mean()))
            for name, values in self._values.items()
        }
        self._values.clear()

    def record(self, images: int, phase: Phase) -> dict[str, Any]:
        """The log's record of what was read last."""
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
    objective: Objective, run_faces: RunFaces, phase: Phase, device: torch.device
) -> dict[str, float]:
    """The pixel discriminator's mean score of training and of held-out faces.

    They part when it knows the training faces by heart (Karras et al. 2020, sec. 2). No random
    number is drawn, so a run is the same with and without it.
    """
    means = {}
    for name, faces in (("on_training", run_faces.judged), ("on_held_out", run_faces.held_out)):
        rows = np.linspace(0, len(faces) - 1, min(256, len(faces))).astype(int)
        images = downsample(
            to_tensor(faces.images[rows], device), max(1, faces.resolution // phase.resolution)
        )
        fading = images.shape[-1] == phase.resolution
        scores = objective.networks["pixel"](images, alpha=phase.alpha if fading else 1.0)
        means[name] = float(scores.float().mean())
    return means


def draw_samples(
    run: Run, average: Generator, z: Tensor, phase: Phase, seen: int, resolution: int
) -> None:
    """Save a grid of the average's faces at full resolution."""
    with torch.inference_mode():
        images = average(z, resolution=phase.resolution, alpha=phase.alpha)
        images = upsample(images, resolution // phase.resolution)
    folder = make_folder(run.folder / "samples")
    save_image(folder / f"{seen:09d}.png", grid(to_uint8(images), columns=12))
