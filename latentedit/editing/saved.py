"""Reading saved recipes: from JSON, pictures and films; of drawn faces and of photos."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentedit.editing.recipes import EditRecipe, parse_json
from latentedit.errors import LatentEditError
from latentedit.photos.photograph import read_marks

MAX_BYTES = 16_000_000
"""Size in bytes of the largest JSON file that is read."""

_ADVICE = "give a recipe in JSON, or a picture or film that 'latentedit edit' wrote"


@dataclass(frozen=True)
class SavedEdit:
    """The edit of one face of a photo, or of faces that a model draws.

    Attributes:
        recipe: see `EditRecipe`.
        face: its number in the photo, from the left, or None.
        refined: refining steps with which the photo's latents were found, or None.
    """

    recipe: EditRecipe
    face: int | None = None
    refined: int | None = None


@dataclass(frozen=True)
class SavedRecipe:
    """What a file says about how it was made.

    Attributes:
        path: of the file.
        edits: one, or one for each face of a photo.
        photo: name of the photo's file; None where it had no name, or no photo was edited.
        of_photo: whether a photo was edited.
    """

    path: Path
    edits: tuple[SavedEdit, ...]
    photo: str | None = None
    of_photo: bool = False


def read_recipe(path: str | Path) -> SavedRecipe:
    """Read the recipe of an edit.

    Args:
        path: JSON, as `latentedit info --json` and `edit --json` print it or the page saves it; or
            a PNG, JPEG or another picture, GIF or MP4 that `latentedit edit` wrote.

    Raises:
        LatentEditError: missing, unreadable, damaged, or without a recipe of an edit.
    """
    path = Path(path)
    text = _json_of(path)
    if text is None:
        text = _recipe_in(path)
    try:
        values = parse_json(text)
    except ValueError:
        raise LatentEditError(f"{path} holds a recipe that is damaged: {_ADVICE}") from None
    if isinstance(values, dict) and isinstance(values.get("recipe"), dict):
        values = values["recipe"]  # what --json prints
    if not isinstance(values, dict):
        raise LatentEditError(f"{path} holds no recipe: {_ADVICE}")
    if isinstance(values.get("sample"), Mapping):
        raise LatentEditError(
            f"{path} shows faces that were not edited: say what to move with --attr, "
            "and give their --seeds"
        )
    try:
        return _saved(path, values)
    except LatentEditError as error:
        raise LatentEditError(f"{path}: {error}") from None


def _saved(path: Path, values: Mapping[str, Any]) -> SavedRecipe:
    if "edits" not in values:
        return SavedRecipe(path, (SavedEdit(EditRecipe.from_dict(values)),))
    edits, photo = values["edits"], values.get("photo")
    if not (isinstance(edits, list) and edits and all(isinstance(each, dict) for each in edits)):
        raise LatentEditError("this is not an edit recipe that this version can read")
    name = photo if isinstance(photo, str) else None
    return SavedRecipe(path, tuple(_of_face(each) for each in edits), name, of_photo=True)


def _of_face(values: Mapping[str, Any]) -> SavedEdit:
    """One face of a photo: its recipe, its number, and how its latents were found."""
    rest = dict(values)
    face, inversion = rest.pop("face", None), rest.pop("inversion", None)
    steps = inversion.get("steps") if isinstance(inversion, dict) else None
    whole = [type(number) is int and number >= 0 for number in (face, steps)]
    if not whole[0] or face == 0 or not (whole[1] or steps is None):
        raise LatentEditError("this is not an edit recipe that this version can read")
    return SavedEdit(EditRecipe.from_dict(rest), face, steps)


def _json_of(path: Path) -> str | None:
    """A file's text where it may be JSON; None where it is something else."""
    try:
        with open(path, "rb") as file:
            head = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
            size = os.fstat(file.fileno()).st_size
            if not head.startswith((b"{", b"[")):
                return None
            if size > MAX_BYTES:
                raise LatentEditError(f"{path} is too long for a recipe: {_ADVICE}")
            file.seek(0)
            return file.read().decode("utf-8-sig")
    except FileNotFoundError:
        raise LatentEditError(f"{path} does not exist: check the path") from None
    except IsADirectoryError:
        raise LatentEditError(f"{path} is a folder: {_ADVICE}") from None
    except OSError as error:
        raise LatentEditError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        return None


def _recipe_in(path: Path) -> str:
    """The recipe that a picture or a film carries."""
    try:
        recipe = read_marks(path).recipe
    except LatentEditError:
        raise LatentEditError(f"{path} holds no recipe: {_ADVICE}") from None
    if recipe is None:
        raise LatentEditError(
            f"{path} carries no recipe: it is no picture of an edit, or another program has "
            f"removed the recipe; {_ADVICE}"
        )
    return recipe
