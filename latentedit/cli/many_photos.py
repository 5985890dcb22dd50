"""What `assess` and `label` share: they look at many files, and some may be no usable photos."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import typer

from latentedit.errors import LatentEditError

T = TypeVar("T")

PhotosArgument = Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.")]

SOME = 1
"""Exit code if some photos got no answer; it is 0 if all did, and 2 if none did."""

EXIT_CODES = (
    "Exit code: 0, every photo got an answer; 1, some did not; 2, none did, or the command was "
    "wrong."
)
"""The last lines in the help of these commands."""


@dataclass(frozen=True)
class Seen(Generic[T]):
    """The results for all photos that the user named.

    Attributes:
        answers: photos, each with what was found in it.
        refused: photos and folders that could not be looked at, each with the reason in one line.
    """

    answers: list[tuple[Path, T]]
    refused: list[tuple[Path, str]]

    @property
    def said_by_error(self) -> bool:
        """Whether the user named only one file and it was refused: then the error says it all."""
        return not self.answers and len(self.refused) == 1

    def report(self) -> None:
        """Print what was refused to standard error, unless the error of `finish` will say it."""
        for _, message in () if self.said_by_error else self.refused:
            print(f"latentedit: {' '.join(message.split())}", file=sys.stderr)

    def finish(self, done: str, answered: Callable[[T], bool] = lambda answer: True) -> None:
        """End the command with its exit code.

        Args:
            done: the word for a finished photo, such as "labelled".
            answered: tells whether what was found in a photo counts as an answer.

        Raises:
            LatentEditError: no photo got an answer.
            typer.Exit: some photos got no answer; the exit code is `SOME`.
        """
        count = sum(answered(answer) for _, answer in self.answers)
        if self.said_by_error:
            raise LatentEditError(self.refused[0][1])
        if not count:
            raise LatentEditError(f"nothing could be {done}: give photos of a face as PNG or JPEG")
        if count < len(self.answers) + len(self.refused):
            raise typer.Exit(SOME)


def look_at_photos(given: Sequence[Path], look: Callable[[Path], T]) -> Seen[T]:
    """Look at the named photos, and at those in the named folders, with a progress bar.

    Args:
        given: files and folders.
        look: looks at one photo. If it raises `LatentEditError`, that photo is refused and the
            others are still done.
    """
    from latentedit.cli.progress import track
    from latentedit.io.photo_files import named_photos

    files, empty, left_out = named_photos(given)
    for line in left_out:
        print(line, file=sys.stderr)
    seen: Seen[T] = Seen([], list(empty))
    for path in track(files, len(files), "Looking"):
        try:
            seen.answers.append((path, look(path)))
        except LatentEditError as error:
            seen.refused.append((path, str(error)))
    return seen
