"""Foreign generators are tried before they are accepted: as functions, modules and ONNX files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from latentedit.checkpoints import convert
from latentedit.errors import LatentEditError
from latentedit.generators.adapters import adapt
from latentedit.generators.onnx import OnnxGenerator
from latentedit.generators.onnx_files import external_files
from latentedit.generators.trials import FACES, try_generator
from latentedit.pretrained.bundles import load_generator
from latentedit.pretrained.hashing import weights_hash

WEIGHT = np.random.RandomState(0).randn(10, 48).astype(np.float32)
LATENTS = torch.from_numpy(np.random.RandomState(1).randn(FACES, 10).astype(np.float32))


def good(z: torch.Tensor) -> torch.Tensor:
    return torch.tanh(z @ torch.from_numpy(WEIGHT)).reshape(-1, 3, 4, 4)


def with_nan(z):
    return torch.where(
        z[:, :1, None, None] > LATENTS[1:2, :1, None, None] - 1e-6, torch.nan, good(z)
    )


def over_the_batch(z):
    return good(z) - good(z).mean(0, keepdim=True) / 2


BAD = {
    "NaN": with_nan,
    "another picture of the same latent": lambda z: good(z) + 0.1 * torch.randn(len(z), 3, 4, 4),
    "same picture of every latent": lambda z: torch.full((len(z), 3, 4, 4), 0.3),
    "nearly all black or white": lambda z: 127 + 127 * good(z),
    "otherwise in a batch": over_the_batch,
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_refused(words):
    with pytest.raises(LatentEditError, match=words):
        try_generator(BAD[words], LATENTS)


def test_what_is_accepted():
    assert try_generator(good, LATENTS) == []
    assert try_generator(lambda z: 1.3 * good(z), LATENTS) == []  # no tanh at the end
    assert try_generator(lambda z: 127.5 + 127.5 * good(z), LATENTS, (0, 255)) == []
    (note,) = try_generator(lambda z: 0.5 + 0.5 * good(z), LATENTS)
    assert "where black is 0" in note


def test_a_range_that_is_far_too_wide():
    with pytest.raises(LatentEditError, match=r"same picture.*black was to be 0, white 255"):
        try_generator(lambda z: 0.4 * good(z), LATENTS, (0, 255))


class Module(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, z):
        return self.function(z)


@pytest.mark.parametrize("words", [name for name in BAD if name != "NaN"])
def test_modules_are_tried(words):
    with pytest.raises(LatentEditError, match=words):
        adapt(Module(BAD[words]), 10)
    assert adapt(Module(good), 10).notes == []


def test_modules_that_give_bytes():
    with pytest.raises(LatentEditError, match="gave uint8: let it give floating"):
        adapt(Module(lambda z: (127 + 127 * good(z)).to(torch.uint8)), 10, value_range=(0, 255))


@pytest.mark.parametrize(
    ("shape", "words"), [((4, 4, 3), "colours come last"), ((3, 4, 8), "not square")]
)
def test_modules_that_give_another_shape(shape, words):
    with pytest.raises(LatentEditError, match=words):
        adapt(Module(lambda z: torch.rand(len(z), *shape)), 10)


def write(path: Path, kind: str = "good", batch: int | str = "n", external: bool = False) -> Path:
    """tanh(z @ weight) as [N, 3, 4, 4], or what `kind` makes of it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    types = {"half": TensorProto.FLOAT16, "double": TensorProto.DOUBLE, "ids": TensorProto.INT64}
    given = types.get(kind, TensorProto.FLOAT)
    nodes = [
        helper.make_node("Cast", ["z"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "weight"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
    ]
    last, result = "b", TensorProto.FLOAT
    constants = {"weight": WEIGHT, "shape": np.array([-1, 3, 4, 4])}
    if kind == "noise":
        nodes.append(helper.make_node("RandomNormalLike", ["b"], ["r"]))
        nodes.append(helper.make_node("Add", ["b", "r"], ["c"]))
        last = "c"
    elif kind == "nan":
        nodes.append(helper.make_node("Log", ["b"], ["c"]))
        last = "c"
    elif kind == "constant":
        constants["zero"] = np.float32(0)
        nodes.append(helper.make_node("Mul", ["b", "zero"], ["c"]))
        last = "c"
    elif kind == "bytes":
        nodes.append(helper.make_node("Cast", ["b"], ["c"], to=TensorProto.UINT8))
        last, result = "c", TensorProto.UINT8
    nodes.append(helper.make_node("Reshape", [last, "shape"], ["image"]))
    inputs = [helper.make_tensor_value_info("z", given, [batch, 10])]
    if kind == "labels":
        inputs.append(helper.make_tensor_value_info("labels", TensorProto.FLOAT, [batch, 5]))
        nodes.append(helper.make_node("Identity", ["labels"], ["unused"]))
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    output = helper.make_tensor_value_info("image", result, [batch, 3, 4, 4])
    graph = helper.make_graph(nodes, "generator", inputs, [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = (
        {"save_as_external_data": True, "location": f"{path.name}.data", "size_threshold": 1024}
        if external
        else {}
    )
    onnx.save(model, str(path), **options)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("noise", "another picture of the same latent"),
        ("nan", "NaN or infinity"),
        ("constant", "same picture of every latent"),
        ("bytes", "gave uint8"),
        ("ids", "no floating-point latents"),
        ("labels", r"2 inputs \(z, labels\)"),
    ],
)
def test_onnx_files_that_are_refused(tmp_path, kind, words):
    with pytest.raises(LatentEditError, match=words) as error:
        convert(write(tmp_path / "a.onnx", kind))
    assert str(error.value).startswith(str(tmp_path)) or "gave" in words
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["good", "half", "double"])
@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_onnx_files_of_every_batch_and_precision(tmp_path, kind, batch):
    generator = OnnxGenerator(write(tmp_path / "a.onnx", kind, batch))
    for count in (1, 3, 4, 6):
        z = torch.from_numpy(generator.sample(range(count)))
        tolerance = 0.02 if kind == "half" else 1e-5
        assert torch.allclose(generator(z), good(z), atol=tolerance)


def test_weights_beside_an_onnx_file(tmp_path):
    path = write(tmp_path / "a.onnx", external=True)
    assert external_files(path, path.read_bytes()) == [Path("a.onnx.data")]
    converted = convert(path)
    one = weights_hash(converted.network)
    bundle = converted.save(tmp_path / "bundle")
    assert (bundle / "a.onnx.data").read_bytes() == (tmp_path / "a.onnx.data").read_bytes()
    data = bytearray((tmp_path / "a.onnx.data").read_bytes())
    data[3] ^= 1
    (tmp_path / "a.onnx.data").write_bytes(data)
    assert weights_hash(OnnxGenerator(path)) != one
    (tmp_path / "a.onnx.data").unlink()
    with pytest.raises(LatentEditError, match=r"keeps its weights in a\.onnx\.data"):
        convert(path)
    network, _ = load_generator(bundle)  # on its own
    z = torch.from_numpy(network.sample(range(3)))
    assert torch.allclose(network(z), good(z), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["../a.onnx.data", "/etc/hostname", "..\\a.data", "b/../../a.data"]
)
def test_weights_outside_the_folder(tmp_path, name):
    import onnx

    path = write(tmp_path / "a.onnx", external=True)
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    path.write_bytes(model.SerializeToString())
    with pytest.raises(LatentEditError, match="outside its folder"):
        convert(path)


def test_weights_behind_a_link_that_leads_out(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    path = write(folder / "a.onnx", external=True)
    os.replace(folder / "a.onnx.data", tmp_path / "elsewhere")
    (folder / "a.onnx.data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LatentEditError, match="outside its folder"):
        convert(path)


def test_damaged_onnx_files_have_no_files_beside_them_or_are_refused(tmp_path):
    whole = write(tmp_path / "a.onnx", external=True).read_bytes()
    random = np.random.RandomState(0)
    found = []
    for _ in range(60):
        data = bytearray(whole[: random.randint(20, len(whole) + 1)])
        data[random.randint(len(data))] = random.randint(256)
        try:
            found += external_files(tmp_path / "a.onnx", bytes(data))
        except LatentEditError as error:
            found.append(str(error))
    assert set(map(type, found)) <= {type(tmp_path), str}
    assert not [text for text in map(str, found) if "\n" in text]
