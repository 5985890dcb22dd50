from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_CLASSIFIER, run

from latentedit.classifiers.age import AgeConfig, AgeEstimator, expected_age
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.data.face_file import FaceData, create_face_data, open_face_data
from latentedit.errors import LatentEditError
from latentedit.io.images import to_tensor
from latentedit.pretrained.bundles import load_age_estimator
from latentedit.training.bundles import bundle_age_estimator
from latentedit.training.options import SupervisedOptions
from latentedit.training.runs import Run
from latentedit.training.supervised import age_task
from latentedit.training.supervised.age_task import (
    AgeTask,
    AgeTeaching,
    load_age_run,
    taught,
    train_age_estimator,
)
from latentedit.training.supervised.loop import LabelledFaces

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = SupervisedOptions(
    epochs=8, batch_size=20, learning_rate=0.01, ema_decay=0.8, device="cpu", bf16=False
)
SHAPE = {"resolution": 16, "stem": 4, "widths": (8, 8), "blocks": (1, 1)}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a tiny estimator instead of the shipped one, and do not move its faces about."""
    monkeypatch.setattr(age_task, "AgeConfig", partial(AgeConfig, **SHAPE))
    monkeypatch.setattr(AgeTask, "augment", lambda self, images, targets: images)


@pytest.fixture
def data(tmp_path: Path) -> FaceData:
    """Plain pictures, the brighter the older."""
    path = tmp_path / "ages.faces"
    random = np.random.RandomState(0)
    names = ("Age", "Gender", "Race")
    with create_face_data(path, resolution=16, label_names=names, source="drawn") as writer:
        for row in range(240):
            age = int(random.randint(0, 100))
            image = np.full((16, 16, 3), 2.5 * age, np.uint8)
            writer.append(image, [age, 0, 0], f"{age}_0_0_{row}.jpg")
    return open_face_data(path)


def test_the_loss_is_least_for_the_true_distribution() -> None:
    task, years = AgeTask(), torch.arange(117.0)
    ages = torch.tensor([[30.0, 1.0], [71.0, 0.0]])
    right = -0.5 * ((years - ages[:, :1]) / task.spread) ** 2
    least = task.loss(right, ages)
    for wrong in (right.roll(3, 1), right * 2, torch.zeros(2, 117)):
        assert task.loss(wrong, ages) > least
    assert task.metrics(right, ages)["mae"] == pytest.approx(0, abs=0.01)
    assert task.metrics(right.roll(4, 1), ages)["mae"] == pytest.approx(4, abs=0.01)
    assert task.metrics(right.roll(4, 1), ages)["score"] == pytest.approx(-4, abs=0.01)


def test_it_learns_ages_and_is_loaded_as_it_was_returned(data: FaceData, tmp_path: Path) -> None:
    network = train_age_estimator(data, tmp_path / "run", OPTIONS, validation=40)
    log = Run(tmp_path / "run").read_log()
    assert log[-1]["mae"] < 12 < log[0]["mae"]  # always saying the middle gives 25
    images = to_tensor(data.images[-40:])
    again = load_age_run(tmp_path / "run")
    assert torch.equal(again(images), network(images))
    torch.testing.assert_close(expected_age(network.logits(images)), network(images))
    bundle_age_estimator(tmp_path / "run", tmp_path / "bundle")
    bundled, card = load_age_estimator(tmp_path / "bundle")
    assert torch.equal(bundled(images), network(images))
    assert card["epochs"] == log
    assert card["data"] == "drawn; the last 40 held out"


def test_it_starts_from_a_classifiers_stages(data: FaceData, tmp_path: Path) -> None:
    torch.manual_seed(5)
    shape = dict(SHAPE)
    start = AttributeClassifier(ClassifierConfig(**shape))
    options = SupervisedOptions(epochs=1, batch_size=20, learning_rate=0, device="cpu", bf16=False)
    network = train_age_estimator(data, tmp_path / "run", options, validation=40, start=start)
    for name, weight in start.stages.named_parameters():
        assert torch.equal(weight, network.stages.get_parameter(name))
    wider = AttributeClassifier(ClassifierConfig(**{**shape, "stem": 6}))
    with pytest.raises(LatentEditError, match="another shape: leave out --init"):
        train_age_estimator(data, tmp_path / "b", options, validation=40, start=wider)


def test_faces_without_ages_are_refused(face_file: Path, tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="have no ages"):
        train_age_estimator(open_face_data(face_file), tmp_path / "run", OPTIONS, validation=40)
    assert not (tmp_path / "run").exists()


def test_another_networks_run_is_refused(tmp_path: Path) -> None:
    run_folder = Run(tmp_path / "run")
    run_folder.begin({}, data="", command="", resume=False, network=vars(TINY_CLASSIFIER))
    with pytest.raises(LatentEditError, match="not an age estimator's run"):
        load_age_run(tmp_path / "run")


def test_command_plans_and_trains(
    data: FaceData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "age", "--data", str(tmp_path / "ages.faces"), "-o", str(tmp_path / "run")]
    command += ["--epochs", "2", "--batch-size", "20", "--validation", "40", "--device", "cpu"]
    run([*command, "--dry-run"])
    said = capsys.readouterr().out
    assert "200 faces for 2 epochs of 10 steps" in said
    assert not (tmp_path / "run").exists()
    run(command)
    assert "next: latentedit bundle --age" in capsys.readouterr().out
    assert (tmp_path / "run" / "epochs.png").stat().st_size > 1000


def test_unlabelled_faces_get_their_teachers_mean_estimate(
    data: FaceData, face_file: Path, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    teacher = AgeEstimator(AgeConfig(**SHAPE)).eval()
    torch.nn.init.zeros_(teacher.head.weight)
    teacher.head.bias.data[30] = 99  # always 30
    more, _ = open_face_data(face_file).split(220)
    faces = LabelledFaces(data.images[:4], torch.tensor([[9.0, 1.0]] * 4), "chips")
    result = taught(faces, AgeTeaching(teacher, more), OPTIONS)
    assert len(result.images) == 24
    assert result.targets[:4].tolist() == [[9, 1]] * 4
    torch.testing.assert_close(result.targets[4:], torch.tensor([[30.0, 0.0]] * 20))
    assert "unlabelled: drawn discs" in result.source


def test_an_estimator_goes_on_from_another_whole(data: FaceData, tmp_path: Path) -> None:
    torch.manual_seed(6)
    start = AgeEstimator(AgeConfig(**SHAPE))
    options = SupervisedOptions(epochs=1, batch_size=20, learning_rate=0, device="cpu", bf16=False)
    network = train_age_estimator(data, tmp_path / "run", options, validation=40, start=start)
    assert torch.equal(network.head.weight, start.head.weight)
    assert torch.equal(network.mean, start.mean)


def test_a_teacher_without_pupils(tmp_path: Path, data: FaceData) -> None:
    command = ["train", "age", "--data", str(tmp_path / "ages.faces"), "-o", str(tmp_path / "r")]
    run([*command, "--teacher", str(tmp_path)], code=2)
