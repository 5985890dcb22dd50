"""The page's sliders: one for each boundary, with its words and its range. No Gradio."""

from __future__ import annotations

from dataclasses import dataclass

from latentedit.attributes import WORDINGS, display_name
from latentedit.boundaries.model import Boundaries

OTHERS = "Others"
RARE = "Rarely seen by this model"

REACH = 2.0
"""A recipe may go so many times as far as the safe range before it is refused."""

WORDS = (
    (0.1, "very unlikely"),
    (0.35, "unlikely"),
    (0.65, "maybe"),
    (0.9, "likely"),
    (float("inf"), "very likely"),
)
"""Words for probabilities: the upper limit and the word, from unlikely to likely."""


@dataclass(frozen=True)
class Control:
    """One slider.

    Attributes:
        attribute: the name of the boundary.
        label: the slider's name on the page.
        left, right: the words at its ends.
        trait: what a face at the right end has, for use in sentences.
        flipped: whether the right end is the negative side of the boundary.
        group: the heading above the slider.
        low, high: the boundary's safe range of steps. The slider's left end is `low`, or `-high`
            if it is flipped.
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
        """Largest step, in either direction, that a recipe may ask for."""
        return REACH * max(-self.low, self.high)

    def probability(self, attribute_probability: float) -> float:
        """Return the probability of `trait`, from that of the attribute."""
        return 1 - attribute_probability if self.flipped else attribute_probability


def make_controls(boundaries: Boundaries) -> dict[str, Control]:
    """Return the sliders of a model's boundaries by attribute, in the order of the page.

    Boundaries without an entry in `WORDINGS` (a user's own) come after those with one. Attributes
    that are too rare among the generator's faces to be trusted come last.
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
    """Return a probability in words, see `WORDS`."""
    return next(words for limit, words in WORDS if probability < limit)
