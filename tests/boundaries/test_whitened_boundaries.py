"""Boundaries in whitened coordinates: found, kept, joined, and moved along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from latentedit.boundaries.calibration import Calibration
from latentedit.boundaries.fitting import choose_whitening, fit_boundaries
from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.whitening import Whitening
from latentedit.editing.displacement import displacement
from latentedit.editing.recipes import make_recipe
from latentedit.errors import LatentEditError

DIM, NAMES = 12, ("Young", "Male", "Bald")


def latents(count: int = 4000, seed: int = 0) -> NDArray[np.float32]:
    """Like w: correlated, and far from the origin."""
    random = np.random.RandomState(5)
    mix = random.standard_normal((DIM, DIM)) * np.logspace(-1.5, 0.5, DIM)
    rows = np.random.RandomState(seed).standard_normal((count, DIM)) @ mix.T
    return (rows + random.standard_normal(DIM)).astype(np.float32)


def whitened(seed: int = 0) -> Boundaries:
    normals = np.random.RandomState(seed).standard_normal((3, DIM))
    return Boundaries(
        NAMES,
        normals / np.linalg.norm(normals, axis=1, keepdims=True),
        np.array([0.3, -0.2, 0.0]),
        "hash",
        space="w",
        whitening=Whitening.of(latents()),
    )


def moved(boundaries: Boundaries, w: NDArray[np.float32], **edit: object) -> NDArray[np.float64]:
    recipe = make_recipe(boundaries, **edit)  # type: ignore[arg-type]
    return w + displacement(boundaries, w, recipe)


def test_distances_are_standard_deviations_of_the_latents() -> None:
    spread = whitened().distances(latents()).std(axis=0)
    np.testing.assert_allclose(spread, 1, rtol=1e-3)


def test_a_step_is_as_many_standard_deviations_along_its_direction() -> None:
    boundaries, w = whitened(), latents(20, 1)
    before = boundaries.distances(w)
    after = boundaries.distances(moved(boundaries, w, steps={"Young": 2.0}, hold="none"))
    np.testing.assert_allclose((after - before)[:, 0], 2.0, atol=1e-6)


def test_what_is_held_keeps_its_distance_and_goals_are_met() -> None:
    boundaries, w = whitened(), latents(20, 1)
    before = boundaries.distances(w)
    held = boundaries.distances(moved(boundaries, w, steps={"Young": -3.0}, hold={"Male": 1.0}))
    np.testing.assert_allclose(held[:, 1], before[:, 1], atol=1e-6)
    reached = moved(boundaries, w, steps={"Bald": 1.0}, hold="none", to={"Young": -1.0})
    np.testing.assert_allclose(boundaries.distances(reached)[:, 0], -1.0, atol=1e-6)


def test_files_keep_the_coordinates(tmp_path: Path) -> None:
    boundaries = whitened()
    boundaries.save(tmp_path / "b.safetensors")
    again = Boundaries.load(tmp_path / "b.safetensors")
    assert again.hash == boundaries.hash
    assert again.normals_hash != replace(boundaries, whitening=None).normals_hash
    np.testing.assert_array_equal(again.distances(latents(5)), boundaries.distances(latents(5)))


def test_boundaries_in_other_coordinates_stay_where_they_are() -> None:
    boundaries, other = whitened(), Whitening.of(latents(3000, 7))
    again = boundaries.rebased(other)
    w = latents(200, 3)
    ratio = again.distances(w) / boundaries.distances(w)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-6)
    assert (ratio > 0).all()


def test_plain_directions_go_on_leading_where_they_led() -> None:
    plain = replace(whitened(), whitening=None)
    joined = whitened(9).merged(replace(plain, names=("a", "b", "c")))
    w = latents(3, 2)
    way = moved(joined, w, steps={"a": 1.0}, hold="none") - w
    np.testing.assert_allclose(way / np.linalg.norm(way, axis=1)[:, None] @ plain.normals[0], 1)


def test_what_was_measured_along_plain_directions_keeps_its_way() -> None:
    plain = replace(
        whitened(),
        whitening=None,
        safe_ranges={"Young": (-3.0, 2.0)},
        calibrations={"Young": Calibration((-2.0, 0.0, 2.0), (0.1, 0.5, 0.9))},
    )
    w = latents(3, 2)
    whole = moved(plain, w, steps={"Young": 2.0}, hold="none") - w
    rebased = plain.rebased(Whitening.of(latents(3000, 7)))
    end = rebased.safe_range("Young")[1]
    assert rebased.calibrations["Young"].steps[-1] == end != 2.0
    way = moved(rebased, w, steps={"Young": end}, hold="none") - w
    np.testing.assert_allclose(way, whole, atol=1e-6)


def test_whitened_boundaries_do_not_join_plain_ones() -> None:
    with pytest.raises(LatentEditError, match="plain"):
        replace(whitened(), whitening=None).merged(whitened(3))


def test_a_plane_is_the_same_in_plain_latents() -> None:
    boundaries, w = whitened(), latents(100, 4)
    normal, bias = boundaries.plane("Male")
    ratio = (w @ normal + bias) / boundaries.distances(w)[:, 1]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert np.linalg.norm(normal) == pytest.approx(1)


def test_z_stays_as_it_is_and_other_spaces_are_whitened() -> None:
    w = latents(600)
    assert choose_whitening(w, "z") is None
    found = choose_whitening(w, "w")
    assert found is not None
    np.testing.assert_allclose(
        np.cov(found.coordinates(w), rowvar=False), found.covariance, atol=1e-5
    )


def test_a_hidden_attribute_is_found_where_latents_hardly_vary() -> None:
    """Along a direction of a hundredth of the spread, which a strong regularisation overlooks."""
    w = latents(6000)
    whitening = Whitening.of(w, power=1)
    hidden = np.linalg.eigh(whitening.basis)[1][:, 0]
    along = whitening.coordinates(w) @ hidden / whitening.spread(hidden)
    scores = 1 / (1 + np.exp(-4 * along))[:, None].astype(np.float32)
    found = fit_boundaries(w, scores, ("Young",), "hash", space="w", whitening=whitening)
    plain = fit_boundaries(w, scores, ("Young",), "hash", space="w")
    assert found.figures["Young"]["roc_auc"] > 0.99
    assert found.figures["Young"]["roc_auc"] > plain.figures["Young"]["roc_auc"]
    assert found.normals[0] @ hidden > 0.98


def test_coordinates_of_another_length_are_refused() -> None:
    with pytest.raises(LatentEditError, match="fit together"):
        replace(whitened(), whitening=Whitening(np.zeros(2), np.eye(2), np.eye(2)))
