"""Assessments of photos as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from latentedit import defaults
from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path, check_writable
from latentedit.io.html import data_uri, render
from latentedit.io.images import UInt8Array, png_bytes
from latentedit.portrait.assessor import CANNOT_TELL, GOOD, NOT_ASKED, POOR, Assessment
from latentedit.portrait.conventions import Convention, find_convention

_COLOURS = {GOOD: "#2c8a4b", POOR: "#c0392b", CANNOT_TELL: "#8a7a2b", NOT_ASKED: "#888888"}


def check_report(path: str | Path) -> None:
    """Raise early if the page cannot be written.

    Raises:
        LatentEditError: the ending is not ``.html`` or ``.htm``, or the path cannot be written.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise LatentEditError(f"cannot write {path}: end its name in .html")
    check_writable(path)


def write_report(
    path: str | Path,
    assessed: Sequence[tuple[Path, Assessment]],
    refused: Sequence[tuple[Path, str]],
    *,
    best: Path | None = None,
    convention: str | Convention = defaults.CONVENTION,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: an ``.html`` file.
        assessed: photos and what was found in them.
        refused: photos and why they could not be read.
        best: the photo to mark.
        convention: the convention they were judged by.

    Raises:
        LatentEditError: see `check_report`.
    """
    check_report(path)
    page = render(
        __package__,
        "report.html.jinja",
        assessed=assessed,
        refused=refused,
        best=best,
        clean=sum(found.is_clean for _, found in assessed),
        convention=find_convention(convention),
        is_alone=False,
        picture=_picture,
        colours=_COLOURS,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def fragment(photo: str, found: Assessment) -> str:
    """Return one photo's part of the page: its name, the face, verdicts and advice, as HTML."""
    return render(
        __package__,
        "photo.html.jinja",
        photo=photo,
        found=found,
        is_best=False,
        is_alone=True,
        convention=find_convention(found.convention),
        picture=_picture,
        colours=_COLOURS,
    )


def _picture(portrait: UInt8Array) -> str:
    large = Image.fromarray(portrait).resize((144, 144), Image.Resampling.BICUBIC)
    return data_uri(png_bytes(np.array(large)))
