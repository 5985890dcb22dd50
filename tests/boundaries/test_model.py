"""Boundaries: distances, and files that are whole or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from latentedit import defaults
from latentedit.boundaries.calibration import Calibration
from latentedit.boundaries.model import Boundaries, entangled_holds
from latentedit.errors import LatentEditError
from latentedit.io.files import sha256

NAMES = ("Young", "Male", "Black_Hair")
CALIBRATION = Calibration((-2, -1, 0, 1, 3), (0.1, 0.1, 0.4, 0.8, 0.9), (20, 11, 0, -5, -6))


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
            "safe_ranges": {"Young": (-2.5, 4.0)},
            "calibrations": {"Young": CALIBRATION},
            "rare": ("Black_Hair",),
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


def test_words_of_the_page_lead_towards_their_side() -> None:
    boundaries = make_boundaries()
    assert boundaries.index("older") == boundaries.index("Age") == 0
    assert boundaries.safe_range("older") == (-4.0, 2.5)
    normal, bias = boundaries.plane("Young")
    turned, other = boundaries.plane("older")
    np.testing.assert_array_equal(turned, -normal)
    assert other == -bias


def test_measured_and_unmeasured_ranges() -> None:
    assert make_boundaries().safe_range("young") == (-2.5, 4.0)
    assert make_boundaries().safe_range("Male") == defaults.SAFE_RANGE
    assert make_boundaries().calibration("Male") is None
    with pytest.raises(LatentEditError, match="unknown attribute"):
        make_boundaries().safe_range("Nose")


def test_a_calibration_goes_there_and_back() -> None:
    calibration = make_boundaries().calibration("young")
    assert calibration is not None
    assert calibration.probability(0.5) == pytest.approx(0.6)
    assert calibration.step(0.6) == pytest.approx(0.5)
    assert calibration.step(0.1) == -1  # a level: the step nearest to none
    assert (calibration.step(0), calibration.step(1)) == (-1, 3)
    assert (calibration.probability(-9), calibration.probability(9)) == (0.1, 0.9)


def test_a_card_of_an_unmeasured_model_loads(path: Path) -> None:
    change_card(path, safe_ranges=..., calibrations=..., rare=...)
    loaded = Boundaries.load(path)
    assert (loaded.safe_ranges, loaded.calibrations, loaded.rare) == ({}, {}, ())


def test_survive_saving(path: Path) -> None:
    saved, loaded = make_boundaries(), Boundaries.load(path)
    np.testing.assert_array_equal(loaded.normals, saved.normals)
    np.testing.assert_array_equal(loaded.biases, saved.biases)
    assert loaded.normals.dtype == loaded.biases.dtype == np.float64
    for field in (
        "names",
        "generator_hash",
        "space",
        "figures",
        "auto",
        "safe_ranges",
        "calibrations",
        "rare",
    ):
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
        {"safe_ranges": []},
        {"safe_ranges": {"Young": 3}},
        {"safe_ranges": {"Young": [1, 2]}},
        {"safe_ranges": {"Young": [0, 0]}},
        {"safe_ranges": {"Young": [-1, float("inf")]}},
        {"safe_ranges": {"Nose": [-1, 1]}},
        {"calibrations": []},
        {"calibrations": {"Young": {"steps": [0, 1], "probabilities": [0, 1]}}},
        {"calibrations": {"Young": {"steps": [0, 1], "probabilities": [0, 2], "years": None}}},
        {"calibrations": {"Young": {"steps": [0, 1], "probabilities": [1, 0], "years": None}}},
        {"calibrations": {"Young": {"steps": [1, 0], "probabilities": [0, 1], "years": None}}},
        {"calibrations": {"Young": {"steps": [0], "probabilities": [0], "years": None}}},
        {"calibrations": {"Young": {"steps": [0, 1], "probabilities": [0, 1], "years": [1]}}},
        {"calibrations": {"Nose": CALIBRATION.as_dict()}},
        {"rare": ["Nose"]},
        {"rare": 3},
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


def test_entangled_holds_follow_the_cosines() -> None:
    normals = np.array([[1.0, 0, 0], [1.0, 1.0, 0], [0, 0, 1.0], [-1.0, 0.1, 0.2]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    holds = entangled_holds(("a", "b", "c", "d"), normals, least=0.5, most=2)
    assert list(holds["a"]) == ["d", "b"]  # most entangled first, whatever the sign
    assert holds["a"]["b"] == pytest.approx(1 - np.sqrt(0.5), abs=1e-3)
    assert holds["c"] == {}


def test_an_attribute_fitted_alone_gets_its_holds_among_the_others() -> None:
    known = make_boundaries()
    leaning = known.normals[:1] + 0.5 * known.normals[1:2]
    leaning /= np.linalg.norm(leaning)
    alone = Boundaries(("wink",), leaning, np.zeros(1), known.generator_hash, auto={"wink": {}})
    holds = known.merged(alone).auto["wink"]
    cosine = float(leaning[0] @ known.normals[0])
    assert holds[known.names[0]] == pytest.approx(1 - cosine, abs=1e-3)
    assert {*known.merged(alone).auto} - {"wink"} == {*known.auto}

    measured = Calibration((-1.0, 0.0, 1.0), (0.1, 0.5, 0.9))
    chosen = replace(alone, calibrations={"wink": measured})  # to hold nothing was a choice
    assert known.merged(chosen).auto["wink"] == {}
    direction = replace(alone, auto={})
    assert "wink" not in known.merged(direction).auto


def test_what_was_measured_with_a_replaced_boundary_goes() -> None:
    known = make_boundaries()
    first, second, third = known.names[:3]
    measured = Calibration((-1.0, 0.0, 1.0), (0.1, 0.5, 0.9))
    known = replace(
        known,
        auto={first: {second: 1.0}, third: {}},
        safe_ranges=dict.fromkeys((first, second, third), (-2.0, 2.0)),
        calibrations=dict.fromkeys((first, second, third), measured),
    )
    normal = known.normals[2:3]
    anew = Boundaries((second,), normal, np.zeros(1), known.generator_hash)
    merged = known.merged(anew)
    assert {*merged.safe_ranges} == {*merged.calibrations} == {third}
    assert merged.auto[first] == {second: 1.0}


def test_the_hash_names_boundaries_and_what_was_measured() -> None:
    known = make_boundaries()
    assert known.hash == replace(known).hash
    measured = replace(known, safe_ranges={known.names[0]: (-2.0, 2.5)})
    moved = replace(known, biases=known.biases + 1)
    assert len({known.hash, measured.hash, moved.hash}) == 3
    assert measured.normals_hash == known.normals_hash


def test_weights_of_another_kind_are_not_replaced(path: Path) -> None:
    change_card(path, kind="generator")
    before = path.read_bytes()
    with pytest.raises(LatentEditError, match="holds generator already"):
        make_boundaries().save(path)
    assert path.read_bytes() == before
    path.with_suffix(".json").write_text("{")  # damaged: written anew
    make_boundaries().save(path)
    assert Boundaries.load(path).names == make_boundaries().names
