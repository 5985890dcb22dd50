"""The network of the Photo-aid slides: one small CNN for each portrait quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EDGE = 96


@dataclass(frozen=True)
class SlidesSettings:
    """How the slides trained one of their networks."""

    learning_rate: float
    batch_size: int = 100
    epochs: int = 100


SETTINGS = {
    "blur": SlidesSettings(0.00278),
    "occlusion": SlidesSettings(0.0032585, batch_size=50),
    "make-up": SlidesSettings(0.003),
    "illumination": SlidesSettings(0.005),
    "expression": SlidesSettings(0.0055),
    "pose": SlidesSettings(0.005),
}
"""The slides' settings, by quality."""


class SlidesNetwork(nn.Module):
    """Portraits [N, 3, 96, 96], RGB from 0 to 255 -> one logit each, [N].

    As the slides have it: pixels times 1/255, 3x3 depthwise convolution, 2x2 pooling, 1x1
    convolution to 32 channels, 3x3 depthwise, pooling, 3x3 depthwise, pooling, dense 128, dropout
    0.5, dense 1, whose sigmoid is the probability that the quality is poor. The slides say nothing
    of padding, activations, pooling's kind and first weights: here convolutions keep the size,
    ReLU follows each layer, pooling takes the maximum, and weights start as Keras's do (Glorot
    uniform, biases zero).

    Rearranged for the speed of training on a CPU, without changing a value: ReLU comes after
    pooling, not before, on a quarter of the numbers; pooling is two maxima of whole tensors; and
    the first convolution and its pooling, which on three channels are slower than all the rest, are
    one convolution of stride 2 that puts the four pixels of every 2x2 square into channels, and
    the largest of these. 1/255 goes into that kernel: bytes are exact in bfloat16, their 255th
    parts are not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.depthwise0 = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.pointwise = nn.Conv2d(3, 32, 1)
        self.depthwise1 = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.depthwise2 = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.dense = nn.Linear(32 * (EDGE // 8) ** 2, 128)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(128, 1)
        for name, value in self.named_parameters():
            nn.init.zeros_(value) if name.endswith("bias") else nn.init.xavier_uniform_(value)

    def forward(self, images: Tensor) -> Tensor:
        return self.judge(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """What the convolutions make of [N, 3, 96, 96], [N, 32 * 12 * 12]."""
        x = F.relu(self._convolve_and_pool(images))  # [N, 3, 48, 48]
        x = F.relu_(self.pointwise(x))  # [N, 32, 48, 48]
        x = F.relu(_pool(self.depthwise1(x)))  # [N, 32, 24, 24]
        return F.relu(_pool(self.depthwise2(x))).flatten(1)  # [N, 32, 12, 12], flat

    def judge(self, features: Tensor) -> Tensor:
        """Logits [N] from `features`."""
        x = F.relu_(self.dense(features))
        return self.head(self.dropout(x)).squeeze(1)

    def _convolve_and_pool(self, images: Tensor) -> Tensor:
        """2x2 pooling of `depthwise0` of [N, 3, H, W] times 1/255 -> [N, 3, H / 2, W / 2]."""
        assert self.depthwise0.bias is not None
        weight = self.depthwise0.weight[:, 0] / 255  # [3, 3, 3]
        shifted = torch.stack(
            [F.pad(weight, (x, 1 - x, y, 1 - y)) for y in (0, 1) for x in (0, 1)]
        )  # [4, 3, 4, 4]
        alone = torch.eye(3, dtype=weight.dtype, device=weight.device)[None, :, :, None, None]
        kernel = (alone * shifted[:, :, None]).flatten(0, 1)  # [12, 3, 4, 4]
        four = F.conv2d(images, kernel, self.depthwise0.bias.repeat(4), stride=2, padding=1)
        squares = four.contiguous().unflatten(1, (2, 2, 3))  # [N, 2, 2, 3, H / 2, W / 2]
        return _larger(_larger(squares, 2), 1).contiguous(memory_format=torch.channels_last)


def _pool(x: Tensor) -> Tensor:
    """2x2 max pooling, [N, C, H, W] -> [N, C, H / 2, W / 2], channels_last."""
    pixels = x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    halves = _larger(pixels.unflatten(2, (-1, 2)), 3)  # [N, H, W / 2, C]
    return _larger(halves.unflatten(1, (-1, 2)), 2).permute(0, 3, 1, 2)


def _larger(pairs: Tensor, dim: int) -> Tensor:
    """The larger of the two along `dim`, which goes."""
    larger: Tensor = _Larger.apply(pairs, dim)  # type: ignore[no-untyped-call]
    return larger


class _Larger(torch.autograd.Function):
    """`_larger`; the gradient goes to the larger, or to the first of equals.

    Written by hand for bfloat16 on a CPU, where torch's own pooling, masks of booleans and the
    gradient of ``torch.maximum`` are not vectorised, but ``torch.eq`` into bfloat16 is.
    """

    @staticmethod
    def forward(ctx: Any, pairs: Tensor, dim: int) -> Tensor:
        first, second = pairs.unbind(dim)
        larger = torch.maximum(first, second).contiguous()
        ctx.save_for_backward(pairs, larger)
        ctx.dim = dim
        return larger

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        pairs, larger = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        found = torch.empty_like(pairs)  # in the same order in memory
        first, second = found.unbind(ctx.dim)
        is_first = torch.eq(pairs.select(ctx.dim, 0), larger, out=torch.empty_like(larger))
        torch.mul(gradient, is_first, out=first)
        torch.sub(gradient, first, out=second)
        return found, None


def slides_macs() -> int:
    """Multiplications of one forward pass of one portrait, as the slides' layers count them."""
    layers = ((96, 3, 9), (48, 32, 3), (48, 32, 9), (24, 32, 9))  # edge, channels, products each
    convolutions = sum(edge * edge * channels * products for edge, channels, products in layers)
    return convolutions + 32 * (EDGE // 8) ** 2 * 128 + 128
