"""Prepared networks compute what the networks they were made from do."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from latentedit.classifiers.age import AgeConfig, AgeEstimator
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.classifiers.backbone import Backbone
from latentedit.generators import latents
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.inference import prepare as inference
from latentedit.inference.packed import can_pack
from latentedit.inference.prepare import prepare, prepare_backbone, prepare_generator
from latentedit.io.images import to_uint8

CPU = torch.device("cpu")
HAS_BFLOAT16 = can_pack(CPU, torch.bfloat16)

forms = pytest.mark.parametrize(
    "packed",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.skipif(
                not can_pack(CPU, torch.float32), reason="this torch has no oneDNN"
            ),
        ),
    ],
)


def random_generator(**options: int | bool) -> Generator:
    """Random biases too: a network fresh from its constructor has none."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(**{"latent_dim": 64, **options})).eval()  # type: ignore[arg-type]
    for name, parameter in generator.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.2)
    return generator


def z(count: int, dim: int = 64) -> torch.Tensor:
    return torch.from_numpy(latents.sample(range(count), dim))


def difference(a: torch.Tensor, b: torch.Tensor) -> int:
    """Largest difference of two pictures' colour values, 0 to 255."""
    return int(np.abs(to_uint8(a).astype(int) - to_uint8(b).astype(int)).max())


@forms
@pytest.mark.parametrize("bias_per_pixel", [False, True])
@pytest.mark.parametrize("resolution", [4, 8, 64])
@torch.inference_mode()
def test_the_same_pictures(resolution: int, bias_per_pixel: bool, packed: bool) -> None:
    generator = random_generator(
        resolution=resolution, fmap_base=512, fmap_max=48, bias_per_pixel=bias_per_pixel
    )
    prepared = prepare_generator(generator, packed=packed)
    expected = generator(z(3))
    images = prepared(z(3))
    assert (images.dtype, images.shape) == (torch.float32, expected.shape)
    # sums are rounded as the CPU adds them up; one step of a colour is 8e-3
    torch.testing.assert_close(images, expected, rtol=0, atol=5e-5)
    assert difference(images, expected) <= 1
    torch.testing.assert_close(prepared(z(3) * 7), images, rtol=0, atol=5e-5)


@pytest.mark.skipif(not can_pack(CPU, torch.float32), reason="this torch has no oneDNN")
@pytest.mark.parametrize(("whole", "strip"), [(0, 1), (8, 1), (8, 3), (16, 10), (32, 64), (64, 1)])
@torch.inference_mode()
def test_strips_of_any_height_make_the_whole_picture(
    whole: int, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strips begin after the resolution `whole` and have `strip` rows."""
    generator = random_generator(resolution=64, fmap_base=256, fmap_max=8)
    row = 8 * 4
    monkeypatch.setattr(inference, "WHOLE_BYTES", row * whole * whole)
    monkeypatch.setattr(inference, "STRIP_BYTES", row * 64 * strip)
    prepared = prepare_generator(generator, packed=True)
    assert prepared.rows == (0 if whole == 64 else strip)
    torch.testing.assert_close(prepared(z(2)), generator(z(2)), rtol=0, atol=3e-4)


def test_threads_may_share_a_network() -> None:
    generator = random_generator(resolution=32, fmap_base=512, fmap_max=32)
    prepared = prepare_generator(generator)

    def draw(row: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return prepared(row)

    with ThreadPoolExecutor(8) as pool:
        images = torch.cat(list(pool.map(draw, z(16).split(1))))
    with torch.inference_mode():
        torch.testing.assert_close(images, generator(z(16)), rtol=0, atol=1e-4)


@pytest.mark.slow
@torch.inference_mode()
def test_the_published_generator() -> None:
    generator = random_generator(resolution=1024, fmap_base=8192, fmap_max=512)
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepared = prepare_generator(generator)
    assert prepared.rows == 128
    expected, images = generator(z(1)), prepared(z(1))
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)
    assert difference(images, expected) <= 1


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this CPU has no bfloat16")
@torch.inference_mode()
def test_bfloat16_is_close() -> None:
    generator = random_generator(resolution=64, fmap_base=1024, fmap_max=128)
    expected = to_uint8(generator(z(4)) / 4).astype(int)
    images = to_uint8(prepare_generator(generator, dtype=torch.bfloat16)(z(4)) / 4).astype(int)
    assert 0 < np.abs(images - expected).mean() <= 0.5
    assert 10 * np.log10(255**2 / np.square(images - expected).mean()) >= 45


def with_statistics(network: Backbone) -> Backbone:
    """Batch norms as after training, not at their first values."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    network.mean.fill_(0.1)
    network.std.fill_(0.6)
    return network.eval()


@forms
@pytest.mark.parametrize("size", [16, 24])
@torch.inference_mode()
def test_the_same_judgements(size: int, packed: bool) -> None:
    shape = {"resolution": 16, "stem": 8, "widths": (16, 24), "blocks": (2, 1)}
    for network in (
        AttributeClassifier(ClassifierConfig(**shape)),  # type: ignore[arg-type]
        AgeEstimator(AgeConfig(**shape)),  # type: ignore[arg-type]
    ):
        with_statistics(network)
        kept = copy.deepcopy(network.state_dict())
        images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
        prepared = prepare_backbone(network, packed=packed)
        torch.testing.assert_close(prepared(images), network(images), rtol=1e-4, atol=1e-4)
        for name, value in network.state_dict().items():
            assert torch.equal(value, kept[name]), "the network itself must stay as it is"


def test_prepare_knows_which_networks_it_can_prepare(tiny_classifier: AttributeClassifier) -> None:
    generator = random_generator(resolution=8)
    assert isinstance(prepare(generator), inference.PreparedGenerator)
    assert type(prepare(tiny_classifier)) is AttributeClassifier
    other = nn.Linear(2, 2)
    assert prepare(other) is other
    with torch.device("meta"):
        elsewhere = Generator(GeneratorConfig(resolution=8))
    assert prepare(elsewhere) is elsewhere
