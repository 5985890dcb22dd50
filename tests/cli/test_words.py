"""What several commands say."""

from __future__ import annotations

import pytest

from latentedit.cli.edit_photo import in_words
from latentedit.cli.words import unmoved


@pytest.mark.parametrize(
    ("step", "seen", "said"),
    [
        (2.0, (0.01, 0.02), True),
        (2.0, (0.01, 0.4), False),  # on its way
        (2.0, (0.01, 0.9), False),
        (0.5, (0.01, 0.02), False),  # little was asked for
        (-2.0, (0.98, 0.97), True),
        (-2.0, (0.98, 0.3), False),
    ],
)
def test_an_edit_in_vain_is_named(step: float, seen: tuple[float, float], said: bool) -> None:
    notes = unmoved({"Wearing_Hat": step}, [{"Wearing_Hat": seen}])
    assert len(notes) == said
    assert all("Wearing_Hat" in note and "--force" in note for note in notes)


def test_of_several_faces_those_are_counted_that_do_not_move() -> None:
    faces = [{"Bald": (0.0, 0.9)}, {"Bald": (0.0, 0.02)}, {"Bald": (0.1, 0.1)}]
    (note,) = unmoved({"Bald": (2.0, 2.0, 3.0)}, faces)
    assert "face 2, 3" in note
    assert "0.00 -> 0.02" in note


def test_what_is_there_already_is_named() -> None:
    assert "already" in unmoved({"Smiling": 1.0}, [{"Smiling": (0.99, 1.0)}])[0]
    assert "already" in unmoved({"Smiling": -1.0}, [{"Smiling": (0.02, 0.01)}])[0]
    assert not unmoved({"Smiling": -1.0}, [{"Smiling": (0.99, 0.97)}])
    assert not unmoved({"Smiling": 1.0}, [{"Smiling": (0.8, 0.97)}])


def test_an_attribute_that_nobody_judges_is_passed_over() -> None:
    assert unmoved({"My_Own": 3.0}, [{}]) == []


def test_years_are_told_where_age_moves() -> None:
    young = {"face": 1, "probability": {"Young": [0.9, 0.2]}, "age": [28.4, 38.6]}
    assert in_words([young]) == "face 1 (Young 0.90 -> 0.20, 28 -> 39 years)"
    smiling = {"face": 2, "probability": {"Smiling": [0.1, 0.9]}, "age": [28.4, 38.6]}
    assert in_words([smiling]) == "face 2 (Smiling 0.10 -> 0.90)"


def test_faces_of_seeds_are_named_by_their_seeds() -> None:
    faces = [{"Bangs": (0.0, 0.9)}, {"Bangs": (0.0, 0.01)}]
    assert "Bangs of seed 7 hardly" in unmoved({"Bangs": 2.0}, faces, [3, 7])[0]
    assert "Bangs of face 2 hardly" in unmoved({"Bangs": 2.0}, faces)[0]
