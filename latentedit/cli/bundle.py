"""`latentedit bundle`: finished runs -> a folder that every command loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bundle(
    output: Annotated[Path, typer.Option("-o", "--output", help="The bundle's folder.")],
    generator: Annotated[Path | None, typer.Option(help="A generator's run.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="A classifier's run.")] = None,
    age: Annotated[Path | None, typer.Option(help="An age estimator's run.")] = None,
    portrait: Annotated[Path | None, typer.Option(help="A portrait network's run.")] = None,
    ema_kimg: Annotated[
        float | None,
        typer.Option(help="Half-life of the generator's average [default: the run's first]."),
    ] = None,
    psi: Annotated[
        float,
        typer.Option(help="Scale of the first layer around its mean; see 'evaluate truncation'."),
    ] = 1.0,
) -> None:
    """Write the networks of finished runs, with a card each, into one folder."""
    from latentedit.errors import LatentEditError
    from latentedit.training.bundles import (
        bundle_age_estimator,
        bundle_classifier,
        bundle_generator,
        bundle_portrait,
    )

    if generator is None and classifier is None and age is None and portrait is None:
        raise LatentEditError(
            "nothing to bundle: give --generator, --classifier, --age or --portrait"
        )
    if generator is not None:
        bundle_generator(generator, output, ema_kimg=ema_kimg, psi=psi)
    if classifier is not None:
        bundle_classifier(classifier, output)
    if age is not None:
        bundle_age_estimator(age, output)
    if portrait is not None:
        bundle_portrait(portrait, output)
    print(f"bundle in {output}")
