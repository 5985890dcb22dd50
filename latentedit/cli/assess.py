"""`latentedit assess`: is this a good portrait, and what would make it better?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentedit import defaults
from latentedit.cli.many_photos import PhotosArgument, Seen, look_at_photos

if TYPE_CHECKING:
    from latentedit.portrait.assessor import Assessment
    from latentedit.portrait.conventions import Convention


def assess(
    photos: PhotosArgument,
    convention: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="portrait|passport",
            help="Rules to judge by: a portrait may smile and wear make-up, glasses or a hat; a "
            "passport's photo is neutral.",
        ),
    ] = defaults.CONVENTION,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write a page (.html) with faces, verdicts and advice.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bundle with a portrait network [default: the shipped one].")
    ] = None,
) -> None:
    """Say whether photos are good portraits.

    They are judged by blur, occlusion, make-up, illumination, expression and pose.

    A photo that cannot be read is named, and the others are still done. If there are several
    photos, the best shot is named too.
    """
    from latentedit.photos.align import check_detector
    from latentedit.portrait.assessor import PortraitAssessor, best_shot
    from latentedit.portrait.conventions import find_convention
    from latentedit.portrait.report import check_report, write_report

    asked = find_convention(convention)
    if report is not None:
        check_report(report)
    check_detector()
    assessor = PortraitAssessor.load(model)
    seen = look_at_photos(photos, lambda path: assessor.assess(path, asked))
    done = seen.answers
    best = best_shot([assessment for _, assessment in done])
    name = None if best is None or len(done) < 2 else done[best][0]
    seen.report()
    if report is not None and done:
        write_report(report, done, seen.refused, best=name, convention=asked)
    if as_json:
        print(json.dumps(_entries(seen, name, asked)))
    else:
        _print_verdicts(done, name, asked)
        if report is not None and done:
            print(f"report in {report}")
    seen.finish("assessed", lambda assessment: bool(assessment.qualities))


def _entries(
    seen: Seen[Assessment], best: Path | None, asked: Convention
) -> list[dict[str, object]]:
    entries = [
        {"file": str(path), **assessment.as_json(), **({"best": True} if path == best else {})}
        for path, assessment in seen.answers
    ]
    empty: dict[str, object] = {"convention": asked.name, "faces": 0, "qualities": {}}
    return entries + [{"file": str(path), **empty, "message": text} for path, text in seen.refused]


def _print_verdicts(
    done: Sequence[tuple[Path, Assessment]], best: Path | None, asked: Convention
) -> None:
    for path, assessment in done:
        print(f"{path}: {assessment.summary}")
        for name, row in assessment.qualities.items():
            advice = f"  {row.advice}" if row.advice else ""
            print(f"  {name:<13}{row.score:.2f}  {row.verdict:<11}{advice}".rstrip())
    judged = [assessment for _, assessment in done if assessment.qualities]
    if len(judged) > 1:
        print(in_numbers(judged, asked))
    if judged and asked.not_looked_at:
        print(f"not checked, but a {asked.name}'s photo needs it: {', '.join(asked.not_looked_at)}")
    if best is not None:
        print(f"best shot: {best}")


def in_numbers(judged: Sequence[Assessment], asked: Convention) -> str:
    """Say how many of several photos are good, how many are poor, and how many are in doubt."""
    from latentedit.portrait.assessor import POOR

    clean = sum(assessment.is_clean for assessment in judged)
    poor = sum(bool(assessment.having(POOR)) for assessment in judged)
    return (
        f"of {len(judged)} faces, judged for a {asked.name}: {clean} good, {poor} with something "
        f"poor, {len(judged) - clean - poor} with something that cannot be told"
    )
