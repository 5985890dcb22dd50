from __future__ import annotations

import string
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentedit.attributes import (
    ATTRIBUTES,
    WORDINGS,
    display_name,
    find_attribute,
    find_side,
)
from latentedit.errors import LatentEditError


def test_the_names_stand_where_celeba_has_them() -> None:
    # positions in the second line of list_attr_celeba.txt, counted from 1
    places = {1: "5_o_Clock_Shadow", 16: "Eyeglasses", 21: "Male", 32: "Smiling", 40: "Young"}
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 40
    assert {place: ATTRIBUTES[place - 1] for place in places} == places


@given(st.sampled_from(ATTRIBUTES), st.randoms(use_true_random=False))
def test_case_and_punctuation_do_not_matter(name: str, random: Random) -> None:
    letters = (random.choice((c.lower(), c.upper())) for c in name.replace("_", ""))
    typed = "".join(letter + random.choice(("", "", " ", "_", "-'.")) for letter in letters)
    assert find_attribute(typed) == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("young", "Young"),
        ("Black Hair", "Black_Hair"),
        ("5 o'clock shadow", "5_o_Clock_Shadow"),
        ("wearing-hat", "Wearing_Hat"),
    ],
)
def test_plain_words_are_understood(typed: str, name: str) -> None:
    assert find_attribute(typed) == name


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_missing_letter_suggests_the_name(name: str) -> None:
    for place in (place for place, letter in enumerate(name) if letter != "_"):
        with pytest.raises(LatentEditError, match=f"did you mean '{name}'"):
            find_attribute(name[:place] + name[place + 1 :])


@pytest.mark.parametrize(
    ("typed", "name", "side"),
    [
        ("Age", "Young", -1),
        ("OLDER", "Young", -1),
        ("younger", "Young", 1),
        ("Smile", "Smiling", 1),
        ("serious", "Smiling", -1),
        ("Glasses", "Eyeglasses", 1),
        ("without_glasses", "Eyeglasses", -1),
        ("no glasses", "Eyeglasses", -1),
        ("Hat", "Wearing_Hat", 1),
        ("grey_hair", "Gray_Hair", 1),
        ("beard", "No_Beard", -1),
        ("no beard", "No_Beard", 1),
        ("shaven", "No_Beard", 1),
        ("make-up", "Heavy_Makeup", 1),
        ("Feminine", "Male", -1),
        ("thin lips", "Big_Lips", -1),
        ("bags under the eyes", "Bags_Under_Eyes", 1),
        ("Wearing Hat", "Wearing_Hat", 1),
    ],
)
def test_words_of_the_page_name_attributes_and_sides(typed: str, name: str, side: int) -> None:
    assert find_side(typed) == (name, side)
    assert find_attribute(typed) == name
    with pytest.raises(LatentEditError, match=r"choose from: Blurry|did you mean"):
        find_attribute(typed, ["Blurry"])
    assert find_side(typed, [name, typed]) == (typed, 1)  # one's own comes first


def test_every_label_of_the_page_is_understood_and_means_one_thing() -> None:
    assert {*WORDINGS} == {*ATTRIBUTES}
    for name, said in WORDINGS.items():
        side = -1 if said.flipped else 1
        assert find_side(said.label) == (name, side)
        assert find_side(said.trait) == (name, side)
        assert find_side(f"{said.right} {said.label}") == (name, side)
        assert find_side(f"{said.left} {said.label}") == (name, -side)


@pytest.mark.parametrize(
    ("typed", "name"), [("gender", "Male"), ("oldr", "Young"), ("galsses", "Eyeglasses")]
)
def test_a_word_that_is_none_suggests_the_name(typed: str, name: str) -> None:
    with pytest.raises(LatentEditError, match=f"did you mean '{name}'"):
        find_attribute(typed)


def test_files_keep_their_own_words() -> None:
    with pytest.raises(LatentEditError, match="unknown attribute 'older'"):
        find_attribute("older", words=False)


@pytest.mark.parametrize("typed", ["pose", "Head pose", "race", "asian", "emotion", "gaze", "Yaw"])
def test_what_no_attribute_is_about_is_said_and_how_to_make_one(typed: str) -> None:
    with pytest.raises(LatentEditError, match=r"none of the 40 is about.*fit --scores") as caught:
        find_attribute(typed)
    assert "did you mean" not in str(caught.value)
    assert find_attribute(typed, ["Young", typed.capitalize()]) == typed.capitalize()


@given(st.text())
def test_any_text_is_a_name_or_a_one_line_error(typed: str) -> None:
    try:
        found, message = find_attribute(typed), ""
    except LatentEditError as error:
        found, message = None, str(error)
    assert found in ATTRIBUTES or "unknown attribute" in message
    assert len(message.splitlines()) <= 1


def test_what_resembles_nothing_gets_the_list() -> None:
    with pytest.raises(LatentEditError) as caught:
        find_attribute("zzz", ("Young", "Male"))
    assert "choose from: Young, Male" in str(caught.value)


def test_only_the_given_names_are_looked_at() -> None:
    with pytest.raises(LatentEditError, match="did you mean 'Yonder'"):
        find_attribute("Young", ["Yonder"])


def test_names_of_any_alphabet_are_told_apart() -> None:
    names = ("очки", "улыбка", "Wink", "wink", "眼镜")
    assert [find_attribute(name, names) for name in names] == list(names)
    assert find_attribute("Улыбка", names) == "улыбка"
    with pytest.raises(LatentEditError, match="did you mean 'улыбка'"):
        find_attribute("улыбк", names)


def test_display_names_are_plain_and_distinct() -> None:
    shown = [display_name(name) for name in ATTRIBUTES]
    assert len(set(shown)) == 40
    assert not any("_" in text for text in shown)
    assert all(text[0] in string.ascii_uppercase + string.digits for text in shown)
    assert [find_attribute(text) for text in shown] == list(ATTRIBUTES)
