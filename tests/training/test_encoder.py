"""An encoder learns from pairs, and a run goes on where it was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_generators import mobilestylegan

from latentedit.errors import LatentEditError
from latentedit.training import encoder as module
from latentedit.training import pairs
from latentedit.training.encoder import Feed, load_encoder_run, train_encoder
from latentedit.training.options import EncoderOptions
from latentedit.training.pairs import Pairs
from latentedit.training.runs import Run

TINY = EncoderOptions(
    pairs=60,
    validation=20,
    steps=24,
    batch_size=8,
    learning_rate=3e-3,
    ema_decay=0.5,
    save_steps=12,
    bf16=False,
)


@pytest.fixture(autouse=True, scope="module")
def small_files() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "SHARD", 20)
        patch.setattr(module, "WARM_STEPS", 4)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder") / "run"
    train_encoder(mobilestylegan(), folder, TINY)
    return folder


def test_it_learns(run: Path) -> None:
    first, last = Run(run).read_log()
    assert (first["step"], last["step"]) == (12, 24)
    assert last["validation"] < first["validation"]


def test_a_run_gives_its_encoder_back(run: Path) -> None:
    encoder = load_encoder_run(run)
    with torch.inference_mode():
        assert encoder(torch.zeros(1, 3, 32, 32)).shape == (1, 8, 16)
    mean = Pairs.read(run / "pairs").first.mean(0)
    np.testing.assert_allclose(encoder.mean.numpy(), mean, atol=1e-5)


def test_a_killed_run_ends_as_one_that_was_not(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    pairs_folder = run / "pairs"

    def kill(what: str, done: int, total: int, note: str) -> None:
        if what == "Steps" and done == 15:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train_encoder(mobilestylegan(), folder, TINY, pairs_folder=pairs_folder, on_progress=kill)
    train_encoder(mobilestylegan(), folder, TINY, pairs_folder=pairs_folder, resume=True)
    assert [record["step"] for record in Run(folder).read_log()] == [12, 24]
    whole, resumed = load_encoder_run(run), load_encoder_run(folder)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)


def test_batches_depend_on_the_step_alone(run: Path) -> None:
    known = Pairs.read(run / "pairs")
    with Feed(known, TINY, 0, 5) as feed:
        begun = [feed.next() for _ in range(3)]
    with Feed(known, TINY, 2, 5) as feed:
        resumed = feed.next()
    for a, b in zip(begun[2], resumed, strict=True):
        assert torch.equal(a, b)


def test_pairs_of_another_generator_are_refused(run: Path, tmp_path: Path) -> None:
    other = mobilestylegan()
    with torch.no_grad():
        other.first.bias.add_(1)
    with pytest.raises(LatentEditError, match="another generator"):
        train_encoder(other, tmp_path / "run", replace(TINY), pairs_folder=run / "pairs")


def test_what_is_no_run_of_an_encoder(tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text("{}")
    with pytest.raises(LatentEditError, match="encoder"):
        load_encoder_run(tmp_path)
