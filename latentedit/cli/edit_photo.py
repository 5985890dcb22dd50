"""How `latentedit edit` edits faces in a photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentedit.attributes import AGE_ATTRIBUTE
from latentedit.cli.photos import inverted, parse_face
from latentedit.cli.plans import EditRequest, Replay, known_model
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from latentedit.cli.plans import Moves
    from latentedit.editing.outputs.photo import EditedPhoto
    from latentedit.editing.saved import SavedRecipe
    from latentedit.photos.faces import PhotoFace, Which
    from latentedit.photos.photograph import Photograph


@dataclass(frozen=True)
class FaceMoves:
    """The moves for one or more faces of a photo.

    Attributes:
        which: the faces.
        moves: what is done to each of these faces.
        refine: refining steps to find their latents, or None for the usual time.
    """

    which: Which
    moves: Moves
    refine: int | None


@dataclass(frozen=True)
class PhotoSource:
    """The photo, the faces in it, and the model.

    Attributes:
        photo: the photo's file.
        face: the value of --face.
        refine: the value of --refine.
        boundaries: a file of further boundaries, or None.
        model: the model's name or folder, or None for the default.
    """

    photo: Path
    face: str | None
    refine: int | None
    boundaries: Path | None
    model: str | None

    def of_recipe(self, saved: SavedRecipe) -> PhotoSource:
        """Return the same source, with the recipe's model if the user asked for no other."""
        return replace(self, model=self.model or known_model(saved))


def asked_moves(request: EditRequest, source: PhotoSource) -> list[FaceMoves]:
    """Return the moves that the options ask for."""
    return [FaceMoves(parse_face(source.face), request, source.refine)]


def replayed_moves(saved: SavedRecipe, source: PhotoSource) -> list[FaceMoves]:
    """Return the moves of a recipe; if it edits one face, --face may choose another face.

    Raises:
        LatentEditError: --face is given, and the recipe edits several faces.
    """
    if source.face is not None and len(saved.edits) > 1:
        raise LatentEditError(
            f"{saved.path} edits {len(saved.edits)} faces, each its own: leave out --face"
        )
    return [
        FaceMoves(
            each.face if source.face is None else parse_face(source.face),
            Replay(each.recipe),
            each.refined if source.refine is None else source.refine,
        )
        for each in saved.edits
    ]


def edit_photo(
    opened: Photograph, wanted: Sequence[FaceMoves], source: PhotoSource, frames: int
) -> tuple[EditedPhoto, list[str]]:
    """Invert the faces and work out their edits.

    Args:
        opened: the photo.
        wanted: the moves; each face is named once.
        source: names the model.
        frames: frames of strips and films.

    Returns:
        The edit, and notes for the user.
    """
    from latentedit.editing.outputs.photo import EditedPhoto
    from latentedit.editing.photos import PhotoEditor
    from latentedit.photos.faces import choose_faces

    photos = PhotoEditor.load(source.model, boundaries=source.boundaries)
    for each in wanted:
        each.moves.check(photos.editor)
    faces: list[tuple[PhotoFace, FaceMoves]] = [
        (face, each) for each in wanted for face in choose_faces(opened.pixels, each.which)
    ]
    portraits, ways, notes = [], [], [each.text for each in opened.notes]
    for face, each in faces:
        portrait = inverted(photos, opened, face, each.refine)
        z = photos.editor.lay_out(portrait.latents[None], each.moves.layers)
        way, said = each.moves.plan(photos.editor, z, photos.looks(portrait), frames=frames)
        portraits.append(portrait)
        ways.append(way)
        notes += said
    return EditedPhoto(photos, opened, tuple(portraits), tuple(ways)), notes


def in_words(faces: Sequence[dict[str, Any]]) -> str:
    """Say how each face of a summary changed."""
    said = []
    for face in faces:
        moves = ", ".join(
            f"{name} {before:.2f} -> {after:.2f}"
            for name, (before, after) in face["probability"].items()
        )
        if "age" in face and AGE_ATTRIBUTE in face["probability"]:
            before, after = face["age"]
            moves += f", {before:.0f} -> {after:.0f} years"
        said.append(f"face {face['face']} ({moves})")
    return ", ".join(said)
