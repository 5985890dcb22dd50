"""The one error type whose text is written for users.

Everything a user can get wrong raises `LatentEditError` (a `ValueError`): one sentence that
says what is wrong and what to do next. The command line prints it and exits with 2.
"""

from __future__ import annotations


class LatentEditError(ValueError):
    """Bad input. The message is one line: what is wrong, then what to do."""
