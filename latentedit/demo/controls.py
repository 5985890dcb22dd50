"""What the page's sliders are called, how they are grouped, and how far they go. No Gradio."""

from __future__ import annotations

from dataclasses import dataclass

from latentedit.attributes import display_name
from latentedit.boundaries.model import Boundaries

FAVOURITES = "Start here"
OTHERS = "Others"
RARE = "Rarely seen by this model"

REACH = 2.0
"""How far beyond the safe range a recipe may go before it is refused."""

WORDS = (
    (0.1, "very unlikely"),
    (0.35, "unlikely"),
    (0.65, "maybe"),
    (0.9, "likely"),
    (float("inf"), "very likely"),
)
"""Probabilities below a limit, in words."""

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
class Control:
    """One slider.

    Attributes:
        attribute: name of its boundary.
        label: what it is called.
        left, right: words at its ends.
        trait: what a face at its right end has, for sentences.
        flipped: whether its right end is the negative side of the boundary.
        group: heading that it stands under.
        low, high: the boundary's safe range of steps; at the slider's left end stands `low`, or
            `-high` where flipped.
    """

    attribute: str
    label: str
    left: str
    right: str
    trait: str
    flipped: bool
    group: str
    low: float
    high: float

    @property
    def limit(self) -> float:
        """Largest step, either way, that a recipe may ask for."""
        return REACH * max(-self.low, self.high)

    def probability(self, attribute_probability: float) -> float:
        """Probability of `trait`, given that of the attribute."""
        return 1 - attribute_probability if self.flipped else attribute_probability


def make_controls(boundaries: Boundaries) -> dict[str, Control]:
    """Return the sliders of a model's boundaries by attribute, in the order of the page.

    Boundaries that the table does not know (a user's own) come after those that it does;
    attributes too rare in the generator to be trusted come last.
    """
    known: dict[str, Control] = {}
    for group, rows in _TABLE:
        for signed, label, left, right, trait in rows:
            name = signed.removeprefix("-")
            if name in boundaries.names:
                place = RARE if name in boundaries.rare else group
                low, high = boundaries.safe_range(name)
                known[name] = Control(
                    name, label, left, right, trait, signed != name, place, low, high
                )
    for name in boundaries.names:
        if name not in known:
            plain = display_name(name)
            low, high = boundaries.safe_range(name)
            known[name] = Control(
                name, plain, "less", "more", plain.lower(), False, OTHERS, low, high
            )
    return dict(sorted(known.items(), key=lambda entry: entry[1].group == RARE))


def in_words(probability: float) -> str:
    """A probability as people say it."""
    return next(words for limit, words in WORDS if probability < limit)
