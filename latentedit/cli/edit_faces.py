"""How `latentedit edit` edits faces that a model draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from latentedit import defaults
from latentedit.cli.plans import known_model
from latentedit.cli.words import say
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from latentedit.cli.plans import Moves
    from latentedit.editing.editor import FaceEditor
    from latentedit.editing.outputs.faces import EditedFaces
    from latentedit.editing.saved import SavedRecipe


@dataclass(frozen=True)
class FaceSource:
    """The faces to edit, and the model that draws them.

    Attributes:
        seeds: the seeds as they were typed, or None.
        latents: a file of latents, or None.
        psi: truncation, or None for the model's.
        boundaries: a file of further boundaries, or None.
        model: the model's name or folder, or None for the default.
    """

    seeds: str | None
    latents: Path | None
    psi: float | None
    boundaries: Path | None
    model: str | None

    def of_recipe(self, saved: SavedRecipe) -> FaceSource:
        """Return the same source, completed from a recipe.

        The recipe's faces, psi and model are used where the user asked for nothing else.

        Raises:
            LatentEditError: the recipe edits a photo or a file of latents, so the user must give
                that too.
        """
        recipe = saved.edits[0].recipe
        source = replace(self, model=self.model or known_model(saved))
        if len(saved.edits) > 1:
            raise LatentEditError(
                f"{saved.path} edits {len(saved.edits)} faces of a photo: give the photo too"
            )
        if self.seeds is not None or self.latents is not None:
            return source
        if saved.of_photo:
            name = saved.photo or "a photo"
            raise LatentEditError(
                f"{saved.path} edits {name}: give it too, latentedit edit PHOTO --recipe ..."
            )
        if recipe.seeds is None:
            raise LatentEditError(
                f"{saved.path} edits faces of a file of latents: give it too, with --latents"
            )
        psi = recipe.psi if self.psi is None else self.psi
        return replace(source, seeds=",".join(map(str, recipe.seeds)), psi=psi)


def edit_faces(moves: Moves, source: FaceSource, frames: int) -> tuple[EditedFaces, list[str]]:
    """Work out an edit.

    Args:
        moves: what to change.
        source: the faces.
        frames: frames of strips and films.

    Returns:
        The edit, and notes for the user.
    """
    from latentedit.editing.outputs.faces import EditedFaces

    editor, z, seeds = _faces(source)
    moves.check(editor)
    z = editor.lay_out(z, moves.layers)
    way, notes = moves.plan(editor, z, seeds=seeds, frames=frames, psi=source.psi)
    return EditedFaces(editor, z, way), notes


def _faces(source: FaceSource) -> tuple[FaceEditor, NDArray[np.float32], list[int] | None]:
    """Return the model, the latents, and their seeds if they were drawn from seeds."""
    from latentedit.checkpoints.latent_files import fit_latents
    from latentedit.editing.editor import FaceEditor
    from latentedit.generators.latents import parse_seeds

    if source.seeds is not None and source.latents is not None:
        raise LatentEditError("give only one of --seeds and --latents")
    seeds = None
    if source.latents is None:
        seeds = [defaults.SEED] if source.seeds is None else parse_seeds(source.seeds)
    editor = FaceEditor.load(source.model, boundaries=source.boundaries, psi=source.psi)
    if seeds is not None:
        return editor, editor.sample(seeds), seeds
    assert source.latents is not None
    if source.psi is not None and editor.space == "w":
        raise LatentEditError(
            "psi moves samples, and a file of latents of w is drawn as it is: leave --psi out"
        )
    z, notes = fit_latents(source.latents, editor.generator, editor.generator_hash, editor.name)
    say(notes)
    return editor, z, None
