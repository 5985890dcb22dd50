"""Boundaries: distances, and files that are whole or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from latentedit.boundaries import Boundaries
from latentedit.errors import LatentEditError
from latentedit.files import sha256

NAMES = ("Young", "Male", "Black_Hair")


def make_boundaries(**parts: Any) -> Boundaries:
    random = np.random.RandomState(0)
    normals = random.standard_normal((3, 8))
    return Boundaries(
        **{
            "names": NAMES,
            "normals": normals / np.linalg.norm(normals, axis=1, keepdims=True),
            "biases": np.array([0.5, -0.25, 0.0]),
            "generator_hash": "0123456789abcdef",
            "figures": {"Young": {"f1": 0.9}},
            "auto": {"Young": {"Male": 0.75}},
            **parts,
        }
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Boundaries saved with their card."""
    file = tmp_path / "boundaries.safetensors"
    make_boundaries().save(file, {"data": "none"})
    return file


def change_card(path: Path, **entries: Any) -> None:
    card = json.loads(path.with_suffix(".json").read_text())
    for key, value in entries.items():
        if value is ...:
            del card[key]
        else:
            card[key] = value
    path.with_suffix(".json").write_text(json.dumps(card))


def test_distances_are_signed_lengths_from_the_boundary() -> None:
    boundaries = make_boundaries()
    on_it = -boundaries.biases[:, None] * boundaries.normals
    np.testing.assert_allclose(np.diag(boundaries.distances(on_it)), 0, atol=1e-15)
    moved = boundaries.distances(on_it + 2 * boundaries.normals)
    np.testing.assert_allclose(np.diag(moved), 2)
    assert boundaries.distances(np.zeros((5, 8), dtype=np.float32)).shape == (5, 3)


def test_names_are_forgiving() -> None:
    assert make_boundaries().index("black hair") == 2
    with pytest.raises(LatentEditError, match="did you mean 'Young'"):
        make_boundaries().index("Yuong")


def test_survive_saving(path: Path) -> None:
    saved, loaded = make_boundaries(), Boundaries.load(path)
    np.testing.assert_array_equal(loaded.normals, saved.normals)
    np.testing.assert_array_equal(loaded.biases, saved.biases)
    assert loaded.normals.dtype == loaded.biases.dtype == np.float64
    for field in ("names", "generator_hash", "space", "figures", "auto"):
        assert getattr(loaded, field) == getattr(saved, field)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["kind"] == "boundaries"
    assert card["data"] == "none"
    assert card["sha256"] == sha256(path)


def test_column_major_arrays_survive_saving(tmp_path: Path) -> None:
    saved = make_boundaries()
    turned = make_boundaries(normals=np.asfortranarray(saved.normals))
    turned.save(tmp_path / "b.safetensors")
    np.testing.assert_array_equal(
        Boundaries.load(tmp_path / "b.safetensors").normals, saved.normals
    )


def test_saving_fails_whole(path: Path) -> None:
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    with pytest.raises(TypeError):
        make_boundaries(generator_hash="other").save(path, {"data": object()})
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "boundaries.json",
        "boundaries.safetensors",
    ]


def test_where_they_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"\.safetensors"):
        make_boundaries().save(tmp_path / "boundaries.npy")
    with pytest.raises(LatentEditError, match="does not exist"):
        make_boundaries().save(tmp_path / "missing" / "boundaries.safetensors")


def test_a_changed_byte_is_noticed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(LatentEditError, match="checksum"):
        Boundaries.load(path)


def test_missing_halves_are_named(path: Path) -> None:
    card = path.with_suffix(".json")
    content = card.read_bytes()
    card.unlink()
    with pytest.raises(LatentEditError, match=r"boundaries\.json is missing"):
        Boundaries.load(path)
    card.write_bytes(content)
    path.unlink()
    with pytest.raises(LatentEditError, match=r"boundaries\.safetensors is missing"):
        Boundaries.load(path)
    with pytest.raises(LatentEditError, match="kept in a"):
        Boundaries.load(card)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"card"', "{}", "\x00", "[" * 100_000])
def test_a_damaged_card_is_refused(path: Path, text: str) -> None:
    path.with_suffix(".json").write_text(text)
    with pytest.raises(LatentEditError):
        Boundaries.load(path)


@pytest.mark.parametrize(
    "entries",
    [
        {"kind": "generator"},
        {"sha256": ...},
        {"sha256": None},
        {"attributes": ...},
        {"attributes": None},
        {"attributes": ["Young", "Male"]},
        {"attributes": ["Young", "Male", "Male"]},
        {"attributes": [1, 2, [3]]},
        {"generator_hash": ...},
        {"space": ...},
        {"figures": None},
        {"figures": {"Young": 3}},
        {"figures": []},
        {"auto_holds": ...},
        {"auto_holds": []},
        {"auto_holds": {"Young": ["Male"]}},
        {"auto_holds": {"Young": {"Male": 2}}},
        {"auto_holds": {"Young": {"Male": "1"}}},
        {"auto_holds": {"Young": {"Nose": 1}}},
    ],
)
def test_a_card_with_damaged_entries_is_refused(path: Path, entries: dict[str, Any]) -> None:
    change_card(path, **entries)
    with pytest.raises(LatentEditError):
        Boundaries.load(path)


@pytest.mark.parametrize(
    "tensors",
    [
        {"weights": np.zeros(3)},
        {"normals": np.eye(3)},
        {"normals": np.zeros((3, 8)), "biases": np.zeros(3)},
        {"normals": np.full((3, 8), np.nan), "biases": np.zeros(3)},
        {"normals": np.eye(8)[:3], "biases": np.array([0, np.nan, 0])},
        {"normals": np.eye(8)[:2], "biases": np.zeros(2)},
        {"normals": np.eye(8)[0], "biases": np.zeros(3)},
    ],
)
def test_tensors_that_are_no_boundaries_are_refused(path: Path, tensors: dict[str, Any]) -> None:
    save_file(tensors, path)
    change_card(path, sha256=sha256(path))
    with pytest.raises(LatentEditError):
        Boundaries.load(path)


def test_a_file_that_is_not_safetensors_is_refused(path: Path) -> None:
    path.write_bytes(b"not safetensors")
    change_card(path, sha256=sha256(path))
    with pytest.raises(LatentEditError, match="holds no boundaries"):
        Boundaries.load(path)
