"""The contract, kept by every kind of generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_generators import KINDS, mobilestylegan, progressive, stylegan2

from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.base import (
    FFHQ_FRAME,
    SHARED_FRAME,
    FaceGenerator,
    Frame,
    LatentSpace,
    check_latents,
)
from latentedit.io.resampling import resize
from latentedit.pretrained.hashing import weights_hash

Make = Callable[[], FaceGenerator]

every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
layered = pytest.mark.parametrize("make", [stylegan2, mobilestylegan])


def draw(generator: FaceGenerator, z: np.ndarray, size: int | None = None) -> torch.Tensor:
    with torch.inference_mode():
        return generator(torch.from_numpy(z), size)


# ---- latents -> pictures


@every_kind
def test_seeds_become_latents_of_the_space_and_those_become_pictures(make: Make) -> None:
    generator = make()
    for space in generator.spaces:
        there = generator.in_space(space.name)
        assert (there.space, there.latent_dim) == (space, space.dim)
        z = there.sample(range(3))
        assert (z.dtype, z.shape) == (np.float32, (3, space.dim))
        np.testing.assert_array_equal(there.sample([2]), z[2:])
        images = draw(there, z)
        assert images.shape == (3, 3, generator.resolution, generator.resolution)
        assert not torch.equal(images[0], images[1])


@every_kind
def test_any_size_up_to_its_own(make: Make) -> None:
    generator = make()
    z = generator.sample([0])
    whole = draw(generator, z)
    previews = {size: draw(generator, z, size) for size in generator.previews}
    for size in (1, 7, 16, generator.resolution):
        source = next((p for s, p in previews.items() if s >= size), whole)
        torch.testing.assert_close(draw(generator, z, size), resize(source, size))
    for size in (0, generator.resolution + 1, 1.5, "8", True):
        with pytest.raises(LatentEditError, match=f"size {size} cannot"):
            generator.source_of(size)  # type: ignore[arg-type]


@every_kind
def test_pictures_can_be_learnt_from(make: Make) -> None:
    z = torch.from_numpy(make().sample([0])).requires_grad_()
    make().synthesize(z, 8).square().sum().backward()
    assert z.grad is not None
    assert z.grad.abs().max() > 0


@every_kind
def test_the_usual_space_is_one_of_its_spaces(make: Make) -> None:
    generator = make()
    assert generator.space in generator.spaces
    assert generator.in_space(generator.space.name).space == generator.space
    with pytest.raises(LatentEditError, match="no latent space 's'"):
        generator.in_space("s")


# ---- a latent a layer


@layered
def test_one_latent_for_all_layers_is_the_same_as_it_in_each(make: Make) -> None:
    generator = make()
    w = generator.sample([3])
    each = np.repeat(w[:, None], generator.space.layers, axis=1)
    torch.testing.assert_close(draw(generator, each), draw(generator, w), rtol=0, atol=1e-6)


@layered
def test_every_layer_takes_its_own_latent(make: Make) -> None:
    generator = make()
    w = np.repeat(generator.sample([3])[:, None], generator.space.layers, axis=1)
    other = generator.sample([4])[0]
    before = draw(generator, w)
    pictures = []
    for layer in range(generator.space.layers):
        changed = w.copy()
        changed[0, layer] = other
        pictures.append(draw(generator, changed))
        assert not torch.allclose(pictures[-1], before, atol=1e-5), layer
    assert len({picture.numpy().tobytes() for picture in pictures}) == len(pictures)


def test_as_many_layers_as_the_field_counts() -> None:
    from latentedit.generators.stylegan2 import StyleGAN2Config

    assert StyleGAN2Config().layers == 18  # 1024 pixels
    assert stylegan2().in_space("z").space.layers == 1


# ---- truncation


@layered
def test_truncation_draws_samples_towards_the_mean(make: Make) -> None:
    generator = make()
    assert generator.truncation == 0.7
    w, tame = generator.truncated(1).sample(range(9)), generator.truncated(0.5).sample(range(9))
    mean = generator.mean.numpy()  # type: ignore[union-attr, operator]
    np.testing.assert_allclose(tame - mean, (w - mean) / 2, atol=1e-6)
    assert generator.truncated(0.5).state_dict().keys() == generator.state_dict().keys()
    assert weights_hash(generator.truncated(0.5)) == weights_hash(generator)
    with pytest.raises(LatentEditError, match=r"psi 1\.5"):
        generator.truncated(1.5)
    with pytest.raises(LatentEditError, match="psi text"):
        generator.truncated("text")  # type: ignore[arg-type]


def test_what_cannot_be_truncated_says_so() -> None:
    class Plain(FaceGenerator):
        kind = "plain"
        resolution = 4
        spaces = (LatentSpace("z", 5),)

        def synthesize(self, latents: torch.Tensor, size: int | None = None) -> torch.Tensor:
            return latents[:, :3, None, None].expand(-1, -1, 4, 4)

    generator = Plain()
    assert generator.truncated(1.0) is generator
    for call in (
        lambda: generator.truncated(0.5),
        generator.first_weights,
        lambda: generator.early_features(torch.zeros(1, 5)),
    ):
        with pytest.raises(LatentEditError, match="kind plain cannot"):
            call()
    assert generator.sample([1]).shape == (1, 5)
    assert generator.frame == SHARED_FRAME
    assert generator.largest_layer == 32 * 4 * 4


# ---- what SeFa and GANSpace look at


@every_kind
def test_first_weights_and_early_features_are_of_the_space(make: Make) -> None:
    for space in make().spaces:
        generator = make().in_space(space.name)
        assert generator.first_weights().shape[1] == space.dim
        features = generator.early_features(torch.from_numpy(generator.sample([0, 1])))
        assert (features.ndim, len(features)) == (2, 2)


def test_the_largest_layer() -> None:
    assert progressive().largest_layer == 4 * 16 * 16
    assert stylegan2().largest_layer == 4 * 16 * 16
    assert mobilestylegan().largest_layer == 8 * 16 * 16


# ---- frames


@given(size=st.integers(4, 40), frame=st.sampled_from([SHARED_FRAME, FFHQ_FRAME]))
def test_a_frame_is_cut_at_its_own_scale(size: int, frame: Frame) -> None:
    images = torch.arange(size * size, dtype=torch.float32).view(1, 1, size, size)
    cut = frame.cut(images)
    height = round(frame.bottom * size) - round(frame.top * size)
    width = round(frame.right * size) - round(frame.left * size)
    assert cut.shape == (1, 1, height, width)
    assert set(cut.flatten().tolist()) <= set(images.flatten().tolist())


def test_outside_the_picture_its_edge_goes_on() -> None:
    images = torch.arange(16.0).view(1, 1, 4, 4)
    cut = Frame(-0.25, 0.25, 1.25, 0.75).cut(images)[0, 0]
    assert cut.tolist() == [[4, 4, 5, 6, 7, 7], [8, 8, 9, 10, 11, 11]]


# ---- checking latents

W = LatentSpace("w", 16, 8)


def test_latents_in_both_shapes() -> None:
    for shape in ((2, 16), (2, 8, 16)):
        checked = check_latents(W, np.full(shape, 0.5))
        assert (checked.shape, checked.dtype) == (shape, np.float32)
    assert check_latents(W, [0.5] * 16).shape == (1, 16)


@pytest.mark.parametrize(
    ("space", "values", "words"),
    [
        (W, np.full((1, 18, 16), 0.5), r"\[N, 16\] or \[N, 8, 16\], got \[1, 18, 16\]"),
        (W, np.full((1, 8, 15), 0.5), r"got \[1, 8, 15\]"),
        (LatentSpace("z", 16), np.full((1, 8, 16), 0.5), r"shape \[N, 16\], got"),
        (W, np.full((1, 8, 16), np.nan), "NaN"),
        (W, np.zeros((1, 8, 16)), "zeros"),
        (W, latents.sample([1, 2], 16), "latents of space z"),
        (W, np.repeat(latents.sample([1], 16)[:, None], 8, 1), "latents of space z"),
    ],
)
def test_latents_of_another_space(space: LatentSpace, values: np.ndarray, words: str) -> None:
    with pytest.raises(LatentEditError, match=words) as caught:
        check_latents(space, values)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 2**32 - 1), st.integers(2, 600))
def test_every_z_is_known_for_one(seed: int, dim: int) -> None:
    with pytest.raises(LatentEditError, match="space z"):
        check_latents(LatentSpace("w", dim), latents.sample([seed], dim))
    assert check_latents(LatentSpace("style", dim), latents.sample([seed], dim)).shape == (1, dim)
