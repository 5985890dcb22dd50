"""The convolutions of `SlidesNetwork`, forward and backward, compiled for training on a CPU.

These layers compute little. Run layer by layer, memory and calls cost more than the products. So
here one channel of one picture passes through all layers while it lies in the nearest cache. numba
compiles the loops, and torch's threads share the pictures of a batch. Everything is float32.

A plane is one channel of one picture, [(E + 2) * (E + 2)]: its rows one after the other, with a
border of zeros, which is the convolutions' padding. For each value after pooling, its place in the
larger plane is kept. Place 0, a corner of the border, means that ReLU cut the value off.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from latentedit.portrait.baseline import CHANNELS, EDGE, SlidesNetwork

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]
Places = NDArray[np.uint16]
Batch = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]
"""Pictures [N, 3, 96, 96], rows [M] of them, and which rows are mirrored [M]."""

HALF, QUARTER, EIGHTH = EDGE // 2, EDGE // 4, EDGE // 8
ROW, HALF_ROW, QUARTER_ROW = EDGE + 2, HALF + 2, QUARTER + 2
ZERO = np.float32(0)


class Weights(NamedTuple):
    """Kernels [C, 9] ([32, 3] of the 1x1 convolution) and biases [C], or their gradients."""

    kernel0: Floats
    bias0: Floats
    pointwise: Floats
    pointwise_bias: Floats
    kernel1: Floats
    bias1: Floats
    kernel2: Floats
    bias2: Floats


class Kept(NamedTuple):
    """What the backward pass needs of N pictures: planes after pooling, and places of values."""

    pooled0: Floats  # [N, 3, 50 * 50]
    places0: Places
    pooled1: Floats  # [N, 32, 26 * 26]
    places1: Places
    places2: Places  # [N, 32, 12 * 12], without a border

    def rows(self, part: slice) -> Kept:
        """Return the same for a part of the pictures, in the same memory."""
        a, b, c, d, e = self
        return Kept(a[part], b[part], c[part], d[part], e[part])


class Convolutions:
    """`SlidesNetwork.features` of a network, for training.

    Args:
        network: on the CPU, in float32.
        most: largest number of pictures at a time.

    What the gradient of a batch needs is overwritten by the next batch: take the gradient first.
    """

    def __init__(self, network: SlidesNetwork, most: int) -> None:
        layers = (network.depthwise0, network.pointwise, network.depthwise1, network.depthwise2)
        self.parameters: list[Tensor] = [p for layer in layers for p in layer.parameters()]
        self.threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(max(1, self.threads - 1))
        self.kept = Kept(
            np.zeros((most, 3, HALF_ROW**2), np.float32),
            np.zeros((most, 3, HALF_ROW**2), np.uint16),
            np.zeros((most, CHANNELS, QUARTER_ROW**2), np.float32),
            np.zeros((most, CHANNELS, QUARTER_ROW**2), np.uint16),
            np.zeros((most, CHANNELS, EIGHTH**2), np.uint16),
        )

    def __call__(self, images: Tensor, rows: Tensor, *, mirror: bool = True) -> Tensor:
        """Return features float32 [M, 4608] of rows [M] of uint8 [N, 3, 96, 96].

        With `mirror` the second half is mirrored. Rows come in random order, so that half is random
        too.
        """
        unturned = len(rows) // 2 if mirror else len(rows)
        batch = images.numpy(), rows.numpy(), np.arange(len(rows)) >= unturned
        found: Tensor = _Features.apply(self, batch, *self.parameters)  # type: ignore[no-untyped-call]
        return found

    def weights(self) -> Weights:
        """Return the current weights. The first kernel includes the pixels' factor 1/255."""
        arrays = [p.detach().numpy() for p in self.parameters]
        weights = Weights(*(a.reshape(len(a), -1) if a.ndim > 1 else a for a in arrays))
        return weights._replace(kernel0=weights.kernel0 / np.float32(255))

    def share(self, count: int, work: Callable[[slice], Any]) -> list[Any]:
        """Work on `count` pictures, a part in each thread; the first part in the calling thread."""
        edges = [count * part // self.threads for part in range(self.threads + 1)]
        parts = [slice(a, b) for a, b in pairwise(edges)]
        others = [self._pool.submit(work, part) for part in parts[1:]]
        return [work(parts[0]), *(other.result() for other in others)]


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        convolutions: Convolutions,
        batch: Batch,
        *parameters: Tensor,
    ) -> Tensor:
        images, rows, mirrored = batch
        weights, kept = convolutions.weights(), convolutions.kept
        features = np.empty((len(rows), CHANNELS, EIGHTH**2), np.float32)

        def work(part: slice) -> None:
            mine = kept.rows(part)
            forward(images, rows[part], mirrored[part], weights, mine, features[part])

        convolutions.share(len(rows), work)
        ctx.call = convolutions, batch, weights
        return torch.from_numpy(features).flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        convolutions, (images, rows, mirrored), weights = ctx.call
        gradient = gradients[0].contiguous().numpy().reshape(len(rows), CHANNELS, EIGHTH**2)

        def work(part: slice) -> Weights:
            mine = convolutions.kept.rows(part)
            sums = Weights(*map(np.zeros_like, weights))
            backward(images, rows[part], mirrored[part], weights, mine, gradient[part], sums)
            return sums

        parts = convolutions.share(len(rows), work)
        sums = Weights(*(np.sum(arrays, axis=0) for arrays in zip(*parts, strict=True)))
        sums = sums._replace(kernel0=sums.kernel0 / np.float32(255))
        shapes = (p.shape for p in convolutions.parameters)
        found = (torch.from_numpy(a).view(s) for a, s in zip(sums, shapes, strict=True))
        return None, None, *found


def _compiled(function: Function) -> Function:
    """Compile without the interpreter's lock. Sums may be reordered, so they can be vectorised."""
    compile_ = njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
    return cast(Function, compile_(function))


@_compiled
def forward(
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    mirrored: NDArray[np.bool_],
    weights: Weights,
    kept: Kept,
    features: Floats,
) -> None:
    """Fill `features` [M, 32, 144] and `kept` from rows [M] of `images`."""
    plane = np.zeros(ROW * ROW, np.float32)
    wide = np.zeros(HALF_ROW * HALF_ROW, np.float32)
    pair = np.empty((2, EDGE), np.float32)
    for n in range(len(rows)):
        for k in range(3):
            read(images[rows[n], k], mirrored[n], plane)
            pooled, places = kept.pooled0[n, k], kept.places0[n, k]
            kernel, bias = weights.kernel0[k], weights.bias0[k]
            convolve_and_pool(plane, ROW, kernel, bias, pair, pooled, HALF, 1, places)
        for c in range(CHANNELS):
            mix(kept.pooled0[n], weights.pointwise[c], weights.pointwise_bias[c], wide)
            pooled, places = kept.pooled1[n, c], kept.places1[n, c]
            kernel, bias = weights.kernel1[c], weights.bias1[c]
            convolve_and_pool(wide, HALF_ROW, kernel, bias, pair, pooled, QUARTER, 1, places)
            last, places = features[n, c], kept.places2[n, c]
            kernel, bias = weights.kernel2[c], weights.bias2[c]
            convolve_and_pool(pooled, QUARTER_ROW, kernel, bias, pair, last, EIGHTH, 0, places)


@_compiled
def backward(
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    mirrored: NDArray[np.bool_],
    weights: Weights,
    kept: Kept,
    gradient: Floats,
    sums: Weights,
) -> None:
    """Add the weights' gradients to `sums`, from the features' gradient [M, 32, 144]."""
    plane = np.zeros(ROW * ROW, np.float32)
    wide = np.zeros(HALF_ROW * HALF_ROW, np.float32)
    # gradients of the convolutions' outputs, before pooling
    of0 = np.zeros(ROW * ROW, np.float32)
    of1 = np.zeros(HALF_ROW * HALF_ROW, np.float32)
    of2 = np.zeros(QUARTER_ROW * QUARTER_ROW, np.float32)
    # gradients of the convolutions' inputs
    of_wide = np.zeros(HALF_ROW * HALF_ROW, np.float32)
    of_pooled1 = np.zeros(QUARTER_ROW * QUARTER_ROW, np.float32)
    of_pooled0 = np.empty((3, HALF_ROW * HALF_ROW), np.float32)
    for n in range(len(rows)):
        of_pooled0[:] = 0
        for c in range(CHANNELS):
            sums.bias2[c] += put_back(gradient[n, c], kept.places2[n, c], of2)
            add_products(of2, kept.pooled1[n, c], QUARTER_ROW, sums.kernel2[c])
            convolve_back(of2, QUARTER_ROW, weights.kernel2[c], of_pooled1)
            sums.bias1[c] += put_back(of_pooled1, kept.places1[n, c], of1)
            # to compute it again is cheaper than to keep it
            mix(kept.pooled0[n], weights.pointwise[c], weights.pointwise_bias[c], wide)
            add_products(of1, wide, HALF_ROW, sums.kernel1[c])
            convolve_back(of1, HALF_ROW, weights.kernel1[c], of_wide)
            sums.pointwise_bias[c] += mix_back(
                of_wide, wide, kept.pooled0[n], weights.pointwise[c], of_pooled0, sums.pointwise[c]
            )
        for k in range(3):
            sums.bias0[k] += put_back(of_pooled0[k], kept.places0[n, k], of0)
            read(images[rows[n], k], mirrored[n], plane)
            add_products(of0, plane, ROW, sums.kernel0[k])


@_compiled
def read(image: NDArray[np.uint8], mirrored: bool, plane: Floats) -> None:
    """Put a channel [96, 96] into a plane."""
    for y in range(EDGE):
        source, target = image[y], plane[(y + 1) * ROW + 1 :]
        if mirrored:
            for x in range(EDGE):
                target[x] = source[EDGE - 1 - x]
        else:
            for x in range(EDGE):
                target[x] = source[x]


@_compiled
def mix(pooled: Floats, weight: Floats, bias: np.float32, wide: Floats) -> None:
    """Compute one channel of the 1x1 convolution and ReLU from three planes of 48x48."""
    w0, w1, w2 = weight
    for y in range(1, HALF + 1):
        start, end = y * HALF_ROW + 1, y * HALF_ROW + 1 + HALF
        target = wide[start:end]
        red, green, blue = pooled[0, start:end], pooled[1, start:end], pooled[2, start:end]
        for x in range(HALF):
            target[x] = max(ZERO, bias + w0 * red[x] + w1 * green[x] + w2 * blue[x])


@_compiled
def mix_back(
    gradient: Floats, wide: Floats, pooled: Floats, weight: Floats, of_pooled: Floats, sums: Floats
) -> np.float32:
    """Go back through `mix`: add to the gradients of the three planes and of the weights.

    Return the bias's gradient. The gradient of values that ReLU cut off is set to zero.
    """
    red, green, blue = pooled[0], pooled[1], pooled[2]
    s0 = s1 = s2 = total = ZERO
    for i in range(len(gradient)):
        value = gradient[i] if wide[i] > 0 else ZERO
        gradient[i] = value
        total += value
        s0 += value * red[i]
        s1 += value * green[i]
        s2 += value * blue[i]
    sums[0] += s0
    sums[1] += s1
    sums[2] += s2
    w0, w1, w2 = weight
    of_red, of_green, of_blue = of_pooled[0], of_pooled[1], of_pooled[2]
    for i in range(len(gradient)):
        value = gradient[i]
        of_red[i] += w0 * value
        of_green[i] += w1 * value
        of_blue[i] += w2 * value
    return total


@_compiled
def convolve_and_pool(
    plane: Floats,
    row: int,
    kernel: Floats,
    bias: np.float32,
    pair: Floats,
    pooled: Floats,
    edge: int,
    border: int,
    places: Places,
) -> None:
    """3x3 convolution, 2x2 max pooling and ReLU of a plane, in pairs of rows.

    Args:
        plane: a plane with rows of length `row`.
        pair: memory for two rows.
        pooled: is filled: `edge` rows and columns, with a border (1) or without (0).
        places: is filled in the same way.
    """
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = kernel
    upper, lower = pair[0], pair[1]
    for y in range(edge):
        a, b = plane[2 * y * row :], plane[(2 * y + 1) * row :]
        c, d = plane[(2 * y + 2) * row :], plane[(2 * y + 3) * row :]
        for x in range(2 * edge):
            b0, b1, b2 = b[x], b[x + 1], b[x + 2]
            c0, c1, c2 = c[x], c[x + 1], c[x + 2]
            above = w0 * a[x] + w1 * a[x + 1] + w2 * a[x + 2] + w3 * b0 + w4 * b1 + w5 * b2
            upper[x] = bias + above + w6 * c0 + w7 * c1 + w8 * c2
            below = w3 * c0 + w4 * c1 + w5 * c2 + w6 * d[x] + w7 * d[x + 1] + w8 * d[x + 2]
            lower[x] = bias + below + w0 * b0 + w1 * b1 + w2 * b2
        start = (y + border) * (edge + 2 * border) + border
        values, sources = pooled[start:], places[start:]
        first, down = np.uint16((2 * y + 1) * row + 1), np.uint16(row)
        for x in range(edge):
            source = found = np.uint16(first + 2 * x)
            largest = upper[2 * x]
            if upper[2 * x + 1] > largest:
                found = np.uint16(source + 1)
            largest = max(largest, upper[2 * x + 1])
            if lower[2 * x] > largest:
                found = np.uint16(source + down)
            largest = max(largest, lower[2 * x])
            if lower[2 * x + 1] > largest:
                found = np.uint16(source + down + 1)
            largest = max(largest, lower[2 * x + 1])
            values[x] = max(largest, ZERO)
            sources[x] = found if largest > 0 else np.uint16(0)


@_compiled
def put_back(gradient: Floats, places: Places, plane: Floats) -> np.float32:
    """Go back through pooling and ReLU; return the sum of the gradient that passed."""
    plane[:] = 0
    for i in range(len(places)):
        plane[places[i]] = gradient[i]
    plane[0] = 0
    total = ZERO
    for i in range(len(plane)):
        total += plane[i]
    return total


@_compiled
def add_products(gradient: Floats, plane: Floats, row: int, sums: Floats) -> None:
    """Add a kernel's gradient [9], from the gradient of its output and from its input plane."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = ZERO
    middle = gradient[row + 1 :]
    b, c = plane[row:], plane[2 * row :]
    for i in range((row - 2) * row - 2):
        value = middle[i]
        s0 += value * plane[i]
        s1 += value * plane[i + 1]
        s2 += value * plane[i + 2]
        s3 += value * b[i]
        s4 += value * b[i + 1]
        s5 += value * b[i + 2]
        s6 += value * c[i]
        s7 += value * c[i + 1]
        s8 += value * c[i + 2]
    for k, value in enumerate((s0, s1, s2, s3, s4, s5, s6, s7, s8)):
        sums[k] += value


@_compiled
def convolve_back(gradient: Floats, row: int, kernel: Floats, plane: Floats) -> None:
    """Compute the gradient of a convolution's input: convolve with the kernel turned round."""
    # repeats the products of `convolve_and_pool`: with a shared function training took twice as
    # long, with an inlined one 6 % longer
    w8, w7, w6, w5, w4, w3, w2, w1, w0 = kernel
    for y in range((row - 2) // 2):
        a, b = gradient[2 * y * row :], gradient[(2 * y + 1) * row :]
        c, d = gradient[(2 * y + 2) * row :], gradient[(2 * y + 3) * row :]
        upper, lower = plane[(2 * y + 1) * row + 1 :], plane[(2 * y + 2) * row + 1 :]
        for x in range(row - 2):
            b0, b1, b2 = b[x], b[x + 1], b[x + 2]
            c0, c1, c2 = c[x], c[x + 1], c[x + 2]
            above = w0 * a[x] + w1 * a[x + 1] + w2 * a[x + 2] + w3 * b0 + w4 * b1 + w5 * b2
            upper[x] = above + w6 * c0 + w7 * c1 + w8 * c2
            below = w3 * c0 + w4 * c1 + w5 * c2 + w6 * d[x] + w7 * d[x + 1] + w8 * d[x + 2]
            lower[x] = below + w0 * b0 + w1 * b1 + w2 * b2
