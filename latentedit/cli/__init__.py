"""The command line. Commands parse options, call the package, and save the results.

Heavy imports happen inside the commands, so that `--help` stays fast.
"""

from latentedit.cli.main import app, main

__all__ = ["app", "main"]
