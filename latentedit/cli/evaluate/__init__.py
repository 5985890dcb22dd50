"""`latentedit evaluate`: measure how good a model is."""

from __future__ import annotations

import typer

from latentedit.cli.evaluate import (
    age_estimator,
    classifier,
    edits,
    generator,
    methods,
    photos,
    portrait,
    run,
)

app = typer.Typer(help="Measure a model against held-out faces.", no_args_is_help=True)
app.command("generator")(generator.generator)
app.command("run")(run.run)
app.command("truncation")(run.truncation)
app.command("classifier")(classifier.classifier)
app.command("age-estimator")(age_estimator.age_estimator)
app.command("portrait")(portrait.portrait)
app.command("age")(edits.age)
app.command("methods")(methods.methods)
app.command("photos")(photos.photos)
app.command("all")(edits.everything)
