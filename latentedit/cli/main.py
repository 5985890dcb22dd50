"""The `latentedit` command and its sub-commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from latentedit.cli import (
    boundaries,
    boundaries_npy,
    bundle,
    convert,
    evaluate,
    faces,
    models,
    pool,
    prepare,
    train,
)
from latentedit.errors import LatentEditError

app = typer.Typer(
    name="latentedit",
    help="Find meaning in a face generator's latent space and edit faces with it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("edit")(faces.edit)
app.command("sample")(faces.sample)
app.command("label")(faces.label)
app.add_typer(prepare.app, name="prepare")
app.add_typer(train.app, name="train")
app.command("bundle")(bundle.bundle)
app.add_typer(pool.app, name="pool")
app.add_typer(boundaries.app, name="boundaries")
boundaries.app.command("import")(boundaries_npy.import_npy)
boundaries.app.command("export")(boundaries_npy.export_npy)
app.command("convert")(convert.convert)
app.add_typer(models.app, name="models")
app.add_typer(evaluate.app, name="evaluate")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"latentedit {version('latentedit')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line: bad input is one line on standard error and exit code 2."""
    command = typer.main.get_command(app)
    try:
        sys.exit(command.main(prog_name="latentedit", standalone_mode=False) or 0)
    except LatentEditError as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        print("latentedit: stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not _is_usage_error(error):
            raise
        sys.exit(_fail(f"{error.format_message()}; see 'latentedit --help'"))  # type: ignore[attr-defined]


def _is_usage_error(error: Exception) -> bool:
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _fail(message: str) -> int:
    print(f"latentedit: {' '.join(message.split())}", file=sys.stderr)
    return 2
