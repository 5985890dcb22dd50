"""How this process was called, and the text of options that typer does not read."""

from __future__ import annotations

from latentedit.errors import LatentEditError


def command_line() -> str:
    """The command being run, as one would type it again."""
    import shlex
    import sys

    return shlex.join(["latentedit", *sys.argv[1:]])


def parse_numbers(text: str, advice: str) -> tuple[float, ...]:
    """Read numbers with commas between them.

    Raises:
        LatentEditError: `advice`, if they are none.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise LatentEditError(advice) from None
