"""The tab "Compare": the same move with and without automatic locks, as HTML. No Gradio."""

from __future__ import annotations

from latentedit.demo.studio import Way
from latentedit.io.html import render


def draw(seed: int, original: str, ways: list[Way]) -> str:
    """Return the original and the ways side by side.

    Args:
        seed: of the face.
        original: its picture as a data URI.
        ways: see `Studio.compare`.
    """
    return render(__package__, "compare.html.jinja", seed=seed, original=original, ways=ways)
