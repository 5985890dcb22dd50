"""The page's sliders: one for each boundary, and how far it goes. No Gradio."""

from __future__ import annotations

from dataclasses import dataclass

from latentedit.attributes import WORDINGS, display_name
from latentedit.boundaries.model import Boundaries

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
    for name, said in WORDINGS.items():
        if name in boundaries.names:
            place = RARE if name in boundaries.rare else said.group
            low, high = boundaries.safe_range(name)
            known[name] = Control(
                *(name, said.label, said.left, said.right, said.trait, said.flipped),
                *(place, low, high),
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
