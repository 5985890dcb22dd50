"""The command that is running as text, and options that typer cannot parse itself."""

from __future__ import annotations

import math
from contextlib import suppress

from latentedit.errors import LatentEditError


def command_line() -> str:
    """Return the running command as a user would type it again."""
    import shlex
    import sys

    return shlex.join(["latentedit", *sys.argv[1:]])


def finite(number: float | None) -> float | None:
    """Refuse NaN and infinity, which the parser takes for numbers.

    Raises:
        LatentEditError: `number` is one of them.
    """
    if number is not None and not math.isfinite(number):
        raise LatentEditError(f"{number} is no number that can be used here: give a finite one")
    return number


def parse_numbers(text: str, advice: str) -> tuple[float, ...]:
    """Read numbers that are separated by commas.

    Raises:
        LatentEditError: a part is not a finite number; the message is `advice`.
    """
    with suppress(ValueError):
        numbers = tuple(float(part) for part in text.split(","))
        if all(map(math.isfinite, numbers)):
            return numbers
    raise LatentEditError(advice)
