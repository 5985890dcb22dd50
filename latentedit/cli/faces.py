"""`latentedit sample`: show the faces of seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from latentedit.cli.options import ModelOption, PsiOption, check_picture
from latentedit.cli.words import faces_in_words, whose
from latentedit.errors import LatentEditError


def sample(
    seeds: Annotated[str, typer.Option(help="Faces to show, like 0-15 or 3,7.")] = "0-15",
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture to write.")] = Path(
        "samples.png"
    ),
    save_latents: Annotated[
        Path | None, typer.Option(help="Write the latents too (.npy or .safetensors).")
    ] = None,
    columns: Annotated[int, typer.Option(min=1, help="Faces in a row.")] = 8,
    psi: PsiOption = None,
    model: ModelOption = None,
) -> None:
    """Show the faces of some seeds in a grid."""
    from latentedit.editing.editor import FaceEditor
    from latentedit.generators import latents
    from latentedit.io.images import MAX_PIXELS, grid
    from latentedit.photos.marks import GENERATED, Marks
    from latentedit.photos.photograph import save_marked

    numbers = latents.parse_seeds(seeds)
    if save_latents:
        latents.check_latents_path(save_latents)
    check_picture(output)
    editor = FaceEditor.load(model, psi=psi)
    most = MAX_PIXELS // editor.resolution**2
    if len(numbers) > most:
        raise LatentEditError(f"{len(numbers)} faces are too many for one picture: at most {most}")
    z = editor.sample(numbers)
    origin: dict[str, Any] = {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "space": editor.space,
        "seeds": numbers,
    }
    if psi is not None:
        origin["psi"] = psi
    if save_latents:
        latents.save_latents(save_latents, z, origin)
    pictures = grid(editor.render(z), columns=columns)
    save_marked(output, pictures, Marks(json.dumps({"sample": origin}), GENERATED))
    print(f"{faces_in_words(len(z))} in {output}{whose(editor, model)}")
