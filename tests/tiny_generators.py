"""Tiny random generators of every kind, with the same weights each time."""

from __future__ import annotations

from typing import TypeVar

import torch

from latentedit.generators.base import FaceGenerator
from latentedit.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.generators.progressive_w import ProgressiveW, ProgressiveWConfig
from latentedit.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator

Network = TypeVar("Network", bound=FaceGenerator)


def progressive() -> Generator:
    """z [N, 16] -> 16 pixels."""
    torch.manual_seed(0)
    return Generator(GeneratorConfig(16, latent_dim=16, fmap_base=32, fmap_max=8)).eval()


def progressive_w() -> ProgressiveW:
    """z [N, 12], used in w [N, 16] -> 16 pixels."""
    torch.manual_seed(4)
    config = ProgressiveWConfig(16, fmap_base=32, fmap_max=8, mapping=(12, 16, 16))
    generator = _spread(ProgressiveW(config))
    generator.whitening.normal_()
    return generator


def stylegan2() -> StyleGAN2Generator:
    """z [N, 12], used in w [N, 16] of 6 layers -> 16 pixels."""
    torch.manual_seed(1)
    config = StyleGAN2Config((8, 8, 4), mapping=(12, 16, 16), space="w", truncation=0.7)
    return _spread(StyleGAN2Generator(config))


def mobilestylegan() -> MobileStyleGAN:
    """z [N, 16], used in w [N, 16] of 8 layers -> 32 pixels, and previews of 16."""
    torch.manual_seed(2)
    return _spread(MobileStyleGAN(MobileStyleGANConfig((8, 8, 8), 2, 16, previews=(16,))))


def _spread(generator: Network) -> Network:
    """With a mean of w, noise and biases that are not all zeros."""
    for name, values in generator.state_dict().items():
        if name == "mean" or "noise" in name or name.endswith("bias"):
            values.normal_(std=0.3)
    return generator.eval()


KINDS = {
    "progressive": progressive,
    "progressive-w": progressive_w,
    "stylegan2": stylegan2,
    "mobilestylegan": mobilestylegan,
}
