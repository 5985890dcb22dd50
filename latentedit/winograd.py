"""3x3 convolutions with fewer products, by Winograd's minimal filtering along the rows.

Winograd (1980) computes 4 outputs of a filter of 3 taps from 6 products instead of 12, at the price
of additions before and after (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
Networks"). Here it is done across the columns only; down the rows, oneDNN's packed convolutions do
their ordinary work. Values differ from a plain convolution's by a few units in 1e-5. For inference
on a CPU, in float32, where channels are many.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.layers import box_kernel
from latentedit.packed import PackedConv2d

STRIP_BYTES = 2 << 20
"""Rows of the output that are computed together: what they need fits into the cache."""

_FILTER = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""G of F(4, 3): three taps -> six factors."""


class _Striped(nn.Module, ABC):
    """Applies `_rows` to strips of a picture with a border."""

    def __init__(self, outputs: int, scale: int, slope: float) -> None:
        super().__init__()
        self.outputs = outputs
        self.scale = scale
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [N, I, H, W] -> [N, O, scale * H, scale * W], and activate."""
        count, _, height, width = x.shape
        scale = self.scale
        pixels = x.permute(0, 2, 3, 1)
        y = x.new_empty(count, scale * height, scale * width, self.outputs)
        rows = max(1, STRIP_BYTES * height // (y.nbytes // count))
        for top in range(0, height, rows):
            end = min(top + rows, height)
            seen = pixels[:, max(top - 1, 0) : end + 1]
            padded = F.pad(seen, (0, 0, 1, 1, int(top == 0), int(end == height)))
            strip = y[:, scale * top : scale * end]
            self._rows(padded, strip)
            F.leaky_relu_(strip, self.slope)
        return y.permute(0, 3, 1, 2)

    @abstractmethod
    def _rows(self, x: Tensor, y: Tensor) -> None:
        """Fill y [N, scale * h, scale * W, O] from x [N, h + 2, W + 2, I], a border around it."""


class WinogradConv2d(_Striped):
    """A 3x3 convolution of padding 1, then a leaky ReLU; the width must be divisible by 4.

    Args:
        weight: [O, I, 3, 3].
        bias: [O].
        slope: of the leaky ReLU.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, slope: float) -> None:
        super().__init__(len(weight), 1, slope)
        taps = torch.tensor(_FILTER, dtype=torch.float64)
        factors = torch.einsum("kx,oiyx->koiy", taps, weight.detach().double()).float()
        none = torch.zeros_like(bias)
        self.convs = nn.ModuleList(  # the second product is part of all four sums
            PackedConv2d(factor[..., None], bias if k == 1 else none)
            for k, factor in enumerate(factors)
        )

    def _rows(self, x: Tensor, y: Tensor) -> None:
        tiles = y.shape[2] // 4
        d = [x[:, :, k::4][:, :, :tiles] for k in range(6)]
        a, b = torch.sub(d[4], d[2], alpha=4), torch.sub(d[3], d[1], alpha=4)
        c, e = d[4] - d[2], (d[3] - d[1]).mul_(2)
        factors = (
            torch.add(c, d[0] - d[2], alpha=4),
            a + b,
            a.sub_(b),
            c + e,
            c.sub_(e),
            (d[5] - d[3]).sub_(e, alpha=2),
        )
        m = [_applied(conv, v) for conv, v in zip(self.convs, factors, strict=True)]
        s, q = m[1] + m[2], m[1].sub_(m[2])
        u, v = m[3] + m[4], m[3].sub_(m[4])
        torch.add(m[0].add_(s), u, out=y[:, :, 0::4])
        torch.add(q, v, alpha=2, out=y[:, :, 1::4])
        torch.add(s, u, alpha=4, out=y[:, :, 2::4])
        torch.add(m[5].add_(q), v, alpha=8, out=y[:, :, 3::4])


class WinogradUpsampleConv2d(_Striped):
    """Nearest-neighbour doubling, a 3x3 convolution, a leaky ReLU.

    With taps a, b, c across, the columns 2j and 2j + 1 are

        (a + b + c) x[j] - a (x[j] - x[j - 1])   and   (a + b + c) x[j] + c (x[j + 1] - x[j]),

    3 products instead of 4 (or of 6, before the doubled pixels are summed).

    Args:
        weight: [O, I, 3, 3].
        bias: [O].
        slope: of the leaky ReLU.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, slope: float) -> None:
        super().__init__(len(weight), 2, slope)
        weight = weight.detach()
        left, right = -weight[..., :1], weight[..., 2:]
        self.middle = _doubling(weight.sum(3, keepdim=True), bias)
        self.sides = _doubling(torch.cat((left, right)), torch.zeros(2 * len(bias)))

    def _rows(self, x: Tensor, y: Tensor) -> None:
        width = x.shape[2] - 2
        middle = _applied(self.middle, x[:, :, 1:-1])
        sides = _applied(self.sides, x[:, :, 1:] - x[:, :, :-1])
        torch.add(middle, sides[:, :, :width, : self.outputs], out=y[:, :, 0::2])
        torch.add(middle, sides[:, :, 1:, self.outputs :], out=y[:, :, 1::2])


def _doubling(weight: Tensor, bias: Tensor) -> PackedConv2d:
    """Doubling the rows, then the taps [O, I, 3, 1] down them; two rows of border are left out."""
    box = box_kernel(weight)[..., :1]  # [O, I, 4, 1]
    return PackedConv2d(
        box.transpose(0, 1).flip(2), bias, stride=(2, 1), padding=(3, 0), transposed=True
    )


def _applied(conv: nn.Module, x: Tensor) -> Tensor:
    """A convolution of [N, H, W, C]."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
