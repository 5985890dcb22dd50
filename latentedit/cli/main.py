"""The `latentedit` command and its sub-commands."""

from __future__ import annotations

import sys

import typer

from latentedit.cli import prepare, train
from latentedit.errors import LatentEditError

app = typer.Typer(
    name="latentedit",
    help="Find meaning in a face generator's latent space and edit faces with it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(prepare.app, name="prepare")
app.add_typer(train.app, name="train")


def main() -> None:
    """Run the command line: bad input is one line on standard error and exit code 2."""
    try:
        app(prog_name="latentedit")
    except LatentEditError as error:
        sys.exit(_fail(str(error)))


def _fail(message: str) -> int:
    print(f"latentedit: {' '.join(message.split())}", file=sys.stderr)
    return 2
