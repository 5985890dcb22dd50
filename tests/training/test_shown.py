"""What shows of latents is found from pairs."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from photo_models import ENCODER
from PIL import Image

from latentedit.photos.encoder import Encoder, Looks
from latentedit.training.pairs import Pairs
from latentedit.training.shown import Shown, ShownWeights, grouped

SIZE = 32


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Grey pictures, whose lightness is the first coordinate of the latent."""
    random = np.random.RandomState(0)
    first = random.standard_normal((400, 16)).astype(np.float32)
    files = []
    for latent in first:
        grey = np.full((SIZE, SIZE, 3), np.clip(128 + 40 * latent[0], 0, 255), np.uint8)
        file = io.BytesIO()
        Image.fromarray(grey).save(file, "PNG")
        files.append(file.getvalue())
    return Pairs(first, first, np.full(400, 8), files, 8, SIZE, "hash")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(replace(ENCODER, descriptor=0))


def test_what_shows_counts(pairs: Pairs, encoder: Encoder) -> None:
    weights = ShownWeights(plain=0.0)
    shown = Shown.fit(encoder, pairs, 400, Looks, weights)
    nothing = torch.zeros(1, 3, 16)
    seen, unseen = nothing.clone(), nothing.clone()
    seen[..., 0] = 1
    unseen[..., 5] = 1
    assert shown(seen, nothing) == pytest.approx(1, rel=0.2)
    assert shown(unseen, nothing) < 0.05


def test_the_person_shows_too(pairs: Pairs, encoder: Encoder) -> None:
    def look(pictures: torch.Tensor) -> Looks:
        return Looks(pictures, pictures.mean((2, 3)))

    both = Shown.fit(encoder, pairs, 400, look)
    one = Shown.fit(encoder, pairs, 400, look, ShownWeights(identity=0.0))
    step = torch.zeros(1, 3, 16)
    step[..., 0] = 1
    zero = torch.zeros_like(step)
    assert both(step, zero) > 1.5 * one(step, zero)


def test_groups_are_means_of_their_layers(encoder: Encoder) -> None:
    latents = torch.randn(2, 8, 16)
    found = grouped(encoder, latents)
    torch.testing.assert_close(found[:, 0], latents[:, :3].mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[:, 2], latents[:, 5:].mean(1), atol=1e-5, rtol=1e-4)
