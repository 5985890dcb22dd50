from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from latentedit.generators import layers

few = settings(max_examples=15)
edges = st.integers(1, 6)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_noise(layer: torch.nn.Module) -> torch.nn.Module:
    """The layer in float64 with random biases too."""
    layer = layer.double()
    with torch.no_grad():
        for seed, parameter in enumerate(layer.parameters(), start=50):
            parameter.copy_(noise(*parameter.shape, seed=seed))
    return layer


def both_gradients(output: Tensor, *inputs: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad((output * noise(*output.shape, seed=9)).sum(), inputs))


def assert_same_gradients(fast: Tensor, slow: Tensor, *wanted: Tensor) -> None:
    for mine, theirs in zip(
        both_gradients(fast, *wanted), both_gradients(slow, *wanted), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)


@few
@given(edges, edges, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_upsampling_convolution_is_doubling_then_3x3(
    height: int, width: int, inputs: int, outputs: int, count: int
) -> None:
    layer = with_noise(layers.UpsampleConv2d(inputs, outputs, 3))
    x = noise(count, inputs, height, width).requires_grad_()
    doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    slow = F.conv2d(doubled, layer.weight * layer.scale, layer.bias, padding=1)
    fast = layer(x)
    assert fast.shape == (count, outputs, 2 * height, 2 * width)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    assert_same_gradients(fast, slow, x, layer.weight, layer.bias)


@few
@given(edges, edges, st.integers(1, 4), st.integers(1, 3))
def test_smoothed_doubling_is_bilinear(height: int, width: int, channels: int, count: int) -> None:
    x = noise(count, channels, height, width)
    doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    smoothed = layers.Smooth().double()(doubled)
    bilinear = F.interpolate(x, scale_factor=2, mode="bilinear")
    inner = (..., slice(1, -1), slice(1, -1))  # outside the picture there are zeros
    assert smoothed.shape == bilinear.shape
    torch.testing.assert_close(smoothed[inner], bilinear[inner], rtol=0, atol=1e-12)


@few
@given(edges, edges, st.booleans(), st.integers(1, 4), st.integers(1, 4))
def test_downsampling_convolution_is_3x3_then_pooling(
    height: int, width: int, odd: bool, inputs: int, outputs: int
) -> None:
    layer = with_noise(layers.DownsampleConv2d(inputs, outputs, 3))
    x = noise(2, inputs, 2 * height + odd, 2 * width).requires_grad_()
    same_size = F.conv2d(x, layer.weight * layer.scale, layer.bias, padding=1)
    slow = F.avg_pool2d(same_size, 2)
    fast = layer(x)
    assert fast.shape == (2, outputs, height, width)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    assert_same_gradients(fast, slow, x, layer.weight, layer.bias)


@few
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
def test_a_box_kernel_is_the_kernel_after_a_2x2_box(kernel: int, inputs: int, outputs: int) -> None:
    weight, x = noise(outputs, inputs, kernel, kernel), noise(1, inputs, kernel + 2, kernel + 3)
    boxed = layers.box_kernel(weight)
    assert boxed.shape == (outputs, inputs, kernel + 1, kernel + 1)
    in_two_steps = F.conv2d(F.avg_pool2d(x, 2, stride=1) * 4, weight)
    torch.testing.assert_close(F.conv2d(x, boxed), in_two_steps, rtol=0, atol=1e-10)


def test_box_kernel_of_one_weight_is_four_of_it() -> None:
    assert layers.box_kernel(torch.full((1, 1, 1, 1), 3.0)).flatten().tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("layer", "fan_in", "gain"),
    [
        (layers.EqualizedConv2d(48, 5, 3), 48 * 9, math.sqrt(2)),
        (layers.EqualizedConv2d(48, 3, 1, gain=1.0), 48, 1.0),
        (layers.UpsampleConv2d(48, 5, 3), 48 * 9, math.sqrt(2)),
        (layers.DownsampleConv2d(48, 5, 3), 48 * 9, math.sqrt(2)),
        (layers.EqualizedLinear(512, 9, gain=math.sqrt(2) / 4), 512, math.sqrt(2) / 4),
    ],
)
def test_weights_are_standard_normal_and_scaled_by_he(
    layer: torch.nn.Module, fan_in: int, gain: float
) -> None:
    assert layer.scale == pytest.approx(gain / math.sqrt(fan_in), rel=1e-12)
    fresh = type(layer)(64, 200, *([3] if layer.weight.ndim == 4 else []))
    weight = fresh.weight.detach()
    assert weight.std() == pytest.approx(1, abs=0.03)
    assert weight.mean() == pytest.approx(0, abs=0.03)
    assert not fresh.bias.any()


@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
def test_the_gain_is_the_deviation_that_comes_out(gain: float) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        flat = layers.EqualizedLinear(512, 400, gain=gain)(torch.randn(50, 512))
        maps = layers.EqualizedConv2d(64, 64, 3, gain=gain)(torch.randn(4, 64, 12, 12))
    assert flat.std() == pytest.approx(gain, rel=0.05)
    assert maps[..., 1:-1, 1:-1].std() == pytest.approx(gain, rel=0.05)


def test_a_convolution_keeps_the_size_and_applies_scale_to_weights_only() -> None:
    layer = with_noise(layers.EqualizedConv2d(2, 3, 3))
    x = noise(2, 2, 5, 7)
    expected = F.conv2d(x, layer.weight * (math.sqrt(2) / math.sqrt(18)), layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)
    dense = with_noise(layers.EqualizedLinear(4, 3))
    flat = noise(2, 4)
    expected = flat @ dense.weight.T * (math.sqrt(2) / 2) + dense.bias
    torch.testing.assert_close(dense(flat), expected)


shapes = st.sampled_from([(3, 7), (2, 5, 3, 4), (1, 16, 2, 2)])


@given(shapes, st.integers(0, 99), st.floats(0.05, 1e3))
def test_pixel_norm_gives_every_pixel_unit_mean_square(
    shape: tuple[int, ...], seed: int, scale: float
) -> None:
    x = noise(*shape, seed=seed)
    y = layers.pixel_norm(x * scale)
    torch.testing.assert_close(
        y.square().mean(1), torch.ones_like(y[:, 0]), rtol=0, atol=1e-3 / scale
    )
    torch.testing.assert_close(y, layers.pixel_norm(x), rtol=1e-2 / scale, atol=1e-4)
    assert (y * x >= 0).all()


@few
@given(edges, edges, edges)
def test_normalized_leaky_relu_is_both_in_turn(count: int, channels: int, edge: int) -> None:
    x = noise(count, channels, edge, edge).requires_grad_()
    plain = layers.pixel_norm(F.leaky_relu(x, 0.2))
    fused = layers.normalized_leaky_relu(x)
    torch.testing.assert_close(fused, plain)
    weights = noise(count, channels, edge, edge, seed=1)
    wanted, got = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (plain, fused))
    torch.testing.assert_close(got, wanted)


def test_normalized_leaky_relu_of_nothing_is_nothing() -> None:
    x = torch.zeros(1, 3, 2, 2, requires_grad=True)
    y = layers.normalized_leaky_relu(x)
    y.sum().backward()
    assert not y.any()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_pixel_norm_of_nothing_is_nothing() -> None:
    x = torch.zeros(1, 8, 2, 2, requires_grad=True)
    layers.pixel_norm(x).sum().backward()
    assert not layers.pixel_norm(x).any()
    assert torch.isfinite(x.grad).all()


@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 99))
def test_minibatch_deviation_is_that_of_its_group(count: int, group: int, seed: int) -> None:
    x = noise(count, 3, 2, 2, seed=seed)
    out = layers.minibatch_stddev(x, group)
    assert out.shape == (count, 4, 2, 2)
    assert torch.equal(out[:, :3], x)
    pictures = x.numpy()
    groups = count // group if count % group == 0 else 1
    for index in range(count):
        mates = pictures[index % groups :: groups]  # every groups-th picture, as in the paper
        expected = np.sqrt(mates.var(axis=0) + 1e-8).mean()
        assert out[index, 3].numpy() == pytest.approx(expected, rel=1e-5)


def test_minibatch_deviation_sees_a_collapsed_batch() -> None:
    varied = noise(4, 3, 2, 2)
    same = varied[:1].expand(4, 3, 2, 2)
    assert layers.minibatch_stddev(same)[:, 3].max() == pytest.approx(1e-4, rel=1e-3)
    assert layers.minibatch_stddev(varied)[:, 3].min() > 0.3
