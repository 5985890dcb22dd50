"""The command line: parse, call, save. Heavy imports happen inside the commands."""

from latentedit.cli.main import app, main

__all__ = ["app", "main"]
