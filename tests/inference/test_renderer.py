"""Rendering: sizes, previews, latents a layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny_generators import KINDS, mobilestylegan, progressive

from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.inference import renderer as renderer_module
from latentedit.inference.renderer import Renderer
from latentedit.io.images import to_uint8
from latentedit.pretrained.hashing import weights_hash

pytestmark = pytest.mark.fast_form

every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


@every_kind
def test_pictures_of_every_size(make: Callable[[], FaceGenerator]) -> None:
    renderer = Renderer(make(), device="cpu", batch_size=2)
    z = renderer.sample(range(3))
    assert renderer.hash == weights_hash(make())
    for size in (5, 16, renderer.resolution, None):
        images = renderer.render(z, size)
        edge = size or renderer.resolution
        assert (images.shape, images.dtype) == ((3, edge, edge, 3), np.uint8)
        with torch.inference_mode():
            wanted = to_uint8(make()(torch.from_numpy(z), size))
        assert np.abs(images.astype(int) - wanted).max() <= 1
    for size in (0, -4, renderer.resolution + 1):
        with pytest.raises(LatentEditError, match=f"size {size} cannot be drawn"):
            renderer.render(z, size)


def test_previews_leave_the_rest_of_the_network_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentedit.inference.renderer.prepare", lambda network, _: network)
    generator = mobilestylegan()
    renderer = Renderer(generator, device="cpu")
    z = renderer.sample([0])
    before = renderer.render(z, 16)
    monkeypatch.setattr(generator.to_image, "forward", None)
    np.testing.assert_array_equal(renderer.render(z, 16), before)
    assert renderer.render(z, 9).shape == (1, 9, 9, 3)
    with pytest.raises(TypeError):
        renderer.render(z)


def test_quick_pictures_are_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = Renderer(mobilestylegan(), device="cpu")
    latents = renderer.sample(range(2))
    exact = renderer.render(latents)
    monkeypatch.setattr(renderer_module, "computes_bfloat16", lambda device: False)
    assert Renderer(mobilestylegan(), device="cpu").quick.precision == torch.float32
    monkeypatch.setattr(renderer_module, "computes_bfloat16", lambda device: True)
    assert (renderer.quick.precision, renderer.precision) == (torch.bfloat16, torch.float32)
    assert renderer.quick.generator is renderer.generator
    assert renderer.quick.quick is renderer.quick
    difference = np.abs(renderer.quick.render(latents).astype(int) - exact)
    assert 0 < difference.mean() < 2
    np.testing.assert_array_equal(renderer.render(latents), exact)


def test_a_latent_a_layer() -> None:
    renderer = Renderer(mobilestylegan(), device="cpu")
    w = renderer.sample([0, 1])
    each = np.repeat(w[:, None], renderer.space.layers, axis=1)
    difference = renderer.render(each).astype(int) - renderer.render(w)
    assert np.abs(difference).max() <= 1
    each[:, 4:] = each[::-1, 4:]
    mixed = renderer.render(each)
    assert not np.array_equal(mixed[0], renderer.render(w)[0])
    np.testing.assert_array_equal(renderer.render(each[1:])[0], mixed[1])


def test_latents_of_another_generator() -> None:
    renderer = Renderer(mobilestylegan(), device="cpu")
    with pytest.raises(LatentEditError, match=r"\[N, 16\] or \[N, 8, 16\], got \[1, 18, 16\]"):
        renderer.render(np.full((1, 18, 16), 0.1, np.float32))
    with pytest.raises(LatentEditError, match="latents of space z"):
        renderer.render(Renderer(progressive(), device="cpu").sample([0]))


def test_another_precision_shares_the_generator_and_draws_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "latentedit.inference.renderer.pick_precision", lambda name, _: getattr(torch, name)
    )
    rough = Renderer(mobilestylegan(), device="cpu", precision="bfloat16")
    z = rough.sample([0, 1])
    rough.render(z)
    exact = rough.with_precision("float32")
    assert (rough.precision, exact.precision) == (torch.bfloat16, torch.float32)
    assert exact.generator is rough.generator
    wanted = Renderer(mobilestylegan(), device="cpu").render(z)
    np.testing.assert_array_equal(exact.render(z), wanted)


def test_quick_pictures_are_drawn_in_the_new_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer_module, "computes_bfloat16", lambda device: True)
    renderer = Renderer(mobilestylegan(), device="cpu", batch_size=64)
    assert renderer.quick.batch_size == 64
    assert renderer.with_batch_size(4).quick.batch_size == 4
