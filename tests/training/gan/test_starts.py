"""Where a run starts: from other runs or bundles, or where it was stopped; what is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_runs import TINY, contents, refused, train
from tiny_generators import progressive_w

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.data.face_file import FaceData
from latentedit.data.utkface import QUESTIONS
from latentedit.pretrained.bundles import load_generator, save_generator, save_part
from latentedit.pretrained.hashing import weights_hash
from latentedit.training.bundles import bundle_generator
from latentedit.training.runs import Run
from latentedit.training.state import write_state

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_run_starts_from_a_smaller_one_whole(data: FaceData, tmp_path: Path) -> None:
    small = replace(TINY, resolution=8, total_kimg=0.04)
    train(data, tmp_path / "small", small)
    rested = replace(TINY, start=16, total_kimg=0.008, frozen_kimg=1)
    train(data, tmp_path / "large", rested, init=[tmp_path / "small"])
    (before, _), (after, _) = (contents(tmp_path / name) for name in ("small", "large"))
    for name in ("generator.", "average_50."):
        taken = [key for key in before if key.startswith(name)]
        assert taken
        assert all(torch.equal(before[key], after[key]) for key in taken)
    key = "objective.pixel.blocks.0.dense1.weight"
    assert not torch.equal(before[key], after[key])  # it learns while the generator is frozen
    torch.testing.assert_close(before[key], after[key], rtol=0, atol=0.01)
    assert after["generator.blocks.2.conv0.weight"].shape[0] == 8


def test_a_run_remembers_where_it_started_from(data: FaceData, tmp_path: Path) -> None:
    first = replace(TINY, resolution=8, total_kimg=0.04)
    train(data, tmp_path / "first", first, command="the first command")
    Run(tmp_path / "first").write_log({"images": 3600, "images_per_second": 1.0})
    second = replace(TINY, start=16, total_kimg=0.04)
    train(data, tmp_path / "second", second, init=[tmp_path / "first"], command="the second")
    train(data, tmp_path / "second", replace(second, total_kimg=0.08), resume=True)
    before = Run(tmp_path / "second").read_options()["before"]
    assert before["commands"] == ["the first command"]
    assert before["data"] == "drawn discs; the last 40 held out"
    assert (before["images_seen"], before["hours"]) == (40, 1.0)
    assert before["options"]["resolution"] == 8
    Run(tmp_path / "second").write_log({"images": 3600, "images_per_second": 2.0})
    bundle_generator(tmp_path / "second", tmp_path / "bundle")
    _, card = load_generator(tmp_path / "bundle")
    assert (card["images_seen"], card["hours"], card["before"]) == (120, 1.5, before)

    train(data, tmp_path / "third", second, init=[tmp_path / "bundle"])
    third = Run(tmp_path / "third").read_options()["before"]
    assert (third["images_seen"], third["hours"], third["before"]) == (120, 1.5, before)


def test_a_run_starts_from_a_bundles_generator(data: FaceData, tmp_path: Path) -> None:
    small = replace(TINY, resolution=8, total_kimg=0.04)
    network = train(data, tmp_path / "small", small)
    save_part(tmp_path / "bundle", "generator", network, network.config, {})
    rested = replace(TINY, start=16, total_kimg=0.008, frozen_kimg=1)
    train(data, tmp_path / "large", rested, init=[tmp_path / "bundle"])
    after, _ = contents(tmp_path / "large")
    for key, value in network.state_dict().items():
        assert torch.equal(after[f"generator.{key}"], value)
        assert torch.equal(after[f"average_50.{key}"], value)


def test_discriminators_of_a_run_and_the_generator_of_a_bundle(
    data: FaceData, tmp_path: Path
) -> None:
    first = replace(TINY, start=16, total_kimg=0.04)
    train(data, tmp_path / "run", first)
    network = train(data, tmp_path / "other", replace(first, seed=1))
    save_part(tmp_path / "bundle", "generator", network, network.config, {"images_seen": 7000})
    still = replace(first, total_kimg=0.008, frozen_kimg=1, discriminator_learning_rate=0)
    train(data, tmp_path / "both", still, init=[tmp_path / "run", tmp_path / "bundle"])
    (before, _), (after, progress) = (contents(tmp_path / name) for name in ("run", "both"))
    for key, value in network.state_dict().items():
        assert torch.equal(after[f"generator.{key}"], value)
    judges = [key for key in before if key.startswith("objective.pixel.")]
    assert judges
    assert all(torch.equal(before[key], after[key]) for key in judges)
    assert progress["images_before"] == 7000


def test_a_discriminator_that_saw_other_detail_learns_anew(data: FaceData, tmp_path: Path) -> None:
    options = replace(
        TINY, start=16, total_kimg=0.04, discriminator_hidden=4, discriminator_learning_rate=0.0
    )
    train(data, tmp_path / "first", options)
    key = "objective.pixel.blocks.0.conv.weight"
    first, _ = contents(tmp_path / "first")
    for hidden in (0, 4, 8):
        other = replace(options, seed=1, discriminator_hidden=hidden)
        train(data, tmp_path / f"{hidden}", other, init=[tmp_path / "first"])
        then, _ = contents(tmp_path / f"{hidden}")
        assert torch.equal(first[key], then[key]) == (hidden == 4)


def test_heads_that_looked_through_another_classifier_learn_anew(
    data: FaceData, tmp_path: Path, tiny_classifier: AttributeClassifier
) -> None:
    options = replace(TINY, objective="projected", total_kimg=0.04, projected_learning_rate=0.0)
    train(data, tmp_path / "first", options, classifier=tiny_classifier)
    first, _ = contents(tmp_path / "first")
    key = "objective.projected.mix_channels.0.weight"
    for name, change in (("same", 0.0), ("other", 1.0)):
        with torch.no_grad():
            tiny_classifier.head.bias.add_(change)
        other = replace(options, seed=1)
        train(data, tmp_path / name, other, classifier=tiny_classifier, init=[tmp_path / "first"])
    same, _ = contents(tmp_path / "same")
    changed, _ = contents(tmp_path / "other")
    assert torch.equal(first[key], same[key])
    assert not torch.equal(first[key], changed[key])


def test_another_networks_features_of_people(
    data: FaceData, tmp_path: Path, tiny_classifier: AttributeClassifier
) -> None:
    people = AttributeClassifier(replace(tiny_classifier.config, attributes=QUESTIONS)).eval()
    options = replace(
        TINY, objective="projected", total_kimg=0.032, save_kimg=0.016, people_weight=0.5
    )
    parts = {"classifier": tiny_classifier, "people": people}
    train(data, tmp_path / "run", options, **parts)
    tensors, progress = contents(tmp_path / "run")
    assert any(key.startswith("objective.people.heads.") for key in tensors)
    assert any(key.startswith("objective.sliced_people.") for key in tensors)
    assert progress["people"] == weights_hash(people)
    assert (
        Run(tmp_path / "run")
        .read_options()["data"]
        .endswith("; seen through features learned on UTKFace")
    )
    longer = replace(options, total_kimg=0.048)
    train(data, tmp_path / "run", longer, resume=True, **parts)
    parts["people"] = copy.deepcopy(people)
    with torch.no_grad():
        parts["people"].head.bias.add_(1)
    said = refused(data, tmp_path / "run", longer, resume=True, **parts)
    assert "another people" in said
    said = refused(data, tmp_path / "run", longer, resume=True, classifier=tiny_classifier)
    assert "another people" in said
    without = replace(options, total_kimg=0.008)
    train(data, tmp_path / "without", without, classifier=tiny_classifier)
    said = refused(data, tmp_path / "without", options, resume=True, **parts)
    assert "leave out --people" in said
    still = replace(options, total_kimg=0.008, projected_learning_rate=0.0, seed=1)
    key = "objective.people.mix_channels.0.weight"
    train(data, tmp_path / "other", still, init=[tmp_path / "run"], **parts)
    other = contents(tmp_path / "other")[0]
    assert not torch.equal(other[key], tensors[key])
    # eight rows of one step; the queue of the other network's features is not taken over
    assert int(other["objective.sliced_people.real_0"].any(1).sum()) == 8
    parts["people"] = people
    train(data, tmp_path / "same", still, init=[tmp_path / "run"], **parts)
    assert torch.equal(contents(tmp_path / "same")[0][key], tensors[key])
    assert int(contents(tmp_path / "same")[0]["objective.sliced_people.real_0"].any(1).sum()) > 8
    said = refused(data, tmp_path / "r1", TINY, people=people)
    assert "leave out --people" in said
    attributes = {"classifier": tiny_classifier, "people": tiny_classifier}
    said = refused(data, tmp_path / "run", longer, resume=True, **attributes)
    assert "--people is for" in said


def test_a_start_that_does_not_fit_is_refused(data: FaceData, tmp_path: Path) -> None:
    train(data, tmp_path / "run", replace(TINY, total_kimg=0.008))
    narrower = replace(TINY, fmap_max=4)
    assert "do not fit" in refused(data, tmp_path / "b", narrower, init=[tmp_path / "run"])
    smaller = replace(TINY, resolution=8)
    said = refused(data, tmp_path / "b", smaller, init=[tmp_path / "run"])
    assert "has a larger resolution" in said
    save_generator(tmp_path / "mapped", progressive_w(), {})
    assert "another kind" in refused(data, tmp_path / "b", init=[tmp_path / "mapped"])
    assert "is not a training state" in refused(data, tmp_path / "b", init=[tmp_path])
    write_state(tmp_path / "state.safetensors", {"a": torch.zeros(1)}, {"epoch": 1})
    assert "is not a generator's run" in refused(data, tmp_path / "b", init=[tmp_path])


def test_averages_that_a_run_did_not_keep_begin_as_its_first(
    data: FaceData, tmp_path: Path
) -> None:
    train(data, tmp_path / "run", replace(TINY, total_kimg=0.04, ema_kimg=(0.001, 1.0)))
    still = replace(TINY, total_kimg=0.008, ema_kimg=(1.0, 3.0), frozen_kimg=1)
    train(data, tmp_path / "next", still, init=[tmp_path / "run"])
    before, _ = contents(tmp_path / "run")
    after, _ = contents(tmp_path / "next")
    key = "blocks.0.conv.weight"
    assert torch.equal(after[f"average_1000.{key}"], before[f"average_1000.{key}"])
    assert torch.equal(after[f"average_3000.{key}"], before[f"average_1.{key}"])
    assert not torch.equal(before[f"average_1.{key}"], before[f"average_1000.{key}"])


def test_a_resume_that_does_not_fit_changes_nothing(
    data: FaceData, tmp_path: Path, tiny_classifier: AttributeClassifier
) -> None:
    short = replace(TINY, objective="projected", total_kimg=0.04)
    run = tmp_path / "run"
    train(data, run, short, classifier=tiny_classifier)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    wider = replace(short, fmap_max=9)
    assert "made with other options" in refused(
        data, run, wider, classifier=tiny_classifier, resume=True
    )
    for changed in ({"smooths": True}, {"discriminator_hidden": 4}):
        otherwise = replace(short, **changed)
        said = refused(data, run, otherwise, classifier=tiny_classifier, resume=True)
        assert f"{next(iter(changed))} cannot change" in said
    fewer = replace(short, objective="r1")
    assert "of more networks" in refused(data, run, fewer, classifier=tiny_classifier, resume=True)
    with torch.no_grad():
        tiny_classifier.head.bias.add_(1)
    assert "another classifier" in refused(
        data, run, short, classifier=tiny_classifier, resume=True
    )
    after = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert after == before


def test_options_that_cannot_work_are_refused_before_a_folder_is_made(
    data: FaceData, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    odd = replace(data, images=np.zeros((240, 24, 24, 3), np.uint8))
    assert "16x16, too small for 32" in refused(data, run, replace(TINY, resolution=32))
    assert "cannot be halved down to 16" in refused(odd, run)
    assert "cannot hold out 240" in refused(data, run, validation=240)
    assert "cannot grow from 32 to 16" in refused(data, run, replace(TINY, start=32))
    for changes in ({"adversarial_weight": 0}, {"alone_kimg": 1}):
        assert "nothing to learn from" in refused(data, run, replace(TINY, **changes))
    assert "give a --teacher" in refused(data, run, replace(TINY, balanced=True))
    for hidden in (-4, 3, 8):
        said = refused(data, run, replace(TINY, discriminator_hidden=hidden))
        assert f"cannot be {hidden}: give 0, or a power of two below start" in said
    assert "projected, r1, wgan-gp" in refused(data, run, replace(TINY, objective="hinge"))
    assert "give --classifier" in refused(data, run, replace(TINY, objective="projected"))
    assert "total_kimg must" in refused(data, run, replace(TINY, total_kimg=float("inf")))
    assert "learning_rate must" in refused(data, run, replace(TINY, learning_rate=float("nan")))
    for halves in ((), (0.0,), (-1.0,), (float("nan"),), (0.05, 0.05), (0.0001, 0.0002)):
        assert "ema_kimg must be thousands" in refused(data, run, replace(TINY, ema_kimg=halves))
    assert "batch_size cannot be 0" in refused(data, run, replace(TINY, batch_size=0))
    assert "seed cannot be" in refused(data, run, replace(TINY, seed=2**32))
    assert "learning_rate cannot be" in refused(data, run, replace(TINY, learning_rate=-1.0))
    assert "nothing to resume" in refused(data, run, resume=True)
    assert not run.exists()
