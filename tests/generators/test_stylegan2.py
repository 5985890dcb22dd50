"""StyleGAN2's generator in its spaces."""

from __future__ import annotations

import pytest
import torch

from latentedit.errors import LatentEditError
from latentedit.generators.adapters import LatentGenerator
from latentedit.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator


def test_stylegan2_follows_the_protocol():
    config = StyleGAN2Config(widths=(4, 4), mapping=(6, 8), space="w", truncation=0.5)
    generator = StyleGAN2Generator(config)
    assert isinstance(generator, LatentGenerator)
    assert generator.sample([1, 2]).shape == (2, 8)
    with torch.inference_mode():
        assert generator(torch.from_numpy(generator.sample([1]))).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"space": "x"}, "give z or w"),
        ({"truncation": 1.5}, "give 0 to 1"),
        ({"widths": ()}, "at least one"),
    ],
)
def test_stylegan2_configurations_that_make_no_sense(options, words):
    with pytest.raises(LatentEditError, match=words):
        StyleGAN2Config(**options)
