"""Which faces of a photo are edited, and what is said of them; on drawn faces."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from portraits import SKINS, draw_portrait

from latentedit.errors import LatentEditError
from latentedit.photos.faces import ALL, SMALLEST_FACE, choose_faces

pytest.importorskip("dlib", reason="dlib is missing: pip install 'latentedit[photos]'")
pytest.importorskip("face_recognition_models", reason="pip install 'latentedit[photos]'")


@pytest.fixture(scope="module")
def family() -> NDArray[np.uint8]:
    """Three faces; the second from the left is the largest."""
    eyes, height = (42.0, 70.0, 50.0), 360
    return np.concatenate(
        [
            draw_portrait((300, height), (150.0, 160.0), apart, skin=SKINS[n])
            for n, apart in enumerate(eyes)
        ],
        axis=1,
    )


def kinds(notes: object) -> set[str]:
    return {note.kind for note in notes}  # type: ignore[attr-defined]


def eyes_in_square(chosen: object) -> NDArray[np.float64]:
    inverse = chosen.alignment.inverse  # type: ignore[attr-defined]
    points = chosen.face.points  # type: ignore[attr-defined]
    points = points @ inverse[:, :2].T + inverse[:, 2]
    return np.stack((points[36:42].mean(0), points[42:48].mean(0)))


def test_eyes_stand_where_those_of_ffhq_stand() -> None:
    (chosen,) = choose_faces(draw_portrait((600, 500), (280.0, 200.0), 90.0, angle=14))
    np.testing.assert_allclose(eyes_in_square(chosen), [(0.371, 0.470), (0.621, 0.470)], atol=0.025)
    assert (chosen.number, chosen.count) == (1, 1)


def test_the_largest_face_by_default_and_it_is_said(family: NDArray[np.uint8]) -> None:
    (chosen,) = choose_faces(family)
    assert (chosen.number, chosen.count) == (2, 3)
    assert 300 < chosen.face.box[0] < 600
    assert "several" in kinds(chosen.notes)


def test_numbers_run_from_the_left(family: NDArray[np.uint8]) -> None:
    for number in (1, 2, 3):
        (chosen,) = choose_faces(family, number)
        middle = (chosen.face.box[0] + chosen.face.box[2]) / 2
        assert 300 * (number - 1) < middle < 300 * number
        assert "several" not in kinds(chosen.notes)
    everyone = choose_faces(family, ALL)
    assert [chosen.number for chosen in everyone] == [1, 2, 3]


@pytest.mark.parametrize("which", [0, -1, True])
def test_numbers_that_no_face_has(family: NDArray[np.uint8], which: int) -> None:
    with pytest.raises(LatentEditError, match="numbered from 1"):
        choose_faces(family, which)


def test_a_number_too_large_names_how_many_there_are(family: NDArray[np.uint8]) -> None:
    with pytest.raises(LatentEditError, match="no face 4: 3 faces"):
        choose_faces(family, 4)


def test_no_face_is_one_line_of_advice() -> None:
    noise = np.random.RandomState(0).randint(0, 256, (200, 300, 3), dtype=np.uint8)
    for photo in (noise, np.zeros((1, 1, 3), np.uint8)):
        with pytest.raises(LatentEditError, match="no face was found: give a photo") as caught:
            choose_faces(photo)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_on_its_side_or_head(turns: int) -> None:
    upright = draw_portrait((420, 380), (230.0, 160.0), 70.0)
    (straight,) = choose_faces(upright)
    (chosen,) = choose_faces(np.rot90(upright, turns))
    assert "turned" in kinds(chosen.notes)
    again = chosen.alignment.cut(np.ascontiguousarray(np.rot90(upright, turns)), 64)
    wanted = straight.alignment.cut(upright, 64)
    assert np.abs(again.astype(int) - wanted).mean() < 6
    np.testing.assert_allclose(eyes_in_square(chosen), [(0.371, 0.470), (0.621, 0.470)], atol=0.025)


def test_a_face_at_the_border_is_noted_and_one_beyond_it_refused() -> None:
    whole = draw_portrait((500, 500), (250.0, 220.0), 90.0)
    assert "cut" not in kinds(choose_faces(whole)[0].notes)
    (chosen,) = choose_faces(np.ascontiguousarray(whole[:, 100:]))
    assert "cut" in kinds(chosen.notes)


def test_small_faces_are_noted_and_smaller_ones_refused() -> None:
    (chosen,) = choose_faces(draw_portrait((260, 260), (130.0, 120.0), 40.0))
    assert "small" in kinds(chosen.notes)
    with pytest.raises(LatentEditError, match=f"{SMALLEST_FACE} or more"):
        choose_faces(draw_portrait((90, 90), (45.0, 40.0), 13.0))


def test_all_says_which_faces_it_leaves_out() -> None:
    pair = np.concatenate(
        (
            draw_portrait((300, 300), (150.0, 140.0), 55.0),
            draw_portrait((300, 300), (150.0, 140.0), 15.0, skin=SKINS[2]),
        ),
        axis=1,
    )
    (chosen,) = choose_faces(pair, ALL)
    assert (chosen.number, chosen.count) == (1, 2)
    assert "skipped" in kinds(chosen.notes)
    with pytest.raises(LatentEditError, match="face 2 from the left"):
        choose_faces(pair, 2)
