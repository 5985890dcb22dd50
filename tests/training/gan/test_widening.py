"""Wider networks compute what the narrower ones did."""

import pytest
import torch

from latentedit.errors import LatentEditError
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.training.gan import widening
from latentedit.training.gan.discriminator import Discriminator
from latentedit.training.gan.widening import copy_or_widen

NARROW = GeneratorConfig(16, fmap_base=32, fmap_max=8, latent_dim=6)
IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
LATENTS = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def config(base: int, most: int, resolution: int = 16) -> GeneratorConfig:
    return GeneratorConfig(resolution, fmap_base=base, fmap_max=most, latent_dim=6)


@pytest.mark.parametrize(
    ("network", "inputs", "base", "most"),
    [
        *((Discriminator, IMAGES, *sizes) for sizes in [(32, 8), (48, 8), (64, 8), (96, 16)]),
        *((Generator, LATENTS, *sizes) for sizes in [(32, 8), (64, 8), (64, 16)]),
    ],
)
def test_a_wider_network_computes_what_the_narrow_one_does(
    network: type[Discriminator | Generator],
    inputs: torch.Tensor,
    base: int,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(widening, "NOISE", 0.0)
    torch.manual_seed(0)
    narrow, wide = network(NARROW), network(config(base, most))
    assert copy_or_widen(narrow.state_dict(), wide) == len(narrow.state_dict())
    torch.testing.assert_close(wide(inputs), narrow(inputs), rtol=1e-3, atol=1e-5)


def test_a_network_of_more_blocks_keeps_its_new_ones() -> None:
    small, large = Generator(NARROW), Generator(config(32, 8, 32))
    new = large.blocks[-1].state_dict()
    assert copy_or_widen(small.state_dict(), large) == len(small.state_dict())
    for key, value in large.blocks[-1].state_dict().items():
        assert torch.equal(value, new[key])
    torch.testing.assert_close(large(LATENTS, resolution=16), small(LATENTS))


def test_copies_differ_a_little_and_always_alike() -> None:
    torch.manual_seed(0)
    narrow, wide, again = (Discriminator(c) for c in (NARROW, config(64, 8), config(64, 8)))
    copy_or_widen(narrow.state_dict(), wide)
    copy_or_widen(narrow.state_dict(), again)
    weight = wide.blocks[2].conv0.weight
    assert weight.shape[0] == 8
    assert not torch.equal(weight[0], weight[4])
    assert torch.equal(weight, again.blocks[2].conv0.weight)
    difference = (wide(IMAGES) - narrow(IMAGES)).abs().max()
    assert 0 < difference < 0.3 * narrow(IMAGES).abs().max()


def test_a_narrower_network_is_refused() -> None:
    with pytest.raises(LatentEditError, match="do not fit"):
        copy_or_widen(Discriminator(config(64, 8)).state_dict(), Discriminator(NARROW))
