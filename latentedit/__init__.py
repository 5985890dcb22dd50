"""Find meaning in a face generator's latent space and edit faces with it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentedit.attributes import ATTRIBUTES, find_attribute
    from latentedit.boundaries import Boundaries, Calibration
    from latentedit.editing import EditRecipe
    from latentedit.editor import FaceEditor
    from latentedit.errors import LatentEditError
    from latentedit.finder import BoundaryFinder

_HOMES = {
    "ATTRIBUTES": "attributes",
    "Boundaries": "boundaries",
    "BoundaryFinder": "finder",
    "Calibration": "boundaries",
    "EditRecipe": "editing",
    "FaceEditor": "editor",
    "LatentEditError": "errors",
    "find_attribute": "attributes",
}

__all__ = [
    "ATTRIBUTES",
    "Boundaries",
    "BoundaryFinder",
    "Calibration",
    "EditRecipe",
    "FaceEditor",
    "LatentEditError",
    "find_attribute",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: ``import latentedit`` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'latentedit' has no attribute {name!r}")
    return getattr(import_module(f"latentedit.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted((*globals(), *__all__))
