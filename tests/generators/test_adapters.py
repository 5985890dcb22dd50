"""Other people's modules and objects behind the generator protocol."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from latentedit.errors import LatentEditError
from latentedit.generators.adapters import LatentGenerator, adapt


class Tiny(nn.Module):
    """z [N, 10] or [N, 10, 1, 1] -> [N, 3, 8, 8] in (0, 1), wrapped as `form` says."""

    def __init__(self, form: str = "tensor", channels: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(10, channels * 64)
        self.form = form

    def forward(self, z: torch.Tensor):
        images = torch.sigmoid(self.linear(z.flatten(1))).view(len(z), -1, 8, 8)
        return {"tensor": images, "tuple": (images, None), "dict": {"image": images}}[self.form]


@pytest.mark.parametrize("form", ["tensor", "tuple", "dict"])
def test_any_module(form):
    module = Tiny(form)
    generator = adapt(module, 10, value_range=(0, 1), latent_shape="map")
    assert isinstance(generator, LatentGenerator)
    assert (generator.latent_dim, generator.config.resolution) == (10, 8)
    z = torch.from_numpy(generator.sample(range(3)))
    plain = Tiny()
    plain.linear = module.linear
    assert torch.allclose(generator(z), plain(z) * 2 - 1, atol=1e-6)
    assert not generator.training


def test_an_adapted_module_is_edited_like_any_other():
    from latentedit.editing.editor import FaceEditor

    editor = FaceEditor(adapt(Tiny(), 10, value_range=(0, 1)), device="cpu")
    images = editor.render(editor.sample(range(5)))
    assert images.shape == (5, 8, 8, 3)
    assert editor.resolution == 8


class Plain:
    """The protocol and nothing else."""

    latent_dim = 5

    def __init__(self, brightness: float = 0.0) -> None:
        self.brightness = brightness

    def sample(self, seeds):
        return np.array([[seed] * 5 for seed in seeds], dtype=np.float64) / 10

    def __call__(self, latent):
        return latent[:, :3, None, None].expand(-1, -1, 4, 4) + self.brightness


class PlainModule(Tiny):
    """A module that has the protocol by itself."""

    latent_dim = 10
    space = "style"

    def sample(self, seeds):
        return np.stack([np.full(10, seed, np.float32) for seed in seeds])


def test_an_object_with_the_protocol_is_edited_like_any_other():
    from latentedit.editing.editor import FaceEditor

    editor = FaceEditor(Plain(), device="cpu")
    z = editor.sample([2, 5])
    np.testing.assert_allclose(z, np.array([[0.2] * 5, [0.5] * 5]), atol=1e-7)
    images = editor.render(z)
    assert images.shape == (2, 4, 4, 3)
    assert (images[0] < images[1]).all()
    assert editor.generator_hash == FaceEditor(Plain(), device="cpu").generator_hash
    assert editor.generator_hash != FaceEditor(Plain(0.1), device="cpu").generator_hash
    own = FaceEditor(PlainModule(), device="cpu")
    assert (own.space, own.resolution, own.latent_dim) == ("style", 8, 10)


class ShortSample(Plain):
    def sample(self, seeds):
        return np.zeros((len(list(seeds)), 4), np.float32)


class Broken(Plain):
    def __call__(self, latent):
        raise ValueError("no")


@pytest.mark.parametrize(
    ("generator", "words"),
    [
        (Tiny(), "a Tiny is no generator: it needs latent_dim.*adapt"),
        (ShortSample(), r"sample gave \[3, 4\] for 3 seeds, not \[3, 5\]"),
        (Broken(), "fails on its own latents: no"),
    ],
)
def test_objects_that_are_no_generators(generator, words):
    from latentedit.editing.editor import FaceEditor

    with pytest.raises(LatentEditError, match=words):
        FaceEditor(generator, device="cpu")


def test_normal_latents_are_the_same_alone_and_in_a_batch():
    generator = adapt(Tiny(), 10, normal=True)
    z = generator.sample(range(2000))
    assert (generator.sample([7]) == z[7:8]).all()
    assert abs(float(np.square(z).sum(1).std()) - np.sqrt(20)) < 0.5  # not on a sphere


@pytest.mark.parametrize(
    ("module", "length", "words"),
    [
        (Tiny(), 11, "cannot render a latent of length 11"),
        (Tiny(channels=1), 10, r"gave \[1, 1, 8, 8\]"),
        (nn.Linear(10, 3), 10, r"gave \[1, 3\]"),
    ],
)
def test_modules_that_are_no_generators(module, length, words):
    with pytest.raises(LatentEditError, match=words):
        adapt(module, length)


def test_empty_value_range():
    with pytest.raises(LatentEditError, match="is empty"):
        adapt(Tiny(), 10, value_range=(1, 1))


def test_a_value_range_without_ends():
    with pytest.raises(LatentEditError, match="value range"):
        adapt(nn.Identity(), 8, value_range=(-float("inf"), float("inf")))


def test_samples_on_the_sphere_are_no_latents_of_w():
    with pytest.raises(LatentEditError, match="space w"):
        adapt(nn.Identity(), 8, space="w")


def test_any_failure_of_a_foreign_module_is_told():
    class Strict(nn.Module):
        def forward(self, latents):
            assert latents.shape[1] == 4, "four numbers"

    with pytest.raises(LatentEditError, match="four numbers"):
        adapt(Strict(), 8)
