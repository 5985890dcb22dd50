"""What a run learns from: faces held out, reduced, and drawn from memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_runs import TINY, contents, train

from latentedit.data.face_file import FaceData
from latentedit.training.gan.batches import Pictures, hold_out
from latentedit.training.gan.schedule import Phase

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_last_faces_of_each_file_are_held_out(data: FaceData) -> None:
    few = FaceData(data.images[:60, :8, :8], data.labels[:60], data.names[:60], (), "corners")
    alone = hold_out(data, None, 40, patches=False)
    assert alone.features is None
    assert alone.judged is alone.shown
    assert np.array_equal(alone.held_out.images, data.images[-40:])
    assert np.array_equal(alone.shown.images, data.images[:-40])
    assert alone.source == "drawn discs; the last 40 held out"
    for patches in (False, True):
        both = hold_out(data, few, 20, patches=patches)
        assert both.features is not None
        assert both.judged is (both.features if patches else both.shown)
        assert np.array_equal(both.held_out.images, (few if patches else data).images[-20:])
        assert np.array_equal(both.features.images, few.images[:-20])
        assert both.source.endswith("for frozen features corners; the last 20 held out")


def test_larger_faces_are_reduced(tmp_path: Path, data: FaceData) -> None:
    large = np.repeat(np.repeat(data.images, 2, 1), 2, 2)
    short = replace(TINY, total_kimg=0.04)
    train(data, tmp_path / "small", short)
    train(replace(data, images=large), tmp_path / "large", short)
    (small, _), (reduced, _) = contents(tmp_path / "small"), contents(tmp_path / "large")
    for key, value in small.items():
        torch.testing.assert_close(value, reduced[key], rtol=1e-3, atol=1e-5)


def test_the_held_out_faces_are_never_shown(tmp_path: Path, data: FaceData) -> None:
    changed = np.array(data.images)
    changed[-40:] = 255 - changed[-40:]
    short = replace(TINY, total_kimg=0.04)
    train(data, tmp_path / "a", short)
    train(replace(data, images=changed), tmp_path / "b", short)
    (first, _), (second, _) = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_faces_are_the_same_from_a_copy_in_memory(data: FaceData) -> None:
    faces = Pictures(data, torch.device("cpu"))
    batches = []
    for pixels in (None, torch.from_numpy(np.array(data.images))):
        faces._copy = pixels
        torch.manual_seed(3)
        batches.append(faces.at(torch.arange(6), Phase(8, 0.5), mirrored=True))
    assert batches[0].shape == (6, 3, 8, 8)
    assert torch.equal(*batches)
