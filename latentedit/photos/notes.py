"""Notes: what the user is told about a photo, beside the result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """Something that the user should know about a photo.

    Attributes:
        kind: one word, for programs.
        text: a clause without a full stop, for people.
    """

    kind: str
    text: str
