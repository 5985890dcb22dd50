"""Find meaning in a face generator's latent space and edit faces with it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from latentedit.moved import install

if TYPE_CHECKING:
    from latentedit.attributes import ATTRIBUTES, find_attribute
    from latentedit.boundaries.calibration import Calibration
    from latentedit.boundaries.finder import BoundaryFinder
    from latentedit.boundaries.model import Boundaries
    from latentedit.editing.editor import FaceEditor
    from latentedit.editing.photos import PhotoEditor
    from latentedit.editing.recipes import EditRecipe
    from latentedit.errors import LatentEditError

_HOMES = {
    "ATTRIBUTES": "attributes",
    "Boundaries": "boundaries.model",
    "BoundaryFinder": "boundaries.finder",
    "Calibration": "boundaries.calibration",
    "EditRecipe": "editing.recipes",
    "FaceEditor": "editing.editor",
    "PhotoEditor": "editing.photos",
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
    "PhotoEditor",
    "LatentEditError",
    "find_attribute",
]


install()


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, so that ``import latentedit`` takes no time."""
    if name not in _HOMES:
        raise AttributeError(f"module 'latentedit' has no attribute {name!r}")
    return getattr(import_module(f"latentedit.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted((*globals(), *__all__))
