"""OpenVINO's IR files as inert data: an .xml that says what the layers are, a .bin of constants.

The standard library's expat reads the XML. Its handlers here set the limits: no document type (so
no entities), bounded size, depth and counts. Nothing here needs torch or OpenVINO.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any, NamedTuple
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from latentedit.errors import LatentEditError

LARGEST_XML = 8 * 2**20
LARGEST_BIN = 512 * 2**20
"""Largest files in bytes; MobileStyleGAN's have 0.4 and 31 MiB."""

_DEEPEST = 32
_MOST_ELEMENTS = 100_000
_MOST_LAYERS = 20_000
_VERSIONS = ("10", "11")

_TYPES = {"f32": "<f4", "f16": "<f2", "f64": "<f8", "i32": "<i4", "i64": "<i8", "u8": "u1"}

_NUMBER = re.compile(r"\s*[0-9]{1,12}\s*")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Constant:
    """Where the values of a ``Const`` layer lie in the .bin.

    Attributes:
        element_type: as the IR writes it, such as ``f32``.
        shape: () for one number.
        offset, size: in bytes.
    """

    element_type: str
    shape: Shape
    offset: int
    size: int


@dataclass(eq=False)
class Layer:
    """One layer, and what feeds it.

    Attributes:
        name, type: as the IR writes them.
        attributes: those of its ``data`` element.
        sources: what feeds its inputs, in order of their ports.
        shapes: those of its outputs, in order of their ports; -1 stands for any size.
        constant: for a ``Const``, where its values lie.
        value: a constant's values, read-only, once `attach` has set them; None if their type is
            unknown or there are none.
    """

    name: str
    type: str
    attributes: Mapping[str, str]
    sources: tuple[Output, ...]
    shapes: tuple[Shape, ...]
    constant: Constant | None = None
    value: NDArray[Any] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"layer {self.name[:60]!r} of type {self.type[:40]!r}"


class Output(NamedTuple):
    """One output of a layer; `place` counts its outputs from 0."""

    layer: Layer
    place: int


@dataclass(frozen=True)
class Graph:
    """A network as an IR describes it.

    Attributes:
        name: as the IR writes it.
        layers: in an order in which each layer comes after those that feed it.
    """

    name: str
    layers: tuple[Layer, ...]

    def of_type(self, kind: str) -> list[Layer]:
        """All layers of a type."""
        return [layer for layer in self.layers if layer.type == kind]

    @property
    def inputs(self) -> list[Shape]:
        """Shapes that the network takes."""
        return [layer.shapes[0] for layer in self.of_type("Parameter") if layer.shapes]

    @property
    def outputs(self) -> list[Shape]:
        """Shapes that the network gives."""
        sources = [layer.sources[0] for layer in self.of_type("Result") if layer.sources]
        return [layer.shapes[place] for layer, place in sources]

    def __str__(self) -> str:
        def few(shapes: list[Shape]) -> str:
            more = ", ..." if len(shapes) > 3 else ""
            return (", ".join(str(list(shape)) for shape in shapes[:3]) or "none") + more

        return f"{self.name[:60]!r} with inputs {few(self.inputs)} -> outputs {few(self.outputs)}"


def read_graph(xml: bytes, what: str) -> Graph:
    """Read the .xml of an IR; its constants have no values yet, see `attach`.

    Args:
        xml: the file's bytes.
        what: the file, for messages.

    Raises:
        LatentEditError: the XML is hostile or damaged, or no IR, or its layers and edges do not fit
            together.
    """
    if len(xml) > LARGEST_XML:
        raise LatentEditError(f"{what} is refused: it is larger than {LARGEST_XML:,} bytes")
    reader = _Reader(what)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse_document_type
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise LatentEditError(f"{what} is no XML ({error}): fetch it again") from None
    return _linked(reader)


def attach(graph: Graph, weights: bytes, what: str) -> None:
    """Give the graph's constants their values, views of the .bin.

    Raises:
        LatentEditError: a constant lies past the .bin's end, or two overlap but are not the same.
    """
    ranges: dict[tuple[int, int], Layer] = {}
    for layer in graph.of_type("Const"):
        constant = layer.constant
        if constant is None:
            continue
        start, end = constant.offset, constant.offset + constant.size
        if end > len(weights):
            raise LatentEditError(
                f"{what} has {len(weights):,} bytes, but {layer} ends at {end:,}: fetch it again"
            )
        ranges[start, end] = layer
        kind, count = _TYPES.get(constant.element_type), math.prod(constant.shape)
        if kind is not None and count:
            flat = np.frombuffer(weights, kind, count, start)
            layer.value = flat.reshape(constant.shape)
    filled = sorted(pair for pair in ranges if pair[1] > pair[0])
    for before, after in pairwise(filled):
        if after[0] < before[1]:
            raise LatentEditError(
                f"{what} is refused: {ranges[before]} and {ranges[after]} overlap"
            )


@dataclass
class _Raw:
    """A layer as it is read, before it is linked."""

    name: str
    type: str
    attributes: dict[str, str] = field(default_factory=dict)
    inputs: list[int] = field(default_factory=list)
    outputs: dict[int, list[int]] = field(default_factory=dict)


class _Reader:
    """Handlers of expat that collect an IR's layers and edges and refuse the rest early."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.name = ""
        self.layers: dict[int, _Raw] = {}
        self.edges: dict[tuple[int, int], tuple[int, int]] = {}
        self._path: list[str] = []
        self._elements = 0
        self._layer: _Raw | None = None
        self._text = ""

    def refuse_document_type(self, *_: Any) -> None:
        raise LatentEditError(f"{self.what} is refused: IR files have no document type or entities")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag)
        self._elements += 1
        if len(self._path) > _DEEPEST:
            raise LatentEditError(f"{self.what} is refused: its elements are nested too deep")
        if self._elements > _MOST_ELEMENTS:
            raise LatentEditError(f"{self.what} is refused: it has too many elements")
        if self._elements == 1:
            self._root(tag, attributes)
        match self._path:
            case ["net", "layers", "layer"]:
                self._start_layer(attributes)
            case ["net", "layers", "layer", "data"]:
                self._at().attributes = attributes
            case ["net", "layers", "layer", "input", "port"]:
                self._at().inputs.append(self._number(attributes.get("id")))
            case ["net", "layers", "layer", "output", "port"]:
                self._at().outputs[self._number(attributes.get("id"))] = []
            case ["net", "edges", "edge"]:
                self._edge(attributes)
            case [*_, "dim"]:
                self._text = ""

    def text(self, text: str) -> None:
        if self._path[-1] == "dim":
            self._text = (self._text + text)[:40]

    def end(self, tag: str) -> None:
        if self._path == ["net", "layers", "layer", "output", "port", "dim"]:
            outputs = self._at().outputs
            unknown = self._text.strip() == "-1"
            outputs[next(reversed(outputs))].append(-1 if unknown else self._number(self._text))
        self._path.pop()

    def _root(self, tag: str, attributes: dict[str, str]) -> None:
        if tag != "net":
            raise LatentEditError(f"{self.what} is no OpenVINO IR: its root is {tag[:40]!r}")
        version = attributes.get("version", "")
        if version not in _VERSIONS:
            raise LatentEditError(
                f"{self.what} is an IR of version {version[:20]!r}: give version "
                f"{' or '.join(_VERSIONS)}, which OpenVINO has written since 2020"
            )
        self.name = attributes.get("name", "")

    def _start_layer(self, attributes: dict[str, str]) -> None:
        number = self._number(attributes.get("id"))
        if number in self.layers:
            raise LatentEditError(f"{self.what} is damaged: two layers have the id {number}")
        if len(self.layers) == _MOST_LAYERS:
            raise LatentEditError(f"{self.what} is refused: it has too many layers")
        self._layer = _Raw(attributes.get("name", ""), attributes.get("type", ""))
        self.layers[number] = self._layer

    def _edge(self, attributes: dict[str, str]) -> None:
        ends = [f"{side}-{part}" for side in ("to", "from") for part in ("layer", "port")]
        to, to_port, source, source_port = (self._number(attributes.get(end)) for end in ends)
        if (to, to_port) in self.edges:
            raise LatentEditError(f"{self.what} is damaged: layer {to} has an input fed twice")
        self.edges[to, to_port] = source, source_port

    def _at(self) -> _Raw:
        assert self._layer is not None  # its element is open
        return self._layer

    def _number(self, text: str | None) -> int:
        return whole_number(text, self.what)


def whole_number(text: str | None, what: str) -> int:
    """Read a whole number of at most 12 digits.

    Raises:
        LatentEditError: the text is anything else.
    """
    if text is None or _NUMBER.fullmatch(text) is None:
        shown = "nothing" if text is None else repr(text[:40])
        raise LatentEditError(f"{what} is damaged: {shown} stands where a whole number should")
    return int(text)


def _linked(reader: _Reader) -> Graph:
    """Replace ids by layers, in an order in which each layer comes after its sources."""
    what = reader.what
    raws = reader.layers
    if not raws:
        raise LatentEditError(f"{what} is no OpenVINO IR: it has no layers")
    needs: dict[int, list[tuple[int, int]]] = {}
    for number, raw in raws.items():
        ends = [reader.edges.get((number, port)) for port in raw.inputs]
        known = [end for end in ends if end and end[0] in raws and end[1] in raws[end[0]].outputs]
        if len(known) != len(ends):
            raise LatentEditError(
                f"{what} is damaged: layer {raw.name[:60]!r} has an input that nothing feeds"
            )
        needs[number] = known
    fed = Counter(to for to, _ in reader.edges)
    stray = next((to for to in fed if to not in raws or fed[to] > len(raws[to].inputs)), None)
    if stray is not None:
        raise LatentEditError(f"{what} is damaged: an edge leads to no input of layer {stray}")
    graph = {number: {source for source, _ in ends} for number, ends in needs.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError:
        raise LatentEditError(f"{what} is damaged: its layers go in a circle") from None
    layers: dict[int, Layer] = {}
    for number in order:
        raw = raws[number]
        sources = (
            Output(layers[source], list(raws[source].outputs).index(port))
            for source, port in needs[number]
        )
        shapes = tuple(tuple(dims) for dims in raw.outputs.values())
        constant = _constant(raw, what) if raw.type == "Const" else None
        layers[number] = Layer(raw.name, raw.type, raw.attributes, tuple(sources), shapes, constant)
    return Graph(reader.name, tuple(layers.values()))


def _constant(raw: _Raw, what: str) -> Constant:
    named = f"{what}, constant {raw.name[:60]!r},"
    text = raw.attributes.get("shape", "")
    sizes = text.split(",") if text.strip() else []
    if len(sizes) > 8:
        raise LatentEditError(f"{named} is refused: it has {len(sizes)} axes")
    shape = tuple(whole_number(size, named) for size in sizes)
    offset, size = (whole_number(raw.attributes.get(key), named) for key in ("offset", "size"))
    kind = raw.attributes.get("element_type", "")
    if kind in _TYPES and math.prod(shape) * np.dtype(_TYPES[kind]).itemsize != size:
        raise LatentEditError(
            f"{named} is damaged: {size:,} bytes do not hold {list(shape)} of type {kind}"
        )
    return Constant(kind, shape, offset, size)
