"""The photo's light, brought to drawn faces."""

from __future__ import annotations

import numpy as np
from drawn_faces import SIZE, draw

from latentedit.photos.fields import FACE
from latentedit.photos.light import Light, Match, with_colours_of
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


def test_a_wall_does_not_light_a_face_of_which_nothing_is_known() -> None:
    before = draw().astype(np.float32)
    wall = np.abs(before - before[0, 0]).max(2) < 10
    lit = before + np.where(wall, 60, 0)[..., None].astype(np.float32)
    masks = Masks(NOWHERE, wall.astype(np.float32), 0.0)
    light = Light(before, lit).light(before, masks)
    assert light[wall].mean() > 30
    assert np.abs(light[SIZE // 2 - 8 : SIZE // 2 + 8, SIZE // 2 - 8 : SIZE // 2 + 8]).mean() < 3


def test_an_edited_face_gets_its_old_colours_back_and_nothing_else_changes() -> None:
    before = draw().astype(np.float32)
    after = before + np.array((25, 5, -20), np.float32)
    found = with_colours_of(before, after)
    face = tuple(slice(round(a * SIZE), round(b * SIZE)) for a, b in FACE)
    assert np.abs(found[face] - before[face]).mean() < 4
    np.testing.assert_allclose(found[: SIZE // 8], after[: SIZE // 8], atol=0.01)
    np.testing.assert_allclose(with_colours_of(before, before), before, atol=0.01)
