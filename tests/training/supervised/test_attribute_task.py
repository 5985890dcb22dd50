from __future__ import annotations

import dataclasses
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_CLASSIFIER
from hypothesis import given, settings
from hypothesis import strategies as st

from latentedit.attributes import ATTRIBUTES
from latentedit.classifiers.age import AgeConfig, AgeEstimator
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.data.face_file import create_face_data, open_face_data
from latentedit.data.utkface import LABELS, QUESTIONS
from latentedit.errors import LatentEditError
from latentedit.io.files import read_json
from latentedit.training.options import SupervisedOptions
from latentedit.training.runs import Run
from latentedit.training.state import load_network
from latentedit.training.supervised import attribute_task
from latentedit.training.supervised.attribute_task import (
    AttributeTask,
    load_classifier_run,
    train_classifier,
)
from latentedit.training.supervised.calibration import calibration, read_calibration
from latentedit.training.supervised.loop import predict
from latentedit.training.supervised.teaching import Teaching
from latentedit.training.workers import Workers

OPTIONS = SupervisedOptions(epochs=3, batch_size=20, device="cpu", bf16=False)


TINY_SHAPE = {name: value for name, value in vars(TINY_CLASSIFIER).items() if name != "attributes"}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the tiny classifier instead of the shipped one."""
    monkeypatch.setattr(attribute_task, "ClassifierConfig", partial(ClassifierConfig, **TINY_SHAPE))


def test_the_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, 2.0], [-1.0, 5.0]])
    targets = torch.tensor([[1, 0], [1, -1]], dtype=torch.int8)

    def entropy(logit: float, target: float) -> float:
        p = 1 / (1 + math.exp(-logit))
        return -target * math.log(p) - (1 - target) * math.log(1 - p)

    expected = (entropy(0, 0.9) + entropy(2, 0.1) + entropy(-1, 0.9)) / 3  # the fourth is unknown
    loss = AttributeTask(smoothing=0.1).loss(logits, targets)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_accuracy_is_the_mean_over_attributes_of_what_is_known() -> None:
    outputs = torch.tensor([[1.0, 1, 1, 9], [1, -1, 1, 9], [-1, 1, -1, 9], [-1, -1, 1, 9]])
    targets = torch.tensor([[1, 1, 0, -1], [1, 0, -1, -1], [0, 0, -1, -1], [1, 0, -1, -1]])
    metrics = AttributeTask().metrics(outputs, targets)
    assert metrics["score"] == pytest.approx((3 / 4 + 3 / 4 + 0 / 1) / 3)
    loss = AttributeTask().loss(outputs, targets)
    assert metrics["validation_loss"] == pytest.approx(float(loss))


@settings(max_examples=20)
@given(st.integers(0, 999))
def test_unknown_labels_move_nothing(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(5, 4, generator=generator, requires_grad=True)
    targets = torch.randint(-1, 2, (5, 4), generator=generator)
    AttributeTask().loss(outputs, targets).backward()
    assert torch.equal(outputs.grad == 0, targets == -1)


def test_a_batch_without_any_label_is_no_nan() -> None:
    outputs = torch.randn(3, 4, requires_grad=True)
    loss = AttributeTask().loss(outputs, torch.full((3, 4), -1))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not outputs.grad.any()


def test_it_learns_what_the_labels_say(face_file: Path, tmp_path: Path) -> None:
    data = open_face_data(face_file)
    options = dataclasses.replace(OPTIONS, epochs=6, learning_rate=0.01, ema_decay=0.9)
    network = train_classifier(data, tmp_path / "run", options, validation=40)
    log = Run(tmp_path / "run").read_log()
    guess = np.maximum(data.labels[-40:].mean(0), 1 - data.labels[-40:].mean(0)).mean()
    assert log[-1]["score"] > max(0.75, guess)
    assert network.config.attributes == ATTRIBUTES
    assert not network.training


def test_of_utkface_it_learns_questions(tmp_path: Path) -> None:
    labels = [(30, 0, 1), (4, 1, 2)] * 20
    with create_face_data(tmp_path / "f", resolution=16, label_names=LABELS, source="x") as writer:
        for row, label in enumerate(labels):
            writer.append(np.full((16, 16, 3), 5 * row, np.uint8), label, str(row))
    data = open_face_data(tmp_path / "f")
    start = AttributeClassifier(TINY_CLASSIFIER)  # of forty attributes
    still = dataclasses.replace(OPTIONS, learning_rate=0.0)
    network = train_classifier(data, tmp_path / "run", still, validation=20, start=start)
    assert network.config.attributes == QUESTIONS
    key = "stem.0.weight"
    torch.testing.assert_close(network.state_dict()[key], start.state_dict()[key])


def test_normalisation_is_that_of_the_training_faces(face_file: Path, tmp_path: Path) -> None:
    data = open_face_data(face_file)
    network = train_classifier(
        data, tmp_path / "run", dataclasses.replace(OPTIONS, epochs=1), validation=100
    )
    pixels = data.images[:140].astype(np.float64) / 127.5 - 1  # never the held-out faces
    mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    assert network.mean.flatten().tolist() == pytest.approx(mean.tolist(), abs=1e-3)
    assert network.std.flatten().tolist() == pytest.approx(std.tolist(), abs=1e-3)


def test_a_run_is_loaded_as_it_was_returned(face_file: Path, tmp_path: Path) -> None:
    data = open_face_data(face_file)
    network = train_classifier(data, tmp_path / "run", OPTIONS, validation=40)
    loaded = load_classifier_run(tmp_path / "run")
    assert loaded.config == network.config
    assert not loaded.training
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    options = Run(tmp_path / "run").read_options()
    assert options["data"] == "drawn discs; the last 40 held out"


def test_faces_without_labels_are_refused(face_file: Path, tmp_path: Path) -> None:
    data = open_face_data(face_file)
    nameless = dataclasses.replace(data, labels=data.labels[:, :0], label_names=())
    unknown = dataclasses.replace(data, labels=np.full_like(data.labels, -1))
    for faces in (nameless, unknown):
        with pytest.raises(LatentEditError, match="have no labels"):
            train_classifier(faces, tmp_path / "run", OPTIONS, validation=40)
    assert not (tmp_path / "run").exists()


def test_what_is_no_classifiers_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="is not a training run"):
        load_classifier_run(tmp_path)
    (tmp_path / "options.json").write_text('{"options": {}}')
    with pytest.raises(LatentEditError, match="is not a classifier's run"):
        load_classifier_run(tmp_path)
    (tmp_path / "options.json").write_text('{"network": {"edges": 3}}')
    with pytest.raises(LatentEditError, match="is not a classifier's run"):
        load_classifier_run(tmp_path)
    (tmp_path / "options.json").write_text('{"network": {}}')
    with pytest.raises(LatentEditError, match="is not a training state"):
        load_classifier_run(tmp_path)


def teacher(logit: float) -> AttributeClassifier:
    """A classifier that gives every attribute the same logit, whatever it sees."""
    torch.manual_seed(0)
    network = AttributeClassifier(TINY_CLASSIFIER).eval()
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.constant_(network.head.bias, logit)
    return network


def test_a_student_learns_from_its_teacher(face_file: Path, tmp_path: Path) -> None:
    data = open_face_data(face_file)
    options = dataclasses.replace(OPTIONS, epochs=12, learning_rate=0.01, ema_decay=0.9)
    plain = train_classifier(data, tmp_path / "a", options, validation=40)
    student = train_classifier(
        data, tmp_path / "b", options, validation=40, teaching=Teaching([plain])
    )
    assert Run(tmp_path / "b").read_log()[-1]["score"] > 0.7
    assert not torch.equal(student.head.weight, plain.head.weight)


def test_a_finished_run_is_calibrated(face_file: Path, tmp_path: Path) -> None:
    data = open_face_data(face_file)
    network = train_classifier(data, tmp_path / "run", OPTIONS, validation=40)
    fitted = read_json(tmp_path / "run" / "calibration.json")
    scale, shift = torch.tensor(fitted["scale"]), torch.tensor(fitted["shift"])
    raw = AttributeClassifier(network.config)
    load_network(Run(tmp_path / "run").state, "averaged.module", raw)
    torch.testing.assert_close(network.head.weight, raw.head.weight * scale[:, None])
    torch.testing.assert_close(network.head.bias, raw.head.bias * scale + shift)
    _, held_out = data.split(40)
    logits = predict(raw, held_out.images, torch.device("cpu"), bf16=False)
    expected = calibration(logits, torch.tensor(held_out.labels))
    assert fitted["scale"] == pytest.approx(expected["scale"])
    assert fitted["ece"] == pytest.approx(expected["ece"])
    assert read_calibration(tmp_path / "run") == fitted
    assert read_calibration(tmp_path) == {}


def test_only_the_leader_writes(
    face_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Follower(Workers):
        leads = False

    monkeypatch.setattr(attribute_task, "Workers", Follower)
    folder = tmp_path / "run"
    train_classifier(open_face_data(face_file), folder, OPTIONS, validation=40)
    assert not folder.exists()


def test_a_classifier_starts_from_another_or_from_another_networks_stages(
    face_file: Path, tmp_path: Path
) -> None:
    data = open_face_data(face_file)
    still = dataclasses.replace(OPTIONS, epochs=1, learning_rate=0.0, weight_decay=0.0)
    first = teacher(0.0)
    age = AgeEstimator(AgeConfig(**{**TINY_SHAPE, "oldest": 9}))
    for name, start in (("same", first), ("other", age)):
        network = train_classifier(data, tmp_path / name, still, validation=40, start=start)
        raw = AttributeClassifier(network.config)
        load_network(Run(tmp_path / name).state, "network", raw)
        assert torch.equal(raw.stages[0][0].conv0.weight, start.stages[0][0].conv0.weight)
        assert raw.head.weight.any() == (start is not first)  # the first one's head is zero
    wide = AttributeClassifier(dataclasses.replace(TINY_CLASSIFIER, stem=9))
    with pytest.raises(LatentEditError, match="another shape: leave out --init"):
        train_classifier(data, tmp_path / "wide", still, validation=40, start=wide)
