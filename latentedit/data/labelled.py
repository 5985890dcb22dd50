"""Write a labelled data set to a training file, and name every entry that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from latentedit.data.face_file import create_face_data
from latentedit.errors import LatentEditError

Progress = Callable[[Iterator[int], int], Iterator[int]]


class LabelledFolder(Protocol):
    """A data set as it ships: its readable entries, and a line for each entry that is not."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def labels(self) -> NDArray[np.int8]: ...

    @property
    def bad(self) -> tuple[str, ...]: ...

    def read(self, index: int, resolution: int) -> NDArray[np.uint8]:
        """Return face `index`, uint8 [R, R, 3], or raise `LatentEditError`."""
        ...


@dataclass(frozen=True)
class PrepareReport:
    """What was written of a data set, and what was not.

    Attributes:
        written: number of faces in the training file.
        resolution: their edge in pixels.
        skipped: a line for each entry that cannot be used: its name and why.
        notes: what the user should know about how the data set was read.
        left_out: a line for each kind of other files in its folder.
    """

    written: int
    resolution: int
    skipped: tuple[str, ...]
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def with_account(self, notes: Sequence[str], left_out: Sequence[str]) -> PrepareReport:
        """Return the same report with notes and an account of the folder's other files."""
        return replace(self, notes=tuple(notes), left_out=tuple(left_out))


def write_labelled(
    folder: LabelledFolder,
    output: str | Path,
    *,
    resolution: int,
    label_names: Sequence[str],
    source: str,
    skip_bad: bool = False,
    progress: Progress = lambda rows, total: rows,
) -> PrepareReport:
    """Write all faces of a data set to one memory-mapped training file.

    Args:
        folder: the data set.
        output: the file to write; it appears only when complete.
        resolution: edge in pixels.
        label_names: names of the labels' columns.
        source: what cards say of the data.
        skip_bad: leave out entries that cannot be used, instead of stopping.
        progress: wraps the row iterator (a progress bar).

    Raises:
        LatentEditError: the output cannot be written, or (without `skip_bad`) entries cannot be
            used; the message names the first ones.
    """
    bad = list(folder.bad)
    with create_face_data(
        output, resolution=resolution, label_names=label_names, source=source
    ) as writer:
        for index in progress(iter(range(len(folder.names))), len(folder.names)):
            try:
                image = folder.read(index, resolution)
            except LatentEditError as error:
                bad.append(str(error))
                continue
            if not bad or skip_bad:
                writer.append(image, folder.labels[index].tolist(), folder.names[index])
        if bad and not skip_bad:
            raise LatentEditError(_bad_entries(bad))
        return PrepareReport(len(writer), resolution, tuple(bad))


def _bad_entries(bad: list[str], shown: int = 5) -> str:
    more = f"; and {len(bad) - shown} more" if len(bad) > shown else ""
    return (
        f"{len(bad)} entries cannot be used: {'; '.join(bad[:shown])}{more}. "
        "Replace them, or leave them out with --skip-bad"
    )
