"""The tab "Compare": the same move with and without automatic locks, as HTML. No Gradio."""

from __future__ import annotations

from html import escape

from latentedit.demo.studio import Way


def draw(seed: int, original: str, ways: list[Way]) -> str:
    """Return the original and the ways side by side.

    Args:
        seed: of the face.
        original: its picture as a data URI.
        ways: see `Studio.compare`.
    """
    figures = [_figure(original, "Original", f"<p>Seed {seed}.</p>")]
    for way in ways:
        text = (
            f"<p>All other attributes moved by <b>{way.leakage:.1%}</b> on average.</p>"
            f"<p>{escape(way.told)}</p>"
        )
        figures.append(_figure(way.picture, way.title, text))
    return f'<div class="le-compare">{"".join(figures)}</div>'


def _figure(picture: str, title: str, text: str) -> str:
    alt = escape(title, quote=True)
    return (
        f'<figure><img src="{escape(picture, quote=True)}" alt="{alt}">'
        f"<h3>{escape(title)}</h3>{text}</figure>"
    )
