"""What judges beside the pixel discriminator: frozen features and patches, built from options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_runs import TINY, contents, refused, train
from torch import Tensor

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.data.face_file import FaceData
from latentedit.errors import LatentEditError
from latentedit.training.gan.adversarial import load_generator_run
from latentedit.training.gan.losses import Inputs, NonSaturatingR1, Projected, WassersteinGP
from latentedit.training.gan.objectives import build_distillation, build_objective
from latentedit.training.runs import Run
from latentedit.training.state import write_state

pytestmark = pytest.mark.usefixtures("one_thread")


def test_without_weight_there_is_no_sliced_distance_to_compute(
    tiny_classifier: AttributeClassifier,
) -> None:
    for weight, there in ((0.0, False), (1.0, True)):
        options = replace(TINY, objective="projected", sliced_weight=weight)
        assert ("sliced" in build_objective(options, tiny_classifier).networks) is there


def test_features_may_look_at_other_smaller_faces(
    data: FaceData,
    tmp_path: Path,
    tiny_classifier: AttributeClassifier,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[Tensor, Tensor | None]] = []
    inputs = Projected.inputs

    def watched(self: Projected, images: Tensor, seen: Tensor | None = None) -> Inputs:
        made.append((images.detach(), seen))
        return inputs(self, images, seen)

    monkeypatch.setattr(Projected, "inputs", watched)
    black = np.zeros((60, 8, 8, 3), np.uint8)
    black[-40:] = 255  # held out
    few = FaceData(black, np.zeros((60, 0), np.int8), ("",) * 60, (), "black squares")
    train(
        data,
        tmp_path / "run",
        replace(TINY, objective="projected", total_kimg=0.08),
        classifier=tiny_classifier,
        feature_data=few,
    )
    assert len(made) == 20
    for (real, seen), (fake, unseen) in zip(made[::2], made[1::2], strict=True):
        assert unseen is None
        assert real.shape == fake.shape
        assert real.amax() > -1
        assert seen is not None
        assert seen.shape == (8, 3, 8, 8)
        assert (seen == -1).all()
    source = Run(tmp_path / "run").read_options()["data"]
    assert source == (
        "drawn discs; the last 40 held out; for frozen features black squares; the last 40 held out"
    )


def test_patches_let_smaller_faces_teach_all_but_the_finest_detail(
    tmp_path: Path,
    data: FaceData,
    tiny_classifier: AttributeClassifier,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Inputs] = []
    inputs = Projected.inputs

    def watched(self: Projected, images: Tensor, seen: Tensor | None = None) -> Inputs:
        made.append(inputs(self, images, seen))
        return made[-1]

    monkeypatch.setattr(Projected, "inputs", watched)
    black = np.zeros((60, 8, 8, 3), np.uint8)
    few = FaceData(black, np.zeros((60, 0), np.int8), ("",) * 60, (), "black squares")
    options = replace(TINY, objective="projected", patch_weight=0.5)
    parts = {"classifier": tiny_classifier, "feature_data": few}
    train(data, tmp_path / "whole", options, **parts)
    reals = made[::2]
    assert all(each.images.shape[-1] == 8 for each in made)
    assert all((each.images == -1).all() for each in reals)
    assert [each.full_size is None for each in reals] == [True] * 5 + [False] * 15
    assert all(each.full_size.shape[-1] == 16 for each in reals[5:] if each.full_size is not None)
    assert contents(tmp_path / "whole")[1]["images"] == 160
    train(data, tmp_path / "cut", replace(options, total_kimg=0.08, decay_kimg=0), **parts)
    train(data, tmp_path / "cut", options, resume=True, **parts)
    assert contents(tmp_path / "cut")[1]["images"] == 160


def test_settings_reach_the_networks(tiny_classifier: AttributeClassifier) -> None:
    options = replace(TINY, discriminator_hidden=4)
    objective = build_objective(options, None)
    assert objective is not None
    assert objective.networks["pixel"].hidden == 4
    taught = replace(TINY, distil_imagenet=0.5, distil_faces=0.25)
    distillation = build_distillation(taught, tiny_classifier, torch.device("cpu"))
    assert distillation.faces == 0.25
    assert [view.name for view in distillation.views if view.close_up] == ["imagenet"]
    loss, figures = distillation(torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64))
    assert float(figures["distil_imagenet"]) > 0
    assert torch.isfinite(loss)


def test_features_learned_on_imagenet_have_heads_of_their_own(
    tmp_path: Path, data: FaceData, tiny_classifier: AttributeClassifier
) -> None:
    options = replace(
        TINY, objective="projected", imagenet_weight=0.5, total_kimg=0.032, save_kimg=0.016
    )
    train(data, tmp_path / "run", options, classifier=tiny_classifier)
    heads = {
        name: value
        for name, value in contents(tmp_path / "run")[0].items()
        if name.startswith("objective.imagenet.heads.")
    }
    train(
        data,
        tmp_path / "run",
        replace(options, total_kimg=0.048),
        resume=True,
        classifier=tiny_classifier,
    )
    later = contents(tmp_path / "run")[0]
    assert heads
    assert any(not torch.equal(later[name], value) for name, value in heads.items())
    assert not any("efficientnet" in name or ".stages." in name for name in later)


def test_the_pixel_discriminator_beside_projected_ones_has_an_objective_of_its_own(
    tiny_classifier: AttributeClassifier,
) -> None:
    options = replace(TINY, objective="projected")
    by_default = build_objective(options, tiny_classifier)
    wasserstein = build_objective(replace(options, pixel_objective="wgan-gp"), tiny_classifier)
    assert isinstance(by_default, Projected)
    assert isinstance(wasserstein, Projected)
    assert isinstance(by_default.pixel, NonSaturatingR1)
    assert isinstance(wasserstein.pixel, WassersteinGP)
    with pytest.raises(LatentEditError, match="pixel objective 'x'"):
        build_objective(replace(options, pixel_objective="x"), tiny_classifier)


def test_a_run_with_wgan_gp_beside_projected_heads_and_patches(
    tmp_path: Path, data: FaceData, tiny_classifier: AttributeClassifier
) -> None:
    options = replace(
        TINY,
        objective="projected",
        pixel_objective="wgan-gp",
        patch_weight=0.5,
        start=16,
        total_kimg=0.032,
    )
    few = FaceData(
        np.zeros((60, 8, 8, 3), np.uint8), np.zeros((60, 0), np.int8), ("",) * 60, (), ""
    )
    train(data, tmp_path / "run", options, classifier=tiny_classifier, feature_data=few)
    tensors, progress = contents(tmp_path / "run")
    assert progress["images"] == 32
    assert all(value.isfinite().all() for value in tensors.values() if value.is_floating_point())


@pytest.mark.parametrize("edge", [None, 16])
def test_patches_need_smaller_faces_for_the_rest(
    tmp_path: Path, data: FaceData, tiny_classifier: AttributeClassifier, edge: int | None
) -> None:
    options = replace(TINY, objective="projected", patch_weight=0.5)
    few = None
    if edge:
        images = np.zeros((60, edge, edge, 3), np.uint8)
        few = FaceData(images, np.zeros((60, 0), np.int8), ("",) * 60, (), "black squares")
    with pytest.raises(LatentEditError, match="give smaller ones"):
        train(data, tmp_path / "run", options, classifier=tiny_classifier, feature_data=few)


def test_features_need_an_objective_that_looks_at_them(data: FaceData, tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="leave out imagenet_weight"):
        train(data, tmp_path / "run", replace(TINY, imagenet_weight=0.3))
    assert "leave out --feature-data" in refused(data, tmp_path / "run", feature_data=data)
    assert not (tmp_path / "run").exists()


def test_runs_from_before_queues_shifted_go_on(
    data: FaceData, tmp_path: Path, tiny_classifier: AttributeClassifier
) -> None:
    options = replace(TINY, objective="projected", total_kimg=0.008)
    train(data, tmp_path / "run", options, classifier=tiny_classifier)
    tensors, progress = contents(tmp_path / "run")
    tensors["objective.sliced._step"] = torch.tensor([1, 1])
    write_state(tmp_path / "run" / "state.safetensors", tensors, progress)
    longer = replace(options, total_kimg=0.016)
    train(data, tmp_path / "run", longer, classifier=tiny_classifier, resume=True)
    assert load_generator_run(tmp_path / "run")[1]["images"] == 16
