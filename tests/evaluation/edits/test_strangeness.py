"""Distances of faces from unedited ones, place by place."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from latentedit.evaluation.edits.strangeness import Places, PlacesFit


def draw(count: int, seed: int, places: int = 20, width: int = 3) -> NDArray[np.float32]:
    """Correlated normal features, other ones at each place: float32 [N, P, C]."""
    mixing = np.random.RandomState(0).standard_normal((places, width, width))
    centre = 5 * np.random.RandomState(1).standard_normal((places, width))
    normal = np.random.RandomState(seed).standard_normal((count, places, width))
    return (np.einsum("npc,pcd->npd", normal, mixing) + centre).astype(np.float32)


@pytest.fixture(scope="module")
def places() -> Places:
    fit = PlacesFit()
    maps = draw(4000, seed=2)
    for start in range(0, 4000, 500):
        assert np.isnan(fit.add(maps[start : start + 500])).all()
    return fit.fit()


def test_distances_are_mahalanobis(places: Places) -> None:
    maps = draw(4000, seed=2)
    found = places.distances(maps[:7])
    assert found.dtype == np.float32
    for place in (0, 19):
        here = maps[:, place].astype(np.float64)
        covariance = np.cov(here.T, bias=True)
        ridge = 0.01 * np.trace(covariance) / 3 * np.eye(3)
        away = here[:7] - here.mean(0)
        squares = np.einsum("nc,cd,nd->n", away, np.linalg.inv(covariance + ridge), away)
        np.testing.assert_allclose(found[:, place], np.sqrt(squares), rtol=1e-3)


def test_new_faces_are_as_far_as_known_ones(places: Places) -> None:
    squares = np.square(places.distances(draw(2000, seed=3))).mean()
    assert squares == pytest.approx(3, rel=0.1)  # of chi-squared; the ridge takes a little


def test_one_broken_place_is_seen(places: Places) -> None:
    maps = draw(500, seed=3)
    broken = maps.copy()
    broken[:, 7] = broken[:, 8]  # typical features, but not here
    limit = np.quantile(places.strangeness(maps), 0.95)
    assert (places.strangeness(broken) > limit).mean() > 0.9
    averaged = np.abs(broken.mean(1) - maps.mean(1)) / maps.mean(1).std(0)
    assert averaged.mean() < 1.5  # which features averaged over places hardly show


def test_a_little_everywhere_is_seen(places: Places) -> None:
    maps = draw(500, seed=3)
    centre, spread = maps.mean(0), maps.std(0)
    limit = np.quantile(places.strangeness(maps), 0.95)
    faded = maps + spread * np.sign(maps - centre) / 2
    assert (np.abs(faded - centre) > 3 * spread).mean() < 0.03  # no place stands out
    assert (places.strangeness(faded) > limit).mean() > 0.9


def test_features_that_never_vary_are_no_trouble() -> None:
    fit = PlacesFit()
    fit.add(np.zeros((10, 4, 2), np.float32))
    strange = fit.fit().strangeness(np.zeros((3, 4, 2), np.float32))
    np.testing.assert_array_equal(strange, 0)
