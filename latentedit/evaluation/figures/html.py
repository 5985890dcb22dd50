"""One self-contained HTML page of titled sections: words, tables and pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; background: #fff }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0 }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #e3e6ea }
th:first-child, td:first-child { text-align: left }
th { position: sticky; top: 0; background: #fff }
td.good { color: #16713a } td.bad { color: #a3261d }
img { max-width: 100%; height: auto; margin: .5rem 0 }
nav a { margin-right: 1rem }
"""


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        headings: one a column.
        rows: texts; one that starts with ``+`` or ``-`` and a tab is drawn as good or bad.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def html(self) -> str:
        """The table's element."""
        head = "".join(f"<th>{escape(text)}</th>" for text in self.headings)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def good(text: str) -> str:
    """Mark a cell as good."""
    return f"+\t{text}"


def bad(text: str) -> str:
    """Mark a cell as bad."""
    return f"-\t{text}"


def _cell(text: str) -> str:
    mark, tab, rest = text.partition("\t")
    if tab and mark in "+-":
        return f'<td class="{"good" if mark == "+" else "bad"}">{escape(rest)}</td>'
    return f"<td>{escape(text)}</td>"


@dataclass(frozen=True)
class Section:
    """A titled part of a page.

    Attributes:
        title: heading.
        words: paragraphs, above everything.
        tables: below them.
        pictures: PNG files with their captions.
    """

    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[tuple[Path, str]] = field(default=())

    def html(self) -> str:
        """The section's element, its pictures inside."""
        parts = [f'<section id="{_anchor(self.title)}"><h2>{escape(self.title)}</h2>']
        parts += [f"<p>{escape(text)}</p>" for text in self.words]
        parts += [table.html() for table in self.tables]
        for path, caption in self.pictures:
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            alt = escape(caption, quote=True)
            parts.append(f'<figure><img alt="{alt}" src="data:image/png;base64,{data}">')
            parts.append(f"<figcaption>{escape(caption)}</figcaption></figure>")
        return "\n".join((*parts, "</section>"))


def page(title: str, words: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole page; it refers to nothing outside itself."""
    links = "".join(
        f'<a href="#{_anchor(each.title)}">{escape(each.title)}</a>' for each in sections
    )
    intro = "".join(f"<p>{escape(text)}</p>" for text in words)
    body = "\n".join(section.html() for section in sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f'</title><meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{intro}<nav>{links}</nav>\n{body}\n</body></html>\n"
    )


def _anchor(title: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower())
