"""One self-contained HTML page of titled sections: words, tables and pictures inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from latentedit.io.html import data_uri, render
from latentedit.io.images import image_bytes, open_image, within

_EDGE, _LIGHT = 1600, 400_000
"""Largest edge of a page's pictures in pixels; files of at most this many bytes stay unchanged."""


@dataclass(frozen=True)
class Cell:
    """A text that is drawn in a colour.

    Attributes:
        text: what it says.
        mark: ``good`` or ``bad``.
    """

    text: str
    mark: str

    def __str__(self) -> str:
        return self.text


def good(text: str) -> Cell:
    """Mark a text as good."""
    return Cell(text, "good")


def bad(text: str) -> Cell:
    """Mark a text as bad."""
    return Cell(text, "bad")


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        headings: one a column.
        rows: one text a column.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True)
class Section:
    """A titled part of a page.

    Attributes:
        title: heading.
        words: paragraphs, above everything.
        tables: below the pictures.
        pictures: PNG files with their captions, below the words.
    """

    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[tuple[Path, str]] = field(default=())

    @property
    def anchor(self) -> str:
        """The name that links to this section use."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def page(title: str, words: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole page; it refers to nothing outside itself.

    Raises:
        OSError: a picture cannot be read.
    """
    return render(
        __package__,
        "page.html.jinja",
        title=title,
        words=words,
        sections=sections,
        picture=_embedded,
    )


def _embedded(path: Path) -> str:
    """Return a PNG as a data URI. Large ones are made smaller, and lie whole beside the page."""
    content = path.read_bytes()
    if len(content) <= _LIGHT:
        return data_uri(content, "image/png")
    smaller = Image.fromarray(within(open_image(content), _EDGE))
    return data_uri(image_bytes(path.name, smaller, "JPEG", {"quality": 85}), "image/jpeg")
