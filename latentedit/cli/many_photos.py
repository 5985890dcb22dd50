"""What `assess` and `label` share: many photos, of which some may be anything else."""

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
"""Exit code where some photos got no answer; 0 where all did, and 2 where none did."""

EXIT_CODES = (
    "Exit code: 0, every photo got an answer; 1, some did not; 2, none did, or the command was "
    "wrong."
)
"""Ends the help of these commands."""


@dataclass(frozen=True)
class Seen(Generic[T]):
    """What became of the photos that were named.

    Attributes:
        answers: photos and what was found in them.
        refused: photos and folders that could not be looked at, and why in one line.
    """

    answers: list[tuple[Path, T]]
    refused: list[tuple[Path, str]]

    @property
    def said_by_error(self) -> bool:
        """Whether one thing was named and refused, so that the error says all."""
        return not self.answers and len(self.refused) == 1

    def report(self) -> None:
        """Say on standard error what was refused; the error of `finish` says it where it alone was
        named."""
        for _, message in () if self.said_by_error else self.refused:
            print(f"latentedit: {' '.join(message.split())}", file=sys.stderr)

    def finish(self, done: str, answered: Callable[[T], bool] = lambda answer: True) -> None:
        """End the command with its exit code.

        Args:
            done: what was to be done with photos, such as "labelled".
            answered: whether what was found in a photo is an answer.

        Raises:
            LatentEditError: no photo got an answer.
            typer.Exit: some did not.
        """
        count = sum(answered(answer) for _, answer in self.answers)
        if self.said_by_error:
            raise LatentEditError(self.refused[0][1])
        if not count:
            raise LatentEditError(f"nothing could be {done}: give photos of a face as PNG or JPEG")
        if count < len(self.answers) + len(self.refused):
            raise typer.Exit(SOME)


def look_at_photos(given: Sequence[Path], look: Callable[[Path], T]) -> Seen[T]:
    """Look at each photo that was named, or lies in a folder that was, under a progress bar.

    Args:
        given: files and folders.
        look: raises `LatentEditError` for a photo that cannot be looked at; the others are done.
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
