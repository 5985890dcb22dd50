"""Edits put back into photos, on drawn faces whose edits are known."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_faces import SIZE, draw
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from latentedit.errors import LatentEditError
from latentedit.photos.ffhq import Alignment
from latentedit.photos.paste import Ground, paste, residual


def placed(edge: float, angle: float, width: int = 420, height: int = 380) -> Alignment:
    turn = np.deg2rad(angle)
    a, d = edge * np.cos(turn), edge * np.sin(turn)
    x, y = np.array((width / 2, height / 2)) - np.array([[a, -d], [d, a]]) @ (0.5, 0.5)
    return Alignment((float(a), float(-d), float(x), float(d), float(a), float(y)), width, height)


def photo_of(
    face: NDArray[np.uint8], alignment: Alignment, *, grain: float = 3.0, seed: int = 0
) -> NDArray[np.uint8]:
    """A photo in which the face is, before a grey ground, with grain."""
    random = np.random.RandomState(seed)
    box = (0, 0, alignment.width, alignment.height)
    photo = alignment.back(face.astype(np.float32), box)
    photo += grain * random.standard_normal((alignment.height, alignment.width, 1))
    return photo.round().clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def case() -> tuple[NDArray[np.uint8], Alignment]:
    alignment = placed(250, 7)
    return photo_of(draw(), alignment), alignment


@settings(deadline=None, max_examples=15)
@given(
    edge=st.floats(10, 600),
    angle=st.floats(-180, 180),
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    seed=st.integers(0, 99),
)
def test_an_edit_of_nothing_gives_the_photo_back(
    edge: float, angle: float, width: int, height: int, seed: int
) -> None:
    random = np.random.RandomState(seed)
    photo = random.randint(0, 256, (height, width, 3), dtype=np.uint8)
    picture = random.randint(0, 256, (64, 64, 3), dtype=np.uint8)
    result = paste(photo, placed(edge, angle, width, height), picture, picture.copy())
    assert np.array_equal(result, photo)
    assert result is not photo


@settings(deadline=None, max_examples=15)
@given(
    edge=st.floats(5, 600),
    angle=st.floats(-180, 180),
    size=st.sampled_from((64, 100, 256)),
    seed=st.integers(0, 99),
)
def test_anything_can_be_pasted_and_nothing_changes_outside_the_square(
    edge: float, angle: float, size: int, seed: int
) -> None:
    random = np.random.RandomState(seed)
    photo = random.randint(0, 256, (120, 160, 3), dtype=np.uint8)
    before, after = random.randint(0, 256, (2, size, size, 3), dtype=np.uint8)
    alignment = placed(edge, angle, 160, 120)
    result = paste(photo, alignment, before, after)
    assert result.shape == photo.shape
    assert result.dtype == np.uint8
    y, x = np.nonzero((result != photo).any(2))
    places = alignment.inverse @ (x + 0.5, y + 0.5, np.ones(len(x)))
    assert (np.abs(places - 0.5) <= 0.5 + 1e-9).all()


def test_outside_the_mask_the_photo_is_the_same(
    case: tuple[NDArray[np.uint8], Alignment],
) -> None:
    photo, alignment = case
    result = paste(photo, alignment, draw(), draw(mouth=0.05))
    changed = (result != photo).any(2)
    y, x = np.nonzero(changed)
    u, v = alignment.inverse @ (x + 0.5, y + 0.5, np.ones(len(x)))
    assert 0.005 < changed.mean() < 0.1
    assert (np.abs(u - 0.5) < 0.2).all()  # the mouth and a little around it
    assert (np.abs(v - 0.72) < 0.18).all()


def test_a_mouth_opens_without_a_ghost_of_the_old_one(
    case: tuple[NDArray[np.uint8], Alignment],
) -> None:
    photo, alignment = case
    lips_elsewhere = np.roll(draw(), 5, axis=0)  # a poor inversion
    opened = np.roll(draw(mouth=0.05), 5, axis=0)
    result = alignment.cut(paste(photo, alignment, lips_elsewhere, opened), SIZE)
    wanted = opened[175:200, 110:146].astype(float)
    assert np.abs(result[175:200, 110:146] - wanted).mean() < 8


def test_where_shapes_stay_the_photo_keeps_what_no_generator_draws() -> None:
    alignment = placed(250, 0)
    face = draw()
    freckled = face.copy()
    freckled[135:150:4, 80:100:4] -= 40
    photo = photo_of(freckled, alignment, grain=0)
    result = alignment.cut(paste(photo, alignment, face, draw(shade=0.15)), SIZE)
    cheek = result[130:155, 78:104].astype(float) @ (0.3, 0.6, 0.1)
    before = alignment.cut(photo, SIZE)[130:155, 78:104].astype(float) @ (0.3, 0.6, 0.1)
    assert before.mean() - cheek.mean() > 15  # darker
    assert np.corrcoef(cheek.ravel(), before.ravel())[0, 1] > 0.95  # and as freckled


def test_the_generated_face_takes_the_photo_s_light() -> None:
    alignment = placed(250, 0)
    dark = (draw().astype(float) * (0.5, 0.45, 0.4)).astype(np.uint8)
    photo = photo_of(dark, alignment)
    result = alignment.cut(paste(photo, alignment, draw(), draw(mouth=0.05)), SIZE)
    teeth = result[180:188, 120:136].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(teeth, np.array((245, 240, 235)) * (0.5, 0.45, 0.4), atol=14)
    skin = result[205:212, 120:136].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(skin, np.array((205, 165, 140)) * (0.5, 0.45, 0.4), atol=6)


def test_the_generated_face_takes_the_photo_s_grain() -> None:
    alignment = placed(256, 0)
    photo = photo_of(draw(), alignment, grain=6)
    with_grain, without = (
        Ground(photo, alignment, draw(), grain=share).paste(draw(mouth=0.06))
        for share in (1.0, 0.0)
    )
    left, top = alignment.box[:2]
    teeth = slice(top + 178, top + 190), slice(left + 118, left + 138)
    noise = [picture[teeth].astype(float).mean(2).std() for picture in (with_grain, without)]
    assert noise[1] < 2
    assert 3 < noise[0] < 9


def test_a_blurred_photo_gets_a_blurred_mouth() -> None:
    alignment = placed(256, 0)
    soft = np.array(Image.fromarray(draw()).filter(ImageFilter.GaussianBlur(3)))
    edges = []
    for face in (draw(), soft):
        photo = photo_of(face, alignment, grain=0)
        result = alignment.cut(paste(photo, alignment, draw(), draw(mouth=0.05)), SIZE)
        rows = result[150:215, 126:130].astype(float).mean((1, 2))
        edges.append(np.abs(np.diff(rows)).max())
    assert edges[1] < 0.6 * edges[0]


def test_a_drifting_background_is_left_alone(case: tuple[NDArray[np.uint8], Alignment]) -> None:
    photo, alignment = case
    after = draw(mouth=0.05, ground=(80, 96, 112))
    result = paste(photo, alignment, draw(), after)
    places = alignment.cut(np.abs(result.astype(int) - photo).astype(np.uint8), SIZE)
    assert places[170:200, 115:140].max() > 50
    assert places[:100, :20].max() == 0
    assert places[:100, -20:].max() == 0


def test_what_the_generator_does_not_draw_stays() -> None:
    alignment = placed(256, 0)
    face, after = draw(), draw(mouth=0.05)
    hat = face.copy()
    for row in range(10, 70, 12):
        hat[row : row + 6, 60:196] = (250, 240, 240)
    face[30:50, 90:166:8] += 40  # strands of hair,
    after[30:50, 94:166:8] += 40  # which stir
    photo = photo_of(hat, alignment)
    result = paste(photo, alignment, face, after)
    difference = alignment.cut(np.abs(result.astype(int) - photo).astype(np.uint8), SIZE)
    assert difference[20:60, 80:176].max() < 40  # of stripes 190 apart
    assert difference[170:200, 115:140].max() > 50


def test_black_and_white_stays_so(case: tuple[NDArray[np.uint8], Alignment]) -> None:
    photo, alignment = case
    grey = np.repeat(photo[..., 1:2], 3, axis=2)
    result = paste(grey, alignment, draw(), draw(mouth=0.05))
    assert (result != grey).any()
    assert (result.min(2) == result.max(2)).all()


def test_the_residual_gives_the_photo_back() -> None:
    photo, before = draw(mouth=0.03), draw()
    np.testing.assert_array_equal(before + residual(photo, before), photo.astype(np.float32))


def test_what_does_not_fit_is_refused(case: tuple[NDArray[np.uint8], Alignment]) -> None:
    photo, alignment = case
    with pytest.raises(LatentEditError, match="one shape"):
        paste(photo, alignment, draw(), draw()[:128, :128])
    with pytest.raises(LatentEditError, match=r"\[S, S, 3\]"):
        paste(photo, alignment, draw()[:100], draw()[:100])
    with pytest.raises(LatentEditError, match="align it again"):
        paste(photo[1:], alignment, draw(), draw())


def test_outside_a_region_nothing_changes(case: tuple[NDArray[np.uint8], Alignment]) -> None:
    photo, alignment = case
    half = np.zeros((64, 64), np.float32)
    half[:, :32] = 1
    result = paste(photo, alignment, draw(), draw(mouth=0.05), region=half)
    difference = np.abs(result.astype(int) - photo).max(2)
    square = alignment.cut(np.repeat(difference[..., None], 3, 2).astype(np.uint8), SIZE)[..., 0]
    assert square[:, 132:].max() == 0
    assert square[:, :120].max() > 20
