from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.progressive import Generator, GeneratorConfig

PUBLISHED = GeneratorConfig(resolution=1024, fmap_base=8192, fmap_max=512)
WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
"""Karras et al. 2018, table 2."""


def test_the_published_widths() -> None:
    assert PUBLISHED.latent_dim == 512
    assert PUBLISHED.resolutions == tuple(WIDTHS)
    assert {resolution: PUBLISHED.channels(resolution) for resolution in WIDTHS} == WIDTHS
    with torch.device("meta"):
        network = Generator(PUBLISHED)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    before = 512
    for level, (resolution, width) in enumerate(WIDTHS.items()):
        assert shapes[f"to_rgb.{level}.weight"] == (3, width, 1, 1)
        if resolution > 4:
            assert shapes[f"blocks.{level}.conv0.weight"] == (width, before, 3, 3)
            assert shapes[f"blocks.{level}.conv1.weight"] == (width, width, 3, 3)
        before = width
    assert shapes["blocks.0.dense.weight"] == (512 * 16, 512)
    assert shapes["blocks.0.conv.weight"] == (512, 512, 3, 3)


def test_the_published_parameter_count() -> None:
    def convolution(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel**2 + outputs

    rows = {"4 dense": 512 * 512 * 16 + 512 * 16, "4": convolution(512, 512, 3)}
    for (_, before), (resolution, width) in pairwise(WIDTHS.items()):
        rows[f"{resolution} first"] = convolution(before, width, 3)
        rows[f"{resolution} second"] = convolution(width, width, 3)
    rgb = {resolution: convolution(width, 3, 1) for resolution, width in WIDTHS.items()}

    # the column "Params" of table 2, to the digits printed there
    printed = [4.2e6, 2.4e6, *[2.4e6] * 6, 1.2e6, 590e3, 295e3, 148e3, 74e3, 37e3, 18e3, 9.2e3]
    for mine, paper in zip(rows.values(), [*printed, 4.6e3, 2.3e3], strict=True):
        assert mine == pytest.approx(paper, rel=0.03)
    assert rgb[1024] == 51
    total = sum(rows.values()) + sum(rgb.values())
    assert round(total / 1e6, 1) == 23.1

    with torch.device("meta"):
        network = Generator(PUBLISHED)
    # the table counts the first layer's bias a feature, the released code adds it a channel
    released = total - (512 * 16 - 512)
    assert sum(parameter.numel() for parameter in network.parameters()) == released == 23_079_115


def test_widths_follow_base_and_maximum() -> None:
    config = GeneratorConfig(resolution=64, fmap_base=1024, fmap_max=128)
    assert [config.channels(r) for r in config.resolutions] == [128, 128, 128, 64, 32]


@pytest.mark.parametrize("resolution", [-8, 0, 1, 2, 3, 48, 100])
def test_only_powers_of_two_from_4_are_resolutions(resolution: int) -> None:
    with pytest.raises(LatentEditError, match=f"resolution {resolution} is not a power of two"):
        GeneratorConfig(resolution=resolution)


def test_a_generator_without_channels_is_refused() -> None:
    with pytest.raises(LatentEditError, match="fmap_base"):
        GeneratorConfig(resolution=64, fmap_base=16)
    assert GeneratorConfig(resolution=64, fmap_base=32).channels(64) == 1


def normalised(x: Tensor) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def rendered(network: Generator, z: Tensor, resolution: int, alpha: float) -> Tensor:
    """The paper's generator written out slowly, from the weights alone."""
    weights = network.state_dict()

    def conv(x: Tensor, name: str, gain: float = math.sqrt(2)) -> Tensor:
        weight = weights[f"{name}.weight"]
        scale = gain / math.sqrt(weight[0].numel())
        padding = weight.shape[-1] // 2
        return F.conv2d(x, weight * scale, weights[f"{name}.bias"], padding=padding)

    def activated(x: Tensor) -> Tensor:
        return normalised(torch.where(x > 0, x, 0.2 * x))

    def double(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    def smooth(x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1))
        x = (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4
        return (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4

    dense = weights["blocks.0.dense.weight"] * (math.sqrt(2) / 4 / math.sqrt(z.shape[1]))
    x = normalised(z) @ dense.T
    x = activated(x.reshape(len(z), -1, 4, 4) + weights["blocks.0.bias"])
    x = activated(conv(x, "blocks.0.conv"))
    images = conv(x, "to_rgb.0", gain=1)
    for level in range(1, int(math.log2(resolution)) - 1):
        small = images
        x = conv(double(x), f"blocks.{level}.conv0")
        x = activated(smooth(x) if network.config.smooths else x)
        x = activated(conv(x, f"blocks.{level}.conv1"))
        images = conv(x, f"to_rgb.{level}", gain=1)
    if resolution > 4:
        images = alpha * images + (1 - alpha) * double(small)
    return images


@pytest.fixture
def network(tiny_generator: Generator) -> Generator:
    """The tiny generator in float64 with random biases."""
    tiny_generator = tiny_generator.double()
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in tiny_generator.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return tiny_generator


@pytest.fixture
def z() -> Tensor:
    return torch.from_numpy(latents.sample(range(3), 64)).double()


@pytest.mark.parametrize("resolution", [4, 8, 16])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_it_renders_what_the_paper_describes(
    network: Generator, z: Tensor, resolution: int, alpha: float
) -> None:
    mine = network(z, resolution=resolution, alpha=alpha)
    assert mine.shape == (3, 3, resolution, resolution)
    torch.testing.assert_close(mine, rendered(network, z, resolution, alpha), rtol=0, atol=1e-10)


def test_smoothing_is_what_its_paper_describes(z: Tensor) -> None:
    torch.manual_seed(6)
    network = Generator(GeneratorConfig(16, 64, 64, 16, smooths=True)).double()
    plain = Generator(GeneratorConfig(16, 64, 64, 16)).double()
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(z), rendered(network, z, 16, 1.0), rtol=0, atol=1e-10)
    assert not torch.allclose(network(z), plain(z), atol=1e-2)


def test_a_new_block_starts_as_the_enlarged_picture_before_it(
    network: Generator, z: Tensor
) -> None:
    before = network(z, resolution=8)
    doubled = before.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.equal(network(z, resolution=16, alpha=0.0), doubled)
    assert torch.equal(network(z, resolution=16, alpha=1.0), network(z))
    half = network(z, alpha=0.5)
    torch.testing.assert_close(half, (doubled + network(z)) / 2, rtol=0, atol=1e-12)


def test_the_lowest_resolution_has_nothing_to_fade_from(network: Generator, z: Tensor) -> None:
    assert torch.equal(network(z, resolution=4, alpha=0.0), network(z, resolution=4))


def test_blocks_above_the_resolution_are_not_touched(network: Generator, z: Tensor) -> None:
    network(z, resolution=8, alpha=0.5).sum().backward()
    reached = {name for name, value in network.named_parameters() if value.grad is not None}
    assert any(name.startswith("blocks.1") for name in reached)
    assert {"to_rgb.0.weight", "to_rgb.1.weight"} <= reached
    assert not any(name.startswith(("blocks.2", "to_rgb.2")) for name in reached)


def test_only_the_direction_of_z_matters(network: Generator, z: Tensor) -> None:
    torch.testing.assert_close(network(z), network(z * 7), rtol=0, atol=1e-6)
    assert (network(z) - network(-z)).abs().max() > 0.1


def test_a_latent_gives_one_picture_alone_and_in_a_batch(
    tiny_generator: Generator, z: Tensor
) -> None:
    with torch.inference_mode():
        together = tiny_generator(z.float())
        for row, image in zip(z.float(), together, strict=True):
            torch.testing.assert_close(tiny_generator(row[None])[0], image, rtol=0, atol=1e-5)


def test_a_fresh_network_renders_pictures_of_ordinary_contrast() -> None:
    torch.manual_seed(0)
    with torch.inference_mode():
        images = Generator(GeneratorConfig(resolution=32, fmap_max=64))(torch.randn(8, 512))
    assert 0.3 < images.std() < 3


def test_truncation_leads_to_one_face(network: Generator, z: Tensor) -> None:
    with torch.inference_mode():
        whole, none = network.truncated(1.0)(z), network.truncated(0.0)(z)
        spreads = [float(network.truncated(psi)(z).var(0).mean()) for psi in (0.1, 1.0)]
        assert torch.equal(whole, network(z))
    assert torch.equal(none, none[:1].expand_as(none))
    assert spreads[0] < spreads[1]
    for psi in (-0.1, 2.1, float("nan")):
        with pytest.raises(LatentEditError, match="give 0 to 2"):
            network.truncated(psi)
