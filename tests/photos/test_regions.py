"""Attributes change their part of a face, and none beside it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from latentedit.attributes import ATTRIBUTES
from latentedit.photos.ffhq import Alignment
from latentedit.photos.regions import BELOW_A_HAT, PART_OF, PARTS, keeps_skin, region

Points = NDArray[np.float64]


def line(start: tuple[float, float], end: tuple[float, float], count: int) -> Points:
    return np.linspace(start, end, count)


def ring(x: float, y: float, rx: float, ry: float, count: int) -> Points:
    angles = np.pi + np.arange(count) * 2 * np.pi / count
    return np.column_stack((x + rx * np.cos(angles), y + ry * np.sin(angles)))


@pytest.fixture(scope="module")
def points() -> Points:
    """68 landmarks of a face 200 pixels wide, its eyes 80 apart."""
    angles = np.linspace(np.pi, 0, 17)
    jaw = np.column_stack((200 + 80 * np.cos(angles), 200 + 110 * np.sin(angles)))
    brows = np.concatenate((line((135, 175), (185, 172), 5), line((215, 172), (265, 175), 5)))
    nose = np.concatenate((line((200, 195), (200, 235), 4), line((185, 245), (215, 245), 5)))
    eyes = np.concatenate((ring(160, 195, 14, 6, 6), ring(240, 195, 14, 6, 6)))
    mouth = np.concatenate((ring(200, 275, 30, 12, 12), ring(200, 275, 20, 5, 8)))
    return np.concatenate((jaw, brows, nose, eyes, mouth))


@pytest.fixture(scope="module")
def alignment(points: Points) -> Alignment:
    return Alignment.of(points, 400, 400)


def at(found: NDArray[np.float32] | None, alignment: Alignment, x: float, y: float) -> float:
    assert found is not None
    u, v = alignment.inverse @ (x, y, 1)
    return float(found[int(v * len(found)), int(u * len(found))])


def test_every_name_and_part_is_one() -> None:
    assert set(PART_OF) | BELOW_A_HAT <= set(ATTRIBUTES)
    assert set(PART_OF.values()) <= set(PARTS)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("Smiling", [(200, 275), (145, 255)], [(200, 90), (160, 193), (60, 200), (340, 300)]),
        ("Rosy_Cheeks", [(200, 275), (160, 195), (140, 240)], [(200, 90), (60, 200)]),
        ("Eyeglasses", [(160, 195), (240, 195)], [(200, 275), (200, 310)]),
        ("Wearing_Lipstick", [(200, 275)], [(160, 195), (200, 310), (140, 240)]),
        ("Goatee", [(200, 300)], [(200, 150), (160, 175)]),
    ],
)
def test_attributes_have_their_part(
    name: str,
    inside: list[tuple[float, float]],
    outside: list[tuple[float, float]],
    points: Points,
    alignment: Alignment,
) -> None:
    found = region([name], points, alignment)
    assert [at(found, alignment, *place) for place in inside] == [1.0] * len(inside)
    assert [at(found, alignment, *place) for place in outside] == [0.0] * len(outside)


def test_parts_add_up(points: Points, alignment: Alignment) -> None:
    both = region(["Wearing_Lipstick", "Eyeglasses"], points, alignment)
    assert at(both, alignment, 200, 275) == at(both, alignment, 160, 195) == 1


def test_hair_and_age_may_change_anything(points: Points, alignment: Alignment) -> None:
    assert region(["Bangs"], points, alignment) is None
    assert region(["Smiling", "Young"], points, alignment) is None
    assert region([], points, alignment) is None


def test_age_leaves_a_hat_alone(points: Points, alignment: Alignment) -> None:
    assert region(["Young", "Gray_Hair"], points, alignment) is None
    below = region(["Young", "Gray_Hair"], points, alignment, hat=True)
    np.testing.assert_array_equal(below, region(["Rosy_Cheeks"], points, alignment))
    assert region(["Wearing_Hat"], points, alignment, hat=True) is None


def test_edits_of_age_keep_the_skin_s_colours_unless_another_edit_colours_it() -> None:
    assert keeps_skin(["Young", "Bags_Under_Eyes"])
    assert not keeps_skin(["Young", "Pale_Skin"])
    assert not keeps_skin(["Smiling"])
    assert not keeps_skin([])
