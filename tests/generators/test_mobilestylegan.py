"""MobileStyleGAN's parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_generators import mobilestylegan

from latentedit.errors import LatentEditError
from latentedit.generators.base import FFHQ_FRAME
from latentedit.generators.mobilestylegan import MobileStyleGANConfig
from latentedit.generators.previews import PreviewHeads, PreviewHeadsConfig
from latentedit.generators.wavelets import inverse_haar
from latentedit.pretrained.hashing import weights_hash


def test_the_published_shape() -> None:
    config = MobileStyleGANConfig()
    assert (config.resolution, config.layers, config.truncation) == (1024, 23, 0.7)


def test_an_inverse_haar_transform_undoes_a_haar_transform() -> None:
    torch.manual_seed(0)
    pictures = torch.randn(2, 3, 8, 8)
    a, b = pictures[..., ::2, ::2], pictures[..., ::2, 1::2]
    c, d = pictures[..., 1::2, ::2], pictures[..., 1::2, 1::2]
    mean, down = (a + b + c + d) / 2, (a + b - c - d) / 2
    across, both = (a - b + c - d) / 2, (a - b - c + d) / 2
    rest = torch.stack((down, across, both), 2).flatten(1, 2)
    torch.testing.assert_close(inverse_haar(torch.cat((mean, rest), 1)), pictures)


def test_preview_heads_change_no_whole_picture_and_no_hash() -> None:
    generator = mobilestylegan()
    other = generator.with_heads(PreviewHeads(PreviewHeadsConfig((16,), (8,), 16)))
    none = generator.with_heads(generator.new_heads(()))
    z = torch.from_numpy(generator.sample([0]))
    with torch.inference_mode():
        assert torch.equal(other(z), generator(z))
        assert not torch.equal(other(z, 16), generator(z, 16))
    assert weights_hash(generator) == weights_hash(other) == weights_hash(none)
    assert (generator.previews, none.previews) == ((16,), ())
    assert generator.frame == FFHQ_FRAME


def test_heads_of_another_generator_are_refused() -> None:
    with pytest.raises(LatentEditError, match="another generator"):
        mobilestylegan().with_heads(PreviewHeads(PreviewHeadsConfig((16,), (4,), 16)))
    with pytest.raises(LatentEditError, match="no preview of 64 pixels"):
        mobilestylegan().new_heads((64,))


def test_first_weights_are_those_of_all_blocks() -> None:
    generator = mobilestylegan()
    first = generator.first_weights()
    assert torch.equal(first[:8], generator.first.modulation.weight)
    assert len(first) == 8 + 2 * (8 + 2 + 8)
    assert torch.equal(generator.in_space("z").first_weights(), generator.mapping[0].weight)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"space": "x"}, "give w or z"),
        ({"truncation": -0.5}, "give 0 to 1"),
        ({"widths": (8,)}, "two or more"),
        ({"widths": (8, 6)}, "multiples of four"),
        ({"previews": (8,)}, "no preview of 8 pixels"),
    ],
)
def test_configurations_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(LatentEditError, match=words):
        MobileStyleGANConfig(**{"widths": (8, 8, 8), **options})
