"""What several commands say in the same way."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from latentedit.io.launch import launch

if TYPE_CHECKING:
    from latentedit.editing.editor import FaceEditor
    from latentedit.editing.recipes import Step

LONG, LITTLE = 1.5, 0.1
"""A step from which a change is expected, and the probability below which it is none."""


def whose(editor: FaceEditor, model: str | None) -> str:
    """Which model drew, where none was named, and how to get the other one."""
    from latentedit.pretrained.bundles import EMBEDDED_BUNDLE, PULLED_BUNDLE

    if model is not None:
        return ""
    if editor.name == PULLED_BUNDLE:
        return f", by {editor.name} (smaller and faster: --model {EMBEDDED_BUNDLE})"
    return f", by {editor.name} (photographs: latentedit models pull {PULLED_BUNDLE})"


def faces_in_words(count: int) -> str:
    return "1 face" if count == 1 else f"{count} faces"


def say(notes: Iterable[str]) -> None:
    """Notes on standard error, a line each; of several launched processes the first says them."""
    if not launch().leads:
        return
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def unmoved(steps: Mapping[str, Step], faces: Sequence[Mapping[str, Sequence[float]]]) -> list[str]:
    """Say which attributes an edit moved in vain.

    Args:
        steps: by attribute, one number or one a face.
        faces: of each, probabilities before and after by attribute.
    """
    notes = []
    for name, step in steps.items():
        ways = step if isinstance(step, tuple) else (step,) * len(faces)
        stuck = [
            seen[name]
            for way, seen in zip(ways, faces, strict=True)
            if name in seen and _stuck(way, *seen[name])
        ]
        if stuck:
            before, after = stuck[0]
            where = f" of {len(stuck)} of {len(faces)} faces" if len(faces) > 1 else ""
            notes.append(
                f"{name}{where} hardly changes ({before:.2f} -> {after:.2f}): not every face takes "
                "every edit; a longer --step, --force or --hold none may help, or another face"
            )
    return notes


def _stuck(step: float, before: float, after: float) -> bool:
    if step < 0:
        step, before, after = -step, 1 - before, 1 - after
    return step >= LONG and max(before, after) < 0.5 and after - before < LITTLE
