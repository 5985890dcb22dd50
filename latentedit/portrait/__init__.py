"""The portrait assessor: whether a photo is a good portrait, or fit for a passport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentedit.portrait.assessor import PortraitAssessor
    from latentedit.portrait.conventions import CONVENTIONS

__all__ = ["CONVENTIONS", "PortraitAssessor"]


def __getattr__(name: str) -> Any:
    """Import the assessor only when it is asked for, because degradations do not need it."""
    if name == "CONVENTIONS":
        from latentedit.portrait.conventions import CONVENTIONS

        return CONVENTIONS
    if name == "PortraitAssessor":
        from latentedit.portrait.assessor import PortraitAssessor

        return PortraitAssessor
    raise AttributeError(f"module 'latentedit.portrait' has no attribute {name!r}")
