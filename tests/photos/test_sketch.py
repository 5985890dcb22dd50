"""Sketches are the generator's pictures, small, and gradients go back through them."""

from __future__ import annotations

import pytest
import torch
from tiny_generators import mobilestylegan, stylegan2

from latentedit.generators.base import FaceGenerator
from latentedit.photos.sketch import Sketch


@pytest.mark.parametrize("make", [mobilestylegan, stylegan2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_draws_what_the_generator_does(make: type[FaceGenerator], dtype: torch.dtype) -> None:
    generator = make()
    size = generator.resolution // 2
    draw = Sketch(generator, size, dtype)
    rows = torch.from_numpy(generator.sample([3, 4]))
    latents = rows[:, None].expand(-1, generator.space.layers, -1).clone().requires_grad_()
    drawn = draw(latents)
    assert drawn.dtype == torch.float32
    with torch.no_grad():
        expected = generator.synthesize(latents, size)
    torch.testing.assert_close(drawn.detach(), expected, atol=0.15, rtol=0.1)
    drawn.sum().backward()
    assert latents.grad is not None
    assert latents.grad[:, : draw.layers].abs().sum() > 0
    assert all(weight.grad is None for weight in generator.parameters())
    assert next(generator.parameters()).dtype == torch.float32
