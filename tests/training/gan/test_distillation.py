"""The distance of a student's pictures from its teacher's: nothing where they are the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from generator_runs import TINY
from torch import Tensor

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.training.gan.distillation import (
    SCALES,
    Distillation,
    FeatureDistance,
    pixel_distance,
)
from latentedit.training.gan.objectives import build_distillation

CPU = torch.device("cpu")


@pytest.fixture
def loss(tiny_classifier: AttributeClassifier) -> Distillation:
    return build_distillation(replace(TINY, distil_features=0.5), tiny_classifier, CPU)


def pictures(edge: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return torch.rand(3, 3, edge, edge) * 2 - 1


@pytest.mark.parametrize("edge", [4, 8, 32, 64])
def test_the_same_pictures_are_no_distance_apart(loss: Distillation, edge: int) -> None:
    total, figures = loss(pictures(edge), pictures(edge))
    assert float(total) == pytest.approx(0, abs=1e-6)
    other, more = loss(pictures(edge), pictures(edge, 1))
    assert float(other) > 0.1
    assert figures.keys() == more.keys()
    assert ("distil_features" in more) == (edge >= 32)


def test_pixels_are_compared_at_every_scale_that_is_left() -> None:
    a, b = pictures(32), pictures(32, 1)
    assert len(pixel_distance(a, b)) == len(SCALES)
    assert len(pixel_distance(a[..., :8, :8], b[..., :8, :8])) == 2
    lighter = pixel_distance(a, a + 0.25)
    torch.testing.assert_close(lighter, torch.full_like(lighter, 0.25))
    fine = torch.ones(1, 1, 32, 32)
    fine[..., ::2] = -1  # stripes that are gone at half the size
    torch.testing.assert_close(
        pixel_distance(fine, torch.zeros_like(fine)), torch.tensor([1.0, 0, 0, 0])
    )


def test_the_gradient_leads_to_what_is_wanted(loss: Distillation) -> None:
    fake, wanted = pictures(32).requires_grad_(), pictures(32, 1)
    before, _ = loss(fake, wanted)
    before.backward()
    with torch.no_grad():
        after, _ = loss(fake - 20 * fake.grad, wanted)
    assert after < before
    assert all(weight.grad is None for weight in loss.parameters())


def test_features_of_large_pictures_are_those_of_smaller_ones(
    tiny_classifier: AttributeClassifier,
) -> None:
    edge = tiny_classifier.config.resolution
    view = FeatureDistance("features", tiny_classifier.eval(), 1, (0, 1, 9), edge)
    a, b = pictures(2 * edge), pictures(2 * edge, 1)
    small = [each.unflatten(2, (edge, 2)).unflatten(4, (edge, 2)).mean((3, 5)) for each in (a, b)]
    torch.testing.assert_close(view(a, b), view(*small))


def test_faces_alone_can_count_more(tiny_classifier: AttributeClassifier) -> None:
    options = replace(TINY, distil_features=0, distil_faces=2)
    loss = build_distillation(options, tiny_classifier, CPU)
    plain = build_distillation(replace(options, distil_faces=0), tiny_classifier, CPU)
    wanted = pictures(64)
    elsewhere, on_the_face = wanted.clone(), wanted.clone()
    elsewhere[..., :8, :8] += 1
    on_the_face[..., 36:44, 28:36] += 1
    assert float(loss(elsewhere, wanted)[0]) == pytest.approx(float(plain(elsewhere, wanted)[0]))
    assert float(loss(on_the_face, wanted)[0]) > 2 * float(plain(on_the_face, wanted)[0])
    assert float(loss(on_the_face, wanted)[1]["distil_faces"]) > 0


@torch.no_grad()
@pytest.mark.parametrize("edge", [32, 64])
def test_a_close_up_shows_the_face_alone(tiny_classifier: AttributeClassifier, edge: int) -> None:
    view = FeatureDistance("imagenet", tiny_classifier.eval(), 1, (0, 1), edge, close_up=True)
    wanted = pictures(edge)
    elsewhere, on_the_face = wanted.clone(), wanted.clone()
    elsewhere[..., : edge // 4, :] += 1
    on_the_face[..., edge // 2 :, edge // 2 : edge * 3 // 4] += 1
    assert float(view(elsewhere, wanted)) == 0
    assert float(view(on_the_face, wanted)) > 0.01


def test_pictures_in_half_precision_are_compared(loss: Distillation) -> None:
    wanted = pictures(64, 1)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = loss(pictures(64).bfloat16(), wanted)
    exact, _ = loss(pictures(64), wanted)
    assert float(total) == pytest.approx(float(exact), rel=0.05)


def test_weights_of_nothing_leave_pixels(tiny_classifier: AttributeClassifier) -> None:
    for options, classifier in (
        (replace(TINY, distil_features=0), tiny_classifier),
        (replace(TINY, distil_features=1), None),
    ):
        assert not build_distillation(options, classifier, CPU).views
