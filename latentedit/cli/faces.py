"""`latentedit sample`, `edit` and `label`: the everyday commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from latentedit import defaults
from latentedit.cli.options import BoundariesOption, ModelOption, PsiOption, check_picture
from latentedit.cli.photos import FaceOption, RefineOption, edit_photo
from latentedit.cli.plans import EditRequest, plan
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from latentedit.editing.editor import FaceEditor


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
    print(f"{_faces_in_words(len(z))} in {output}{_whose(editor, model)}")


class EditCommand(TyperCommand):
    """Remembers in which order --attr, --step and --to stood; the parser alone forgets it."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.obj = [option.name for option in order if option.name in ("attr", "step", "to")]
        return super().parse_args(ctx, args)


def edit(
    context: typer.Context,
    photo: Annotated[
        Path | None,
        typer.Argument(
            help="A photo of yours, which comes back edited; without one, a seed's face."
        ),
    ] = None,
    attr: Annotated[
        list[str] | None,
        typer.Option(
            "--attr",
            metavar="NAME",
            help="Attribute to move, in CelebA's names or the page's words, like Smiling, "
            "glasses or older; may be repeated.",
        ),
    ] = None,
    step: Annotated[
        list[float] | None,
        typer.Option(
            "--step",
            metavar="NUMBER",
            help="How far to move along the --attr before it, like 3 or -1.5, in standard "
            "deviations of latents.",
        ),
    ] = None,
    to: Annotated[
        list[float] | None,
        typer.Option(
            "--to",
            metavar="NUMBER",
            help="Instead of --step: the signed distance from the boundary to reach; 0 is on it.",
        ),
    ] = None,
    age: Annotated[
        float | None,
        typer.Option(metavar="YEARS", help="Instead of --attr: years to add, like +20 or -15."),
    ] = None,
    age_to: Annotated[
        float | None,
        typer.Option("--age-to", metavar="YEARS", help="Instead of --attr: the age to reach."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help=f"The face of one seed [default: {defaults.SEED}].")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Faces of several seeds, like 0-7,12.")] = None,
    latents_file: Annotated[
        Path | None,
        typer.Option("--latents", help="A file of latents: .npy, .npz, .pt or .safetensors."),
    ] = None,
    hold: Annotated[
        str,
        typer.Option(
            help="What must not change: auto, all, none, or NAME[=DISCOUNT],..., auto among the "
            "names too, like auto,Male=0.8."
        ),
    ] = defaults.HOLD,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Move only these layers, like 0-7, of a model with a latent for each layer."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Go past the range in which faces hold together.")
    ] = False,
    face: FaceOption = None,
    refine: RefineOption = None,
    frames: Annotated[
        int | None, typer.Option(help=f"Frames of the strip [default: {defaults.FRAMES}].")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Film strip to write [default: edit.png], or the photo [default: NAME-edited].",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
    boundaries: BoundariesOption = None,
    psi: PsiOption = None,
    model: ModelOption = None,
) -> None:
    """Move faces along attributes while others are held.

    A photo is written again at its own size; of other faces the way is drawn as a film strip.
    """
    from latentedit.editing.strips import edit_strip, save_strip

    request = EditRequest.parse(
        attr, step, to, age, age_to, hold=hold, layers=layers, force=force, order=context.obj
    )
    if photo is not None:
        others = {"--seed": seed, "--seeds": seeds, "--latents": latents_file, "--psi": psi}
        _only_for(others | {"--frames": frames}, "faces that a model draws: leave out the photo")
        edit_photo(
            photo,
            request,
            output,
            face=face,
            refine=refine,
            force=force,
            as_json=as_json,
            boundaries=boundaries,
            model=model,
        )
        return
    _only_for({"--face": face, "--refine": refine}, "photos: name one")
    frames = defaults.FRAMES if frames is None else frames
    output = output or Path("edit.png")
    check_picture(output)
    editor, z, numbers = _faces(model, seed, seeds, latents_file, boundaries, psi)
    z = editor.lay_out(z, request.layers)
    recipe, notes = plan(editor, z, request, seeds=numbers, frames=frames, psi=psi)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    strip = edit_strip(editor, z, recipe)
    if not save_strip(output, strip):
        print(f"note: {output.suffix} keeps no recipe; a .png does", file=sys.stderr)
    done = {"file": str(output), **strip.summary()}
    said = f"{_faces_in_words(len(z))} in {output}{_whose(editor, model)}"
    print(json.dumps(done) if as_json else said)


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


def _only_for(options: Mapping[str, object], what: str) -> None:
    """Refuse options that mean nothing here."""
    for name, value in options.items():
        if value is not None:
            raise LatentEditError(f"{name} is for {what}")


def _faces(
    model: str | None,
    seed: int | None,
    seeds: str | None,
    latents_file: Path | None,
    boundaries: Path | None,
    psi: float | None,
) -> tuple[FaceEditor, NDArray[np.float32], list[int] | None]:
    from latentedit.checkpoints.latent_files import fit_latents
    from latentedit.editing.editor import FaceEditor
    from latentedit.generators import latents

    given = [value for value in (seed, seeds, latents_file) if value is not None]
    if len(given) > 1:
        raise LatentEditError("give only one of --seed, --seeds and --latents")
    if latents_file is not None:
        editor = FaceEditor.load(model, boundaries=boundaries, psi=psi)
        z, notes = fit_latents(latents_file, editor.generator, editor.generator_hash, editor.name)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        return editor, z, None
    if seeds is not None:
        numbers = latents.parse_seeds(seeds)
    else:
        numbers = [defaults.SEED if seed is None else seed]
    editor = FaceEditor.load(model, boundaries=boundaries, psi=psi)
    return editor, editor.sample(numbers), numbers


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


def _whose(editor: FaceEditor, model: str | None) -> str:
    """Which model drew, where none was named, and how to get the other one."""
    from latentedit.pretrained.bundles import EMBEDDED_BUNDLE, PULLED_BUNDLE

    if model is not None:
        return ""
    if editor.name == PULLED_BUNDLE:
        return f", by {editor.name} (smaller and faster: --model {EMBEDDED_BUNDLE})"
    return f", by {editor.name} (photographs: latentedit models pull {PULLED_BUNDLE})"


def _faces_in_words(count: int) -> str:
    return "1 face" if count == 1 else f"{count} faces"


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
