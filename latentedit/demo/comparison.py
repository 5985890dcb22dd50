"""The tab "Compare": the same move with and without auto holds, as HTML. No Gradio."""

from __future__ import annotations

from latentedit.demo.studio import ComparedEdit
from latentedit.io.html import render


def draw(seed: int, original: str, edits: list[ComparedEdit]) -> str:
    """Return the original and the edits side by side.

    Args:
        seed: of the face.
        original: its picture as a data URI.
        edits: see `Studio.compare`.
    """
    return render(__package__, "compare.html.jinja", seed=seed, original=original, edits=edits)
