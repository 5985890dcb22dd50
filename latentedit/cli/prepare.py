"""`latentedit prepare`: turn data sets, as they ship, into one training file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from latentedit import defaults
from latentedit.cli.options import check_picture
from latentedit.errors import LatentEditError

app = typer.Typer(
    help="Turn a data set into one memory-mapped training file.", no_args_is_help=True
)

MAX_EDGE = 4096
"""Largest edge of prepared faces, in pixels."""

OutputOption = Annotated[Path, typer.Option("-o", "--output", help="The training file to write.")]
SkipOption = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out missing, misnamed and damaged pictures.")
]


@app.callback()
def _group() -> None:
    pass


@app.command()
def celeba(
    folder: Annotated[Path, typer.Argument(help="CelebA's folder, full or half size.")],
    output: OutputOption,
    resolution: Annotated[
        int | None,
        typer.Option(
            min=4, max=MAX_EDGE, help="Edge in pixels [default: 128, or 64 for half size]."
        ),
    ] = None,
    skip_bad: SkipOption = False,
) -> None:
    """Crop CelebA's faces and keep their labels.

    Faces are cropped by the known positions of the eyes. File names are kept too.
    """
    from latentedit.cli.progress import track
    from latentedit.data.celeba import prepare_celeba

    report = prepare_celeba(
        folder,
        output,
        resolution=resolution,
        skip_bad=skip_bad,
        progress=lambda rows, total: track(rows, total, "Cropping"),
    )
    _say(report.written, report.resolution, output, report.skipped)
    _account(report.notes, report.left_out)


@app.command()
def utkface(
    folder: Annotated[Path, typer.Argument(help="UTKFace's folder of aligned and cropped chips.")],
    output: OutputOption,
    resolution: Annotated[
        int | None, typer.Option(min=4, max=MAX_EDGE, help="Edge in pixels [default: 64].")
    ] = None,
    skip_bad: SkipOption = False,
) -> None:
    """Keep UTKFace's chips with the ages in their names."""
    from latentedit.cli.progress import track
    from latentedit.data.utkface import RESOLUTION, prepare_utkface

    report = prepare_utkface(
        folder,
        output,
        resolution=resolution or RESOLUTION,
        skip_bad=skip_bad,
        progress=lambda rows, total: track(rows, total, "Reading"),
    )
    _say(report.written, report.resolution, output, report.skipped)
    _account(report.notes, report.left_out)


@app.command()
def portraits(
    folder: Annotated[Path, typer.Argument(help="CelebA's folder, or WFLW's.")],
    output: OutputOption,
    variants: Annotated[
        int | None,
        typer.Option(
            min=1, help="Portraits of each CelebA face; all but one are spoilt [default: 3]."
        ),
    ] = None,
    resolution: Annotated[int, typer.Option(min=32, max=MAX_EDGE, help="Edge in pixels.")] = 96,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many faces.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=defaults.MAX_SEED, help="Seed of CelebA's degradations [default: 0]."
        ),
    ] = None,
) -> None:
    """Cut portraits, flag qualities, and spoil some.

    Six qualities are flagged, and some portraits are spoilt by a known amount.
    """
    from latentedit.cli.progress import print_skipped, track
    from latentedit.data.portraits import prepare_portraits

    report = prepare_portraits(
        folder,
        output,
        variants=variants,
        resolution=resolution,
        limit=limit,
        seed=seed,
        progress=lambda rows, total: track(rows, total, "Cutting"),
    )
    print_skipped(report.skipped)
    print(
        f"{report.rows} portraits of {report.faces} faces in {output}, "
        f"{len(report.skipped)} skipped"
    )
    _account(report.notes, report.left_out)


@app.command()
def faces(
    folders: Annotated[list[Path], typer.Argument(help="Folders of photos, or CelebA's.")],
    output: OutputOption,
    resolution: Annotated[
        int | None,
        typer.Option(
            min=4,
            max=MAX_EDGE,
            help="Edge in pixels [default: the largest at which most are sharp].",
        ),
    ] = None,
    per_person: Annotated[int, typer.Option(min=1, help="Most faces from one sub-folder.")] = 20,
    contact_sheet: Annotated[
        Path | None, typer.Option(help="Draw what was kept, and what was dropped and why.")
    ] = None,
) -> None:
    """Find faces in photos and align them into the shared frame."""
    from latentedit.cli.progress import track
    from latentedit.data.photos import prepare_faces

    if contact_sheet:
        if contact_sheet.resolve() == output.resolve():
            raise LatentEditError(f"{output} cannot be both faces and sheet: give two names")
        check_picture(contact_sheet)
    report = prepare_faces(
        folders,
        output,
        resolution=resolution,
        per_person=per_person,
        contact_sheet=contact_sheet,
        progress=lambda files, total: track(files, total, "Aligning"),
    )
    _say(report.written, report.resolution, output, report.bad)
    _account((), report.left_out)
    for reason, count in report.dropped.most_common():
        print(f"dropped {count}: {reason}")


@app.command()
def aligned(
    folders: Annotated[list[Path], typer.Argument(help="Folders of photos.")],
    output: OutputOption,
    resolution: Annotated[int, typer.Option(min=32, max=MAX_EDGE, help="Edge in pixels.")] = 256,
    per_person: Annotated[int, typer.Option(min=1, help="Most faces from one sub-folder.")] = 20,
) -> None:
    """Align the largest face of each photo, for encoders.

    They are aligned as FFHQ's faces are.
    """
    from latentedit.cli.progress import track
    from latentedit.data.aligned import prepare_aligned

    report = prepare_aligned(
        folders,
        output,
        resolution=resolution,
        per_person=per_person,
        progress=lambda files, total: track(files, total, "Aligning"),
    )
    _say(report.written, report.resolution, output, report.bad)
    _account((), report.left_out)
    for reason, count in report.dropped.most_common():
        print(f"dropped {count}: {reason}")


def _account(notes: Sequence[str], left_out: Sequence[str]) -> None:
    """Print notes on how a data set was read, and which files of its folder were left out."""
    for note in notes:
        print(f"note: {note}")
    for line in left_out:
        print(f"left out {line}")


def _say(written: int, resolution: int, output: Path, skipped: Sequence[str]) -> None:
    from latentedit.cli.progress import print_skipped

    print_skipped(skipped)
    print(f"{written} faces of {resolution}x{resolution} in {output}, {len(skipped)} skipped")
