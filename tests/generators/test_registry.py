"""Every kind of generator goes into a bundle and comes out of it the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_writers import write_onnx
from tiny_generators import KINDS as TINY

from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.generators.onnx import OnnxGenerator
from latentedit.generators.registry import KINDS, SUFFIXES, read_generator
from latentedit.pretrained.bundles import load_generator, save_generator, weights_file
from latentedit.pretrained.hashing import weights_hash


def test_kinds_are_known_by_their_own_names() -> None:
    assert all(network.kind == kind for kind, network in KINDS.items())
    assert {"progressive", "stylegan2", "mobilestylegan", "onnx"} <= KINDS.keys()
    assert next(iter(KINDS)) == "progressive"  # what cards without a name are of
    assert set(SUFFIXES) == {".safetensors", ".onnx"}


@pytest.mark.parametrize("make", TINY.values(), ids=TINY)
def test_a_bundle_keeps_a_generator(make: Callable[[], FaceGenerator], tmp_path: Path) -> None:
    generator = make()
    save_generator(tmp_path, generator, {"terms": "mine"})
    again, card = load_generator(tmp_path)
    assert (card["network"], card["terms"]) == (generator.kind, "mine")
    assert type(again) is type(generator)
    assert again.config == generator.config
    assert not again.training
    assert weights_hash(again) == weights_hash(generator) == card["weights_hash"]
    z = torch.from_numpy(generator.sample([1]))
    with torch.inference_mode():
        assert torch.equal(again(z), generator(z))


def test_an_onnx_file_is_kept_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write_onnx(tmp_path / "a.onnx", np.ones((10, 48), np.float32))
    generator = OnnxGenerator(tmp_path / "a.onnx", value_range=(0, 1))
    save_generator(tmp_path / "bundle", generator, {})
    file = weights_file(tmp_path / "bundle", "generator")
    assert file.read_bytes() == (tmp_path / "a.onnx").read_bytes()
    again, card = load_generator(tmp_path / "bundle")
    assert again.config == generator.config
    assert weights_hash(again) == card["weights_hash"]
    with pytest.raises(LatentEditError, match="does not fit its card"):
        read_generator(file, {**card, "config": {**card["config"], "latent_dim": 11}})


@pytest.mark.parametrize(
    "change", [{"network": "stylegan9"}, {"network": "onnx"}, {"network": None}, {"config": None}]
)
def test_cards_that_name_no_kind_or_another(tmp_path: Path, change: dict[str, object]) -> None:
    save_generator(tmp_path, TINY["progressive"](), {})
    file = weights_file(tmp_path, "generator")
    _, card = load_generator(tmp_path)
    with pytest.raises(LatentEditError, match=r"generator\.json describes no generator"):
        read_generator(file, {**card, **change})
