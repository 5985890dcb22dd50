"""The photo's light, brought to drawn faces."""

from __future__ import annotations

import numpy as np
from drawn_faces import SIZE, draw

from latentedit.photos.light import Light, Match
from latentedit.photos.masks import Masks

NOWHERE = np.zeros((SIZE, SIZE), np.float32)
KEPT = Masks(NOWHERE, np.ones_like(NOWHERE), 0.0)


def test_a_drawn_face_gets_the_contrast_and_the_colours_of_the_photo() -> None:
    before = draw().astype(np.float32)
    wanted = 0.6 * before + (30, 20, 10)
    found = Match(before, wanted.astype(np.float32)).apply(before)
    assert np.abs(found - wanted).mean() < 1.5


def test_light_that_falls_on_all_is_found_again() -> None:
    before, shade = draw().astype(np.float32), np.array((12, 8, -6), np.float32)
    light = Light(before, before + shade).light(before, KEPT)
    assert np.abs(light - shade).max() < 1.5


def test_what_an_edit_moves_everywhere_is_drift() -> None:
    before, shade = draw().astype(np.float32), np.array((9, 9, 9), np.float32)
    drift = Light(before, before).drift(before + shade, KEPT)
    assert np.abs(drift - shade).mean() < 2


def test_no_share_is_next_to_nothing() -> None:
    """Numbers that small would slow all down that is computed from them."""
    light = Light(draw().astype(np.float32), draw().astype(np.float32))
    assert not ((light.shares > 0) & (light.shares < 1e-7)).any()
    np.testing.assert_allclose(light.shares.sum(2), 1, rtol=1e-5)
