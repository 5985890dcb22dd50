from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from latentedit.generators.progressive import GeneratorConfig
from latentedit.training.gan.discriminator import Discriminator

TINY = GeneratorConfig(resolution=16, fmap_base=64, fmap_max=12)


@pytest.fixture
def network() -> Discriminator:
    """A random discriminator in float64 with random biases."""
    torch.manual_seed(2)
    network = Discriminator(TINY).double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return network


def faces(count: int = 4, edge: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, edge, edge, generator=generator, dtype=torch.float64) * 2 - 1


def scored(network: Discriminator, images: Tensor, alpha: float) -> Tensor:
    """The paper's discriminator written out slowly, from the weights alone."""
    weights = network.state_dict()

    def scaled(name: str, gain: float = math.sqrt(2)) -> Tensor:
        weight = weights[f"{name}.weight"]
        return weight * (gain / math.sqrt(weight[0].numel()))

    def conv(x: Tensor, name: str) -> Tensor:
        weight = scaled(name)
        return F.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def activated(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    def halved(x: Tensor) -> Tensor:
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    level = int(math.log2(images.shape[-1])) - 2
    x = activated(conv(images, f"from_rgb.{level}"))
    if level:
        x = activated(conv(x, f"blocks.{level}.conv0"))
        x = activated(halved(conv(x, f"blocks.{level}.conv1")))
        small = activated(conv(halved(images), f"from_rgb.{level - 1}"))
        x = alpha * x + (1 - alpha) * small
    for block in range(level - 1, 0, -1):
        x = activated(conv(x, f"blocks.{block}.conv0"))
        x = activated(halved(conv(x, f"blocks.{block}.conv1")))
    spread = ((x - x.mean(0)).square().mean(0) + 1e-8).sqrt().mean()  # one group of four
    x = torch.cat((x, spread.expand(len(x), 1, 4, 4)), 1)
    x = activated(conv(x, "blocks.0.conv")).flatten(1)
    x = activated(x @ scaled("blocks.0.dense0").T + weights["blocks.0.dense0.bias"])
    return (x @ scaled("blocks.0.dense1", 1.0).T + weights["blocks.0.dense1.bias"]).flatten()


@pytest.mark.parametrize("edge", [4, 8, 16])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_it_scores_as_the_paper_describes(network: Discriminator, edge: int, alpha: float) -> None:
    images = faces(edge=edge)
    mine = network(images, alpha=alpha)
    assert mine.shape == (4,)
    # the deviation is computed in float32
    torch.testing.assert_close(mine, scored(network, images, alpha), rtol=0, atol=1e-6)


def test_the_published_parameter_count() -> None:
    with torch.device("meta"):
        network = Discriminator(GeneratorConfig(1024, fmap_base=8192, fmap_max=512))
    # as the released code prints it: the generator's mirror image with one map more
    assert sum(parameter.numel() for parameter in network.parameters()) == 23_087_249


def test_a_new_block_starts_as_the_network_before_it(network: Discriminator) -> None:
    images = faces()
    small = F.avg_pool2d(images, 2)
    torch.testing.assert_close(network(images, alpha=0.0), network(small), rtol=0, atol=1e-12)
    assert (network(images, alpha=1.0) - network(small)).abs().max() > 1e-3


def test_it_compares_the_pictures_of_a_batch(network: Discriminator) -> None:
    images = faces()
    alone = network(images[:1].expand(4, 3, 16, 16))
    among_others = network(images)
    assert (alone[0] - among_others[0]).abs() > 1e-3


def test_every_weight_of_the_resolution_learns(network: Discriminator) -> None:
    network(faces(edge=8), alpha=0.5).sum().backward()
    reached = {
        name.rsplit(".", 1)[0] for name, w in network.named_parameters() if w.grad is not None
    }
    assert reached == {
        *("from_rgb.0", "from_rgb.1", "blocks.1.conv0", "blocks.1.conv1"),
        *("blocks.0.conv", "blocks.0.dense0", "blocks.0.dense1"),
    }


def test_what_small_pictures_show_is_hidden(network: Discriminator) -> None:
    network.hidden = 4
    wide = F.interpolate(faces(edge=2), scale_factor=8, mode="bilinear")
    coarse = F.interpolate(faces(edge=4), scale_factor=2, mode="nearest")
    # detail is computed in single precision
    torch.testing.assert_close(network(faces() + 0.3), network(faces()), rtol=0, atol=1e-5)
    difference = (network(faces() + 0.3 * wide) - network(faces())).abs().max()
    network.hidden = 0
    assert difference < 0.5 * (network(faces() + 0.3 * wide) - network(faces())).abs().max()
    plain = network(coarse[..., :4, :4])
    network.hidden = 4  # pictures of that size are seen as they are
    torch.testing.assert_close(network(coarse[..., :4, :4]), plain)
