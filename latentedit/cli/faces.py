"""`latentedit sample` and `label`: the everyday commands beside `edit`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentedit.cli.options import ModelOption, PsiOption, check_picture
from latentedit.cli.words import faces_in_words, whose
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    from latentedit.io.images import MAX_PIXELS, RECIPE_KEY, grid, save_image

    numbers = latents.parse_seeds(seeds)
    keeps = check_picture(output)
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
    metadata = {RECIPE_KEY: json.dumps({"sample": origin})} if keeps else None
    save_image(output, pictures, metadata=metadata)
    print(f"{faces_in_words(len(z))} in {output}{whose(editor, model)}")


def label(
    images: Annotated[list[Path], typer.Argument(help="Pictures with a face.")],
    aligned: Annotated[
        bool,
        typer.Option("--aligned", help="They are cut to the face already: look for none."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    model: ModelOption = None,
) -> None:
    """Say which of the 40 attributes the faces in pictures have, and how old they look.

    Of several faces in a picture the largest is looked at.
    """
    import numpy as np

    from latentedit.editing.editor import FaceEditor
    from latentedit.generators.base import SHARED_FRAME
    from latentedit.io.images import open_image, to_frame

    shown = [(path, open_image(path)) for path in images]
    faces = [to_frame(image) if aligned else _face_in(path, image) for path, image in shown]
    judges = FaceEditor.load(model).judges.with_frame(SHARED_FRAME)
    rows = np.concatenate([judges.score(face[None]) for face in faces])
    ages = [float(judges.age(face[None])[0]) if judges.estimates_age else None for face in faces]
    if as_json:
        results = [
            {
                "file": str(path),
                **({} if age is None else {"age": round(age, 1)}),
                "attributes": {
                    name: round(float(p), 4) for name, p in zip(judges.attributes, row, strict=True)
                },
            }
            for path, row, age in zip(images, rows, ages, strict=True)
        ]
        print(json.dumps(results))
    else:
        _print_table(images, judges.attributes, rows, ages)


def _face_in(path: Path, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest face of a picture, in the shared frame.

    Raises:
        LatentEditError: there is none.
    """
    from latentedit.inference.judges import JUDGED_EDGE
    from latentedit.photos.align import align, find_faces

    found = find_faces(image)
    if not found:
        raise LatentEditError(
            f"no face was found in {path}: give a photo in which a face looks towards the camera, "
            "or --aligned where the picture is cut to the face"
        )
    if len(found) > 1:
        print(f"note: {path} has {len(found)} faces; the largest is looked at", file=sys.stderr)
    return align(image, found[0], JUDGED_EDGE)


def _print_table(
    images: list[Path],
    attributes: tuple[str, ...],
    rows: NDArray[np.float32],
    ages: list[float | None],
) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from latentedit.attributes import display_name

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("attribute", no_wrap=True)
    for path in images:
        table.add_column(escape(path.name), justify="right", min_width=4, overflow="fold")
    if None not in ages:
        table.add_row("Estimated age", *[f"{age:.0f}" for age in ages], end_section=True)
    for name, column in zip(attributes, rows.T, strict=True):
        cells = [f"[bold]{p:.2f}[/bold]" if p > 0.5 else f"{p:.2f}" for p in column]
        table.add_row(display_name(name), *cells)
    Console(soft_wrap=False).print(table)
