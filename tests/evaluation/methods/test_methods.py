"""Directions that methods find: what each promises of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_generators
import torch
from hypothesis import given
from hypothesis import strategies as st
from method_material import boundaries_of, material_of

from latentedit.boundaries.unsupervised import sefa
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.editing.projection import discounted_direction
from latentedit.errors import LatentEditError
from latentedit.evaluation.methods.base import Material, Method, digest, moved
from latentedit.evaluation.methods.boundaries import conditional, correlated, held
from latentedit.evaluation.methods.channels import CANDIDATES, channel, relevances, single_channel
from latentedit.evaluation.methods.given import from_file
from latentedit.evaluation.methods.matching import Screening, best_match, screen
from latentedit.evaluation.methods.mean_difference import mean_difference
from latentedit.evaluation.methods.registry import METHODS, OURS, find_methods
from latentedit.evaluation.methods.unlabelled import unlabelled
from latentedit.generators.base import FaceGenerator

MakeMaterial = Callable[[FaceGenerator], Material]


@pytest.fixture
def make_material(tiny_classifier: AttributeClassifier, tmp_path: Path) -> MakeMaterial:
    return lambda generator: material_of(generator, tiny_classifier, tmp_path / "kept")


@pytest.fixture
def material(make_material: MakeMaterial) -> Material:
    return make_material(tiny_generators.progressive())


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_held_directions_are_those_that_edits_take(material: Material) -> None:
    known = material.boundaries
    for mode, holds in (("none", {}), ("auto", {"Male": 0.8, "Gray_Hair": 0.5})):
        wanted = known.moves(discounted_direction(known, "Young", holds).vector)
        np.testing.assert_array_equal(held(mode)(material, "Young").move, wanted)


def test_one_condition_is_interfacegans_formula(material: Material) -> None:
    (name,) = correlated(material, "Young", 1)
    own, other = (material.boundaries.plane(each)[0] for each in ("Young", name))
    wanted = unit(own - (own @ other) * other)
    np.testing.assert_allclose(unit(conditional(1)(material, "Young").move), wanted, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_conditions_do_not_move_in_latents_as_they_are(material: Material, count: int) -> None:
    """In plain latents, though the boundaries live in whitened ones."""
    known = boundaries_of(material.editor.generator, whitened=True)
    material = replace(material, boundaries=known)
    move = conditional(count)(material, "Smiling").move
    z = material.reference.latents[:5].astype(np.float64)
    before, after = (known.distances(each) for each in (z, z + move))
    rows = [known.index(name) for name in correlated(material, "Smiling", count)]
    np.testing.assert_allclose(after[:, rows], before[:, rows], atol=1e-9)
    own = known.index("Smiling")
    assert (after[:, own] > before[:, own]).all()


def test_conditions_are_what_goes_most_with_the_attribute(material: Material) -> None:
    column = material.column("Young")
    logits = material.reference.logits.copy()
    logits[:, material.column("Bald")] = -logits[:, column]
    logits[:, material.column("Male")] = 2 * logits[:, column] + 0.1 * logits[:, 0]
    reference = replace(material.reference, logits=logits)
    assert set(correlated(replace(material, reference=reference), "Young", 2)) == {"Bald", "Male"}


def test_a_step_is_a_standard_deviation_of_the_latents(material: Material) -> None:
    latents = material.reference.latents.astype(np.float64)
    for find in (conditional(1), mean_difference, unlabelled("sefa")):
        move = find(material, "Young").move
        assert np.linalg.norm(move) == pytest.approx((latents @ unit(move)).std(), rel=1e-6)


def test_the_mean_difference_is_of_both_sides_means(material: Material) -> None:
    logits = material.reference.logits[:, material.column("Male")]
    latents = material.reference.latents.astype(np.float64)
    wanted = latents[logits > 0].mean(0) - latents[logits <= 0].mean(0)
    np.testing.assert_allclose(unit(mean_difference(material, "Male").move), unit(wanted))


def test_the_most_extreme_faces_stand_for_a_rare_side(material: Material) -> None:
    logits = material.reference.logits.copy()
    column = material.column("Male")
    logits[:, column] -= 100
    rare = replace(material, reference=replace(material.reference, logits=logits))
    found = mean_difference(rare, "Male")
    latents = material.reference.latents.astype(np.float64)
    top = np.argsort(logits[:, column])[-6:]  # 2 % of 300
    wanted = latents[top].mean(0) - latents.mean(0)
    np.testing.assert_allclose(unit(found.move), unit(wanted), atol=1e-9)
    assert found.note == "6 with, 300 without"


def test_screening_sees_what_a_direction_does(material: Material) -> None:
    rows, _ = sefa(material.editor.generator, 3)
    seen = screen(material, list(rows), 1.0)
    z = material.editor.sample(material.seeds)
    ends = [
        material.editor.logits_features_and_maps(material.editor.render(moved(z, rows[1], [s])))[0]
        for s in (-1.0, 1.0)
    ]
    np.testing.assert_allclose(seen.effects[1], (ends[1] - ends[0]).mean(0), atol=1e-5)
    assert seen.changes.shape == (3, 40)


@given(
    effects=st.lists(st.floats(-5, 5), min_size=1, max_size=8),
    leaks=st.lists(st.floats(0.01, 1), min_size=8, max_size=8),
)
def test_the_match_is_strong_enough_and_leaks_least_for_it(
    effects: list[float], leaks: list[float]
) -> None:
    found = np.zeros((len(effects), 2))
    found[:, 0] = effects
    changes = np.zeros_like(found)
    changes[:, 1] = leaks[: len(effects)]
    if not np.abs(found).max() > 0:
        with pytest.raises(LatentEditError):
            best_match(Screening(found, changes), 0)
        return
    best, side = best_match(Screening(found, changes), 0)
    strength = np.abs(found[:, 0])
    assert strength[best] >= 0.5 * strength.max()
    assert side * found[best, 0] > 0
    strong = strength >= 0.5 * strength.max()
    assert strength[best] / changes[best, 1] == (strength / changes[:, 1])[strong].max()


def test_unlabelled_directions_are_matched(material: Material) -> None:
    for method in ("sefa", "pca"):
        found = unlabelled(method)(material, "Smiling")
        assert found.note.startswith("direction ")
        assert found.move.shape == (16,)
    again = unlabelled("sefa")(material, "Smiling")
    rows, _ = sefa(material.editor.generator, 16)
    assert np.abs(rows @ unit(again.move)).max() == pytest.approx(1)


def test_one_channel_moves_alone(make_material: MakeMaterial) -> None:
    material = make_material(tiny_generators.mobilestylegan())
    generator, reference = material.editor.generator, material.reference
    weights = [each.detach().double().numpy() for each in generator.style_weights()]
    assert len(weights) == material.editor.layers
    move = single_channel(reference, weights[3], 3, 5, len(weights))
    assert not np.delete(move, 3, axis=0).any()
    change = weights[3] @ move[3]
    wanted = np.zeros(len(change))
    wanted[5] = (reference.latents.astype(np.float64) @ weights[3][5]).std()
    np.testing.assert_allclose(change, wanted, atol=1e-9)


def test_dependent_channels_are_refused(make_material: MakeMaterial) -> None:
    reference = make_material(tiny_generators.mobilestylegan()).reference
    with pytest.raises(LatentEditError):
        single_channel(reference, np.ones((2, 16)), 0, 1, 8)


def test_the_channel_that_exemplars_share_comes_first(make_material: MakeMaterial) -> None:
    material = make_material(tiny_generators.mobilestylegan())
    reference = material.reference
    weight = np.random.RandomState(0).standard_normal((6, 16))
    styles = (reference.latents - reference.mean) @ weight.T
    near = np.argsort(np.abs(styles[:, 2] - 2 * styles[:, 2].std()))[:10]
    found = relevances(reference, weight, reference.latents[near].astype(np.float64))
    assert int(np.argmax(found)) == 2


def test_a_channel_is_found_in_a_layer_that_shows(make_material: MakeMaterial) -> None:
    material = make_material(tiny_generators.mobilestylegan())
    found = channel(material, "Smiling")
    (layer,) = np.flatnonzero(np.abs(found.move).max(1))
    assert layer < material.editor.generator.layers_of(material.size)
    assert found.note.startswith(f"layer {layer}, channel ")
    assert CANDIDATES > 1
    assert material.editor_for(found.move).precision == torch.float32


def test_generators_without_styles_say_so(material: Material) -> None:
    with pytest.raises(LatentEditError, match="single channels"):
        channel(material, "Smiling")


def test_directions_of_a_file_are_matched_or_taken_by_name(
    material: Material, tmp_path: Path
) -> None:
    rows, _ = sefa(material.editor.generator, 4)
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    found = from_file("theirs", tmp_path / "rows.npy").find(material, "Bald")
    assert np.abs(rows @ unit(found.move)).max() == pytest.approx(1, abs=1e-6)
    material.boundaries.save(tmp_path / "own.safetensors")
    named = from_file("own", tmp_path / "own.safetensors").find(material, "Bald")
    row = material.boundaries.normals[material.boundaries.index("Bald")]
    np.testing.assert_allclose(unit(named.move), row, atol=1e-9)


def test_directions_of_another_model_are_refused(material: Material, tmp_path: Path) -> None:
    np.save(tmp_path / "long.npy", np.eye(17))
    with pytest.raises(LatentEditError, match="17"):
        from_file("long", tmp_path / "long.npy").find(material, "Bald")
    other = replace(material.boundaries, generator_hash="0" * 16)
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(LatentEditError, match="generator"):
        from_file("other", tmp_path / "other.safetensors").find(material, "Bald")
    replace(material.boundaries, space="w").save(tmp_path / "w.safetensors")
    with pytest.raises(LatentEditError, match="space w"):
        from_file("w", tmp_path / "w.safetensors").find(material, "Bald")


def test_methods_are_found_by_name_and_given_ones_join_them() -> None:
    mine = Method("mine", "mine", "a file", mean_difference)
    assert [each.name for each in find_methods(None, [mine])][-1] == "mine"
    assert [each.name for each in find_methods(["auto", "none"], [mine])] == [
        "none",
        "auto",
        "mine",
    ]
    assert OURS in {method.name for method in METHODS}
    with pytest.raises(LatentEditError, match="nobody"):
        find_methods(["nobody"])
    with pytest.raises(LatentEditError, match="already"):
        find_methods(None, [replace(mine, name="sefa")])


def test_moves_are_one_for_all_or_one_a_face() -> None:
    z = np.zeros((3, 2), np.float32)
    assert moved(z, np.array([1.0, 2.0]), [2.0]).tolist() == [[2, 4]] * 3
    layered = moved(z, np.array([[1.0, 0.0], [0.0, 1.0]]), [1.0, 2.0, -1.0])
    assert layered.shape == (3, 2, 2)
    assert layered[1].tolist() == [[2, 0], [0, 2]]


def test_digests_tell_arrays_and_their_order_apart() -> None:
    a, b = np.arange(3.0), np.arange(3.0) + 1
    assert digest(a, b, 1) == digest(a.copy(), b.copy(), 1)
    assert len({digest(a, b), digest(b, a), digest(a), digest(a, b, 1)}) == 4
