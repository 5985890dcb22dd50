"""Figures and speed of a run, and its check for learning by heart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_runs import TINY, train

from latentedit.data.face_file import FaceData
from latentedit.training.gan.meter import Meter
from latentedit.training.gan.schedule import Phase
from latentedit.training.runs import Run
from latentedit.training.workers import Workers

pytestmark = pytest.mark.usefixtures("one_thread")


def test_figures_are_means_since_they_were_read_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter((0.0, 2.0, 2.0, 3.0, 3.0))
    monkeypatch.setattr("latentedit.training.gan.meter.time.perf_counter", lambda: next(now))
    meter, workers = Meter(100), Workers("cpu")
    meter.add({"loss": torch.tensor(1.0), "r1": torch.tensor(5.0)})
    meter.add({"loss": torch.tensor(2.0)})
    meter.read(140, workers)
    assert meter.figures == {"loss": 1.5, "r1": 5.0}
    assert meter.speed == 20
    meter.add({"loss": torch.tensor(4.123456789)})
    meter.read(145, workers)
    meter.on_held_out = {"on_held_out": 0.25}
    assert meter.record(145, Phase(8, 0.5)) == {
        "images": 145,
        "resolution": 8,
        "alpha": 0.5,
        "images_per_second": 5.0,
        "loss": 4.12346,
        "on_held_out": 0.25,
    }


def test_the_log_sets_held_out_faces_beside_training_faces(data: FaceData, tmp_path: Path) -> None:
    options = replace(TINY, batch_size=32, total_kimg=2.048, save_kimg=0.512, fade_kimg=(0.4,))
    train(data, tmp_path / "run", options)
    first, second = Run(tmp_path / "run").read_log()
    for record in (first, second):
        assert np.isfinite([record["on_training"], record["on_held_out"]]).all()
    assert first["on_training"] != second["on_training"]
