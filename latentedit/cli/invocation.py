"""How this process was called."""

from __future__ import annotations


def command_line() -> str:
    """The command being run, as one would type it again."""
    import shlex
    import sys

    return shlex.join(["latentedit", *sys.argv[1:]])
