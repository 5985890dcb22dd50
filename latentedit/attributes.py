"""The 40 CelebA attributes (Liu et al. 2015): canonical order, plain words, look-up.

The words are those of the slider page. The command line and the Python API understand them too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

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

FAVOURITES = "Start here"
"""Heading of the attributes that come first."""

_TABLE: tuple[tuple[str, tuple[tuple[str, str, str, str, str], ...]], ...] = (
    (
        FAVOURITES,
        (
            ("-Young", "Age", "younger", "older", "looks older"),
            ("Smiling", "Smile", "serious", "smiling", "smiling"),
            ("-No_Beard", "Beard", "shaven", "bearded", "beard"),
            ("Male", "Feminine or masculine", "feminine", "masculine", "masculine"),
            ("Eyeglasses", "Glasses", "without", "with", "glasses"),
            ("Heavy_Makeup", "Make-up", "none", "heavy", "heavy make-up"),
        ),
    ),
    (
        "Age and hair",
        (
            ("Gray_Hair", "Grey hair", "less", "more", "grey hair"),
            ("Blond_Hair", "Blond hair", "less", "more", "blond hair"),
            ("Brown_Hair", "Brown hair", "less", "more", "brown hair"),
            ("Black_Hair", "Black hair", "less", "more", "black hair"),
            ("Wavy_Hair", "Wavy hair", "less", "more", "wavy hair"),
            ("Straight_Hair", "Straight hair", "less", "more", "straight hair"),
            ("Bangs", "Fringe", "without", "with", "fringe"),
            ("Receding_Hairline", "Receding hairline", "less", "more", "receding hairline"),
            ("Bald", "Baldness", "less", "more", "bald"),
        ),
    ),
    (
        "Mouth and eyes",
        (
            ("Mouth_Slightly_Open", "Mouth", "closed", "open", "mouth open"),
            ("Big_Lips", "Lips", "thin", "full", "full lips"),
            ("Narrow_Eyes", "Eyes", "wide", "narrow", "narrow eyes"),
            ("Bags_Under_Eyes", "Bags under the eyes", "less", "more", "bags under the eyes"),
            ("Arched_Eyebrows", "Arched eyebrows", "less", "more", "arched eyebrows"),
            ("Bushy_Eyebrows", "Bushy eyebrows", "less", "more", "bushy eyebrows"),
        ),
    ),
    (
        "Facial hair",
        (
            ("5_o_Clock_Shadow", "Stubble", "less", "more", "stubble"),
            ("Mustache", "Moustache", "less", "more", "moustache"),
            ("Goatee", "Goatee", "less", "more", "goatee"),
            ("Sideburns", "Sideburns", "less", "more", "sideburns"),
        ),
    ),
    (
        "Skin and make-up",
        (
            ("Wearing_Lipstick", "Lipstick", "without", "with", "lipstick"),
            ("Rosy_Cheeks", "Rosy cheeks", "less", "more", "rosy cheeks"),
            ("Pale_Skin", "Pale skin", "less", "more", "pale skin"),
            ("Attractive", "Called attractive", "less", "more", "called attractive"),
        ),
    ),
    (
        "Accessories",
        (
            ("Wearing_Earrings", "Earrings", "without", "with", "earrings"),
            ("Wearing_Hat", "Hat", "without", "with", "hat"),
            ("Wearing_Necklace", "Necklace", "without", "with", "necklace"),
            ("Wearing_Necktie", "Tie", "without", "with", "tie"),
        ),
    ),
    (
        "Shape",
        (
            ("Oval_Face", "Oval face", "less", "more", "oval face"),
            ("High_Cheekbones", "High cheekbones", "less", "more", "high cheekbones"),
            ("Chubby", "Fullness of the face", "slim", "chubby", "chubby"),
            ("Double_Chin", "Double chin", "less", "more", "double chin"),
            ("Big_Nose", "Size of the nose", "small", "big", "big nose"),
            ("Pointy_Nose", "Pointed nose", "less", "more", "pointed nose"),
            ("Blurry", "Focus of the picture", "sharp", "blurred", "blurred"),
        ),
    ),
)
"""By group: attribute (with a minus where its slider runs the other way), label, words at the left
and right end, and what the attribute (or its absence) is called in a sentence."""


@dataclass(frozen=True)
class Wording:
    """What an attribute is called in plain words.

    Attributes:
        label: name of its slider.
        left, right: words at the slider's ends.
        trait: what a face at the right end has, for sentences.
        flipped: whether the right end is the negative side of the boundary.
        group: heading that it stands under.
    """

    label: str
    left: str
    right: str
    trait: str
    flipped: bool
    group: str


WORDINGS = {
    signed.removeprefix("-"): Wording(label, left, right, trait, signed[0] == "-", group)
    for group, rows in _TABLE
    for signed, label, left, right, trait in rows
}
"""The wording of each attribute, in the order of the page."""

_ENDS_WITH_LABEL = (
    *("less", "more", "with", "without", "none", "heavy", "thin", "full", "wide", "narrow"),
    *("small", "big", "open", "closed"),
)
"""Words at the ends of sliders that mean nothing without the slider's name."""

_OTHERWISE = {
    **dict.fromkeys(("old", "aged", "aging", "ageing"), "-Young"),
    **dict.fromkeys(("man", "manly"), "Male"),
    **dict.fromkeys(("woman", "female", "womanly"), "-Male"),
    "spectacles": "Eyeglasses",
    "makeup": "Heavy_Makeup",
    "blonde hair": "Blond_Hair",
    "necktie": "Wearing_Necktie",
    "eye bags": "Bags_Under_Eyes",
    "open mouth": "Mouth_Slightly_Open",
}
"""Other words for attributes; a minus means the boundary's negative side."""

_NO_DIRECTION = {"gender": "Male", "sex": "Male"}
"""Words that name an attribute but no side of it; the message suggests the attribute."""

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
"""Words that people try but that are none of the 40 attributes, by what they are about."""

_DISPLAY = {"5_o_Clock_Shadow": "5 o'clock shadow", "No_Beard": "No beard"}


AGE_ATTRIBUTE = "Young"
"""The attribute that ages faces: its negative side is older."""

AGEING_ATTRIBUTES = ("Gray_Hair", "Bags_Under_Eyes", "Double_Chin", "Receding_Hairline", "Bald")
"""Signs of age, in the order in which `ages.search_age` adds them to an edit.

Attributes that are only correlated with age in CelebA (Wearing_Necktie, Chubby) are left out.
"""


def display_name(name: str) -> str:
    """Return an attribute in plain words: ``Wearing_Hat`` -> ``Wearing hat``."""
    return _DISPLAY.get(name, name.replace("_", " ").capitalize())


def spelling_key(name: str) -> str:
    """Return a name's letters and digits in one case: the same for all its spellings."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _spoken() -> dict[str, tuple[str, int]]:
    """Return the attribute and the side of its boundary, 1 or -1, by each word's spelling key."""
    said: dict[str, tuple[str, int]] = {}

    def add(words: str, name: str, side: int) -> None:
        said.setdefault(spelling_key(words), (name, side))

    for name, wording in WORDINGS.items():
        side = -1 if wording.flipped else 1
        add(wording.label, name, side)
        add(wording.trait, name, side)
        for end, towards in ((wording.left, -side), (wording.right, side)):
            if end not in _ENDS_WITH_LABEL:
                add(end, name, towards)
            add(f"{end} {wording.label}", name, towards)
        if wording.left == "without":
            add(f"no {wording.label}", name, -side)
    for words, signed in _OTHERWISE.items():
        add(words, signed.removeprefix("-"), -1 if signed[0] == "-" else 1)
    return said


_SPOKEN = _spoken()


def find_attribute(name: str, names: Iterable[str] = ATTRIBUTES, *, words: bool = True) -> str:
    """Return the attribute that `name` means, in its canonical spelling.

    Case, spaces and punctuation do not matter.

    Args:
        name: what the user typed: ``young``, ``Black Hair``, ``5 o'clock shadow``, or a word of the
            page: ``Age``, ``glasses``, ``older``.
        names: the names to choose from; they go before the page's words.
        words: whether the page's words are understood.

    Raises:
        LatentEditError: no such attribute; the message suggests the nearest one.
    """
    return find_side(name, names, words=words)[0]


def find_side(
    name: str, names: Iterable[str] = ATTRIBUTES, *, words: bool = True
) -> tuple[str, int]:
    """Return the attribute that `name` means, and which side of its boundary, 1 or -1.

    For example, ``older`` is the negative side of Young: a step of 2 towards it is a step of -2
    along Young.

    Args:
        name, names, words: see `find_attribute`.

    Raises:
        LatentEditError: see `find_attribute`.
    """
    names = tuple(names)
    if name in names:
        return name, 1
    by_key = {spelling_key(known): known for known in names}
    key = spelling_key(name)
    if key in by_key:
        return by_key[key], 1
    spoken = {word: found for word, found in _SPOKEN.items() if words and found[0] in names}
    if key in spoken:
        return spoken[key]
    absent = next((what for what, known in _ABSENT.items() if key in known), None)
    if absent is not None:
        raise LatentEditError(
            f"unknown attribute {name!r}: none of the {len(names)} is about {absent}; make one of "
            "your own: label some faces, then 'latentedit boundaries fit --scores', or look at "
            "'latentedit directions'"
        )
    meant = _NO_DIRECTION.get(key)
    if meant not in names:
        # short words resemble many others: words of the page must be more similar
        close = difflib.get_close_matches(key, (*by_key, *spoken), n=1, cutoff=0.75)
        close = close or difflib.get_close_matches(key, by_key, n=1, cutoff=0.5)
        meant = (by_key.get(close[0]) or spoken[close[0]][0]) if close else None
    hint = f"did you mean {meant!r}?" if meant else f"choose from: {', '.join(names)}"
    raise LatentEditError(f"unknown attribute {name!r}: {hint}")
