"""The tab Compare: it shows the same move with and without auto holds, as HTML. No Gradio."""

from __future__ import annotations

from latentedit.demo.replies import Picture
from latentedit.demo.studio import ComparedEdit
from latentedit.io.html import render


def draw(title: str, original: Picture, edits: list[ComparedEdit]) -> str:
    """Return HTML with the original and the edits side by side.

    Args:
        title: the name of the face or of the photo.
        original: the picture of the original.
        edits: the edits, see `Studio.compare`.
    """
    return render(__package__, "compare.html.jinja", title=title, original=original, edits=edits)
