"""`latentedit train`: train networks from a training file."""

from __future__ import annotations

import typer

from latentedit.cli.train import age, classifier, encoder, generator, portrait, previews

app = typer.Typer(help="Train a network; every run can be resumed.", no_args_is_help=True)
app.command("classifier")(classifier.classifier)
app.command("age")(age.age)
app.command("portrait")(portrait.portrait)
app.command("portrait-baselines")(portrait.portrait_baselines)
app.command("generator", context_settings=generator.LENIENT)(generator.generator)
app.command("pack")(generator.pack)
app.command("previews")(previews.previews)
app.command("encoder")(encoder.encoder)
