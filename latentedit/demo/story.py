"""What an edit changed, and which holds hindered it, in plain words. No Gradio, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from latentedit.boundaries.model import Boundaries
from latentedit.demo.controls import Control, in_words
from latentedit.demo.session import View
from latentedit.editing.projection import find_hindrance
from latentedit.editing.recipes import EditRecipe

NOTICEABLE = 0.05
"""Smallest change of a probability that is told."""

SLIPPED = 0.25
"""Smallest change of a held attribute's probability that counts as a failed hold."""

MAX_OTHERS = 5
"""How many attributes are listed, at most, that changed without being asked to."""


@dataclass(frozen=True)
class Change:
    """How the probability of one trait changed.

    Attributes:
        trait: its name in plain words.
        before, after: probabilities.
        words: the probabilities before and after, in words.
        asked: whether its slider was moved.
    """

    trait: str
    before: float
    after: float
    words: tuple[str, str]
    asked: bool


def find_changes(
    controls: Mapping[str, Control],
    before: Mapping[str, float],
    after: Mapping[str, float],
    asked: Iterable[str],
) -> list[Change]:
    """Return the changes that were asked for, then other noticeable ones; the largest come first.

    Args:
        controls: words for the attributes.
        before, after: probabilities by attribute.
        asked: attributes whose sliders were moved.
    """
    asked = set(asked)
    changes = []
    for name in before.keys() & controls.keys():
        control = controls[name]
        old, new = control.probability(before[name]), control.probability(after[name])
        words = (in_words(old), in_words(new))
        changes.append(Change(control.trait, old, new, words, name in asked))
    changes.sort(key=lambda change: (-abs(change.after - change.before), change.trait))
    others = [
        change
        for change in changes
        if not change.asked and abs(change.after - change.before) >= NOTICEABLE
    ]
    return [change for change in changes if change.asked] + others[:MAX_OTHERS]


def tell(changes: list[Change], years: tuple[float, float] | None) -> str:
    """Say what changed in sentences, for those who cannot see the bars."""
    sentences = []
    if years is not None:
        sentences.append(f"Estimated age: {years[0]:.0f}, now {years[1]:.0f}.")
    for asked, start in ((True, "You asked for"), (False, "Also changed")):
        parts = [
            f"{change.trait} {change.before:.0%} to {change.after:.0%}"
            for change in changes
            if change.asked is asked
        ]
        if parts:
            sentences.append(f"{start}: {', '.join(parts)}.")
    idle = [
        change
        for change in changes
        if change.asked and abs(change.after - change.before) < NOTICEABLE
    ]
    if idle:
        sentences.append(f"This face hardly changed in: {', '.join(each.trait for each in idle)}.")
    if changes and all(change.asked for change in changes):
        sentences.append("Nothing else changed much.")
    return " ".join(sentences)


def find_slips(
    controls: Mapping[str, Control],
    before: Mapping[str, float],
    after: Mapping[str, float],
    held: Iterable[str],
) -> list[dict[str, str]]:
    """Return the held attributes that changed all the same, the largest change first.

    Returns:
        ``name``, and ``words`` such as "unlikely → likely".
    """
    slips = []
    for name in held:
        if name not in controls or name not in before:
            continue
        old, new = (controls[name].probability(scores[name]) for scores in (before, after))
        if abs(new - old) >= SLIPPED and in_words(old) != in_words(new):
            words = f"{in_words(old)} → {in_words(new)}"
            slips.append((abs(new - old), {"name": name, "words": words}))
    return [slip for _, slip in sorted(slips, key=lambda each: -each[0])]


def find_fights(
    boundaries: Boundaries, controls: Mapping[str, Control], view: View, recipe: EditRecipe
) -> list[str]:
    """Return a sentence for each slider that is locked itself, or that the user's holds hinder.

    Args:
        boundaries: their normals tell which hold hinders most.
        controls: words for the attributes.
        view: what the user set.
        recipe: the edit that `view` stands for.
    """
    sentences = [
        f"“{controls[name].label}” is locked, but you moved its slider: the slider wins."
        for name in view.held
        if name in view.steps
    ]
    own = {*view.held, *(held for holds in (view.given or {}).values() for held in holds)}
    for name, holds in recipe.holds.items():
        found = find_hindrance(boundaries, name, holds, own)
        if found is None:
            continue
        gain, worst = found
        control = controls[name]
        end = control.right if (view.steps[name] > 0) != control.flipped else control.left
        sentences.append(
            f"“{control.label}: {end}” fights your locks, “{controls[worst].label}” most of all. "
            f"{gain:.0%} of the move is left."
        )
    return sentences
