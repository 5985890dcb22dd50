"""`latentedit evaluate photos`: invert and edit photos, and measure the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from latentedit.cli.options import ModelOption, PrecisionOption, check_picture
from latentedit.cli.photos import RefineOption
from latentedit.cli.words import say
from latentedit.defaults import PRECISION


def photos(
    folder: Annotated[Path, typer.Argument(help="A folder of photos with a face each.")],
    output: Annotated[Path, typer.Option("--json", help="The report to write.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many photos, taken evenly from the folder.")
    ] = None,
    refine: RefineOption = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw each photo, its inversion and its edits.")
    ] = None,
    precision: PrecisionOption = PRECISION,
    model: ModelOption = None,
) -> None:
    """Invert and edit photos, and measure how well it works.

    Is it the same person? Does the edit show? How long does it take?
    """
    from latentedit.cli.progress import print_skipped, track
    from latentedit.data.aligned import photos_of
    from latentedit.editing.photos import PhotoEditor
    from latentedit.evaluation.photos import evaluate_photos
    from latentedit.io.cards import check_report
    from latentedit.io.files import check_replaces_none, check_writable, write_json
    from latentedit.io.images import save_image

    check_writable(output)
    check_report(output)
    paths, others = photos_of(folder)
    if sheet is not None:
        check_picture(sheet)
        for path in paths:
            check_replaces_none(sheet, {"photo": path})
    if limit is not None and limit < len(paths):
        paths = [paths[round(number * len(paths) / limit)] for number in range(limit)]
    report, rows = evaluate_photos(
        PhotoEditor.load(model, precision=precision),
        paths,
        steps=refine,
        track=lambda items, total: track(items, total, "Photos"),
    )
    write_json(output, report)
    print_skipped(f"{name}: {why}" for name, why in report["left_out"].items())
    say(f"left out of {folder}: {line}" for line in others)
    if sheet is not None:
        save_image(sheet, rows)
    _print(report)


def _print(report: dict[str, Any]) -> None:
    means = report["means"]
    print(f"{report['n']} photos, {means['seconds']:.1f} s each to invert")
    for name, share in means["within"].items():
        print(
            f"{name}: one person to dlib's network in {share:.0%} (distance "
            f"{means['identity'][name]:.2f}), mean square error {means['mse'][name]:.3f}, "
            f"MS-SSIM {means['ms_ssim'][name]:.3f}"
        )
    print(f"put back without an edit: MS-SSIM {means['ms_ssim']['pasted']:.3f}")
    for name, row in means["edits"].items():
        step = report["edits"][name]
        flips = "all have it" if row["flips"] is None else f"flips {row['flips']:.0%}"
        print(f"{name} {step:+g}: {flips} of {row['to_flip']}, one person in {row['within']:.0%}")
    if "older" in means:
        print(
            f"age {report['years']:+g}: {means['older']['years']:+.1f} years by the independent "
            f"estimator, one person in {means['older']['within']:.0%}"
        )
