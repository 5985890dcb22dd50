"""The `latentedit` command and its sub-commands."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from latentedit.cli import (
    assess,
    boundaries,
    boundaries_npy,
    bundle,
    convert,
    demo,
    directions,
    doctor,
    edit,
    evaluate,
    faces,
    label,
    label_seeds,
    many_photos,
    models,
    photos,
    pool,
    prepare,
    train,
)
from latentedit.cli.launched import has_work, one_voice, speaker
from latentedit.errors import LatentEditError

STOPPED = 130
"""Exit code after Ctrl-C."""

app = typer.Typer(
    name="latentedit",
    help="Find meaning in a face generator's latent space and edit faces with it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("edit", cls=edit.EditCommand)(edit.edit)
app.command("sample")(faces.sample)
app.command("label", epilog=many_photos.EXIT_CODES)(label.label)
app.command("label-seeds")(label_seeds.label_seeds)
app.command("invert")(photos.invert)
app.command("info")(photos.info)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("assess", epilog=many_photos.EXIT_CODES)(assess.assess)
app.add_typer(prepare.app, name="prepare")
app.add_typer(train.app, name="train")
app.command("bundle")(bundle.bundle)
app.add_typer(pool.app, name="pool")
app.add_typer(boundaries.app, name="boundaries")
boundaries.app.command("import")(boundaries_npy.import_npy)
boundaries.app.command("export")(boundaries_npy.export_npy)
app.command("convert")(convert.convert)
app.add_typer(directions.app, name="directions")
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
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Bad input gives one line on standard error and exit code 2.

    Args:
        arguments: the words after ``latentedit``; by default those of this process.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack some letters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments)
        gc.freeze()  # without it Python takes half a second to take torch apart
        sys.exit(code)
    except BrokenPipeError:  # the program that reads our pipe has ended, such as head
        _drop_output()
        sys.exit(1)
    except OSError as error:  # such as a file without read permission, or a full disk
        from latentedit.io.files import reason

        if not error.filename:
            _drop_output()
        place = f"cannot use {error.filename}" if error.filename else "cannot write the output"
        sys.exit(_fail(f"{place}: {reason(error)}"))


def _drop_output() -> None:
    """Discard further standard output: it is broken, and Python would fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str] | None) -> int:
    command = typer.main.get_command(app)
    try:
        if not has_work(sys.argv[1:] if arguments is None else arguments):
            return 0
        with one_voice():
            code = command.main(arguments, prog_name="latentedit", standalone_mode=False) or 0
            if sys.stdout:
                sys.stdout.flush()
    except LatentEditError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    except Exception as error:
        if not _is_usage_error(error):
            raise
        return _usage_error(error)
    if code == STOPPED:
        print("latentedit: stopped", file=sys.stderr)
    return code


def _is_usage_error(error: Exception) -> bool:
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _usage_error(error: Any) -> int:
    """Report an error of the parser, and return the exit code.

    A group that is named without a command prints its help.
    """
    message = error.format_message()
    if message.startswith("Usage:"):
        print(message, file=sys.stderr)
        return 2
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "latentedit"
    return _fail(f"{message.rstrip('.')}{'' if message.endswith('?') else '.'} See '{path} --help'")


def _fail(message: str) -> int:
    print(f"{speaker()}: {' '.join(message.split())}", file=sys.stderr)
    return 2
