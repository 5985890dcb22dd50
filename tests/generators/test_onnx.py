"""ONNX files as generators, and in bundles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkpoint_writers import write_onnx

from latentedit.errors import LatentEditError
from latentedit.generators.adapters import LatentGenerator
from latentedit.generators.onnx import OnnxGenerator
from latentedit.pretrained.hashing import weights_hash


@pytest.mark.parametrize(("batch", "spatial"), [("n", False), (1, False), ("n", True)])
def test_onnx(tmp_path, batch, spatial):
    pytest.importorskip("onnxruntime")
    weight = np.random.RandomState(0).randn(10, 48).astype(np.float32)
    write_onnx(tmp_path / "a.onnx", weight, batch, spatial)
    generator = OnnxGenerator(tmp_path / "a.onnx", value_range=(0, 1))
    assert isinstance(generator, LatentGenerator)
    z = generator.sample(range(3))
    wanted = (2 / (1 + np.exp(-z @ weight)) - 1).reshape(3, 3, 4, 4)
    assert np.allclose(generator(torch.from_numpy(z)).numpy(), wanted, atol=1e-5)
    assert (generator.latent_dim, generator.config.resolution) == (10, 4)
    write_onnx(tmp_path / "b.onnx", weight + 1, batch, spatial)
    assert weights_hash(generator) != weights_hash(OnnxGenerator(tmp_path / "b.onnx"))


def test_onnx_files_that_are_none(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(LatentEditError, match="No such file"):
        OnnxGenerator(tmp_path / "none.onnx")
    (tmp_path / "a.onnx").write_bytes(b"hello")
    with pytest.raises(LatentEditError, match="no ONNX file that can be run"):
        OnnxGenerator(tmp_path / "a.onnx")
    write_onnx(tmp_path / "b.onnx", np.zeros((10, 96), np.float32))
    with pytest.raises(LatentEditError, match="not \\["):
        OnnxGenerator(tmp_path / "b.onnx")


def test_onnx_runtime_is_asked_for(tmp_path, monkeypatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("latentedit.generators.onnx_files.importlib.import_module", missing)
    with pytest.raises(LatentEditError, match=r"latentedit\[onnx\]"):
        OnnxGenerator(tmp_path / "a.onnx")


def test_samples_on_the_sphere_are_no_latents_of_w():
    with pytest.raises(LatentEditError, match="space w"):
        OnnxGenerator("any.onnx", space="w")
