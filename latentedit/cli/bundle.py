"""`latentedit bundle`: turn finished runs into a folder that every command loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentedit.cli.invocation import parse_numbers
from latentedit.errors import LatentEditError


def bundle(
    output: Annotated[Path, typer.Option("-o", "--output", help="The bundle's folder.")],
    generator: Annotated[Path | None, typer.Option(help="A generator's run.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="A classifier's run.")] = None,
    age: Annotated[Path | None, typer.Option(help="An age estimator's run.")] = None,
    portrait: Annotated[Path | None, typer.Option(help="A portrait network's run.")] = None,
    previews: Annotated[Path | None, typer.Option(help="A run of preview heads.")] = None,
    encoder: Annotated[Path | None, typer.Option(help="A run of an encoder of photos.")] = None,
    ema_kimg: Annotated[
        float | None,
        typer.Option(help="Half-life of the generator's average [default: the run's first]."),
    ] = None,
    snapshots: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST,LAST",
            help="Use the mean of the generator's snapshots between these thousands of images.",
        ),
    ] = None,
    blend: Annotated[
        Path | None,
        typer.Option(
            help="Another generator's run, such as the one that this run started from: use the "
            "mean of both runs' weights."
        ),
    ] = None,
    psi: Annotated[
        float | None,
        typer.Option(
            help="Truncation, or scale of the first layer around its mean; see 'evaluate "
            "truncation' [default: a student has its teacher's]."
        ),
    ] = None,
) -> None:
    """Write the networks of finished runs into one folder.

    Each network gets a card.
    """
    from latentedit.training.bundles import (
        LOADERS,
        bundle_age_estimator,
        bundle_classifier,
        bundle_encoder,
        bundle_generator,
        bundle_portrait,
        bundle_previews,
    )

    if not any((generator, classifier, age, portrait, previews, encoder)):
        raise LatentEditError(
            "nothing to bundle: give --generator, --classifier, --age, --portrait, --previews "
            "or --encoder"
        )
    if generator is None and (ema_kimg, snapshots, blend, psi) != (None,) * 4:
        raise LatentEditError(
            "--ema-kimg, --snapshots, --blend and --psi are for a generator: give --generator, or "
            "leave them out"
        )
    runs = (classifier, age, portrait, previews, encoder)
    for load, run in zip(LOADERS.values(), runs, strict=True):
        if run is not None:
            load(run)  # a wrong run is refused before anything is written
    if generator is not None:
        bundle_generator(
            generator,
            output,
            ema_kimg=ema_kimg,
            snapshots=_ends(snapshots),
            psi=psi,
            blend=blend,
        )
    if classifier is not None:
        bundle_classifier(classifier, output)
    if age is not None:
        bundle_age_estimator(age, output)
    if portrait is not None:
        bundle_portrait(portrait, output)
    if previews is not None:
        bundle_previews(previews, output)
    if encoder is not None:
        bundle_encoder(encoder, output)
    print(f"bundle in {output}")


def _ends(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    advice = f"cannot read --snapshots {text!r}: write two numbers like 200,280"
    numbers = parse_numbers(text, advice)
    if len(numbers) != 2:
        raise LatentEditError(advice)
    return numbers[0], numbers[1]
