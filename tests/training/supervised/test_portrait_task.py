"""Training the portrait network: what the loss wants, calibration, a run from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from latentedit.classifiers.portrait import QUALITIES
from latentedit.data.face_file import create_face_data, open_face_data
from latentedit.data.portraits import COLUMNS
from latentedit.errors import LatentEditError
from latentedit.io.images import to_tensor
from latentedit.pretrained.bundles import load_portrait
from latentedit.training.baselines.portraits import (
    load_baselines,
    predict_slides,
    train_baselines,
)
from latentedit.training.bundles import bundle_portrait
from latentedit.training.options import BaselineOptions, SupervisedOptions
from latentedit.training.supervised import portrait_task
from latentedit.training.supervised.portrait_task import (
    PortraitTask,
    load_portrait_run,
    targets_of,
    train_portrait,
)

UNKNOWN = [-1] * len(COLUMNS)


def row(**known: int) -> np.ndarray:
    values = dict(zip(COLUMNS, UNKNOWN, strict=True)) | {
        name.replace("_", " "): value for name, value in known.items()
    }
    return np.array([list(values.values())], np.int8)


def gradient(labels: np.ndarray, logits: float = 0.0, **weights: float) -> np.ndarray:
    outputs = torch.full((1, 6), logits, requires_grad=True)
    PortraitTask(**weights).loss(outputs, targets_of(labels)).backward()
    assert outputs.grad is not None
    return outputs.grad.numpy()[0]


def test_what_is_not_known_teaches_nothing() -> None:
    assert (gradient(np.array([UNKNOWN], np.int8)) == 0).all()
    found = gradient(row(pose=1))
    assert found[5] < 0
    assert (found[:5] == 0).all()


def test_flags_and_strengths_pull_the_logit_to_their_place() -> None:
    assert gradient(row(blur=0, blur_strength=0))[0] > 0
    # strength 1 wants a logit of 10 * (1 - 0.25), and no more
    pulled = [
        gradient(row(blur=1, blur_strength=100), logits, ranking=1e3)[0] for logits in (6.0, 9.0)
    ]
    assert pulled[0] < 0 < pulled[1]


def test_targets_are_shares() -> None:
    targets = targets_of(row(occlusion=1, occlusion_strength=40, pose_strength=0))
    assert targets[0].tolist() == pytest.approx([-1, 1, -1, -1, -1, -1, -1, 0.4, -1, 0])


def test_metrics_are_balanced_and_skip_the_unknown() -> None:
    labels = np.concatenate([row(blur=0)] * 9 + [row(blur=1)])
    outputs = torch.full((10, 6), -1.0)
    assert PortraitTask().metrics(outputs, targets_of(labels)) == {"score": 0.5, "blur": 0.5}


@pytest.fixture(scope="module")
def portrait_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 faces, 2 portraits each; bright ones are poor in every quality."""
    path = tmp_path_factory.mktemp("portraits") / "p.faces"
    random = np.random.RandomState(0)
    with create_face_data(path, resolution=96, label_names=COLUMNS, source="drawn") as writer:
        for face in range(40):
            for variant in range(2):
                poor = int(random.randint(2))
                image = random.randint(0, 60, (96, 96, 3)) + 150 * poor
                labels = [poor] * 6 + [50 * poor] * 4
                writer.append(image.astype(np.uint8), labels, f"{face}#{variant}")
    return path


def test_a_run_trains_calibrates_and_becomes_a_bundle(
    portrait_file: Path, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = portrait_task.PortraitConfig(stem=4, widths=(8, 8), blocks=(1, 1))
    monkeypatch.setattr(portrait_task, "PortraitConfig", lambda **changes: small)
    options = SupervisedOptions(epochs=4, batch_size=8, device="cpu")
    data, run = open_face_data(portrait_file), tmp_path / "run"
    network = train_portrait(
        data, run, options, validation=8, calibration=10, command="latentedit train portrait"
    )
    monkeypatch.undo()
    images = to_tensor(data.images[-16:])
    poor = data.labels[-16:, 0] > 0
    assert ((network(images)[:, 0] > 0).numpy() == poor).mean() > 0.9
    again = load_portrait_run(run)
    torch.testing.assert_close(again(images), network(images))
    fitted = json.loads((run / "calibration.json").read_text())
    assert again.scale.tolist() == pytest.approx(fitted["scale"], rel=1e-5)
    bundle_portrait(run, tmp_path / "bundle")
    shipped, card = load_portrait(tmp_path / "bundle")
    torch.testing.assert_close(shipped(images), network(images))
    assert "8 faces held out, 10 to calibrate" in card["data"]
    assert len(card["epochs"]) == 4
    assert tuple(card["config"]["qualities"]) == QUALITIES
    monkeypatch.setattr(portrait_task, "PortraitConfig", lambda **changes: small)
    still = SupervisedOptions(epochs=1, batch_size=8, learning_rate=0.0, device="cpu")
    kept = train_portrait(data, tmp_path / "kept", still, validation=8, calibration=10, start=again)
    torch.testing.assert_close(kept.head.weight, again.head.weight)
    torch.testing.assert_close(kept.mean, again.mean)
    monkeypatch.undo()
    with pytest.raises(LatentEditError, match="of another shape"):
        train_portrait(data, tmp_path / "other", still, validation=8, calibration=10, start=again)


def test_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="is not a training run"):
        load_portrait_run(tmp_path)


def test_the_slides_networks_learn_resume_and_load(portrait_file: Path, tmp_path: Path) -> None:
    data = open_face_data(portrait_file)
    keep = {"qualities": ("occlusion",), "validation": 6, "calibration": 6}
    straight = train_baselines(data, tmp_path / "a", BaselineOptions(epochs=10), **keep)
    train_baselines(data, tmp_path / "b", BaselineOptions(epochs=5), **keep)
    resumed = train_baselines(data, tmp_path / "b", BaselineOptions(epochs=10), resume=True, **keep)
    images = data.images[-12:]
    first, second = (predict_slides(run["occlusion"], images) for run in (straight, resumed))
    torch.testing.assert_close(first, second)
    assert ((first > 0).numpy() == (data.labels[-12:, 1] > 0)).mean() > 0.9
    ((name, network, epochs),) = load_baselines(tmp_path / "a")
    assert (name, epochs) == ("occlusion", 10)
    torch.testing.assert_close(predict_slides(network, images), first)
    log = [json.loads(line) for line in (tmp_path / "b/occlusion/log.jsonl").open()]
    assert [record["epoch"] for record in log] == list(range(1, 11))
    with pytest.raises(LatentEditError, match="holds a run already"):
        train_baselines(data, tmp_path / "a", BaselineOptions(epochs=1), **keep)


def test_baselines_name_what_is_wrong(portrait_file: Path, tmp_path: Path) -> None:
    data = open_face_data(portrait_file)
    with pytest.raises(LatentEditError, match=r"no quality 'beauty': choose from blur"):
        train_baselines(data, tmp_path, BaselineOptions(), qualities=("beauty",), validation=6)
    with pytest.raises(LatentEditError, match="only 56 training portraits"):
        train_baselines(data, tmp_path, BaselineOptions(), validation=6, calibration=6)
    with pytest.raises(LatentEditError, match="no baseline in"):
        list(load_baselines(tmp_path / "none"))
