"""Take MobileStyleGAN's weights from the graphs of its IR files; check every layer on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit.checkpoints.ir import Graph, Layer, Output
from latentedit.generators.mapped import MAPPING_GAIN
from latentedit.generators.wavelets import SLOPE

Array = NDArray[Any]
State = dict[str, Array]

_EPSILON = 1e-8  # of the pixel norm


class MismatchError(Exception):
    """A graph departs from MobileStyleGAN; the text says where."""


def walk_mapping(graph: Graph) -> State:
    """Return the weights of a mapping network: pixel norm, then dense, leaky ReLU, gain.

    Raises:
        MismatchError: it is another network.
    """
    layers = []
    at = _result(graph)
    while _is(at, "Multiply") and any(_is(source, "Const") for source in at.layer.sources):
        at, gain = _with_constant(at, "Multiply")
        _must_be(gain, MAPPING_GAIN)
        at, weight, bias = _dense(_leaky(at))
        layers.append({"weight": weight, "bias": bias})
    if not layers:
        raise _departs(at, "a gain")
    _pixel_norm(at)
    return _numbered("mapping", layers)


def walk_synthesis(graph: Graph) -> State:
    """Return the weights of a synthesis network, by the names that `MobileStyleGAN` gives them.

    Raises:
        MismatchError: it is another network.
    """
    at, bias = _with_constant(_inverse_haar(_result(graph)), "Add")
    at, weight = _convolved(at, "Convolution", padding=0)
    at, modulation = _modulated(at)
    to_image = modulation | {"weight": weight, "bias": bias.ravel()}
    blocks = []
    while (separable := _separable(at)) is not None:
        at, conv1 = separable
        separable = _separable(at)
        if separable is None:
            raise _departs(at, "a depthwise convolution")
        at, conv0 = separable
        at, enlarge = _modulated(_inverse_haar(at), "enlarge.")
        blocks.append(enlarge | _within("conv0", conv0) | _within("conv1", conv1))
    first = _first(at)
    return _within("first", first) | _numbered("blocks", blocks) | _within("to_image", to_image)


def _first(at: Output) -> State:
    """Return the first layer's weights: the learnt constant, modulated and convolved."""
    at, noise, bias = _activated(at)
    at, weight = _convolved(at, "Convolution", padding=1)
    at, modulation = _modulated(at)
    for kind in ("Tile", "Broadcast"):  # repeat the constant for each picture
        at = _sources(at, kind, 2)[0]
    return modulation | {
        "constant": _constant(at),
        "weight": weight,
        "noise": noise,
        "bias": bias.ravel(),
    }


def _separable(at: Output) -> tuple[Output, State] | None:
    """Go back over modulation, depthwise and pointwise convolution; None at a full convolution."""
    at, noise, bias = _activated(at)
    inner, _ = _with_constant(at, "Convolution")
    if not _is(inner, "GroupConvolution"):
        return None
    at, pointwise = _convolved(at, "Convolution", padding=0)
    at, depthwise = _convolved(at, "GroupConvolution", padding=1)
    at, modulation = _modulated(at)
    return at, modulation | {
        "depthwise": depthwise[:, 0],
        "pointwise": pointwise,
        "noise": noise,
        "bias": bias.ravel(),
    }


def _inverse_haar(at: Output) -> Output:
    """Go back over an inverse Haar transform of four bands: two doublings down, then one across."""
    low, high = _doubled(at, "1,2")
    mean, down = _doubled(low, "2,1")
    bands = [down, *_doubled(high, "2,1")]
    joined = []
    for place, band in enumerate(bands):
        split, axis = _with_constant(band, "Squeeze")
        _must_be(axis, 2)
        joined.append(_split(split, axis=2, place=place))
    channels = mean.layer.shapes[mean.place][1:2]
    reshaped = _sources(joined[0], "Reshape", 2)[0]
    if any(other.layer is not joined[0].layer for other in joined):
        raise _departs(joined[1], "the same bands")
    if joined[0].layer.shapes[0][1:3] != (*channels, 3):
        raise _departs(joined[0], "three bands for each channel")
    source = _split(mean, axis=1, place=0)
    if reshaped.layer is not mean.layer or _split(reshaped, axis=1, place=1) != source:
        raise _departs(reshaped, "the rest of the bands")
    return source


def _split(at: Output, *, axis: int, place: int) -> Output:
    """Return what is split along an axis; `at` must be the part at `place`."""
    if not _is(at, "VariadicSplit", place) or len(at.layer.sources) != 3:
        raise _departs(at, f"part {place} of a split")
    source, found, _ = at.layer.sources
    _must_be(_constant(found), axis)
    return source


def _doubled(at: Output, strides: str) -> tuple[Output, Output]:
    """Return the two bands that are doubled along an axis: the sums, then the differences."""
    found = []
    for source, sign in zip(_sources(at, "Add", 2), (1, -1), strict=True):
        inner, kernel = _with_constant(source, "GroupConvolutionBackpropData")
        wanted = {"strides": strides, "pads_begin": "0,0", "pads_end": "0,0", "dilations": "1,1"}
        _check(source.layer, {**wanted, "output_padding": "0,0", "auto_pad": "explicit"})
        taps = np.array([1, sign]) * 0.5**0.5
        down, across = map(int, strides.split(","))
        if kernel.shape[1:] != (1, 1, down, across) or not np.allclose(
            kernel.reshape(-1, 2), taps, rtol=0, atol=1e-6
        ):
            raise _departs(source, "an inverse Haar transform")
        found.append(inner)
    return found[0], found[1]


def _modulated(at: Output, prefix: str = "modulation.") -> tuple[Output, State]:
    """Return features, and the affine map from w to their scales, times any constant scale."""
    sources = _sources(at, "Multiply", 2)
    style, features = sources if _is_style(sources[0]) else sources[::-1]
    scale = np.float32(1)
    if _is(style, "Multiply"):
        style, constant = _with_constant(style, "Multiply")
        if constant.size != 1:
            raise _departs(style, "one scale")
        scale = np.float32(constant.ravel()[0])
    at, weight, bias = _dense(_sources(style, "Reshape", 2)[0])
    if not _is(at, "Parameter"):
        raise _departs(at, "the network's input")
    return features, {f"{prefix}weight": weight * scale, f"{prefix}bias": bias * scale}


def _is_style(at: Output) -> bool:
    scaled = _is(at, "Multiply") and any(_is(source, "Const") for source in at.layer.sources)
    return scaled or _is(at, "Reshape")


def _activated(at: Output) -> tuple[Output, Array, Array]:
    """Go back over leaky ReLU, bias [1, C, 1, 1] and noise [1, 1, s, s]; return noise and bias."""
    at, bias = _with_constant(_leaky(at), "Add")
    at, noise = _with_constant(at, "Add")
    return at, noise, bias


def _convolved(at: Output, kind: str, *, padding: int) -> tuple[Output, Array]:
    pads = f"{padding},{padding}"
    wanted = {"strides": "1,1", "dilations": "1,1", "pads_begin": pads, "pads_end": pads}
    _check(at.layer, {**wanted, "auto_pad": "explicit"})
    x, kernel = _with_constant(at, kind)
    if kernel.ndim != (5 if kind == "GroupConvolution" else 4):
        raise _departs(at, f"a kernel of another shape than {list(kernel.shape)}")
    return x, kernel


def _dense(at: Output) -> tuple[Output, Array, Array]:
    """Return x [1, I], weight [O, I] and bias [O] of a dense layer."""
    sources = _sources(at, "Add", 2)
    product, bias = sources if _is(sources[0], "MatMul") else sources[::-1]
    if _is(bias, "Reshape"):
        bias = bias.layer.sources[0]
    x, weight = _with_constant(product, "MatMul")
    _check(product.layer, {"transpose_a": "false", "transpose_b": "true"})
    return x, weight, _constant(bias).ravel()


def _leaky(at: Output) -> Output:
    at, slope = _with_constant(at, "PReLU")
    _must_be(slope, SLOPE)
    return at


def _pixel_norm(at: Output) -> None:
    """Check that `at` is x / sqrt(mean(x^2) + 1e-8) of the network's input x."""
    sources = _sources(at, "Multiply", 2)
    x, inverse = sources if _is(sources[0], "Parameter") else sources[::-1]
    steps = (
        ("Multiply", 1.0), ("Power", -1.0), ("Power", 0.5), ("Add", _EPSILON), ("ReduceMean", 1.0),
        ("Power", 2.0),
    )  # fmt: skip
    for kind, wanted in steps:
        inverse, constant = _with_constant(inverse, kind)
        _must_be(constant, wanted)
    if inverse != x or not _is(x, "Parameter"):
        raise _departs(x, "the network's input, normalised")


# Steps back ------------------------------------------------------------------------------------


def _result(graph: Graph) -> Output:
    return graph.of_type("Result")[0].sources[0]


def _is(at: Output, kind: str, place: int = 0) -> bool:
    return at.layer.type == kind and at.place == place


def _departs(at: Output, wanted: str) -> MismatchError:
    return MismatchError(f"{at.layer} stands where {wanted} is expected")


def _sources(at: Output, kind: str, count: int) -> tuple[Output, ...]:
    if not _is(at, kind) or len(at.layer.sources) != count:
        raise _departs(at, kind)
    return at.layer.sources


def _with_constant(at: Output, kind: str) -> tuple[Output, Array]:
    """Return the other input and the constant; in a sum or product either may come first."""
    first, second = _sources(at, kind, 2)
    if kind in ("Add", "Multiply") and _is(first, "Const"):
        first, second = second, first
    return first, _constant(second)


def _constant(at: Output) -> Array:
    if at.layer.value is None:
        raise _departs(at, "a constant")
    return at.layer.value


def _must_be(found: Array, wanted: float) -> None:
    if found.size != 1 or not np.allclose(found, wanted, rtol=1e-5, atol=0):
        raise MismatchError(f"{found.ravel()[:4].tolist()} stands where {wanted:g} is expected")


def _check(layer: Layer, wanted: dict[str, str]) -> None:
    for name, value in wanted.items():
        found = layer.attributes.get(name, "nothing").replace(" ", "")
        if found != value:
            raise MismatchError(f"{layer} has {name} {found[:40]!r}, not {value!r}")


# Names -----------------------------------------------------------------------------------------


def _within(prefix: str, state: State) -> State:
    return {f"{prefix}.{name}": value for name, value in state.items()}


def _numbered(prefix: str, states: list[State]) -> State:
    """Join the states of a list of modules, which are given from the last to the first."""
    numbered = enumerate(reversed(states))
    return {f"{prefix}.{n}.{name}": value for n, state in numbered for name, value in state.items()}
