"""Labelled faces to measure networks on: training files, CelebA's and UTKFace's folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latentedit.errors import LatentEditError
from latentedit.io.images import UInt8Array

if TYPE_CHECKING:
    from latentedit.data.labelled import LabelledFolder

BATCH = 64
"""Faces read at a time, so that memory does not grow with the size of the data set."""


@dataclass
class Predictions:
    """A network's outputs for labelled faces, row by row.

    Attributes:
        outputs: the network's, [N, ...].
        labels: int8 [N, K]; -1 not known.
        skipped: one line for each entry that could not be used.
    """

    outputs: NDArray[np.float32]
    labels: NDArray[np.int8]
    skipped: list[str]


def predict_folder(
    predict: Callable[[UInt8Array], NDArray[np.float32]],
    folder: LabelledFolder,
    *,
    resolution: int,
    last: int | None = None,
    track: Callable[[Iterator[int], int], Iterator[int]] = lambda rows, total: rows,
) -> Predictions:
    """Run a network on the faces of a data set, one batch at a time.

    Args:
        predict: uint8 [N, R, R, 3] -> float32 [N, ...].
        folder: the faces.
        resolution: R.
        last: use only this many faces, from the end (those that training held out).
        track: wraps the iterator over rows (a progress bar).

    Raises:
        LatentEditError: no face can be used.
    """
    rows = range(len(folder.names))[-last if last else None :]
    skipped = list(folder.bad)
    outputs: list[NDArray[np.float32]] = []
    kept: list[int] = []
    batch: list[UInt8Array] = []
    for row in track(iter(rows), len(rows)):
        try:
            batch.append(folder.read(row, resolution))
            kept.append(row)
        except LatentEditError as error:
            skipped.append(str(error))
        if len(batch) == BATCH:
            outputs.append(predict(np.stack(batch)))
            batch.clear()
    if batch:
        outputs.append(predict(np.stack(batch)))
    if not outputs:
        reason = f": {skipped[0]}" if skipped else ""
        raise LatentEditError(f"no face here can be used{reason}")
    return Predictions(np.concatenate(outputs), folder.labels[kept], skipped)
