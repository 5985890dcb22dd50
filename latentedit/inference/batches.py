"""Rows in batches of one size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentedit.errors import LatentEditError


def pick_batch_size(size: int | None, device: torch.device) -> int:
    """Return `size`, or if that is None the default for a device: 1 on a CPU, 64 elsewhere.

    Raises:
        LatentEditError: it is below 1.
    """
    if size is None:
        return 1 if device.type == "cpu" else 64
    if size < 1:
        raise LatentEditError(f"batch size {size} cannot be: give 1 or more")
    return size


def in_batches(rows: NDArray[Any], size: int) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield batches of exactly `size` rows, and how many of these rows count.

    The last batch is filled up with copies of its last row. In a batch of another size,
    convolutions add up in another order, and now and then a pixel is rounded the other way. So a
    row gives the same result alone and beside others.

    Raises:
        LatentEditError: there are no rows.
    """
    if not rows.size:
        raise LatentEditError("nothing to do: no face was given")
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        missing = size - len(batch)
        yield np.concatenate((batch, np.repeat(batch[-1:], missing, axis=0))), len(batch)
