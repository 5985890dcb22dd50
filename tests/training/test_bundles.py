from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import TINY_CLASSIFIER, exit_code
from generator_runs import TINY, train
from safetensors.torch import load_file

from latentedit.classifiers.attributes import ClassifierConfig
from latentedit.data.face_file import open_face_data
from latentedit.errors import LatentEditError
from latentedit.io.files import sha256
from latentedit.pretrained.bundles import load_classifier, load_generator
from latentedit.pretrained.hashing import weights_hash
from latentedit.training.bundles import bundle_classifier, bundle_generator
from latentedit.training.gan.adversarial import load_generator_run
from latentedit.training.gan.snapshots import save_snapshot
from latentedit.training.options import SupervisedOptions
from latentedit.training.runs import Run
from latentedit.training.supervised import attribute_task


@pytest.fixture
def generator_run(face_file: Path, tmp_path: Path) -> Path:
    options = replace(TINY, resolution=8, total_kimg=0.08, ema_kimg=(5, 0.001))
    run = tmp_path / "generator-run"
    train(open_face_data(face_file), run, options, command="latentedit train generator")
    return run


@pytest.fixture
def classifier_run(face_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    entries = {**vars(TINY_CLASSIFIER)}
    del entries["attributes"]
    monkeypatch.setattr(attribute_task, "ClassifierConfig", partial(ClassifierConfig, **entries))
    run = tmp_path / "classifier-run"
    attribute_task.train_classifier(
        open_face_data(face_file),
        run,
        SupervisedOptions(epochs=2, batch_size=20, device="cpu", bf16=False),
        validation=40,
        command="latentedit train classifier",
    )
    return run


def test_a_generators_part_holds_the_average_and_says_where_from(
    generator_run: Path, tmp_path: Path
) -> None:
    run, bundle = Run(generator_run), tmp_path / "bundle"
    run.write_log({"images": 180_000, "images_per_second": 100.0, "generator_loss": 2.0})
    run.write_log({"images": 360_000, "images_per_second": 50.0, "generator_loss": 1.5})
    bundle_generator(generator_run, bundle)
    network, card = load_generator(bundle)
    expected, _ = load_generator_run(generator_run)
    for name, value in expected.state_dict().items():
        assert torch.equal(network.state_dict()[name], value.half().float())
    stored = load_file(bundle / "generator.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert card["images_seen"] == 80
    assert card["hours"] == 1.5
    assert card["last_figures"]["generator_loss"] == 1.5
    assert card["data"] == "drawn discs; the last 40 held out"
    assert "latentedit train generator" in json.dumps(card)
    assert card["options"]["fmap_max"] == 8
    assert card["sha256"] == sha256(bundle / "generator.safetensors")
    assert card["weights_hash"] == weights_hash(network)
    assert "non-commercial" in card["terms"]


def test_a_run_without_a_log_and_one_that_crawled_are_bundled(
    generator_run: Path, tmp_path: Path
) -> None:
    bundle_generator(generator_run, tmp_path / "bundle")
    card = load_generator(tmp_path / "bundle")[1]
    assert (card["hours"], card["last_figures"]) == (0, {})
    Run(generator_run).write_log({"images": 1000, "images_per_second": 0.0})
    bundle_generator(generator_run, tmp_path / "bundle")
    assert load_generator(tmp_path / "bundle")[1]["hours"] > 0


def test_a_classifiers_part_holds_the_average_and_its_epochs(
    classifier_run: Path, tmp_path: Path
) -> None:
    bundle_classifier(classifier_run, tmp_path / "bundle")
    network, card = load_classifier(tmp_path / "bundle")
    expected = attribute_task.load_classifier_run(classifier_run)
    assert weights_hash(network) == weights_hash(expected) == card["weights_hash"]
    assert [epoch["epoch"] for epoch in card["epochs"]] == [1, 2]
    assert 0 < card["epochs"][-1]["score"] <= 1
    assert card["data"] == "drawn discs; the last 40 held out"
    assert "latentedit train classifier" in json.dumps(card)


def test_one_kind_of_run_is_not_bundled_as_the_other(
    generator_run: Path, classifier_run: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    with pytest.raises(LatentEditError, match="is not a generator's run"):
        bundle_generator(classifier_run, bundle)
    with pytest.raises(LatentEditError, match="is not a classifier's run"):
        bundle_classifier(generator_run, bundle)
    for make in (bundle_generator, bundle_classifier):
        with pytest.raises(LatentEditError, match="is not a training run"):
            make(tmp_path, bundle)
    assert not bundle.exists()


def test_a_wrong_run_leaves_the_bundle_as_it_was(
    generator_run: Path, classifier_run: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    words = ("bundle", "--generator", generator_run, "-o", bundle)
    assert exit_code(*words) == 0
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert exit_code(*words, "--psi", 0.5, "--age", classifier_run) == 2
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


def test_another_average_of_the_same_run(generator_run: Path, tmp_path: Path) -> None:
    bundle_generator(generator_run, tmp_path / "first")
    bundle_generator(generator_run, tmp_path / "short", ema_kimg=0.001)
    _, first = load_generator(tmp_path / "first")
    _, short = load_generator(tmp_path / "short")
    assert first["weights_hash"] != short["weights_hash"]
    assert short["ema_kimg"] == 0.001
    with pytest.raises(LatentEditError, match=r"over 3 kimg: choose from 5, 0\.001"):
        bundle_generator(generator_run, tmp_path / "none", ema_kimg=3)


def test_the_card_of_a_mean_of_snapshots_tells_of_the_run_until_the_last(
    generator_run: Path, tmp_path: Path
) -> None:
    run = Run(generator_run)
    network, _ = load_generator_run(generator_run)
    for images in (20, 40):
        save_snapshot(run, images, network)
    for images in (40, 80):
        run.write_log({"images": images, "images_per_second": 1 / 90})
    bundle_generator(generator_run, tmp_path / "bundle", snapshots=(0, 0.04))
    _, card = load_generator(tmp_path / "bundle")
    assert (card["snapshots"], card["images_seen"]) == ([20, 40], 40)
    assert card["hours"] == 0.22  # at the least speed that is believed
    assert card["last_figures"]["images"] == 40
    with pytest.raises(LatentEditError, match="give one of the two"):
        bundle_generator(generator_run, tmp_path / "both", ema_kimg=0.001, snapshots=(0, 1))


def test_a_generator_may_be_blended_with_that_of_another_run(
    generator_run: Path, face_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    options = replace(TINY, resolution=8, total_kimg=0.04, seed=3)
    train(open_face_data(face_file), other, options, command="the other command")
    bundle_generator(generator_run, tmp_path / "bundle", blend=other)
    network, card = load_generator(tmp_path / "bundle")
    assert card["blended_with"]["commands"] == ["the other command"]
    assert card["blended_with"]["images_seen"] == 40
    assert card["blended_with"]["options"]["seed"] == 3
    ends = [load_generator_run(run)[0].state_dict() for run in (generator_run, other)]
    for name, weight in network.state_dict().items():
        mean = (ends[0][name] + ends[1][name]) / 2
        torch.testing.assert_close(weight, mean, rtol=1e-3, atol=1e-4)  # half precision

    wider = tmp_path / "wider"
    train(open_face_data(face_file), wider, replace(options, fmap_base=128, fmap_max=16))
    with pytest.raises(LatentEditError, match="have no mean"):
        bundle_generator(generator_run, tmp_path / "none", blend=wider)
    entries = json.loads((other / "options.json").read_text())
    entries["teacher"] = {"name": "another", "generator_hash": "0" * 16}
    (other / "options.json").write_text(json.dumps(entries))
    with pytest.raises(LatentEditError, match="had other teachers"):
        bundle_generator(generator_run, tmp_path / "none", blend=other)
    assert not (tmp_path / "none").exists()


def test_a_generator_may_be_bundled_wider(generator_run: Path, tmp_path: Path) -> None:
    bundle_generator(generator_run, tmp_path / "whole")
    bundle_generator(generator_run, tmp_path / "wide", psi=1.5)
    whole, plain_card = load_generator(tmp_path / "whole")
    wide, card = load_generator(tmp_path / "wide")
    assert card["psi"] == 1.5
    assert "psi" not in plain_card
    average, _ = load_generator_run(generator_run)
    weights = [part.state_dict()["blocks.0.dense.weight"] for part in (whole, wide, average)]
    assert torch.equal(weights[0], weights[2].half().float())
    assert torch.equal(weights[1], (1.5 * weights[2]).half().float())
    with pytest.raises(LatentEditError, match="give 0 to 2"):
        bundle_generator(generator_run, tmp_path / "none", psi=3)
    assert not (tmp_path / "none").exists()


def test_a_classifiers_card_says_what_its_calibration_is_worth(
    classifier_run: Path, tmp_path: Path
) -> None:
    bundle_classifier(classifier_run, tmp_path / "bundle")
    _, card = load_classifier(tmp_path / "bundle")
    fitted = json.loads((classifier_run / "calibration.json").read_text())
    assert card["calibration"] == {
        name: fitted[name]
        for name in ("faces", "accuracy", "ece", "ece_if_calibrated", "ece_before")
    }
