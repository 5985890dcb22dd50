"""What several commands say in the same way."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from latentedit.io.launch import launch

if TYPE_CHECKING:
    from latentedit.editing.editor import FaceEditor


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
