"""Convolutions with fewer products give what plain ones do."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from latentedit.inference.packed import can_pack
from latentedit.inference.winograd import WinogradConv2d, WinogradTileConv2d, WinogradUpsampleConv2d

pytestmark = pytest.mark.skipif(
    not can_pack(torch.device("cpu"), torch.float32), reason="this torch has no oneDNN"
)

counts, channels = st.integers(1, 2), st.integers(1, 20)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(counts, channels, channels, st.integers(1, 9), st.integers(1, 4), st.integers(1, 9))
@torch.inference_mode()
def test_convolution(
    count: int, inputs: int, outputs: int, height: int, tiles: int, rows: int
) -> None:
    x, bias = noise(count, inputs, height, 4 * tiles), noise(outputs, seed=1)
    weight = noise(outputs, inputs, 3, 3, seed=2) / (9 * inputs) ** 0.5
    layer = WinogradConv2d(weight, bias, slope=0.2)
    layer.strip_bytes = rows * 4 * tiles * outputs * 4
    y = layer(x)
    expected = F.leaky_relu(F.conv2d(x, weight, bias, padding=1), 0.2)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-4)


@given(counts, channels, channels, st.integers(1, 3), st.integers(1, 3))
@torch.inference_mode()
def test_tiles(count: int, inputs: int, outputs: int, down: int, across: int) -> None:
    x, bias = noise(count, inputs, 4 * down, 4 * across), noise(outputs, seed=1)
    weight = noise(outputs, inputs, 3, 3, seed=2) / (9 * inputs) ** 0.5
    y = WinogradTileConv2d(weight, bias, slope=0.2)(x)
    expected = F.leaky_relu(F.conv2d(x, weight, bias, padding=1), 0.2)
    torch.testing.assert_close(y, expected, rtol=0, atol=3e-4)


@given(counts, channels, channels, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
@torch.inference_mode()
def test_doubling_and_convolution(
    count: int, inputs: int, outputs: int, height: int, width: int, rows: int
) -> None:
    x, bias = noise(count, inputs, height, width), noise(outputs, seed=1)
    weight = noise(outputs, inputs, 3, 3, seed=2) / (9 * inputs) ** 0.5
    layer = WinogradUpsampleConv2d(weight, bias, slope=0.2)
    layer.strip_bytes = rows * 4 * width * outputs * 4
    y = layer(x)
    doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = F.leaky_relu(F.conv2d(doubled, weight, bias, padding=1), 0.2)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-4)


@pytest.mark.skipif(
    not can_pack(torch.device("cpu"), torch.bfloat16), reason="this CPU has no bfloat16"
)
@torch.inference_mode()
def test_doubling_in_bfloat16() -> None:
    x, weight, bias = noise(1, 32, 8, 8), noise(16, 32, 3, 3, seed=2) / 17, noise(16, seed=1)
    exact = WinogradUpsampleConv2d(weight, bias, slope=0.2)(x)
    y = WinogradUpsampleConv2d(weight, bias, slope=0.2, dtype=torch.bfloat16)(x)
    assert y.dtype == torch.float32
    error = (y - exact).abs()
    assert 0 < error.mean() < 0.01
    assert error.max() < 0.1
