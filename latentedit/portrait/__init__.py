"""The portrait assessor: whether a photo is a good portrait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentedit.portrait.assessor import PortraitAssessor

__all__ = ["PortraitAssessor"]


def __getattr__(name: str) -> Any:
    """Import the assessor when it is asked for: degradations need none of it."""
    if name not in __all__:
        raise AttributeError(f"module 'latentedit.portrait' has no attribute {name!r}")
    from latentedit.portrait.assessor import PortraitAssessor

    return PortraitAssessor
