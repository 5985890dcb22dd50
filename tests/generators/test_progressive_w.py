"""The progressive generator behind a mapping network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_generators import progressive_w

from latentedit.errors import LatentEditError
from latentedit.generators.progressive_w import ProgressiveW, ProgressiveWConfig
from latentedit.pretrained.bundles import load_generator, save_generator


def test_the_painter_sees_whitened_latents_as_they_are() -> None:
    generator = progressive_w()
    w = torch.from_numpy(generator.sample(range(3)))
    with torch.inference_mode():
        u = (w - generator.mean) @ generator.whitening
        assert torch.equal(generator(w), generator.painter(u))
        assert not torch.allclose(generator.painter(2 * u), generator.painter(u), atol=0.01)
        z = torch.from_numpy(generator.in_space("z").sample(range(3)))
        torch.testing.assert_close(generator.in_space("z")(z), generator(w), rtol=0, atol=1e-4)
    assert (generator.scales_latents, generator.in_space("z").scales_latents) == (False, True)


def test_it_grows_as_its_painter() -> None:
    generator = progressive_w()
    w = torch.from_numpy(generator.sample(range(2)))
    with torch.inference_mode():
        small = generator(w, resolution=8, alpha=0.5)
        assert small.shape == (2, 3, 8, 8)
        painted = generator.painter(generator.whitened(w), resolution=8, alpha=0.5)
    assert torch.equal(small, painted)


def test_first_weights_are_those_that_w_meets() -> None:
    generator = progressive_w()
    w = torch.from_numpy(generator.sample(range(2)))
    first = generator.painter.blocks[0].dense
    with torch.inference_mode():
        met = first.scale * (w - generator.mean) @ generator.first_weights().T
        torch.testing.assert_close(met, first(generator.whitened(w)))
    assert torch.equal(generator.in_space("z").first_weights(), generator.mapping[0].weight)


def test_a_bundle_keeps_it(tmp_path: Path) -> None:
    generator = progressive_w().half().float()
    save_generator(tmp_path, generator, {})
    again, card = load_generator(tmp_path)
    assert isinstance(again, ProgressiveW)
    assert card["network"] == "progressive-w"
    w = generator.sample([4])
    np.testing.assert_array_equal(again.sample([4]), w)
    with torch.inference_mode():
        assert torch.equal(again(torch.from_numpy(w)), generator(torch.from_numpy(w)))


def test_the_published_size() -> None:
    with torch.device("meta"):
        generator = ProgressiveW()
    count = sum(values.numel() for values in generator.state_dict().values())
    assert generator.config.resolution == 128
    assert 2 * count < 20e6  # bytes in half precision


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"space": "x"}, "give w or z"),
        ({"truncation": 1.5}, "give 0 to 1"),
        ({"mapping": (8,)}, "two sizes or more"),
        ({"resolution": 100}, "power of two"),
        ({"fmap_base": 16}, "no channels"),
    ],
)
def test_shapes_that_cannot_be_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(LatentEditError, match=words):
        ProgressiveWConfig(**options)  # type: ignore[arg-type]
