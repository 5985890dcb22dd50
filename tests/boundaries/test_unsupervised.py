"""Unlabelled directions: planted ones are found, and names say what moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_GENERATOR
from torch import nn

from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.unsupervised import (
    card_entries,
    find_directions,
    name_by_attributes,
    pca,
    sefa,
)
from latentedit.boundaries.whitening import Whitening
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.generators.adapters import adapt
from latentedit.generators.progressive import Generator
from latentedit.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from latentedit.pretrained.hashing import weights_hash


@pytest.fixture
def planted() -> tuple[Generator, np.ndarray]:
    """A generator whose first layer listens to two directions above all."""
    torch.manual_seed(0)
    generator = Generator(TINY_GENERATOR).eval()
    axes = np.linalg.qr(np.random.RandomState(1).standard_normal((64, 2)))[0].T
    with torch.no_grad():
        weight = generator.blocks[0].dense.weight
        for axis, strength in zip(axes, (9.0, 6.0), strict=True):
            loud = strength * torch.randn(len(weight), 1) @ torch.from_numpy(axis[None]).float()
            weight.add_(loud)
    return generator, axes


def test_sefa_finds_what_the_first_layer_listens_to(planted: tuple[Generator, np.ndarray]) -> None:
    generator, axes = planted
    rows, shares = sefa(generator, 5)
    np.testing.assert_allclose(rows @ rows.T, np.eye(5), atol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(rows[:2] * axes, axis=1)), 1, atol=0.06)
    assert (np.diff(shares) <= 0).all()
    matrix = generator.first_weights().detach().double().numpy()
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    np.testing.assert_allclose(np.abs(np.sum(rows[0] * vectors[:, -1])), 1, atol=1e-9)
    np.testing.assert_allclose(shares[0], values[-1] / values.sum())


def test_pca_finds_them_too(planted: tuple[Generator, np.ndarray]) -> None:
    generator, axes = planted
    rows, shares = pca(FaceEditor(generator), 2, count=1500)
    inside = np.linalg.norm(rows @ axes.T, axis=1)
    assert (inside > 0.95).all()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    assert 1 > shares[0] > shares[1] > 0


@pytest.mark.parametrize("space", ["z", "w"])
def test_both_know_stylegan2(space: str) -> None:
    torch.manual_seed(0)
    config = StyleGAN2Config(widths=(8, 8), mapping=(16, 16, 16), space=space)
    editor = FaceEditor(StyleGAN2Generator(config).eval())
    for method in ("sefa", "pca"):
        found = find_directions(editor, method, 3, count=600)
        assert (found.space, found.names[0]) == (space, f"{method}_01")
        assert found.normals.shape == (3, 16)


def test_directions_are_boundaries(tiny_bundle: Path, tmp_path: Path) -> None:
    editor = FaceEditor.load(tiny_bundle)
    found = find_directions(editor, "sefa", 4)
    moves = name_by_attributes(editor, found, range(4))
    found.save(tmp_path / "sefa.safetensors", card_entries(moves))
    both = FaceEditor.load(tiny_bundle, boundaries=tmp_path / "sefa.safetensors")
    z = both.sample(range(4))
    moved = both.edit(z, {"sefa_02": 2.0}, "none")
    np.testing.assert_allclose(moved - z, np.tile(2 * found.normals[1], (4, 1)), atol=1e-5)
    held = both.edit(z, {"sefa_02": 2.0}, {"Young": 1.0})
    change = both.distances(held) - both.distances(z)
    np.testing.assert_allclose(change[:, both.boundaries.index("Young")], 0, atol=1e-5)


def test_in_w_a_step_on_sheets_is_a_step_of_edits() -> None:
    torch.manual_seed(0)
    config = StyleGAN2Config(widths=(8, 8), mapping=(16, 16, 16), space="w")
    generator = StyleGAN2Generator(config).eval()
    w = FaceEditor(generator).sample(range(2000))
    own = Boundaries(
        ("Young",),
        np.eye(1, 16),
        np.zeros(1),
        weights_hash(generator),
        space="w",
        whitening=Whitening.of(w),
    )
    editor = FaceEditor(generator, boundaries=own)
    found = find_directions(editor, "sefa", 3)
    edited = editor.as_edited(found)
    joined = FaceEditor(generator, boundaries=own.merged(found))
    z = joined.sample([0])
    for name, row, plain in zip(found.names, edited.normals, found.normals, strict=True):
        step = edited.moves(row * edited.spread(row))
        moved = joined.edit(z, {name: 1.0}, "none") - z
        np.testing.assert_allclose(moved[0], step, atol=1e-4)
        np.testing.assert_allclose(step / np.linalg.norm(step), plain, atol=1e-5)
        assert not 0.9 < np.linalg.norm(step) < 1.1  # not a unit of w
    assert FaceEditor(generator).as_edited(found) is found


def test_names_are_measured(tiny_bundle: Path) -> None:
    editor = FaceEditor.load(tiny_bundle)
    found = find_directions(editor, "sefa", 2)
    moves = name_by_attributes(editor, found, range(6), most=4)
    z = editor.sample(range(6))
    low, high = (
        editor.score(editor.render((z + step * found.normals[1]).astype(np.float32))).mean(0)
        for step in (-2, 2)
    )
    largest = editor.attributes[int(np.argmax(np.abs(high - low)))]
    assert (moves[1].name, moves[1].changes[0][0]) == ("sefa_02", largest)
    assert [abs(change) for _, change in moves[1].changes] == sorted(
        (abs(change) for _, change in moves[1].changes), reverse=True
    )


def test_what_cannot_be_found(tiny_generator: Generator) -> None:
    editor = FaceEditor(tiny_generator)
    with pytest.raises(LatentEditError, match="ask for 1 to 64"):
        find_directions(editor, "sefa", 65)
    with pytest.raises(LatentEditError, match="choose sefa or pca"):
        find_directions(editor, "ica", 2)

    narrow = FaceEditor(Generator(replace(TINY_GENERATOR, fmap_max=2)).eval())  # 32 features
    for method in ("sefa", "pca"):
        with pytest.raises(LatentEditError, match="ask for 1 to 32"):
            find_directions(narrow, method, 33, count=10)

    class Foreign(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z[:, :48].view(-1, 3, 4, 4)

    foreign = FaceEditor(adapt(Foreign(), 64))
    for method in ("sefa", "pca"):
        with pytest.raises(LatentEditError, match="kind adapted"):
            find_directions(foreign, method, 2)


def test_the_command_writes_directions_and_a_sheet(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from latentedit.cli import main

    output = tmp_path / "d.safetensors"
    words = ["directions", "sefa", "--k", "3", "--faces", "4", "-o", str(output)]
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--model", str(tiny_bundle)])
    assert stopped.value.code == 0
    assert Boundaries.load(output).names == ("sefa_01", "sefa_02", "sefa_03")
    assert output.with_suffix(".png").is_file()
    assert "3 directions in" in capsys.readouterr().out
