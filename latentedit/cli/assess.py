"""`latentedit assess`: is this a good portrait, and what would make it better?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from latentedit.portrait.assessor import Assessment


def assess(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write a page (.html) with faces, verdicts and advice.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bundle with a portrait network [default: the shipped one].")
    ] = None,
) -> None:
    """Judge portraits by blur, occlusion, make-up, illumination, expression and pose.

    A photo that cannot be read is named, and the others are still done. Of several, the best shot
    is named too.
    """
    from latentedit.cli.progress import track
    from latentedit.portrait.assessor import PortraitAssessor, best_shot
    from latentedit.portrait.report import check_report, write_report

    if report is not None:
        check_report(report)
    files, missing = _photos(photos)
    assessor = PortraitAssessor.load(model)
    done: list[tuple[Path, Assessment]] = []
    refused: list[tuple[Path, str]] = []
    for path in track(files, len(files), "Looking"):
        try:
            done.append((path, assessor.assess(path)))
        except LatentEditError as error:
            if "pip install" in str(error) and not str(error).startswith(str(path)):
                raise  # what all photos need; a HEIC alone is named as a file
            refused.append((path, str(error)))
    best = best_shot([assessment for _, assessment in done])
    name = None if best is None or len(done) < 2 else done[best][0]
    unseen = [*missing, *refused]
    alone = not done and len(unseen) == 1  # the error below says it
    for _, message in () if alone else unseen:
        print(f"latentedit: {' '.join(message.split())}", file=sys.stderr)
    if report is not None:
        write_report(report, done, unseen, best=name)
    if as_json:
        print(json.dumps(_entries(done, unseen, name)))
    else:
        _print_verdicts(done, name)
        if report is not None:
            print(f"report in {report}")
    if not done:
        nothing = "nothing could be assessed: give photos as PNG or JPEG"
        raise LatentEditError(unseen[0][1] if alone else nothing)


def _photos(given: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Files to look at, those of folders in order; and folders without any."""
    from latentedit.io.photo_files import find_photos, in_words

    files: list[Path] = []
    missing: list[tuple[Path, str]] = []
    for path in given:
        if not path.is_dir():
            files.append(path)
            continue
        inside, others = find_photos(path)
        files += inside
        left_out = in_words(others, path)
        if not inside:
            held = f" ({'; '.join(left_out)})" if left_out else ""
            advice = "give a folder with .jpg or .png files"
            missing.append((path, f"no photo in {path}{held}: {advice}"))
            continue
        for line in left_out:
            print(f"left out of {path}: {line}", file=sys.stderr)
    return list(dict.fromkeys(files)), missing


def _entries(
    done: Sequence[tuple[Path, Assessment]],
    refused: Sequence[tuple[Path, str]],
    best: Path | None,
) -> list[dict[str, object]]:
    entries = [
        {"file": str(path), **assessment.as_json(), **({"best": True} if path == best else {})}
        for path, assessment in done
    ]
    empty: dict[str, object] = {"faces": 0, "qualities": {}}
    return entries + [{"file": str(path), **empty, "message": text} for path, text in refused]


def _print_verdicts(done: Sequence[tuple[Path, Assessment]], best: Path | None) -> None:
    for path, assessment in done:
        if assessment.message:
            print(f"{path}: {assessment.message}")
            continue
        poor = [name for name, row in assessment.qualities.items() if row.verdict == "poor"]
        unsure = [name for name, row in assessment.qualities.items() if row.verdict != "good"]
        unsure = [name for name in unsure if name not in poor]
        summary = f"poor: {', '.join(poor)}" if poor else "a good portrait"
        doubt = f"; cannot tell: {', '.join(unsure)}" if unsure else ""
        print(f"{path}: {summary}{doubt}")
        for name, row in assessment.qualities.items():
            advice = f"  {row.advice}" if row.advice else ""
            print(f"  {name:<13}{row.score:.2f}  {row.verdict:<11}{advice}".rstrip())
    if best is not None:
        print(f"best shot: {best}")
