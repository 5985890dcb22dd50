"""What tests read back of pictures that were saved."""

from __future__ import annotations

from pathlib import Path

from latentedit.editing.recipes import EditRecipe
from latentedit.editing.strips import read_origin


def read_recipe(path: str | Path) -> EditRecipe:
    """The recipe of an edit that a PNG carries."""
    return EditRecipe.from_json(read_origin(path))
