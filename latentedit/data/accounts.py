"""An account of every file in a data set's folder: what was used, and what the others are."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from latentedit.io.photo_files import few_names


def account_for(
    folder: Path, used: Collection[Path], what_is: Callable[[Path], str]
) -> tuple[str, ...]:
    """Describe all files in a folder that were not used.

    Args:
        folder: searched with all its sub-folders.
        used: files that were read, or are named in the report already.
        what_is: returns the kind of a file that was not used, in words.

    Returns:
        A line for each kind: how many, a few of their names, and what they are.
    """
    known = {str(path) for path in used}
    others: dict[str, list[str]] = {}
    for root, inside, files in os.walk(folder):
        inside.sort()
        for name in sorted(files):
            path = os.path.join(root, name)
            if path not in known:
                shown = os.path.relpath(path, folder)
                others.setdefault(what_is(Path(path)), []).append(shown)
    return tuple(f"{few_names(names)}: {what}" for what, names in sorted(others.items()))
