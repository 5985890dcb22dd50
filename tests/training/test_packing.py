from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import run as run_cli
from generator_runs import TINY, contents, train

from latentedit.generator import Generator
from latentedit.pretrained import find_bundle, load_classifier
from latentedit.training.adversarial import load_generator_run
from latentedit.training.adversaries import Adversaries
from latentedit.training.data import FaceData
from latentedit.training.objectives import build_objective
from latentedit.training.runs import Run, read_generator_options
from latentedit.training.state import load_state
from latentedit.training.workers import Workers

PUBLISHED = Path(__file__).parents[2] / "training-state" / "faces128"

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_packed_run_is_smaller_and_trains_on(data: FaceData, tmp_path: Path) -> None:
    options = replace(TINY, ema_kimg=(0.05, 0.1))
    train(data, tmp_path / "whole", replace(options, total_kimg=0.08))
    pack = ["train", "pack", str(tmp_path / "whole"), "-o", str(tmp_path / "packed")]
    run_cli([*pack, "--ema-kimg", "0.1"])
    sizes = [(tmp_path / name / "state.safetensors").stat().st_size for name in ("whole", "packed")]
    assert sizes[1] < 0.4 * sizes[0]
    before, _ = load_generator_run(tmp_path / "whole", 0.1)
    kept, _ = load_generator_run(tmp_path / "packed")
    for key, value in before.state_dict().items():
        torch.testing.assert_close(kept.state_dict()[key], value, rtol=1e-3, atol=1e-6)
    begun = train(data, tmp_path / "packed", replace(options, ema_kimg=(0.1,)), resume=True)
    train(data, tmp_path / "whole", options, resume=True)
    (whole, progress), (packed, same) = (contents(tmp_path / name) for name in ("whole", "packed"))
    assert progress == same
    assert begun.state_dict().keys() == before.state_dict().keys()
    for key, value in before.state_dict().items():  # ten steps on from the average it kept
        torch.testing.assert_close(packed[f"generator.{key}"], value, rtol=0, atol=0.05)
    key = "objective.pixel.blocks.0.conv.weight"
    torch.testing.assert_close(packed[key], whole[key], rtol=0, atol=0.05)


def test_a_run_is_packed_with_an_average_it_keeps(
    data: FaceData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(data, tmp_path / "run", replace(TINY, total_kimg=0.04))
    pack = ["train", "pack", str(tmp_path / "run"), "-o", str(tmp_path / "packed")]
    run_cli([*pack, "--ema-kimg", "3"], code=2)
    assert "keeps no average over 3 kimg: choose from 0.05" in capsys.readouterr().err
    state = (tmp_path / "run" / "state.safetensors").read_bytes()
    run_cli([*pack[:-1], str(tmp_path / "run")], code=2)
    assert "holds a run already: choose another folder" in capsys.readouterr().err
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == state
    assert not (tmp_path / "packed").exists()


def test_factored_moments_keep_the_means_of_rows_and_columns(
    data: FaceData, tmp_path: Path
) -> None:
    train(data, tmp_path / "run", replace(TINY, total_kimg=0.08))
    run_cli(["train", "pack", str(tmp_path / "run"), "-o", str(tmp_path / "packed")])
    whole, packed = (contents(tmp_path / name)[0] for name in ("run", "packed"))
    assert not any(key.endswith(".exp_avg") for key in packed)
    factored = [key[:-5] for key in packed if key.endswith("_rows")]
    assert len(factored) > 10
    for key in factored:
        product = torch.outer(packed[f"{key}_rows"], packed[f"{key}_columns"])
        flat = whole[key].flatten(1)
        torch.testing.assert_close(product.mean(1), flat.mean(1), rtol=1e-4, atol=1e-12)
        torch.testing.assert_close(product.mean(0), flat.mean(0), rtol=1e-4, atol=1e-12)


def test_training_goes_on_from_the_published_state() -> None:
    run = Run(PUBLISHED)
    options = read_generator_options(run)
    classifier, _ = load_classifier(find_bundle())
    objective = build_objective(options, classifier, feature_resolution=64)
    adversaries = Adversaries(options, Generator(options.generator), objective, Workers("cpu"))
    progress = load_state(run.state, **adversaries.parts)
    assert progress["images"] > 100_000
    assert run.state.stat().st_size < 40e6
    optimizer = adversaries.parts["optimizers"]["generator_optimizer"]
    learning = set(adversaries.generator.blocks.parameters())
    assert learning < set(optimizer.state)
