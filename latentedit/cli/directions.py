"""`latentedit directions`: find directions without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentedit import defaults
from latentedit.cli.options import ModelOption, check_picture

app = typer.Typer(help="Find directions without labels.", no_args_is_help=True)

CountOption = Annotated[int, typer.Option("--k", "-k", min=1, help="How many directions.")]
OutputOption = Annotated[Path, typer.Option("-o", "--output", help="File to write.")]
SheetOption = Annotated[
    Path | None, typer.Option(help="Draw them as film strips [default: beside --output, .png].")
]
SeedOption = Annotated[int, typer.Option(help="The face on the sheet.")]
FacesOption = Annotated[int, typer.Option(min=1, help="Faces on which directions are named.")]


@app.callback()
def _group() -> None:
    pass


@app.command()
def sefa(
    k: CountOption = 20,
    output: OutputOption = Path("sefa.safetensors"),
    sheet: SheetOption = None,
    seed: SeedOption = defaults.SEED,
    faces: FacesOption = 32,
    model: ModelOption = None,
) -> None:
    """Factorise the generator's first layer in closed form (SeFa)."""
    _find("sefa", k, output, sheet, seed, faces, model)


@app.command()
def pca(
    k: CountOption = 20,
    output: OutputOption = Path("pca.safetensors"),
    sheet: SheetOption = None,
    seed: SeedOption = defaults.SEED,
    faces: FacesOption = 32,
    model: ModelOption = None,
) -> None:
    """Take principal components of early features (GANSpace)."""
    _find("pca", k, output, sheet, seed, faces, model)


def _find(
    method: str, k: int, output: Path, sheet: Path | None, seed: int, faces: int, model: str | None
) -> None:
    from latentedit.boundaries.model import check_path
    from latentedit.boundaries.unsupervised import card_entries, find_directions, name_by_attributes
    from latentedit.cli.invocation import command_line
    from latentedit.cli.progress import track
    from latentedit.editing.editor import FaceEditor
    from latentedit.editing.strips import direction_sheet
    from latentedit.io.files import check_writable
    from latentedit.photos.marks import GENERATED, Marks
    from latentedit.photos.photograph import save_marked

    sheet = sheet or output.with_suffix(".png")
    check_writable(check_path(output))
    check_picture(sheet)
    editor = FaceEditor.load(model)
    directions = find_directions(editor, method, k)
    first = defaults.EVALUATION_FIRST_SEED
    edited = editor.as_edited(directions)
    moves = name_by_attributes(editor, edited, range(first, first + faces), track=track)
    labels = [[f"{name} {change:+.2f}" for name, change in each.changes] for each in moves]
    directions.save(output, {**card_entries(moves), "commands": [command_line()]})
    save_marked(sheet, direction_sheet(editor, edited, labels, seed), Marks(None, GENERATED))
    for name, texts in zip(directions.names, labels, strict=True):
        print(f"{name}: {', '.join(texts)}")
    print(f"{k} directions in {output}, shown in {sheet}")
