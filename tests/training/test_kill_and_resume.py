"""The real commands, killed with SIGKILL, end as if they had not been.

A command that is to be killed has a process of its own; it goes on in this one, which spares
another start. These tests take over 5 seconds: the process imports PyTorch and, for its optimizer,
PyTorch's compiler.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import exit_code
from safetensors import safe_open

from latentedit.data.face_file import create_face_data, open_face_data
from latentedit.errors import LatentEditError
from latentedit.training.gan.adversarial import train_generator
from latentedit.training.options import SupervisedOptions
from latentedit.training.runs import Run, read_generator_options
from latentedit.training.state import read_progress
from latentedit.training.supervised.attribute_task import train_classifier

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL"),
    pytest.mark.usefixtures("one_thread"),
]

COMMAND = Path(sysconfig.get_path("scripts")) / "latentedit"


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start `latentedit ...` on one thread."""
    return subprocess.Popen(
        [str(COMMAND), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_after(process: subprocess.Popen[str], run: Path, key: str, least: int) -> int:
    """SIGKILL a run as soon as its state says `least`; return what the state says then."""
    state, deadline = run / "state.safetensors", time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if read_progress(state)[key] >= least:
                break
        except LatentEditError:
            pass
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    return int(read_progress(state)[key])


def differences(first: Path, second: Path) -> list[str]:
    """Names of the parts of two states that are not the same to the last bit."""
    with (
        safe_open(str(first / "state.safetensors"), framework="np") as one,
        safe_open(str(second / "state.safetensors"), framework="np") as other,
    ):
        assert json.loads(one.metadata()["progress"]) == json.loads(other.metadata()["progress"])
        keys = set(one.keys())
        assert keys == set(other.keys())
        assert len(keys) > 50
        return sorted(
            key for key in keys if one.get_tensor(key).tobytes() != other.get_tensor(key).tobytes()
        )


def test_train_generator_killed_inside_a_fade(face_file: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        """
        objective = "r1"
        bf16 = false
        resolution = 8
        fmap_base = 64
        fmap_max = 8
        start = 4
        stable_kimg = [0.04]
        fade_kimg = [0.18]
        total_kimg = 0.24
        decay_kimg = 0.1
        save_kimg = 0.1
        batch_size = 4
        """
    )
    arguments = ["train", "generator", "--data", face_file, "--validation", 40, "--device", "cpu"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    begun = start(*arguments, "--recipe", recipe, "-o", cut)
    saved = kill_after(begun, cut, "images", 100)
    options = read_generator_options(Run(cut))
    phase = options.schedule.at(saved)
    assert phase.resolution == 8
    assert 0 < phase.alpha < 1
    assert exit_code(*arguments, "-o", cut, "--resume") == 0
    assert read_progress(cut / "state.safetensors")["images"] == 240
    train_generator(open_face_data(face_file), whole, options, validation=40)
    assert differences(whole, cut) == []


@pytest.fixture
def few_faces(face_file: Path, tmp_path: Path) -> Path:
    """Twelve of the drawn faces."""
    data, path = open_face_data(face_file), tmp_path / "few.faces"
    with create_face_data(
        path, resolution=16, label_names=data.label_names, source="drawn"
    ) as writer:
        for image, label, name in list(zip(data.images, data.labels, data.ids, strict=True))[:12]:
            writer.append(np.array(image), label.tolist(), name)
    return path


def test_train_classifier_killed_after_an_epoch(few_faces: Path, tmp_path: Path) -> None:
    arguments = ["train", "classifier", "--data", few_faces, "--epochs", 3, "--batch-size", 4]
    arguments += ["--validation", 4, "--device", "cpu"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    saved = kill_after(start(*arguments, "-o", cut), cut, "epoch", 1)
    assert saved < 3
    assert exit_code(*arguments, "-o", cut, "--resume") == 0
    assert read_progress(cut / "state.safetensors")["epoch"] == 3
    options = SupervisedOptions(**Run(cut).read_options()["options"])
    train_classifier(open_face_data(few_faces), whole, options, validation=4)
    assert differences(whole, cut) == []
    logs = [Run(folder).read_log() for folder in (whole, cut)]
    scores = [[(record["epoch"], record["score"]) for record in log] for log in logs]
    assert scores[0] == scores[1]
    assert [epoch for epoch, _ in scores[0]] == [1, 2, 3]
