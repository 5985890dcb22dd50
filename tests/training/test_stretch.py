"""Stretching latents along what a classifier of people follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from latentedit import latents
from latentedit.age import tight_view
from latentedit.classifier import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.generator import Generator
from latentedit.training.stretch import race_directions
from latentedit.training.utkface import QUESTIONS


@pytest.fixture
def people(tiny_classifier: AttributeClassifier) -> AttributeClassifier:
    torch.manual_seed(3)
    return AttributeClassifier(replace(tiny_classifier.config, attributes=QUESTIONS)).eval()


def test_people_differ_more_along_the_directions(
    tiny_generator: Generator, people: AttributeClassifier
) -> None:
    def spread(generator: Generator) -> torch.Tensor:
        z = torch.from_numpy(latents.sample(range(500), 64))
        with torch.inference_mode():
            return people(tight_view(generator(z))).std(0)[1:]

    directions = race_directions(tiny_generator, people, faces=600, device="cpu")
    assert directions.shape == (64, 4)
    np.testing.assert_allclose(directions.T @ directions, np.eye(4), atol=1e-12)
    others = np.linalg.qr(np.random.RandomState(0).standard_normal((64, 4)))[0]
    along, elsewhere = (
        spread(tiny_generator.stretched(axes, 2)) / spread(tiny_generator)
        for axes in (directions, others)
    )
    assert along.min() > 1.05
    assert along.mean() > elsewhere.mean() + 0.05


def test_they_do_not_change_from_call_to_call(
    tiny_generator: Generator, people: AttributeClassifier
) -> None:
    found = [race_directions(tiny_generator, people, faces=130, device="cpu") for _ in range(2)]
    np.testing.assert_array_equal(*found)


def test_a_classifier_of_something_else_is_refused(
    tiny_generator: Generator, tiny_classifier: AttributeClassifier
) -> None:
    with pytest.raises(LatentEditError, match="UTKFace's genders and races"):
        race_directions(tiny_generator, tiny_classifier)
