"""The aligned square of FFHQ: its geometry, the cut, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from latentedit.errors import LatentEditError
from latentedit.photos import ffhq
from latentedit.photos.ffhq import Alignment


def alignment(
    edge: float, angle: float = 0.0, corner: tuple[float, float] = (0.0, 0.0), size: int = 300
) -> Alignment:
    turn = np.deg2rad(angle)
    a, d = edge * np.cos(turn), edge * np.sin(turn)
    return Alignment((a, -d, corner[0], d, a, corner[1]), size, size)


def smooth(edge: int, cells: int = 6) -> NDArray[np.uint8]:
    coarse = np.random.RandomState(0).randint(40, 216, (cells, cells, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC))


def points(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """68 landmarks of an upright face, eyes 1 apart and mouth 1.2 below, moved by [2, 3]."""
    face = np.full((68, 2), 99.0)
    face[36:42], face[42:48] = (-0.5, 0), (0.5, 0)
    face[48], face[54] = (-0.4, 1.2), (0.4, 1.2)
    return face @ matrix[:, :2].T + matrix[:, 2]


def test_the_square_is_that_of_the_published_recipe() -> None:
    aligned = Alignment.of(points(np.array([[100.0, 0, 500], [0, 100, 400]])), 1000, 1000)
    half = 1.8 * 120  # 1.8 times from eyes to mouth is more than twice from eye to eye
    np.testing.assert_allclose(aligned.quad[0], (500 - half, 400 + 12 - half))
    assert aligned.edge == pytest.approx(2 * half)
    u, v = aligned.inverse @ (450, 400, 1)  # the left eye
    assert (u, v) == (pytest.approx(0.5 - 50 / (2 * half)), pytest.approx(0.5 - 12 / (2 * half)))


@given(
    scale=st.floats(5, 5000),
    angle=st.floats(-180, 180),
    x=st.floats(-1000, 5000),
    y=st.floats(-1000, 5000),
)
def test_it_turns_grows_and_moves_with_the_face(
    scale: float, angle: float, x: float, y: float
) -> None:
    turn = np.deg2rad(angle)
    matrix = np.array(
        [
            [scale * np.cos(turn), -scale * np.sin(turn), x],
            [scale * np.sin(turn), scale * np.cos(turn), y],
        ]
    )
    moved = Alignment.of(points(matrix), 4000, 3000)
    upright = Alignment.of(points(np.eye(2, 3)), 4000, 3000)
    expected = upright.quad @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(moved.quad, expected, atol=1e-6 * (scale + 1000))
    both = moved.inverse[:, :2] @ moved.matrix[:, :2]
    np.testing.assert_allclose(both, np.eye(2), atol=1e-9)
    left, top, right, bottom = moved.box
    assert 0 <= left <= right <= 4000
    assert 0 <= top <= bottom <= 3000


def test_an_upright_square_is_cut_as_it_is() -> None:
    photo = smooth(300)
    picture = alignment(64, corner=(100.0, 120.0)).cut(photo, 64)
    assert np.abs(picture.astype(int) - photo[120:184, 100:164]).max() <= 1


@pytest.mark.parametrize("angle", [0.0, 17.0, -40.0, 90.0, 180.0])
@pytest.mark.parametrize("edge", [60.0, 128.0, 171.3])
def test_what_is_cut_comes_back(edge: float, angle: float) -> None:
    photo = smooth(300)
    turn = np.deg2rad(angle)
    middle = edge / 2 * np.array([np.cos(turn) - np.sin(turn), np.sin(turn) + np.cos(turn)])
    aligned = alignment(edge, angle, (150 - middle[0], 150 - middle[1]))
    picture = aligned.cut(photo, 128)
    left, top, right, bottom = aligned.box
    returned = aligned.back(picture.astype(np.float32))
    assert returned.shape == (bottom - top, right - left, 3)
    inner = round(0.3 * edge)
    middle_of = slice(150 - inner - top, 150 + inner - top), slice(150 - inner - left, None)
    middle_of = middle_of[0], slice(150 - inner - left, 150 + inner - left)
    there = photo[150 - inner : 150 + inner, 150 - inner : 150 + inner].astype(int)
    assert np.abs(returned[middle_of] - there).mean() < 1.5


def test_a_box_is_part_of_the_whole() -> None:
    aligned = alignment(150, 20, (120.0, 30.0))
    field = np.random.RandomState(0).rand(80, 80, 2).astype(np.float32)
    left, top, right, bottom = aligned.box
    whole = aligned.back(field)
    part = aligned.back(field, (left + 30, top + 10, right - 7, bottom - 20))
    np.testing.assert_allclose(part, whole[10:-20, 30:-7], atol=1e-4)


def test_rows_in_bands_are_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    aligned = alignment(700, 10, (150.0, 20.0), size=900)
    field = np.random.RandomState(0).rand(64, 64, 1).astype(np.float32)
    banded = aligned.back(field)
    monkeypatch.setattr(ffhq, "_BAND", 10_000)
    np.testing.assert_allclose(banded, aligned.back(field), atol=1e-6)


def test_a_large_photo_is_averaged_not_skipped() -> None:
    checks = np.indices((1024, 1024)).sum(0) % 2 * 255
    photo = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    picture = alignment(900, 9, (110.0, 20.0), size=1024).cut(photo, 64)
    assert picture.std() < 3
    assert abs(picture.mean() - 127.5) < 2


def test_a_fine_field_is_averaged_where_the_photo_is_coarse() -> None:
    checks = (np.indices((512, 512)).sum(0) % 2).astype(np.float32)[..., None]
    returned = alignment(60, 9, (100.0, 100.0)).back(checks)
    inner = returned[20:40, 20:40]
    assert inner.std() < 0.02
    assert inner.mean() == pytest.approx(0.5, abs=0.01)


def test_padding_is_reflected_then_blurred_and_faded() -> None:
    photo = np.random.RandomState(0).randint(0, 256, (300, 300, 3), dtype=np.uint8)
    aligned = alignment(200, corner=(-100.0, 50.0))
    picture = aligned.cut(photo, 200)
    inside = aligned.inside(200)
    assert not inside[:, :100].any()
    assert inside[:, 100:].all()
    assert np.abs(picture[:, 142:].astype(int) - photo[50:250, 42:100]).max() <= 1
    assert picture[:, 60:90].std() < 0.3 * picture[:, 142:].std()
    assert picture[:, :5].std() < 2 + picture[:, 60:90].std()


@settings(deadline=None, max_examples=30)
@given(
    edge=st.floats(3, 900),
    angle=st.floats(-180, 180),
    x=st.floats(-700, 700),
    y=st.floats(-700, 700),
)
def test_any_square_is_cut_and_back(edge: float, angle: float, x: float, y: float) -> None:
    aligned = Alignment(alignment(edge, angle, (x, y)).coefficients, 70, 50)
    picture = aligned.cut(np.full((50, 70, 3), 77, np.uint8), 32)
    assert (picture == 77).all()
    left, top, right, bottom = aligned.box
    field = aligned.back(np.full((32, 32, 1), 0.25, np.float32))
    assert field.shape == (bottom - top, right - left, 1)
    np.testing.assert_allclose(field, 0.25, atol=1e-4)


def test_a_photo_of_another_size_is_refused() -> None:
    with pytest.raises(LatentEditError, match="300 x 300"):
        alignment(50).cut(np.zeros((300, 301, 3), np.uint8), 32)


def test_a_photo_made_smaller_has_the_same_square() -> None:
    alignment = Alignment((40.0, -8.0, 20.0, 8.0, 40.0, 30.0), 100, 200)
    small = alignment.scaled(50, 100)
    assert (small.width, small.height) == (50, 100)
    np.testing.assert_allclose(small.quad, alignment.quad / 2)
    np.testing.assert_allclose(alignment.scaled(100, 50).quad, alignment.quad * (1, 0.25))
