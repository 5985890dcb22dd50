"""The tab "Compare": the same move with and without auto holds, as HTML. No Gradio."""

from __future__ import annotations

from html import escape

from latentedit.demo.studio import ComparedEdit


def draw(seed: int, original: str, edits: list[ComparedEdit]) -> str:
    """Return the original and the edits side by side.

    Args:
        seed: of the face.
        original: its picture as a data URI.
        edits: see `Studio.compare`.
    """
    figures = [_figure(original, "Original", f"<p>Seed {seed}</p>")]
    figures += [_figure(edit.picture, edit.title, _text(edit)) for edit in edits]
    return f'<div class="le-compare">{"".join(figures)}</div>'


def _text(edit: ComparedEdit) -> str:
    rows = [
        _row(change.trait, f"{change.before:.0%} → {change.after:.0%}", asked=change.asked)
        for change in edit.changes
    ]
    if edit.years:
        rows.insert(0, _row("estimated age", "{:.0f} → {:.0f}".format(*edit.years), asked=True))
    return f"<p>All else moved by <b>{edit.leakage:.1%}</b> on average</p><ul>{''.join(rows)}</ul>"


def _row(trait: str, figures: str, *, asked: bool) -> str:
    wanted = ' class="le-wanted"' if asked else ""
    return f"<li{wanted}><span>{escape(trait)}</span> <b>{escape(figures)}</b></li>"


def _figure(picture: str, title: str, text: str) -> str:
    alt = escape(title, quote=True)
    return (
        f'<figure><img src="{escape(picture, quote=True)}" alt="{alt}">'
        f"<h3>{escape(title)}</h3>{text}</figure>"
    )
