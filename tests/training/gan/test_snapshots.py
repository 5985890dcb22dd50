from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_runs import TINY, train

from latentedit.data.face_file import open_face_data
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.io.images import to_uint8
from latentedit.training.gan.snapshots import load_snapshot, mean_of_snapshots, snapshot_files

OPTIONS = replace(TINY, fade_kimg=(0.04,), total_kimg=0.12, save_kimg=1, snapshot_kimg=0.04)


@pytest.fixture
def run(face_file: Path, tmp_path: Path, one_thread: None) -> tuple[Path, torch.nn.Module]:
    folder = tmp_path / "run"
    return folder, train(open_face_data(face_file), folder, OPTIONS)


def test_a_run_keeps_its_average_on_the_way(run: tuple[Path, torch.nn.Module]) -> None:
    folder, generator = run
    assert list(snapshot_files(folder)) == [40, 80, 120]
    first, last = load_snapshot(folder, 40), load_snapshot(folder, 120)
    assert (first.phase.resolution, last.phase.resolution) == (16, 16)
    assert first.phase.alpha == 0
    assert last.phase.alpha == 1
    faces = last.render([0, 1, 2])
    with torch.inference_mode():
        expected = to_uint8(generator(torch.from_numpy(latents.sample([0, 1, 2]))))
    assert np.abs(faces.astype(int) - expected).max() <= 1  # half precision
    small = first.render([0])  # nothing of 16x16 has faded in: an enlarged picture of 8x8
    assert small.shape == (1, 16, 16, 3)
    np.testing.assert_array_equal(small[:, ::2, ::2], small[:, 1::2, 1::2])


def test_a_snapshot_that_is_not_there_or_is_damaged(run: tuple[Path, torch.nn.Module]) -> None:
    folder, _ = run
    with pytest.raises(LatentEditError, match=r"no snapshot of 60 .*40, 80, 120"):
        load_snapshot(folder, 60)
    path = snapshot_files(folder)[80]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LatentEditError, match="is damaged: delete it"):
        load_snapshot(folder, 80)


def test_the_mean_of_snapshots(run: tuple[Path, torch.nn.Module]) -> None:
    folder, _ = run
    mean, taken = mean_of_snapshots(folder, 0.1, 0.12)
    assert taken == [120]
    last = load_snapshot(folder, 120).generator.state_dict()
    assert all(torch.equal(value, last[name]) for name, value in mean.state_dict().items())
    snapshot_files(folder)[120].rename(folder / "snapshots" / "001024005.safetensors")
    assert mean_of_snapshots(folder, 1024.005, 1024.005)[1] == [1024005]  # times 1000 a bit more
    with pytest.raises(LatentEditError, match=r"not grown up at 0\.04"):
        mean_of_snapshots(folder, 0.01, math.inf)
    for first, last in ((1, 2), (math.nan, 1600), (2000, math.inf)):
        with pytest.raises(LatentEditError, match=r"no snapshot .*0\.04 .*1024\.005"):
            mean_of_snapshots(folder, first, last)


def test_the_mean_is_of_weights(face_file: Path, tmp_path: Path, one_thread: None) -> None:
    options = replace(OPTIONS, start=16)
    train(open_face_data(face_file), tmp_path / "run", options)
    mean, taken = mean_of_snapshots(tmp_path / "run", 0, 1)
    assert taken == [40, 80, 120]
    states = [load_snapshot(tmp_path / "run", n).generator.state_dict() for n in taken]
    for name, value in mean.state_dict().items():
        torch.testing.assert_close(value, sum(state[name] for state in states) / 3)


def test_a_run_killed_between_snapshot_and_state_misses_none(
    face_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    data, options = open_face_data(face_file), replace(OPTIONS, save_kimg=0.04)

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    train(data, tmp_path / "run", replace(options, total_kimg=0.04))
    with monkeypatch.context() as patch:
        patch.setattr("latentedit.training.gan.adversarial.save_snapshot", killed)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "run", options, resume=True)
    train(data, tmp_path / "run", options, resume=True)
    assert list(snapshot_files(tmp_path / "run")) == [40, 80, 120]


def test_a_run_without_snapshots_says_how_to_keep_some(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="snapshot_kimg"):
        snapshot_files(tmp_path)
