"""Options that several commands share, and the check of a picture's name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentedit.errors import LatentEditError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")

ModelOption = Annotated[
    str | None, typer.Option("--model", help="A bundle's name or folder [default: the shipped one]")
]

PrecisionOption = Annotated[
    str,
    typer.Option(
        help="That faces are rendered in: float32, or bfloat16, which is faster on machines that "
        "compute in it."
    ),
]

BoundariesOption = Annotated[
    Path | None,
    typer.Option("--boundaries", help="Other boundaries or directions of the model [default: its]"),
]


PsiOption = Annotated[
    float | None,
    typer.Option(
        "--psi",
        help="Truncation of what is sampled, from 0, the mean face, to 1, the most varied ones "
        "[default: the model's].",
    ),
]


def check_picture(output: Path) -> bool:
    """Refuse early a picture that could not be written; return whether it can keep a recipe."""
    from latentedit.io.files import check_writable

    if output.suffix.lower() not in PICTURES:
        raise LatentEditError(f"cannot save {output}: end its name in {' or '.join(PICTURES)}")
    check_writable(output)
    return output.suffix.lower() == ".png"
