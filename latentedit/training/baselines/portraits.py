"""Training of the slides' six networks, each a `SlidesNetwork`.

The portraits lie in memory as bytes. Half of each batch is mirrored before the convolutions. The
dense layers compute in bfloat16.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from latentedit import defaults
from latentedit.classifiers.portrait import QUALITIES
from latentedit.data.face_file import FaceData
from latentedit.data.portraits import split_faces
from latentedit.errors import LatentEditError
from latentedit.inference.devices import autocast, keep_memory
from latentedit.io.images import UInt8Array
from latentedit.portrait.baseline import EDGE, SETTINGS, SlidesNetwork, SlidesSettings
from latentedit.training.options import BaselineOptions
from latentedit.training.runs import Run
from latentedit.training.state import StateKeeper, load_network, load_state

_SAVE_EVERY = 10


class Epochs:
    """One of the slides' networks in training on the CPU.

    Args:
        images: uint8 [N, 3, 96, 96], contiguous.
        flags: float [N]; 1 poor, 0 good.
        settings: those of the quality.
        bf16: bfloat16 autocast of the dense layers.
    """

    def __init__(
        self, images: Tensor, flags: Tensor, settings: SlidesSettings, *, bf16: bool = True
    ) -> None:
        self.images, self.flags, self.settings, self.bf16 = images, flags, settings, bf16
        self.network = SlidesNetwork()
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=settings.learning_rate, fused=True
        )

    def convolutions(self, images: Tensor, rows: Tensor, *, mirror: bool = True) -> Tensor:
        """Return features float32 [M, 4608] of the pictures at rows [M] of uint8 [N, 3, 96, 96].

        With `mirror` the second half of the rows is mirrored. Rows come in random order, so chance
        decides which pictures these are.
        """
        chosen = images[rows].float()
        if mirror:
            half = len(rows) // 2
            chosen = torch.cat((chosen[:half], chosen[half:].flip(3)))
        return self.network.features(chosen)

    def run(self) -> dict[str, float]:
        """Train one epoch; return its mean loss and accuracy, measured before each step."""
        self.network.train()
        totals = torch.zeros(2)
        for rows in torch.randperm(len(self.images)).split(self.settings.batch_size):
            flags = self.flags[rows]
            features = self.convolutions(self.images, rows)
            with autocast(features.device, self.bf16):
                logits = self.network.judge(features)
            logits = logits.float()
            loss = F.binary_cross_entropy_with_logits(logits, flags)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            with torch.no_grad():
                right = ((logits > 0) == (flags > 0.5)).sum()
                totals += torch.stack((loss * len(rows), right))
            self.optimizer.step()
        loss, right = (totals / len(self.images)).tolist()
        return {"loss": loss, "accuracy": right}

    def accuracy(self, images: Tensor, flags: Tensor) -> float:
        """Return the share of right answers on portraits, given as in `Epochs`."""
        self.network.eval()
        with torch.inference_mode():
            parts = [
                self.network.judge(self.convolutions(images, rows, mirror=False))
                for rows in torch.arange(len(images)).split(self.settings.batch_size)
            ]
        return float(((torch.cat(parts) > 0) == (flags > 0.5)).float().mean())


def predict_slides(network: SlidesNetwork, images: UInt8Array) -> Tensor:
    """Logits of uint8 [N, 96, 96, 3] portraits, float32 [N]."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        parts = [
            network(
                torch.from_numpy(np.array(images[i : i + 100]))
                .to(device)
                .permute(0, 3, 1, 2)
                .float()
            )
            for i in range(0, len(images), 100)
        ]
    return torch.cat(parts).cpu()


def train_baselines(
    data: FaceData,
    run_folder: str | Path,
    options: BaselineOptions,
    *,
    qualities: tuple[str, ...] = QUALITIES,
    validation: int = defaults.VALIDATION,
    calibration: int = defaults.PORTRAIT_CALIBRATION,
    command: str = "",
    resume: bool = False,
    on_epoch: Callable[[str, int, dict[str, float]], None] = lambda name, epoch, figures: None,
) -> dict[str, SlidesNetwork]:
    """Train the slides' network for each quality, with the slides' settings.

    Each network gets at most `options.images` portraits whose flag is known. They are drawn from
    the faces that `train_portrait` trains on. Accuracy on held-out portraits is logged after every
    epoch; it decides nothing.

    Args:
        data: from `prepare_portraits`, at 96 pixels.
        run_folder: the folder in which each quality gets a run of its own.
        resume: go on with unfinished runs, leave finished ones.
        on_epoch: called after each epoch with quality, epoch and figures.

    Raises:
        LatentEditError: the portraits do not have 96 pixels, too few have a flag, a quality is
            unknown, or there is a run already.
    """
    if data.resolution != EDGE:
        raise LatentEditError(
            f"the slides' network takes portraits of {EDGE} pixels: prepare them at this size"
        )
    wrong = [name for name in qualities if name not in QUALITIES]
    if wrong:
        raise LatentEditError(f"no quality {wrong[0]!r}: choose from {', '.join(QUALITIES)}")
    train, _, held_out = split_faces(data, calibration, validation)
    keep_memory()
    networks = {}
    for name in qualities:
        run = Run(Path(run_folder) / name)
        again = resume and run.state.exists()
        run.check(again)
        rows = _chosen(train, name, options)
        torch.manual_seed(options.seed)
        column = QUALITIES.index(name)
        images = _planes(train.images[rows])
        flags = torch.tensor(train.labels[rows, column]).float()
        epochs = Epochs(images, flags, SETTINGS[name], bf16=options.bf16)
        parts: dict[str, Any] = {
            "networks": {"network": epochs.network},
            "optimizers": {"optimizer": epochs.optimizer},
        }
        done = load_state(run.state, **parts)["epoch"] if again else 0
        if again:
            run.rewind_log("epoch", done)
        source = f"{data.source}; {len(rows)} of all but the last {calibration + validation} faces"
        run.begin(
            {**asdict(options), **asdict(SETTINGS[name]), "epochs": options.epochs},
            data=source,
            command=command,
            resume=again,
        )
        known = held_out.labels[:, column] >= 0
        shown = _planes(held_out.images[known])
        truth = torch.tensor(held_out.labels[known, column]).float()
        keeper = StateKeeper(run.state, **parts)
        for epoch in range(done + 1, options.epochs + 1):
            started = time.perf_counter()
            figures = epochs.run()
            seconds = time.perf_counter() - started
            figures["held_out_accuracy"] = epochs.accuracy(shown, truth)
            run.write_log({"epoch": epoch, **figures, "seconds": round(seconds, 2)})
            if epoch % _SAVE_EVERY == 0 or epoch == options.epochs or keeper.due:
                keeper.save({"epoch": epoch})
            on_epoch(name, epoch, figures)
        networks[name] = epochs.network.eval()
    return networks


def load_baselines(run_folder: str | Path) -> Iterator[tuple[str, SlidesNetwork, int]]:
    """Yield quality, network and number of trained epochs of each baseline in the folder.

    Raises:
        LatentEditError: the folder holds no baseline.
    """
    found = [name for name in QUALITIES if (Path(run_folder) / name / "state.safetensors").exists()]
    if not found:
        raise LatentEditError(
            f"no baseline in {run_folder}: make them with 'train portrait-baselines'"
        )
    for name in found:
        network = SlidesNetwork()
        progress = load_network(Run(Path(run_folder) / name).state, "network", network)
        yield name, network.eval(), int(progress["epoch"])


def _planes(images: UInt8Array) -> Tensor:
    """uint8 [N, S, S, 3] -> [N, 3, S, S], contiguous."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous()


def _chosen(train: FaceData, name: str, options: BaselineOptions) -> NDArray[np.int64]:
    known = np.flatnonzero(train.labels[:, QUALITIES.index(name)] >= 0)
    if len(known) < SETTINGS[name].batch_size:
        raise LatentEditError(
            f"only {len(known)} training portraits have a flag for {name}: prepare more"
        )
    order = np.random.RandomState(options.seed).permutation(known)
    return np.sort(order[: options.images])
