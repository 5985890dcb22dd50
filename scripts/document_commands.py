"""Write docs/command-line.md, the page of all commands and options, from the commands themselves.

python scripts/document_commands.py [-o docs/command-line.md]
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from latentedit.cli.main import app

PAGE = Path(__file__).parent.parent / "docs" / "command-line.md"

HEAD = """# Command line

All commands and their options, as `--help` prints them; this page is made from the commands by
`python scripts/document_commands.py`. Exit codes: 0 where everything was done, 2 for bad input
(one line says what is wrong and what to do next), 130 after Ctrl-C. `label` and `assess` give 1
where some pictures got no answer and 2 where none did.
"""


def commands(command: Any, name: str = "latentedit") -> Iterator[tuple[str, Any]]:
    """Yield a command and all commands below it that are shown, with their full names."""
    yield name, command
    for word, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield from commands(each, f"{name} {word}")


def options(command: Any, name: str) -> list[tuple[str, str]]:
    """Return arguments and options: how they are written, and what they mean."""
    context = command.context_class(command, info_name=name, terminal_width=10_000)
    records = [each.get_help_record(context) for each in command.params]
    return [record for record in records if record is not None]


def section(name: str, command: Any) -> str:
    """Return one command's part of the page."""
    context = command.context_class(command, info_name=name, terminal_width=10_000)
    level = "#" * min(1 + len(name.split()), 4)
    usage = command.get_usage(context).removeprefix("Usage: ").strip()
    about = inspect.cleandoc(command.help or "").split("\f")[0]
    parts = [f"{level} `{name}`", about, f"```text\n{usage}\n```"]
    if rows := options(command, name):
        lines = [
            f"| `{written.replace('|', ' or ')}` | {_cell(meaning)} |" for written, meaning in rows
        ]
        parts.append("\n".join(("| option | meaning |", "|---|---|", *lines)))
    return "\n\n".join(part for part in parts if part)


def page() -> str:
    """Return the whole page."""
    sections = [section(*each) for each in commands(typer.main.get_command(app))]
    return "\n\n".join((HEAD.strip(), *sections)) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=PAGE)
    parser.parse_args().output.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
