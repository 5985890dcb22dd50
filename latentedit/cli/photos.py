"""`latentedit invert` and `info`, and what `edit` shares with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentedit import defaults
from latentedit.cli.options import ModelOption
from latentedit.cli.words import say
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from collections.abc import Callable

    from latentedit.editing.photos import PhotoEditor, Portrait
    from latentedit.photos.faces import PhotoFace, Which
    from latentedit.photos.inversion import Progress
    from latentedit.photos.photograph import Photograph

FaceOption = Annotated[
    str | None,
    typer.Option(
        "--face",
        metavar="NUMBER|all",
        help="Which face of a photo: counted from the left, from 1 [default: the largest].",
    ),
]

RefineOption = Annotated[
    int | None,
    typer.Option(
        "--refine",
        min=0,
        metavar="STEPS",
        help="Steps to find a photo's latents more exactly; 0 is fastest "
        f"[default: as many as {defaults.REFINE_SECONDS:g} seconds allow, "
        f"{defaults.REFINE_LEAST} at least].",
    ),
]


def invert(
    photo: Annotated[Path, typer.Argument(help="A photo with a face.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Latents to write (.safetensors or .npy).")
    ],
    face: FaceOption = None,
    refine: RefineOption = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the aligned photo beside its reconstruction.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    model: ModelOption = None,
) -> None:
    """Find the latents that draw a photo's face.

    They are for 'edit --latents' and other commands.
    """
    import numpy as np

    from latentedit.cli.options import check_picture
    from latentedit.editing.outputs.base import latents_origin
    from latentedit.editing.outputs.photo import found
    from latentedit.editing.photos import PhotoEditor, as_photograph
    from latentedit.generators.latents import check_latents_path, save_latents
    from latentedit.io.files import check_replaces_none, check_writable
    from latentedit.io.images import grid
    from latentedit.photos.faces import choose_faces
    from latentedit.photos.marks import COMPOSITE, Marks
    from latentedit.photos.photograph import save_marked

    which = parse_face(face)
    check_latents_path(output)
    check_writable(output)
    if picture is not None:
        check_picture(picture)
        check_replaces_none(picture, {"photo": photo})
    opened = as_photograph(photo)
    photos = PhotoEditor.load(model)
    faces = choose_faces(opened.pixels, which)
    portraits = [inverted(photos, opened, each, refine) for each in faces]
    origin = {**latents_origin(photos.editor), "photo": photo.name}
    save_latents(output, np.stack([portrait.latents for portrait in portraits]), origin)
    if picture is not None:
        size = photos.editor.resolution
        pairs = [each for p in portraits for each in (p.aligned(size), p.reconstruction)]
        save_marked(picture, grid(np.stack(pairs), columns=2), Marks(None, COMPOSITE))
    if as_json:
        print(json.dumps({"file": str(output), "faces": [found(each) for each in portraits]}))
        return
    for portrait in portraits:
        print(f"face {portrait.face.number}: {_likeness(portrait)}, in {output}")


def info(
    picture: Annotated[Path, typer.Argument(help="A picture that was made by latentedit.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how a picture was made, and whether it was edited.

    Its recipe is printed as JSON.
    """
    from latentedit.editing.recipes import parse_json
    from latentedit.photos.photograph import read_marks

    marks = read_marks(picture)
    if marks.recipe is None and marks.source_type is None:
        raise LatentEditError(
            f"{picture} says nothing of how it was made: it is not a picture of latentedit, or "
            "another program has removed the recipe"
        )
    try:
        recipe = None if marks.recipe is None else parse_json(marks.recipe)
    except ValueError:
        raise LatentEditError(f"{picture} carries a recipe that is damaged") from None
    if as_json:
        print(json.dumps({"recipe": recipe, "digital_source_type": marks.source_type}))
        return
    by = "latentedit" if recipe is not None else "a program that it does not name"
    print(f"{picture} was {_made(marks.source_type)} by {by}")
    if marks.source_type is not None:
        print(f"digital source type: {marks.source_type}")
    if recipe is not None:
        print(json.dumps(recipe, indent=2))


def _made(source_type: str | None) -> str:
    from latentedit.photos.marks import COMPOSITE, GENERATED

    return {COMPOSITE: "edited", GENERATED: "drawn"}.get(source_type or "", "made")


def parse_face(text: str | None) -> Which:
    """Read --face.

    Raises:
        LatentEditError: the text is neither a number from 1 nor "all".
    """
    from latentedit.photos.faces import ALL

    if text is None:
        return None
    if text.strip().lower() == ALL:
        return ALL
    if not text.strip().isdecimal() or not 1 <= int(text) <= 10_000:
        raise LatentEditError(f"cannot read --face {text!r}: give a number from 1, or all")
    return int(text)


def inverted(
    photos: PhotoEditor, opened: Photograph, face: PhotoFace, refine: int | None
) -> Portrait:
    """Invert a face, with a progress bar that shows the time left."""
    say(note.text for note in face.notes)
    with _bar(f"Looking at face {face.number}", refine) as on_step:
        return photos.invert(opened, face, refine, on_step=on_step)


@contextmanager
def _bar(what: str, refine: int | None) -> Iterator[Callable[[Progress], None]]:
    from latentedit.cli.progress import progress_bar

    if refine == 0:
        yield lambda progress: None
        return
    with progress_bar() as bar:
        # without a number of steps, the time that is left decides how many there will be
        unit, total = ("", refine) if refine else (", in per cent", 100)
        task = bar.add_task(f"{what}{unit}", total=total, note="")

        def show(progress: Progress) -> None:
            done = progress.step if refine else round(100 * progress.share)
            note = f"refining step {progress.step}; Ctrl-C stops and keeps the best"
            bar.update(task, completed=done, note=note)

        yield show


def _likeness(portrait: Portrait) -> str:
    from latentedit.inference.descriptors import ONE_PERSON

    alike = "the same person" if portrait.identity < ONE_PERSON else "another person"
    return (
        f"distance {portrait.identity:.2f} from the photo: {alike}, by dlib's network, which draws "
        f"the line at {ONE_PERSON}"
    )
