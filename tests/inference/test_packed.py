"""Packed convolutions compute what torch's plain operators do."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from latentedit.inference.packed import PackedConv2d, can_pack

CPU = torch.device("cpu")

forms = pytest.mark.parametrize(
    "packed",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.skipif(
                not can_pack(CPU, torch.float32), reason="this torch has no oneDNN"
            ),
        ),
    ],
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@forms
def test_groups_see_their_own_channels(packed: bool) -> None:
    x, weight, bias = noise(2, 12, 3, 5), noise(6, 4, 1, 1, seed=1), noise(6, seed=2)
    layer = PackedConv2d(weight, bias, slope=0.2, groups=3, packed=packed)
    expected = F.leaky_relu(F.conv2d(x, weight, bias, groups=3), 0.2)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)


@forms
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
    st.sampled_from((1, 3)),
    st.sampled_from((1, 2)),
    st.sampled_from((0.0, 0.2, 1.0)),
)
def test_convolution(
    packed: bool,
    counts: tuple[int, int, int],
    edges: tuple[int, int],
    kernel: int,
    stride: int,
    slope: float,
) -> None:
    count, inputs, outputs = counts
    x = noise(count, inputs, *edges)
    weight, bias = noise(outputs, inputs, kernel, kernel, seed=1), noise(outputs, seed=2)
    layer = PackedConv2d(
        weight, bias, stride=stride, padding=kernel // 2, slope=slope, packed=packed
    )
    expected = F.leaky_relu(F.conv2d(x, weight, bias, stride, kernel // 2), slope)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)
    last = noise(count, inputs, edges[0] + 3, edges[1])  # packed for another size
    expected = F.leaky_relu(F.conv2d(last, weight, bias, stride, kernel // 2), slope)
    torch.testing.assert_close(layer(last), expected, rtol=1e-4, atol=1e-4)


@forms
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 7), st.integers(1, 7))
def test_transposed_convolution(
    packed: bool, inputs: int, outputs: int, height: int, width: int
) -> None:
    x, weight, bias = noise(2, inputs, height, width), noise(inputs, outputs, 4, 4), noise(outputs)
    layer = PackedConv2d(
        weight, bias, stride=2, padding=1, slope=0.2, transposed=True, packed=packed
    )
    expected = F.leaky_relu(F.conv_transpose2d(x, weight, bias, 2, 1), 0.2)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)


@forms
def test_shortcut_is_added_before_the_relu(packed: bool) -> None:
    x, weight, bias, shortcut = noise(1, 4, 6, 6), noise(8, 4, 3, 3), noise(8), noise(1, 8, 6, 6)
    layer = PackedConv2d(weight, bias, padding=1, slope=0, packed=packed)
    expected = F.relu(F.conv2d(x, weight, bias, padding=1) + shortcut)
    torch.testing.assert_close(layer(x, shortcut), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not can_pack(CPU, torch.bfloat16), reason="this CPU has no bfloat16")
def test_bfloat16() -> None:
    x, weight, bias = noise(1, 16, 8, 8), noise(16, 16, 3, 3), noise(16)
    y = PackedConv2d(weight, bias, padding=1, dtype=torch.bfloat16)(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(
        y.float(), F.conv2d(x, weight, bias, padding=1), rtol=0.02, atol=0.15
    )


def test_only_a_cpu_is_packed_for() -> None:
    assert not can_pack(torch.device("cuda"), torch.float32)
    assert not can_pack(torch.device("mps"), torch.float32)
