from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import run as run_cli
from generator_runs import TINY, contents, refused, train
from torch import Tensor

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.data.face_file import FaceData
from latentedit.pretrained.bundles import save_part
from latentedit.training.gan.adversarial import load_generator_run

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_packed_run_is_smaller_and_trains_on(data: FaceData, tmp_path: Path) -> None:
    options = replace(TINY, ema_kimg=(0.05, 0.1), matrix_learning_rate=0.001)
    train(data, tmp_path / "whole", replace(options, total_kimg=0.08))
    pack = ["train", "pack", str(tmp_path / "whole"), "-o", str(tmp_path / "packed")]
    run_cli([*pack, "--ema-kimg", "0.1"])
    sizes = [(tmp_path / name / "state.safetensors").stat().st_size for name in ("whole", "packed")]
    assert sizes[1] < 0.4 * sizes[0]
    packed, _ = contents(tmp_path / "packed")
    assert not [key for key in packed if key.endswith((".exp_avg", ".momentum_buffer"))]
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
    said = capsys.readouterr().err
    assert "over 3 kimg" in said
    assert "0.05" in said
    state = (tmp_path / "run" / "state.safetensors").read_bytes()
    run_cli([*pack[:-1], str(tmp_path / "run")], code=2)
    assert "holds a run already" in capsys.readouterr().err
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


def check_kept(packed: dict[str, Tensor], after: dict[str, Tensor], part: str) -> None:
    """A discriminator that has not learned since is the packed one; power iterations go on."""
    learned = [
        key
        for key in packed
        if key.startswith(f"objective.{part}.") and not key.endswith(("_u", "_v"))
    ]
    assert learned
    for key in learned:
        torch.testing.assert_close(after[key], packed[key].float())


def test_discriminators_alone_are_for_another_run_and_a_bundle(
    data: FaceData,
    tmp_path: Path,
    tiny_classifier: AttributeClassifier,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = replace(TINY, objective="projected", start=16, total_kimg=0.04)
    looking = {"classifier": tiny_classifier}
    network = train(data, tmp_path / "run", options, **looking)
    packed = tmp_path / "packed"
    pack = ["train", "pack", str(tmp_path / "run"), "--no-generator", "-o", str(packed)]
    run_cli([*pack, "--ema-kimg", "0.05"], code=2)
    assert "leave it or --no-generator out" in " ".join(capsys.readouterr().err.split())
    run_cli(pack)
    assert f"--init {packed} --init BUNDLE" in capsys.readouterr().out
    kept, _ = contents(packed)
    assert {key.split(".")[1] for key in kept} == {"pixel", "projected"}
    save_part(tmp_path / "bundle", "generator", network, network.config, {"images_seen": 7000})
    still = replace(
        options,
        total_kimg=0.008,
        frozen_kimg=1,
        discriminator_learning_rate=0,
        projected_learning_rate=0.0,
    )
    train(data, tmp_path / "next", still, init=[packed, tmp_path / "bundle"], **looking)
    after, progress = contents(tmp_path / "next")
    assert progress["images_before"] == 7000
    for part in ("pixel", "projected"):
        check_kept(kept, after, part)
    # eight rows of one step: what was remembered is not there
    assert int(after["objective.sliced.real_0"].any(1).sum()) == 8


def test_discriminators_alone_do_not_go_on_by_themselves(
    data: FaceData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(data, tmp_path / "run", replace(TINY, total_kimg=0.04))
    packed = tmp_path / "packed"
    run_cli(["train", "pack", str(tmp_path / "run"), "--no-generator", "-o", str(packed)])
    advice = f"{packed} holds discriminators alone: start another run"
    assert advice in refused(data, tmp_path / "alone", init=[packed])
    assert advice in refused(data, packed, resume=True)
    other = str(tmp_path / "other")
    for words in (["bundle", "--generator", str(packed)], ["train", "pack", str(packed)]):
        capsys.readouterr()
        run_cli([*words, "-o", other], code=2)
        assert advice in " ".join(capsys.readouterr().err.split())
