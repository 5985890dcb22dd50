"""The 40 CelebA attributes (Liu et al. 2015): canonical order, look-up, plain words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from latentedit.errors import LatentEditError

ATTRIBUTES: tuple[str, ...] = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald",
    "Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair",
    "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin",
    "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones",
    "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard",
    "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings",
    "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
"""CelebA's names in CelebA's order; index i is column i of every score array."""

_OTHERWISE = {"age": "Young", "gender": "Male"}
"""What people call attributes whose names are nothing like it."""

_ABSENT = {
    "the head's pose": ("pose", "yaw", "pitch", "roll", "headpose", "rotation", "rotate", "angle"),
    "where somebody looks": ("gaze", "eyegaze", "lookingdirection", "viewdirection"),
    "origin or skin colour": (
        *("race", "ethnicity", "ethnic", "asian", "african", "caucasian", "indian", "latino"),
        *("hispanic", "black", "white", "skincolor", "skincolour", "skintone", "darkskin"),
    ),
    "a feeling": ("emotion", "angry", "anger", "sad", "sadness", "surprise", "fear", "disgust"),
    "the length of hair": ("hairlength", "longhair", "shorthair"),
    "the colour of eyes": ("eyecolor", "eyecolour", "blueeyes", "greeneyes", "browneyes"),
    "closed eyes": ("eyesclosed", "closedeyes", "eyesopen", "openeyes", "wink", "blink"),
    "light, background or camera": (
        *("light", "lighting", "background", "zoom", "camera", "exposure", "contrast"),
    ),
    "who somebody is": ("identity", "person", "name"),
    "a mask": ("mask", "facemask"),
    "a tattoo, freckles or scars": ("tattoo", "freckles", "scar", "scars"),
}
"""What people ask for that is none of the 40, by what it is."""

_DISPLAY = {"5_o_Clock_Shadow": "5 o'clock shadow", "No_Beard": "No beard"}


AGE_ATTRIBUTE = "Young"
"""What faces are moved along to age them."""


def display_name(name: str) -> str:
    """Return an attribute in plain words: ``Wearing_Hat`` -> ``Wearing hat``."""
    return _DISPLAY.get(name, name.replace("_", " ").capitalize())


def spelling_key(name: str) -> str:
    """What all spellings of a name have in common: its letters and digits, in one case."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def find_attribute(name: str, names: Iterable[str] = ATTRIBUTES) -> str:
    """Return the canonical spelling of `name`, forgiving case, spaces and punctuation.

    Args:
        name: what the user typed: ``young``, ``Black Hair``, ``5 o'clock shadow``.
        names: the names to choose from.

    Raises:
        LatentEditError: no such attribute; the message suggests the nearest one.
    """
    names = tuple(names)
    if name in names:
        return name
    by_key = {spelling_key(known): known for known in names}
    key = spelling_key(name)
    if key in by_key:
        return by_key[key]
    absent = next((what for what, words in _ABSENT.items() if key in words), None)
    if absent is not None and _OTHERWISE.get(key) not in names:
        raise LatentEditError(
            f"unknown attribute {name!r}: none of the {len(names)} is about {absent}; make one of "
            "your own: label some faces, then 'latentedit boundaries fit --scores', or look at "
            "'latentedit directions'"
        )
    close = [by_key[near] for near in difflib.get_close_matches(key, by_key, n=1, cutoff=0.5)]
    if _OTHERWISE.get(key) in names:
        close = [_OTHERWISE[key]]
    hint = f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(names)}"
    raise LatentEditError(f"unknown attribute {name!r}: {hint}")
