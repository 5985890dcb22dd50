"""Degradations: of known strength, seeded, and of other kinds for measuring than for training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import RandomState
from portraits import draw_portrait

from latentedit.portrait.degradations import (
    KINDS,
    MOST_COVERED,
    POOR_FROM,
    UNSEEN,
    compress,
    degrade,
    face_mask,
)

ALL = [(quality, kind) for table in (KINDS, UNSEEN) for quality in table for kind in table[quality]]
PORTRAIT = draw_portrait((96, 96), (48.0, 48.0), 21.0)


def change(quality: str, kind: str, strength: float, seed: int = 0) -> float:
    spoilt = degrade(PORTRAIT, quality, kind, strength, RandomState(seed))
    return float(np.abs(spoilt.astype(float) - PORTRAIT).mean())


def test_kinds_for_training_and_for_measuring_differ() -> None:
    assert KINDS.keys() == UNSEEN.keys() == POOR_FROM.keys()
    for quality in KINDS:
        assert len(UNSEEN[quality]) >= 2
        assert not set(KINDS[quality].values()) & set(UNSEEN[quality].values())


@pytest.mark.parametrize(("quality", "kind"), ALL)
def test_stronger_changes_more_and_the_same_seed_repeats(quality: str, kind: str) -> None:
    before = PORTRAIT.copy()
    first = degrade(PORTRAIT, quality, kind, 0.6, RandomState(4))
    assert first.shape == PORTRAIT.shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, degrade(PORTRAIT, quality, kind, 0.6, RandomState(4)))
    np.testing.assert_array_equal(PORTRAIT, before)
    none, some, much = (change(quality, kind, s) for s in (0.0, 0.4, 1.0))
    assert none < 4.0  # a mask still hangs below the chin
    assert none < some < much
    assert much > 4


@given(
    # a hand is skin on skin
    kind=st.sampled_from(
        ["mask", "bar", "shape", "straps", "splashes", "lattice", "hair", "leaves"]
    ),
    strength=st.floats(0.15, 0.9),
    seed=st.integers(0, 50),
)
def test_occlusions_cover_the_share_they_say(kind: str, strength: float, seed: int) -> None:
    face = face_mask(96)
    # twice, on black and on white: only what is covered comes out alike
    black, white = (
        degrade(np.full((96, 96, 3), value, np.uint8), "occlusion", kind, strength, RandomState(s))
        for value, s in ((0, seed), (255, seed))
    )
    seen = (white.astype(float) - black).mean(2) / 255  # share of the ground that shows
    covered = 1 - seen[face].clip(0, 1).mean()
    reach = {"mask": 0.53}.get(kind, 0.9)
    assert covered == pytest.approx(min(strength * MOST_COVERED, reach), abs=0.09)


def spread(quality: str, kind: str, strength: float, seed: int) -> float:
    """Variance of a blurred point, the mean over both axes, in pixels squared."""
    point = np.zeros((97, 97, 3), np.uint8)
    point[46:51, 46:51] = 255
    y, x = np.mgrid[:97, :97]

    def variance(image: np.ndarray) -> float:
        weight = image.astype(float).mean(2)
        weight /= weight.sum()
        moments = [
            (weight * axis**2).sum() - (weight * axis).sum() ** 2 for axis in (x * 1.0, y * 1.0)
        ]
        return float(np.mean(moments))

    return variance(degrade(point, quality, kind, strength, RandomState(seed))) - variance(point)


@pytest.mark.parametrize("kind", ["gaussian", "motion", "defocus", "camera shake"])
def test_blurs_of_one_strength_are_as_wide(kind: str) -> None:
    for strength in (0.3, 0.5):
        wanted = (4 * strength * 97 / 96) ** 2
        found = np.mean([spread("blur", kind, strength, seed) for seed in range(3)])
        assert found == pytest.approx(wanted, rel=0.35)


def test_light_moves_as_named() -> None:
    def mean(kind: str, seed: int = 0) -> np.ndarray:
        return degrade(PORTRAIT, "illumination", kind, 0.8, RandomState(seed)).astype(float)

    plain = PORTRAIT.astype(float).mean()
    assert mean("under-exposure").mean() < 0.5 * plain < plain < mean("over-exposure").mean()
    face = face_mask(96)
    back = mean("back light")
    assert back[face].mean() < 0.6 * PORTRAIT[face].mean()
    assert back[:8].mean() > PORTRAIT[:8].mean()
    side = mean("side light")
    halves = sorted((side[:, :48].mean(), side[:, 48:].mean()))
    assert halves[0] < 0.6 * halves[1]
    cast = mean("colour cast").mean((0, 1)) / PORTRAIT.mean((0, 1))
    assert cast.max() / cast.min() > 1.5


def test_compress_keeps_shape_and_loses_detail() -> None:
    assert compress(PORTRAIT, 30).shape == PORTRAIT.shape
    worse, better = (
        np.abs(compress(PORTRAIT, quality).astype(float) - PORTRAIT).mean() for quality in (10, 95)
    )
    assert better < worse


def test_bad_arguments_are_named() -> None:
    random = RandomState(0)
    with pytest.raises(ValueError, match=r"uint8 \[S, S, 3\]"):
        degrade(PORTRAIT[:50], "blur", "gaussian", 0.5, random)
    with pytest.raises(ValueError, match="0 to 1"):
        degrade(PORTRAIT, "blur", "gaussian", 1.5, random)
    with pytest.raises(ValueError, match=r"no degradation 'fog'.*gaussian"):
        degrade(PORTRAIT, "blur", "fog", 0.5, random)
