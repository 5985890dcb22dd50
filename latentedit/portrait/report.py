"""Assessments of photos as one HTML page that needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path, check_writable
from latentedit.io.images import UInt8Array, png_bytes
from latentedit.portrait.assessor import CANNOT_TELL, GOOD, POOR, Assessment

_COLOURS = {GOOD: "#2c8a4b", POOR: "#c0392b", CANNOT_TELL: "#8a7a2b"}

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem;
       padding: 0 1rem; color: #222; background: #fff; }
article { display: flex; flex-wrap: wrap; gap: 1.2rem; border-top: 1px solid #ddd;
          padding: 1.2rem 0; }
img { width: 144px; height: 144px; border-radius: 6px; }
table { border-collapse: collapse; flex: 1; min-width: 22rem; }
td { padding: .15rem .8rem .15rem 0; vertical-align: top; white-space: nowrap; }
td:nth-child(-n+2) { min-width: 5.6rem; }
td:last-child { width: 100%; white-space: normal; }
h2 { font-size: 1rem; margin: 0 0 .5rem; flex-basis: 100%; overflow-wrap: anywhere; }
.bar { width: 6rem; height: .6rem; background: #eee; border-radius: 3px; margin-top: .4rem; }
.bar i { display: block; height: 100%; border-radius: 3px; }
.best { background: #e6f4ea; border-radius: 4px; padding: 0 .4rem; }
"""


def check_report(path: str | Path) -> None:
    """Refuse early a page that could not be written.

    Raises:
        LatentEditError: another ending than ``.html``, or the path cannot be written.
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
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: an ``.html`` file.
        assessed: photos and what was found in them.
        refused: photos and why they could not be read.
        best: the photo to mark.

    Raises:
        LatentEditError: see `check_report`.
    """
    check_report(path)
    parts = [fragment(photo, found, is_best=photo == best) for photo, found in assessed]
    parts += [
        f"<article><h2>{escape(str(photo))}</h2><p>{escape(text)}</p></article>"
        for photo, text in refused
    ]
    clean = sum(found.is_clean for _, found in assessed)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Portrait check</title><style>{STYLE}</style></head>\n<body>"
        f"<h1>Portrait check</h1><p>{len(assessed) + len(refused)} photos, {clean} without a fault."
        " Scores run from 0 to 1; 1 is good.</p>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def fragment(photo: str | Path, found: Assessment, *, is_best: bool = False) -> str:
    """One photo's part of the page: its name, the face, verdicts and advice, as HTML."""
    mark = ' <span class="best">best shot</span>' if is_best else ""
    head = f"<article><h2>{escape(str(photo))}{mark}</h2>"
    if found.message is not None:
        return f"{head}<p>{escape(found.message)}</p></article>"
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        f'<td style="color:{_COLOURS[q.verdict]}">{escape(q.verdict)}</td>'
        f'<td><div class="bar" title="{q.score:.2f}"><i style="width:{100 * q.score:.0f}%;'
        f'background:{_COLOURS[q.verdict]}"></i></div></td>'
        f"<td>{escape(q.advice or '')}</td></tr>"
        for name, q in found.qualities.items()
    )
    picture = "" if found.portrait is None else _picture(found.portrait)
    return f"{head}{picture}<table>{rows}</table></article>"


def _picture(portrait: UInt8Array) -> str:
    large = Image.fromarray(portrait).resize((144, 144), Image.Resampling.BICUBIC)
    data = base64.b64encode(png_bytes(np.array(large))).decode()
    return f'<img alt="the face that was looked at" src="data:image/png;base64,{data}">'
