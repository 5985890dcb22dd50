"""An encoder learns from pairs, and a run goes on where it was killed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from photo_models import ENCODER
from tiny_generators import mobilestylegan

from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.classifiers.dlib_network import DlibFaceNetwork
from latentedit.data.face_file import create_face_data, open_face_data
from latentedit.errors import LatentEditError
from latentedit.photos.resemblance import Resemblance
from latentedit.training import encoder_stages as module
from latentedit.training import pairs, state
from latentedit.training.encoder import load_encoder_run, train_encoder
from latentedit.training.encoder_stages import Feed
from latentedit.training.options import EncoderOptions
from latentedit.training.pairs import Pairs
from latentedit.training.runs import Run
from latentedit.training.state import read_progress

TINY = EncoderOptions(
    pairs=200,
    validation=20,
    steps=60,
    batch_size=16,
    learning_rate=3e-3,
    ema_decay=0.9,
    face_steps=0,
    save_steps=30,
    bf16=False,
)


@pytest.fixture(autouse=True, scope="module")
def small_files() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "SHARD", 50)
        patch.setattr(module, "WARM_STEPS", 4)
        yield


PIXELS = replace(ENCODER, descriptor=0)
"""Looks at no descriptors: their network is no tiny one."""


def looking(descriptor: DlibFaceNetwork | None = None) -> Resemblance:
    torch.manual_seed(0)
    classifier = AttributeClassifier(ClassifierConfig(16, 4, (4, 8), (1, 1)))
    return Resemblance(classifier, mobilestylegan().frame, descriptor)


@pytest.fixture(scope="module")
def resemblance() -> Resemblance:
    return looking()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, resemblance: Resemblance) -> Path:
    folder = tmp_path_factory.mktemp("encoder") / "run"
    train_encoder(mobilestylegan(), folder, TINY, resemblance=resemblance, network=PIXELS)
    return folder


def test_it_learns(run: Path) -> None:
    first, last = Run(run).read_log()
    assert (first["step"], last["step"]) == (30, 60)
    assert last["validation"] < first["validation"]


def test_a_run_gives_its_encoder_back(run: Path, resemblance: Resemblance) -> None:
    encoder = load_encoder_run(run)
    with torch.inference_mode():
        assert encoder(resemblance.looks(torch.zeros(1, 3, 32, 32))).shape == (1, 8, 16)
    mean = Pairs.read(run / "pairs", TINY.pairs).first.mean(0)
    np.testing.assert_allclose(encoder.mean.numpy(), mean, atol=1e-5)


@pytest.mark.parametrize("by_time", [False, True])
def test_a_killed_run_ends_as_one_that_was_not(
    run: Path,
    tmp_path: Path,
    resemblance: Resemblance,
    monkeypatch: pytest.MonkeyPatch,
    by_time: bool,
) -> None:
    folder = tmp_path / "run"
    train = partial(
        train_encoder,
        mobilestylegan(),
        folder,
        TINY,
        resemblance=resemblance,
        network=PIXELS,
        pairs_folder=run / "pairs",
    )

    def kill(what: str, done: int, total: int, note: str) -> None:
        if what == "Steps" and done == 40:
            raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        if by_time:
            patch.setattr(state, "SAVE_EVERY", 0)
            patch.setattr(state, "SAVE_SHARE", float("inf"))
        with pytest.raises(RuntimeError, match="killed"):
            train(on_progress=kill)
    assert read_progress(Run(folder).state)["step"] == (39 if by_time else 30)
    train(resume=True)
    assert [record["step"] for record in Run(folder).read_log()] == [30, 60]
    whole, resumed = load_encoder_run(run), load_encoder_run(folder)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)


def test_batches_depend_on_the_step_alone(run: Path) -> None:
    known = Pairs.read(run / "pairs", TINY.pairs)
    feed, resumed = Feed(known, TINY), Feed(known, TINY)
    begun = [feed.batch(step) for step in range(3)]
    for a, b in zip(begun[2], resumed.batch(2), strict=True):
        assert torch.equal(a, b)


def test_pairs_of_another_generator_are_refused(
    run: Path, tmp_path: Path, resemblance: Resemblance
) -> None:
    other = mobilestylegan()
    with torch.no_grad():
        other.first.bias.add_(1)
    with pytest.raises(LatentEditError, match="generator_hash"):
        train_encoder(
            other,
            tmp_path / "run",
            TINY,
            resemblance=resemblance,
            network=PIXELS,
            pairs_folder=run / "pairs",
        )


def test_some_pairs_must_be_left_to_learn_from(tmp_path: Path, resemblance: Resemblance) -> None:
    options = replace(TINY, validation=TINY.pairs)
    with pytest.raises(LatentEditError, match="leave none to learn from"):
        train_encoder(mobilestylegan(), tmp_path / "run", options, resemblance=resemblance)
    assert not (tmp_path / "run").exists()


def test_photos_have_no_latents_but_are_learnt_from(run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos.safetensors"
    random = np.random.RandomState(0)
    with create_face_data(photos, resolution=32, label_names=(), source="photos") as writer:
        for number in range(6):
            writer.append(random.randint(0, 256, (32, 32, 3), np.uint8), [], str(number))
    train_encoder(
        mobilestylegan(),
        tmp_path / "run",
        replace(TINY, steps=2, face_steps=4, face_batch_size=2, save_steps=3),
        resemblance=looking(DlibFaceNetwork()),
        network=ENCODER,
        pairs_folder=run / "pairs",
        photos=open_face_data(photos),
    )
    assert [record["step"] for record in Run(tmp_path / "run").read_log()] == [2, 3, 6]
    assert "photos" in Run(tmp_path / "run").read_options()["data"]


def test_what_is_no_run_of_an_encoder(tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text("{}")
    with pytest.raises(LatentEditError, match="encoder"):
        load_encoder_run(tmp_path)
