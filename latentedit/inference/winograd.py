"""3x3 convolutions with fewer products, by Winograd's minimal filtering.

Winograd (1980) computes 4 outputs of a filter of 3 taps from 6 products instead of 12, at the price
of additions before and after (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
Networks"). Done across the columns only, with oneDNN's packed convolutions down the rows, half of
the products are left; done in both directions, on tiles of 4x4 pixels, a quarter, for more memory
moved. Values differ from a plain convolution's by a few units in 1e-5, or 1e-4. For inference on a
CPU where channels are many; in float32, but for the enlargement.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.inference.packed import PackedConv2d

STRIP_BYTES = 2 << 20
"""Rows of the output that are computed together: what they need fits into the cache."""

UPSAMPLED_STRIP_BYTES = 4 << 20
"""The same where a picture is doubled: what is read is a quarter of that."""

_FILTER = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""G of F(4, 3): three taps -> six factors."""

_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
"""B^T of F(4, 3): six inputs -> six factors."""

_OUTPUT = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)
"""A^T of F(4, 3): six products -> four outputs."""


class _Striped(nn.Module, ABC):
    """Applies `_rows` to strips of a picture with a border."""

    def __init__(self, outputs: int, scale: int, slope: float, strip_bytes: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.scale = scale
        self.slope = slope
        self.strip_bytes = strip_bytes

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [N, I, H, W] -> [N, O, scale * H, scale * W], and activate."""
        count, _, height, width = x.shape
        scale = self.scale
        pixels = x.permute(0, 2, 3, 1)
        y = x.new_empty(count, scale * height, scale * width, self.outputs)
        rows = max(1, self.strip_bytes * height // (y.nbytes // count))
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
        super().__init__(len(weight), 1, slope, STRIP_BYTES)
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


class WinogradTileConv2d(nn.Module):
    """A 3x3 convolution of padding 1, then a leaky ReLU; height and width must be divisible by 4.

    Each 4x4 tile of the output is made from the 6x6 pixels that it depends on: 36 products for each
    pair of channels instead of 144. The additions are matrix products, and the 36 products one
    grouped convolution.

    Args:
        weight: [O, I, 3, 3].
        bias: [O].
        slope: of the leaky ReLU.
    """

    before: Tensor
    after: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, *, slope: float) -> None:
        super().__init__()
        self.outputs = len(weight)
        self.slope = slope
        taps = torch.tensor(_FILTER, dtype=torch.float64)
        factors = torch.einsum("ky,oiyx,lx->kloi", taps, weight.detach().double(), taps)
        biases = torch.zeros(36, self.outputs)
        biases[7] = bias.detach()  # the product that is part of all sixteen sums
        self.conv = PackedConv2d(
            factors.float().flatten(0, 2)[..., None, None], biases.flatten(), groups=36
        )
        self.register_buffer("before", _both_ways(_INPUT))
        self.register_buffer("after", _both_ways(_OUTPUT))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [N, I, H, W] -> [N, O, H, W], and activate."""
        count, _, height, width = x.shape
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        tiles = padded.unfold(1, 6, 4).unfold(2, 6, 4)  # [N, H / 4, W / 4, I, 6, 6]
        tiles = tiles.permute(0, 1, 2, 4, 5, 3).flatten(3, 4).flatten(0, 2)  # [tiles, 36, I]
        factors = (self.before @ tiles).flatten(1)
        products = self.conv(factors.T[None, :, None])  # [1, 36 * O, 1, tiles]
        products = products[0, :, 0].T.unflatten(1, (36, self.outputs))
        y = (self.after @ products).view(count, height // 4, width // 4, 4, 4, self.outputs)
        y = y.transpose(2, 3).reshape(count, height, width, self.outputs)
        return F.leaky_relu_(y, self.slope).permute(0, 3, 1, 2)


def _both_ways(matrix: tuple[tuple[int, ...], ...]) -> Tensor:
    """A transform of rows and columns as one matrix."""
    one_way = torch.tensor(matrix, dtype=torch.float32)
    return torch.kron(one_way, one_way)


class WinogradUpsampleConv2d(_Striped):
    """Nearest-neighbour doubling, a 3x3 convolution, a leaky ReLU.

    With taps a, b, c across, the columns 2j and 2j + 1 are

        (a + b + c) x[j] - a (x[j] - x[j - 1])   and   (a + b + c) x[j] + c (x[j + 1] - x[j]),

    3 products instead of 4 (or of 6, before the doubled pixels are summed); the same down the rows
    makes 9 instead of 16.

    Args:
        weight: [O, I, 3, 3].
        bias: [O].
        slope: of the leaky ReLU.
        dtype: that products are computed in; the output has the input's.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, *, slope: float, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(len(weight), 2, slope, UPSAMPLED_STRIP_BYTES)
        weight = weight.detach().double()
        down = {"all": weight.sum(2), "above": -weight[:, :, 0], "below": weight[:, :, 2]}
        parts = {  # kernels [O, I] by what they see of the rows and of the columns
            (row, column): kernel
            for row, across in down.items()
            for column, kernel in (
                ("all", across.sum(2)),
                ("above", -across[:, :, 0]),
                ("below", across[:, :, 2]),
            )
        }
        sides = ("above", "below")
        corners = [parts[row, column] for row in sides for column in sides]
        self.pixels = _products([parts["all", "all"]], dtype, bias)
        self.across = _products([parts["all", side] for side in sides], dtype)
        self.down = _products([parts[side, "all"] for side in sides], dtype)
        self.corners = _products(corners, dtype)

    def _rows(self, x: Tensor, y: Tensor) -> None:
        height, width = x.shape[1] - 2, x.shape[2] - 2
        steps = x[:, :, 1:] - x[:, :, :-1]
        inner = x[:, :, 1:-1]
        pixels = _applied(self.pixels, inner[:, 1:-1])
        across = _applied(self.across, steps[:, 1:-1]).unflatten(3, (2, -1))
        down = _applied(self.down, inner[:, 1:] - inner[:, :-1]).unflatten(3, (2, -1))
        corners = _applied(self.corners, steps[:, 1:] - steps[:, :-1]).unflatten(3, (2, 2, -1))
        for i in (0, 1):
            rows = slice(i, i + height)
            ahead = pixels + down[:, rows, :, i]
            for j in (0, 1):
                columns = slice(j, j + width)
                beside = across[:, :, columns, j] + corners[:, rows, columns, i, j]
                torch.add(ahead, beside, out=y[:, i::2, j::2])


def _products(
    kernels: list[Tensor], dtype: torch.dtype, bias: Tensor | None = None
) -> PackedConv2d:
    """One 1x1 convolution for several kernels [O, I]."""
    weight = torch.cat(kernels).float()[..., None, None]
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return PackedConv2d(weight, bias, dtype=dtype)


def _applied(conv: nn.Module, x: Tensor) -> Tensor:
    """A convolution of [N, H, W, C]."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
