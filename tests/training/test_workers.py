"""One process, and two launched by Accelerate that compute what one would."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.data.face_file import open_face_data
from latentedit.errors import LatentEditError
from latentedit.io.weights import config_from_json
from latentedit.training.runs import Run
from latentedit.training.state import load_network
from latentedit.training.supervised.calibration import calibration
from latentedit.training.supervised.loop import predict
from latentedit.training.workers import Workers, check_batch

SHADES = """
import sys
from pathlib import Path
import numpy as np, torch
from torch import nn
from latentedit.training.options import SupervisedOptions
from latentedit.training.supervised.loop import LabelledFaces, fit

class Shade(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 1))
    def forward(self, images):
        return self.layers(images)

class Task:
    def augment(self, images, targets):
        return images
    def loss(self, outputs, targets):
        return (outputs[:, 0] - targets).square().mean()
    def metrics(self, outputs, targets):
        return {"score": -float(self.loss(outputs, targets))}

random = np.random.RandomState(0)
shades = random.uniform(0, 1, 64)
images = (shades[:, None, None, None] * random.uniform(200, 255, (64, 8, 8, 3))).astype("u1")
faces = LabelledFaces(images, torch.tensor(shades, dtype=torch.float32), "drawn shades")
torch.set_num_threads(1)
torch.manual_seed(3)
options = SupervisedOptions(epochs=3, batch_size=16, ema_decay=0.9, device="cpu", bf16=False)
folder = Path(sys.argv[1]) / "shades"
fit(Shade(), Task(), faces, faces, folder, options, network_options={})
"""

GENERATOR = """
import sys
from pathlib import Path
import torch
from latentedit.training.gan.adversarial import train_generator
from latentedit.data.face_file import open_face_data
from latentedit.training.options import GeneratorOptions

torch.set_num_threads(1)
options = GeneratorOptions(
    objective="r1", resolution=8, fmap_max=8, discriminator_fmap_max=8, start=8,
    total_kimg=1, decay_kimg=0, batch_size=16, device=sys.argv[3], bf16=False,
)
train_generator(
    open_face_data(sys.argv[2]), Path(sys.argv[1]) / "generator", options, validation=40
)
"""

CLASSIFIER = """
import sys
from functools import partial
from pathlib import Path
import torch
from latentedit.classifiers.attributes import ClassifierConfig
from latentedit.training.supervised import attribute_task
from latentedit.data.face_file import open_face_data
from latentedit.training.options import SupervisedOptions

torch.set_num_threads(1)
folder = Path(sys.argv[1]) / "classifier"
attribute_task.ClassifierConfig = partial(
    ClassifierConfig, resolution=16, stem=4, widths=(4, 8), blocks=(1, 1)
)
write = attribute_task.write_json
def record(path, values):
    with open(folder / "writers", "a") as file:
        file.write("one more\\n")
    write(path, values)
attribute_task.write_json = record
options = SupervisedOptions(epochs=1, batch_size=20, device="cpu", bf16=False)
network = attribute_task.train_classifier(
    open_face_data(sys.argv[2]), folder, options, validation=40
)
loaded = attribute_task.load_classifier_run(folder)
ratio = network.head.weight / loaded.head.weight  # both are calibrated by the leader's figures
assert torch.allclose(ratio, torch.ones_like(ratio), rtol=1e-3), ratio
"""


ACCELERATE = (
    *("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
)


def run(
    folder: Path, text: str, faces: Path, launcher: Sequence[str] = (), device: str = "cpu"
) -> Path:
    """The folder in which this process, or those of a launcher, ran the script."""
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(text)
    words = [str(script), str(folder), str(faces), device]
    if not launcher:  # this one: it has imported all that is needed
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", words)
            threads = torch.get_num_threads()
            runpy.run_path(str(script))
            torch.set_num_threads(threads)
        return folder
    command = [sys.executable, *launcher, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


Logs = Callable[[str], list[list[dict[str, float]]]]


@pytest.fixture(scope="module")
def logs(face_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """What one process and then two wrote down of a training: logs("shades").

    Both trainings share their processes. To start three, with the launcher's, takes most of the
    fixture's ten seconds.
    """
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("workers")
    one = run(folder / "one", SHADES + GENERATOR, face_file)
    two = run(folder / "two", SHADES + GENERATOR, face_file, ACCELERATE)
    runs = (one, two)

    def read(name: str) -> list[list[dict[str, float]]]:
        texts = [(run / name / "log.jsonl").read_text() for run in runs]
        return [[json.loads(line) for line in text.splitlines()] for text in texts]

    return read


def test_two_processes_reach_the_loss_of_one_at_the_same_global_batch(logs: Logs) -> None:
    one, two = logs("shades")
    assert len(one) == len(two) == 3  # the second process writes nothing
    for first, second in zip(one, two, strict=True):
        assert second["loss"] == pytest.approx(first["loss"], rel=1e-4)
        assert second["score"] == pytest.approx(first["score"], rel=1e-4)


def test_a_generator_trained_by_two_processes_reaches_the_same_statistics(logs: Logs) -> None:
    one, two = logs("generator")
    assert one
    assert [record["images"] for record in one] == [record["images"] for record in two]
    for first, second in zip(one, two, strict=True):
        for name in ("real", "fake", "generator_loss", "discriminator_loss"):
            assert second[name] == pytest.approx(first[name], abs=0.1)


@pytest.mark.slow
def test_two_processes_calibrate_a_classifier_once(face_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    folder = run(tmp_path / "two", CLASSIFIER, face_file, ACCELERATE) / "classifier"
    assert (folder / "writers").read_text() == "one more\n"
    network = AttributeClassifier(read_config(folder))
    load_network(folder / "state.safetensors", "averaged.module", network)
    _, held_out = open_face_data(face_file).split(40)
    logits = predict(network.eval(), held_out.images, torch.device("cpu"), bf16=False)
    expected = calibration(logits, torch.tensor(held_out.labels))
    fitted = json.loads((folder / "calibration.json").read_text())
    assert fitted["scale"] == pytest.approx(expected["scale"], rel=1e-4)
    assert fitted["shift"] == pytest.approx(expected["shift"], abs=1e-4)


def read_config(folder: Path) -> ClassifierConfig:
    return config_from_json(ClassifierConfig, Run(folder).read_options()["network"])


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    workers = Workers("cpu")
    assert workers.leads
    assert workers.share(np.arange(4)).tolist() == [0, 1, 2, 3]
    assert workers.mean(2.5) == 2.5
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, 2.0])
    workers.average_gradients([weight])
    assert weight.grad.tolist() == [1, 2]
    check_batch(7)
    workers.wait()


def test_shares_are_disjoint_and_whole() -> None:
    workers = Workers("cpu")
    workers.count = 3
    seen: list[int] = []
    for workers.rank in range(3):
        share = workers.share(np.arange(12)).tolist()
        assert len(share) == 4
        seen.extend(share)
    assert sorted(seen) == list(range(12))


def test_a_batch_is_shared_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    check_batch(15)
    with pytest.raises(LatentEditError, match=r"batch of 16 .*3 processes"):
        check_batch(16)


def test_several_processes_without_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[train\]'"):
        Workers("cpu")
