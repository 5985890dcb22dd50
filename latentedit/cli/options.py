"""Options that several commands share, and the check of an output picture's name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentedit.errors import LatentEditError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A name of 'latentedit models list', or a bundle's folder [default: ffhq1024, if it "
        "was pulled, else faces128].",
    ),
]

PrecisionOption = Annotated[
    str,
    typer.Option(
        help="Number format to render faces in: float32, or bfloat16, which is faster on machines "
        "that support it."
    ),
]

BoundariesOption = Annotated[
    Path | None,
    typer.Option("--boundaries", help="A file of other boundaries or directions of this model."),
]


HostOption = Annotated[
    str, typer.Option(help="Address to listen on; 0.0.0.0 lets the whole network in.")
]
BrowserOption = Annotated[
    bool, typer.Option("--open-browser/--no-open-browser", help="Show the page in the browser.")
]
PsiOption = Annotated[
    float | None,
    typer.Option(
        "--psi",
        help="How far sampled faces may be from the mean face: 0 is the mean face, 1 the most "
        "varied ones (truncation) [default: the model's].",
    ),
]


def check_picture(output: Path) -> None:
    """Refuse, before work starts, a picture that cannot be written.

    Raises:
        LatentEditError: the name ends in none of `PICTURES`, or the file cannot be written.
    """
    from latentedit.io.files import check_writable

    if output.suffix.lower() not in PICTURES:
        raise LatentEditError(f"cannot save {output}: end its name in {' or '.join(PICTURES)}")
    check_writable(output)
