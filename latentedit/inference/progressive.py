"""The progressive `Generator` for inference by OpenVINO.

Scales are folded into the weights, and the doubling into the convolution after it. Pixel norm is
OpenVINO's normalisation times a factor; this factor is folded into the next weights.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from latentedit.generators.base import at_size
from latentedit.generators.layers import EqualizedConv2d, Smooth, UpsampleConv2d, box_kernel
from latentedit.generators.progressive import FirstBlock, Generator
from latentedit.generators.progressive_w import ProgressiveW
from latentedit.inference.openvino import Compiled, Writer, as_array

LEAK = 0.2
"""Slope of the generator's leaky ReLU."""

EPSILON = 1e-8
"""What pixel norm adds to the mean of squares, so that nothing is divided by 0."""

EXACT_RESOLUTION = 16
SMALL_RESOLUTION = 256
HALVED_SMALL, HALVED_LARGE = 8, 5
"""How many convolutions may use bfloat16: the last ones, above `EXACT_RESOLUTION`, for pictures up
to `SMALL_RESOLUTION` and for larger pictures. Small pictures have more channels there, which leave
smaller errors. The convolutions before cost little in float32, and their errors would add to all
that follows."""


class OpenVINOGenerator(nn.Module):
    """A `Generator` at its full resolution, without gradients.

    Args:
        network: on a CPU; later changes of its weights are not seen.
        dtype: float32, or bfloat16 for the last resolutions.
    """

    def __init__(self, network: Generator, dtype: torch.dtype) -> None:
        super().__init__()
        resolutions = network.config.resolutions
        every = 2 * len(resolutions)  # convolutions: two of every block
        exact = every  # of them in float32
        if dtype == torch.bfloat16:
            halved = HALVED_SMALL if resolutions[-1] <= SMALL_RESOLUTION else HALVED_LARGE
            small = 2 * sum(resolution <= EXACT_RESOLUTION for resolution in resolutions)
            exact = min(every, max(small, every - halved))
        parts = [(range(exact), torch.float32), (range(exact, every), dtype)]
        self.parts = [
            Compiled(lambda shape, steps=steps: _Graph(shape).of(network, steps), kind)  # type: ignore[misc]
            for steps, kind in parts
            if steps
        ]

    def forward(self, latents: Tensor, size: int | None = None) -> Tensor:
        """Render z [N, latent_dim] -> images float32 [N, 3, R, R], about [-1, 1]."""
        x = latents
        for part in self.parts:
            (x,) = part(x)
        return at_size(x, size)


class OpenVINOProgressiveW(nn.Module):
    """A `ProgressiveW` without gradients; OpenVINO computes its painter.

    Args:
        network: on a CPU; later changes of its weights are not seen.
        dtype: see `OpenVINOGenerator`.
    """

    def __init__(self, network: ProgressiveW, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.painter = OpenVINOGenerator(network.painter, dtype)

    def forward(self, latents: Tensor, size: int | None = None) -> Tensor:
        """See `FaceGenerator.synthesize`."""
        with torch.no_grad():
            return cast(Tensor, self.painter(self.network.whitened(latents), size))


class _Graph(Writer):
    def of(self, network: Generator, steps: range) -> Any:
        """Write some convolutions of a network, two of every block; after its last, the colours."""
        x = self.input
        if steps.start:
            x = self.ops.transpose(x, np.array([0, 3, 1, 2]))
        for step in steps:
            block: Any = network.blocks[step // 2]
            if step == 0:
                x = self.first(block, x)
            elif step % 2 == 0:
                x = self.doubled(block.conv0, x)
                if network.config.smooths:
                    x = self.smoothed(block.smooth, x)
                x = self.leaky(x, LEAK)
            else:
                conv = block.conv if step == 1 else block.conv1
                x = self.leaky(self.convolution(conv, x), LEAK)
        if steps.stop < 2 * len(network.blocks):
            # channels last between parts, as in memory, so nothing is reordered twice
            return self.model([self.ops.transpose(x, np.array([0, 2, 3, 1]))])
        return self.model([self.convolution(cast(EqualizedConv2d, network.to_rgb[-1]), x)])

    def first(self, block: FirstBlock, z: Any) -> Any:
        """The dense layer, which begins the first block."""
        ops = self.ops
        channels = len(block.bias)
        x, factor = self.normed(z) if block.normalises else (z, 1.0)
        weight = as_array(block.dense.weight) * np.float32(block.dense.scale * factor)
        x = ops.reshape(ops.matmul(x, weight, False, True), np.array([-1, channels, 4, 4]), False)
        return self.leaky(ops.add(x, as_array(block.bias.expand(channels, 4, 4))[None]), LEAK)

    def convolution(self, layer: EqualizedConv2d, x: Any) -> Any:
        """Pixel norm and convolution."""
        x, factor = self.normed(x)
        weight = as_array(layer.weight) * np.float32(layer.scale * factor)
        return self.convolved(x, weight, as_array(layer.bias), padding=weight.shape[-1] // 2)

    def doubled(self, layer: UpsampleConv2d, x: Any) -> Any:
        """Pixel norm, doubling and convolution."""
        x, factor = self.normed(x)
        kernel = box_kernel(layer.weight.detach() * (layer.scale * factor))
        weight = as_array(kernel.transpose(0, 1).flip(2, 3))
        one, two = [1, 1], [2, 2]
        x = self.ops.convolution_backprop_data(x, weight, two, None, one, one, one)
        return self.ops.add(x, as_array(layer.bias)[None, :, None, None])

    def smoothed(self, layer: Smooth, x: Any) -> Any:
        """The same filter of every channel."""
        channels, one = x.get_output_shape(0)[1], [1, 1]
        weight = np.tile(as_array(layer.kernel), (channels, 1, 1, 1, 1))
        return self.ops.group_convolution(x, weight, one, one, one, one)

    def normed(self, x: Any) -> tuple[Any, float]:
        """Pixel norm without its factor, and the factor, which goes into the next weights."""
        channels = x.get_output_shape(0)[1]
        x = self.ops.normalize_l2(x, np.array([1]), channels * EPSILON, "add")
        return x, channels**0.5
