"""`MobileStyleGAN` for inference by OpenVINO: the same pictures, other arithmetic.

Three changes make it faster than the published graph:

1. The rows of the weights before an inverse Haar transform are sorted, so that channels come in
   four bands, one after another. The transform then needs no strided slices.
2. The scales by w before and after the transform become one scale.
3. The transform to colours is linear, and is folded into the last weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from latentedit.generators.base import at_size
from latentedit.generators.mobilestylegan import (
    Block,
    FirstConvolution,
    MobileStyleGAN,
    SeparableConvolution,
    ToImage,
)
from latentedit.generators.previews import PreviewHead, PreviewStep
from latentedit.generators.wavelets import SLOPE, Modulation
from latentedit.inference.openvino import Compiled, FloatArray, Writer, as_array

_HAAR = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], np.float32) / 2
"""Bands (mean, down, across, both) -> pixels (upper left, upper right, lower left, lower right)."""


class OpenVINOMobileStyleGAN(nn.Module):
    """A `MobileStyleGAN` without gradients; pictures and previews are compiled when first drawn.

    Args:
        network: on a CPU; later changes of its weights are not seen.
        dtype: float32 or bfloat16.
    """

    def __init__(self, network: MobileStyleGAN, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.pictures = {
            size: Compiled(lambda shape, size=size: _Graph(shape).of(network, size), dtype)  # type: ignore[misc]
            for size in (*network.previews, network.resolution)
        }

    def forward(self, latents: Tensor, size: int | None = None) -> Tensor:
        """See `FaceGenerator.synthesize`. Draws one face at a time: more together are no faster."""
        picture = self.pictures[self.network.source_of(size or self.network.resolution)]
        with torch.no_grad():
            rows = self.network.styles(latents).split(1)
            return at_size(torch.cat([picture(row)[0] for row in rows]), size)


class _Graph(Writer):
    def of(self, network: MobileStyleGAN, size: int) -> Any:
        """w+ [1, L, S] -> picture [1, 3, size, size]."""
        whole = size == network.resolution
        count = len(network.blocks) if whole else network.depth_of(size)
        x = self.first(network.first)
        for number in range(count):
            block = cast(Block, network.blocks[number])
            x = self.block(block, x, 3 * number, sort=number + 1 < count)
        if whole:
            return self.model([self.to_image(network.to_image, x, 3 * count + 1)])
        return self.model([self.preview(network.heads.head(size), x, 3 * count)])

    def first(self, layer: FirstConvolution) -> Any:
        x = self.ops.multiply(as_array(layer.constant), self.scale(layer.modulation, 0))
        order = _bands(len(layer.bias))
        weight, bias = as_array(layer.weight)[order], as_array(layer.bias)[order]
        return self.activated(self.convolved(x, weight, bias, padding=1), layer.noise)

    def block(self, block: Block, x: Any, row: int, *, sort: bool) -> Any:
        """`x` comes in bands; the result does too where `sort` is true."""
        ops = self.ops
        # a channel's scale after the transform can come before it, for all four bands
        after = self.scale(block.conv0.modulation, row + 2)
        before = self.scale(block.enlarge, row + 1, _bands(block.enlarge.out_features))
        half = np.full((1, 1, 1, 1), 0.5, np.float32)
        scale = ops.multiply(before, ops.concat([ops.multiply(after, half)] * 4, 1))
        x = self.inverse_haar(ops.multiply(x, scale))
        x = self.separable(block.conv0, x)
        x = ops.multiply(x, self.scale(block.conv1.modulation, row + 3))
        return self.separable(block.conv1, x, sort=sort)

    def inverse_haar(self, x: Any) -> Any:
        """Four bands -> pixels, without the transform's factor 1/2."""
        ops = self.ops
        mean, down, across, both = ops.split(x, np.array(1), 4).outputs()
        upper, lower = ops.add(mean, down), ops.subtract(mean, down)
        left, right = ops.add(across, both), ops.subtract(across, both)
        quarters = [
            ops.add(upper, left),
            ops.subtract(upper, left),
            ops.add(lower, right),
            ops.subtract(lower, right),
        ]
        return ops.depth_to_space(ops.concat(quarters, 1), "blocks_first", 2)

    def separable(self, layer: SeparableConvolution, x: Any, *, sort: bool = False) -> Any:
        """A separable convolution without its scale."""
        x = self.depthwise(layer.depthwise, x)
        weight, bias = as_array(layer.pointwise), as_array(layer.bias)
        if sort:
            order = _bands(len(bias))
            weight, bias = weight[order], bias[order]
        return self.activated(self.convolved(x, weight, bias), layer.noise)

    def to_image(self, layer: ToImage, x: Any, row: int) -> Any:
        x = self.ops.multiply(x, self.scale(layer.modulation, row))
        return self.coloured(self.convolved(x, _pixels(layer.weight), _pixels(layer.bias)))

    def preview(self, head: PreviewHead, x: Any, row: int) -> Any:
        ops = self.ops
        x = ops.multiply(x, ops.multiply(self.scale(head.modulation, row), as_array(head.scale)))
        y = self.activated(self.convolution(head.squeeze, x))
        for step in cast(Iterable[PreviewStep], head.steps):
            scaled = ops.multiply(y, self.scale(step.modulation, row))
            own = as_array(cast(Tensor, step.depthwise.bias))[None, :, None, None]
            mixed = self.activated(ops.add(self.depthwise(step.depthwise.weight, scaled), own))
            y = self.activated(ops.add(self.convolution(step.pointwise, mixed), y))
        y = ops.multiply(y, self.scale(head.last, row))
        bias = _pixels(head.out.bias) + _pixels(head.straight.bias)
        y = self.convolved(y, _pixels(head.out.weight), bias)
        straight = self.convolved(x, _pixels(head.straight.weight))
        return self.coloured(ops.add(y, straight))

    def depthwise(self, weight: Tensor, x: Any) -> Any:
        """Each channel by its own 3x3 filter; weight [C, 1, 3, 3]."""
        one = [1, 1]
        return self.ops.group_convolution(x, as_array(weight)[:, None], one, one, one, one)

    def coloured(self, x: Any) -> Any:
        return self.ops.depth_to_space(x, "blocks_first", 2)

    def scale(self, layer: Modulation, row: int, order: list[int] | None = None) -> Any:
        """A row of w+ -> [1, C, 1, 1]."""
        ops = self.ops
        weight, bias = as_array(layer.weight), as_array(layer.bias)
        if order is not None:
            weight, bias = weight[order], bias[order]
        w = ops.gather(self.input, np.array(row), np.array(1))
        scale = ops.add(ops.matmul(w, weight, False, True), bias[None])
        return ops.reshape(scale, np.array([1, -1, 1, 1]), False)

    def convolution(self, layer: nn.Conv2d, x: Any) -> Any:
        assert layer.bias is not None
        padding = int(layer.kernel_size[0] // 2)
        return self.convolved(x, as_array(layer.weight), as_array(layer.bias), padding=padding)

    def activated(self, x: Any, noise: Tensor | None = None) -> Any:
        if noise is not None:
            x = self.ops.add(x, as_array(noise))
        return self.leaky(x, SLOPE)


def _bands(channels: int) -> list[int]:
    """Order of channels that puts the four bands of an inverse Haar transform one after another."""
    count = channels // 4
    others = (range(count + band, channels, 3) for band in range(3))
    return [*range(count), *(channel for band in others for channel in band)]


def _pixels(values: Tensor | None) -> FloatArray:
    """Weights or biases [12, ...] of Haar bands -> those of the pixels that the bands make."""
    assert values is not None
    bands = as_array(values)[_bands(len(values))].reshape(4, -1)
    return np.asarray((_HAAR @ bands).reshape(values.shape), np.float32)
