"""Building blocks of the progressive GAN (Karras et al. 2018)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class EqualizedConv2d(nn.Module):
    """Convolution with equalised learning rate: weights ~ N(0, 1), scaled when used (sec. 4.1).

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: edge of the kernel; padding keeps the size.
        gain: He's constant: sqrt(2) if a leaky ReLU follows, 1 if nothing follows.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, gain: float = math.sqrt(2)
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs * kernel * kernel)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)


class UpsampleConv2d(EqualizedConv2d):
    """Nearest-neighbour doubling, then a 3x3 convolution, in one exact step.

    Every output pixel sees only 2x2 distinct inputs, so a transposed convolution of stride 2
    with the summed 4x4 kernel gives the same values with 16 instead of 36 products per pixel.
    """

    def forward(self, x: Tensor) -> Tensor:
        kernel = box_kernel(self.weight * self.scale).transpose(0, 1)
        return F.conv_transpose2d(x, kernel.flip(2, 3), self.bias, stride=2, padding=1)


class Smooth(nn.Module):
    """A [1, 2, 1] x [1, 2, 1] / 16 filter of every channel.

    After nearest-neighbour doubling it makes the doubling bilinear (Karras et al. 2019, sec. 2).
    Without it a fine grid can stay in the pictures.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", line[:, None] * line, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, 3, 3)
        return F.conv2d(x, kernel, padding=1, groups=channels)


class DownsampleConv2d(EqualizedConv2d):
    """A 3x3 convolution, then 2x2 average pooling, in one exact step of stride 2."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = box_kernel(self.weight * (self.scale / 4))
        return F.conv2d(x, kernel, self.bias, stride=2, padding=1)


def box_kernel(weight: Tensor) -> Tensor:
    """Convolve [O, I, k, k] kernels with a 2x2 box of ones -> [O, I, k + 1, k + 1]."""
    padded = F.pad(weight, (1, 1, 1, 1))
    tall = padded[:, :, 1:] + padded[:, :, :-1]
    return tall[..., 1:] + tall[..., :-1]


class EqualizedLinear(nn.Module):
    """Fully connected layer with equalised learning rate."""

    def __init__(
        self, inputs: int, outputs: int, *, gain: float = math.sqrt(2), bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = gain / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x * self.scale, self.weight, self.bias)  # x is smaller than weight


def pixel_norm(x: Tensor) -> Tensor:
    """Scale every pixel's feature vector to unit mean square (sec. 4.2). [N, C, ...]."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def normalized_leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, then pixel norm, as after every convolution of the generator.

    Args:
        x: [N, C, ...].

    Returns:
        the same shape. It can be differentiated once only. The backward pass is written by hand:
        it needs less than half as many passes over memory as autograd's recorded operations.
    """
    return _NormalizedLeakyReLU.apply(x)  # type: ignore[no-untyped-call]


class _NormalizedLeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = F.leaky_relu(x, 0.2)
        mean_square = torch.linalg.vector_norm(y, dim=1, keepdim=True).square() / y.shape[1]
        scale = torch.rsqrt(mean_square + 1e-8)
        y = y.mul_(scale)
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        y, scale = ctx.saved_tensors
        along = (slope * y).mean(1, keepdim=True)
        slope = torch.addcmul(slope, y, along, value=-1).mul_(scale)
        # y has the sign of x
        return torch.ops.aten.leaky_relu_backward(slope, y, 0.2, True)


def minibatch_stddev(x: Tensor, group: int = 4) -> Tensor:
    """Append the mean standard deviation over groups of `group` pictures as one map (sec. 3).

    Args:
        x: [N, C, H, W]; if `group` does not divide N, the whole batch is one group.

    Returns:
        [N, C + 1, H, W].
    """
    count, channels, height, width = x.shape
    group = group if count % group == 0 else count
    grouped = x.float().reshape(group, -1, channels, height, width)
    centred = grouped - grouped.mean(0)  # faster than var, which strides through memory
    spread = (centred.square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))  # [N / group]
    maps = spread.repeat(group).view(count, 1, 1, 1).expand(count, 1, height, width)
    return torch.cat((x, maps.to(x.dtype)), 1)
