"""Inversion finds latents that draw a photo again, and ends when it is told to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_generators import mobilestylegan, stylegan2

from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.errors import LatentEditError
from latentedit.generators.mobilestylegan import MobileStyleGAN
from latentedit.io.images import UInt8Array, to_uint8
from latentedit.photos.encoder import Encoder, EncoderConfig, Looks
from latentedit.photos.inversion import (
    InversionOptions,
    Progress,
    Refinement,
    all_layers,
    invert,
    prior,
)
from latentedit.photos.resemblance import Resemblance
from latentedit.photos.sketch import Sketch

TINY = EncoderConfig(32, (8, 12), (1, 1), 4, 16, style=16, layers=8, groups=(0, 3, 5), descriptor=0)


@pytest.fixture(scope="module")
def generator() -> MobileStyleGAN:
    return mobilestylegan().requires_grad_(False)


@pytest.fixture(scope="module")
def draw(generator: MobileStyleGAN) -> Sketch:
    return Sketch(generator, TINY.resolution)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(1)
    return Encoder(TINY).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def resemblance(generator: MobileStyleGAN) -> Resemblance:
    torch.manual_seed(2)
    classifier = AttributeClassifier(ClassifierConfig(16, 4, (4, 8), (1, 1)))
    return Resemblance(classifier, generator.frame)


@pytest.fixture(scope="module")
def photo(generator: MobileStyleGAN) -> UInt8Array:
    with torch.inference_mode():
        return to_uint8(generator(torch.from_numpy(generator.sample([7])), 32))[0]


def test_refining_comes_nearer(
    photo: UInt8Array, encoder: Encoder, draw: Sketch, resemblance: Resemblance
) -> None:
    seen: list[Progress] = []
    options = InversionOptions(steps=30, learning_rate=0.1)
    found = invert(photo, encoder, draw, resemblance, options, seen.append)
    assert found.latents.shape == (8, 16)
    assert found.latents.dtype == np.float32
    assert found.steps == 30 == len(seen)
    assert seen[-1].loss < 0.7 * seen[0].loss
    assert [each.share for each in seen] == sorted(each.share for each in seen)
    assert seen[-1].left == 0


def test_without_steps_the_encoder_alone_answers(
    photo: UInt8Array, encoder: Encoder, draw: Sketch, resemblance: Resemblance
) -> None:
    once = InversionOptions(passes=1, steps=0)
    found = invert(photo, encoder, draw, resemblance, once)
    with torch.inference_mode():
        pixels = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
        expected = encoder(Looks(pixels))[0].numpy()
    np.testing.assert_allclose(found.latents, expected, atol=1e-5)


def test_a_second_pass_sees_what_the_first_drew(
    photo: UInt8Array, encoder: Encoder, draw: Sketch, resemblance: Resemblance
) -> None:
    found = [
        invert(photo, encoder, draw, resemblance, InversionOptions(passes=n, steps=0)).latents
        for n in (1, 2)
    ]
    assert not np.allclose(found[0], found[1])


def test_an_interrupt_keeps_the_best_so_far(
    photo: UInt8Array, encoder: Encoder, draw: Sketch, resemblance: Resemblance
) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt

    found = invert(photo, encoder, draw, resemblance, InversionOptions(steps=50), stop)
    assert found.interrupted
    assert found.steps == 5
    assert np.isfinite(found.latents).all()


def test_a_slow_machine_does_enough_steps_all_the_same(
    photo: UInt8Array, encoder: Encoder, draw: Sketch, resemblance: Resemblance
) -> None:
    options = InversionOptions(seconds=1e-6, least=3)
    assert invert(photo, encoder, draw, resemblance, options).steps == 3


def test_seconds_end_it_too(
    photo: UInt8Array, encoder: Encoder, draw: Sketch, resemblance: Resemblance
) -> None:
    found = invert(photo, encoder, draw, resemblance, InversionOptions(seconds=0.3))
    assert 0 < found.steps < 1000


def test_the_encoder_of_another_model_is_refused(
    photo: UInt8Array, encoder: Encoder, resemblance: Resemblance
) -> None:
    with pytest.raises(LatentEditError, match="encoder"):
        invert(photo, encoder, Sketch(stylegan2(), 16), resemblance)


def test_layers_that_a_preview_does_not_see_follow_the_last_that_it_does(
    encoder: Encoder,
) -> None:
    w = all_layers(encoder, torch.randn(1, 5, 16))
    assert w.shape == (1, 8, 16)
    assert torch.equal(w[:, 5:], w[:, 4:5].expand(-1, 3, -1))


def test_the_prior_is_zero_for_a_sample_and_grows() -> None:
    options = InversionOptions()
    near = torch.full((1, 5, 16), 0.5)
    assert prior(near, options) == 0
    assert prior(4 * near, options) > 0
    spread = near.clone()
    spread[:, 0] += 1
    assert prior(spread, options) > 0


def test_halves_of_steps_lead_to_the_same_latents(
    photo: UInt8Array, encoder: Encoder, generator: MobileStyleGAN, resemblance: Resemblance
) -> None:
    draw = Sketch(generator, 32)
    parts, options = (photo, encoder, draw, resemblance), InversionOptions(steps=4)
    refining, other = (Refinement(*parts, options) for _ in range(2))
    at_once = invert(*parts, InversionOptions(steps=0)).latents
    np.testing.assert_array_equal(refining.first.latents, at_once)
    np.testing.assert_array_equal(refining.found.latents[:5], at_once[:5])
    while not refining.done:
        refining.look()
        with torch.inference_mode():  # what others do meanwhile
            generator(torch.from_numpy(generator.sample([3])), 32)
        refining.move()
        other.look()
        other.move()
    assert refining.progress.share == 1
    for each in (refining, other):
        each.finish()
        np.testing.assert_array_equal(each.found.latents, invert(*parts, options).latents)


@pytest.mark.parametrize(
    "options",
    [{"steps": -1}, {"steps": 2.5}, {"seconds": 0}, {"seconds": -1}, {"seconds": float("nan")}],
)
def test_steps_and_seconds_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(LatentEditError, match="refining"):
        InversionOptions(**options)


def test_the_last_step_counts(
    photo: UInt8Array, encoder: Encoder, generator: MobileStyleGAN, resemblance: Resemblance
) -> None:
    parts = (photo, encoder, Sketch(generator, 32), resemblance)
    refining = Refinement(*parts, InversionOptions(steps=1))
    refining.look()
    refining.move()
    before = refining.found
    np.testing.assert_array_equal(before.latents[:5], refining.first.latents[:5])
    refining.finish()
    assert refining.found.loss < before.loss
    assert (refining.found.latents != before.latents).any()
    assert np.isnan(Refinement(*parts, InversionOptions(steps=1)).found.loss)
