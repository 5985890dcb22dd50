"""The arithmetic that InterFaceGAN's published weights came with: a reference for speed.

Its progressive generator is written again here from its description, with random weights.
`latentedit.checkpoints` converts them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.checkpoints.interfacegan import convert_interfacegan

WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
"""Karras et al. 2018, table 2."""


class ReferenceLayer(nn.Module):
    """Pixel norm, doubling, convolution, scale, bias, leaky ReLU: each in its own pass."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, padding: int, *, double: bool, colours: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
        self.wscale = nn.Module()
        self.wscale.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = (1 if colours else math.sqrt(2)) / math.sqrt(inputs * kernel**2)
        self.double = double
        self.colours = colours

    def forward(self, x: Tensor) -> Tensor:
        x = x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)
        if self.double:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = self.conv(x)
        x = x * self.scale + self.wscale.bias.view(1, -1, 1, 1)
        return x if self.colours else F.leaky_relu(x, 0.2)


class Reference(nn.Module):
    """InterFaceGAN's progressive generator, with its state dictionary's keys."""

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.names: list[str] = []
        inputs = 512
        for size, width in WIDTHS.items():
            if size > resolution:
                break
            self._add(inputs, width, *((4, 3) if size == 4 else (3, 1)), double=size > 4)
            self._add(width, width, 3, 1)
            inputs = width
        name = f"output_{resolution}x{resolution}"
        self._add(inputs, 3, 1, 0, name=name, colours=True)

    def _add(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        padding: int,
        *,
        name: str | None = None,
        double: bool = False,
        colours: bool = False,
    ) -> None:
        self.names.append(name or f"layer{len(self.names) + 1}")
        layer = ReferenceLayer(inputs, outputs, kernel, padding, double=double, colours=colours)
        self.add_module(self.names[-1], layer)

    def forward(self, z: Tensor) -> Tensor:
        x = z.view(len(z), -1, 1, 1)
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x


def make_pair(resolution: int) -> tuple[Reference, nn.Module]:
    """Return a random reference network, its colours as bright as a photo's, and its conversion."""
    torch.manual_seed(0)
    reference = Reference(resolution).eval().requires_grad_(False)
    for name, parameter in reference.named_parameters():
        nn.init.normal_(parameter, std=0.1 if name.endswith("bias") else 1.0)
    reference.get_submodule(reference.names[-1]).conv.weight.mul_(0.5)  # type: ignore[union-attr, operator]
    generator = convert_interfacegan(reference.state_dict(), "the reference").network
    return reference, generator
