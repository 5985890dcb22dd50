"""Training one network for all six portrait qualities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from latentedit import defaults
from latentedit.classifiers.portrait import QUALITIES, PortraitConfig, PortraitNetwork
from latentedit.data.face_file import FaceData
from latentedit.data.portraits import POSE_FULL, POSE_POOR_FROM, STRENGTHS, split_faces
from latentedit.errors import LatentEditError
from latentedit.io.files import write_json
from latentedit.portrait.degradations import POOR_FROM
from latentedit.training.augment import flip, translate
from latentedit.training.options import SupervisedOptions
from latentedit.training.supervised.calibration import CALIBRATION, fit_platt, read_calibration
from latentedit.training.supervised.loop import (
    LabelledFaces,
    fit,
    load_averaged,
    normalise,
    predict,
)
from latentedit.training.workers import Workers

_CAUTION = 1e-3
"""Precision of the calibration's prior. Portraits have many answers of both kinds, so the prior
only has to keep the fit finite where answers are separated perfectly."""

_POOR_FROM = {**POOR_FROM, "pose": POSE_POOR_FROM / POSE_FULL}


@dataclass(frozen=True)
class PortraitTask:
    """Six yes-or-no questions, four of which have a known strength behind them.

    Attributes:
        ranking: weight of the strengths. If a portrait was spoilt with strength s, the logit is
            drawn to ``steepness * (s - s0)``; from strength s0 on, the portrait counts as poor. So
            a portrait that is twice as bad also scores worse.
        steepness: see `ranking`.
        shift: largest move of a portrait, as a share of its edge.
    """

    ranking: float = 0.5
    steepness: float = 10.0
    shift: float = 0.04

    def augment(self, images: Tensor, targets: Tensor) -> Tensor:
        """Mirror and move by whole pixels: anything else would change light, sharpness or pose."""
        return translate(flip(images), shift=self.shift, fill="reflect")

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        flags, strengths = targets[:, : len(QUALITIES)], targets[:, len(QUALITIES) :]
        known = flags >= 0
        losses = F.binary_cross_entropy_with_logits(outputs, flags.clamp(min=0), reduction="none")
        answer = ((losses * known).sum(0) / known.sum(0).clamp(min=1)).mean()
        ranked = outputs[:, [QUALITIES.index(name) for name in STRENGTHS]]
        from_ = torch.tensor([_POOR_FROM[name] for name in STRENGTHS], device=outputs.device)
        wanted = self.steepness * (strengths - from_)
        spoilt = strengths > 0
        errors = F.smooth_l1_loss(ranked, wanted, reduction="none")
        return answer + self.ranking * (errors * spoilt).sum() / spoilt.sum().clamp(min=1)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        flags = targets[:, : len(QUALITIES)]
        figures = {}
        for column, name in enumerate(QUALITIES):
            answers, truth = outputs[:, column] > 0, flags[:, column]
            rates = [
                (answers[truth == flag] == bool(flag)).float().mean()
                for flag in (0, 1)
                if (truth == flag).any()
            ]
            if rates:
                figures[name] = round(float(torch.stack(rates).mean()), 4)
        return {"score": float(np.mean(list(figures.values()))), **figures}


def targets_of(labels: NDArray[np.int8]) -> Tensor:
    """Labels of a file of portraits -> float32 [N, 10]: six flags, four strengths from 0 to 1.

    -1 is not known.
    """
    targets = torch.tensor(labels, dtype=torch.float32)
    strengths = targets[:, len(QUALITIES) :]
    strengths[strengths > 0] /= 100
    return targets


def train_portrait(
    data: FaceData,
    run_folder: str | Path,
    options: SupervisedOptions,
    *,
    validation: int = defaults.VALIDATION,
    calibration: int = defaults.PORTRAIT_CALIBRATION,
    start: PortraitNetwork | None = None,
    command: str = "",
    resume: bool = False,
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, total, figures: None,
) -> PortraitNetwork:
    """Train on all faces but the last; calibrate on the faces just before the held-out ones.

    Args:
        data: from `prepare_portraits`.
        validation: number of faces at the end that are held out, for `evaluate portrait`.
        calibration: number of faces before these, for figures of each epoch and Platt scaling.
        start: the network to start from, instead of random weights; its calibration is forgotten.

    Returns:
        the calibrated network with averaged weights, in eval mode.

    Raises:
        LatentEditError: not a file of portraits, too few faces, a start of another shape, or see
            `fit`.
    """
    train, middle, _ = split_faces(data, calibration, validation)
    torch.manual_seed(options.seed)
    config = PortraitConfig(resolution=data.resolution)
    network = PortraitNetwork(config)
    if start is None:
        normalise(network, train.images)
    elif start.config != config:
        raise LatentEditError(
            "the portrait network to start from is of another shape: leave out --init"
        )
    else:
        network.load_state_dict(start.state_dict())
        network.forget_calibration()
    targets, workers = targets_of(middle.labels), Workers(options.device)
    result = fit(
        network,
        PortraitTask(),
        LabelledFaces(
            train.images,
            targets_of(train.labels),
            f"{data.source}; the last {validation} faces held out, {calibration} to calibrate",
        ),
        LabelledFaces(middle.images, targets),
        run_folder,
        options,
        network_options=asdict(config),
        workers=workers,
        command=command,
        resume=resume,
        on_step=on_step,
    )
    assert isinstance(result, PortraitNetwork)
    if workers.leads:
        outputs = predict(result, middle.images, workers.device, bf16=False)
        scale, shift = fit_platt(outputs, targets[:, : len(QUALITIES)], caution=_CAUTION)
        fitted = {"scale": scale.tolist(), "shift": shift.tolist()}
        write_json(Path(run_folder) / CALIBRATION, fitted)
    workers.wait()
    return _calibrated(result, run_folder)


def load_portrait_run(run_folder: str | Path) -> PortraitNetwork:
    """Return a run's averaged network, calibrated where the run was finished, in eval mode.

    Raises:
        LatentEditError: not a portrait run, or no state saved yet.
    """
    network = load_averaged(run_folder, PortraitConfig, PortraitNetwork, "a portrait run")
    return _calibrated(network, run_folder)


def _calibrated(network: PortraitNetwork, run_folder: str | Path) -> PortraitNetwork:
    if fitted := read_calibration(run_folder):
        network.calibrate(*(network.scale.new_tensor(fitted[name]) for name in ("scale", "shift")))
    return network
