"""Notes that several commands print in the same words."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from latentedit.io.launch import launch

if TYPE_CHECKING:
    from latentedit.editing.editor import FaceEditor
    from latentedit.editing.steps import Step

LONG, LITTLE, SURE = 1.5, 0.1, 0.95
"""Limits for `unmoved`.

`LONG`: a step this long should change an attribute. `LITTLE`: a smaller change of the probability
counts as no change. `SURE`: with a larger probability, a face has the attribute for certain.
"""


def whose(editor: FaceEditor, model: str | None) -> str:
    """Return which model drew and how to use the other one, or "" if the user named the model."""
    from latentedit.pretrained.bundles import EMBEDDED_BUNDLE, PULLED_BUNDLE

    if model is not None:
        return ""
    if editor.name == PULLED_BUNDLE:
        return f", by {editor.name} (smaller and faster: --model {EMBEDDED_BUNDLE})"
    return f", by {editor.name} (photographs: latentedit models pull {PULLED_BUNDLE})"


def faces_in_words(count: int) -> str:
    return "1 face" if count == 1 else f"{count} faces"


def say(notes: Iterable[str]) -> None:
    """Print notes to standard error, one a line; only the first of several processes prints."""
    if not launch().leads:
        return
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def unmoved(
    steps: Mapping[str, Step],
    faces: Sequence[Mapping[str, Sequence[float]]],
    seeds: Sequence[int] | None = None,
) -> list[str]:
    """Return notes on attributes that an edit hardly changed, and on those that were there before.

    Args:
        steps: by attribute: one number for all faces, or one for each face.
        faces: for each face, the probabilities before and after, by attribute.
        seeds: of the faces; without them, faces are counted from 1.
    """
    kind, names = ("face", range(1, len(faces) + 1)) if seeds is None else ("seed", seeds)
    notes = []
    for name, step in steps.items():
        ways = step if isinstance(step, tuple) else (step,) * len(faces)
        for whether, advice in (
            (_stuck, "hardly changes ({:.2f} -> {:.2f}): not every face takes every edit; try "
             "another face, --hold none or --force"),
            (_there, "was there already before the edit ({:.2f} -> {:.2f}): more of it does "
             "not show in this number"),
        ):  # fmt: skip
            rows = [
                row
                for row, (way, seen) in enumerate(zip(ways, faces, strict=True))
                if name in seen and whether(way, *seen[name])
            ]
            if rows:
                numbers = ", ".join(str(names[row]) for row in rows)
                where = f" of {kind} {numbers}" if len(faces) > 1 else ""
                notes.append(f"{name}{where} {advice.format(*faces[rows[0]][name])}")
    return notes


def _stuck(step: float, before: float, after: float) -> bool:
    if step < 0:
        step, before, after = -step, 1 - before, 1 - after
    return step >= LONG and max(before, after) < 0.5 and after - before < LITTLE


def _there(step: float, before: float, after: float) -> bool:
    if step < 0:
        before, after = 1 - before, 1 - after
    return min(before, after) > SURE
