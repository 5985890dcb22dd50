"""Samples: latents with scores that boundaries are fitted on, from a pool or a user's file."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentedit.attributes import spelling_key
from latentedit.boundaries.choosing import NEAR, RANDOM
from latentedit.boundaries.fitting import Latents
from latentedit.boundaries.labels import CHOSEN, GENERATOR, HASH, SEED, filled_rows, fitting_order
from latentedit.boundaries.pool import Pool
from latentedit.boundaries.whitening import Whitening
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from latentedit.inference.networks import FaceNetworks


@dataclass(frozen=True, eq=False)
class Samples:
    """Scored latents.

    Attributes:
        latents: [N, D], in memory or on disk.
        scores: float32 [N, K], 0 to 1.
        names: of the K attributes.
        generator_hash: of the generator that the latents belong to.
        space: the latent space.
        data: one line for the card that says where they are from.
        whitening: coordinates to fit in, where they are known.
    """

    latents: Latents
    scores: NDArray[np.float32]
    names: tuple[str, ...]
    generator_hash: str
    space: str
    data: str
    whitening: Whitening | None = None


def samples_of_npy(path: str | Path, pool: Pool, names: Sequence[str]) -> Samples:
    """Read a user's scores of a pool's latents.

    Args:
        path: a ``.npy`` of [N] or [N, K] labels or probabilities, in the pool's order.
        pool: of N latents.
        names: of the K columns.

    Raises:
        LatentEditError: another shape, values outside 0 to 1, or see `named_attributes`.
    """
    try:
        scores = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise LatentEditError(f"{path} does not exist: check the path") from None
    except (OSError, ValueError, EOFError):
        raise LatentEditError(f"{path} holds no numbers: give a .npy of shape [N]") from None
    if not isinstance(scores, np.ndarray) or scores.dtype.kind not in "bfiu":
        raise LatentEditError(f"{path} holds no numbers: give a .npy of shape [N]")
    scores = scores[:, None] if scores.ndim == 1 else scores
    if scores.shape != (pool.size, len(names)):
        raise LatentEditError(
            f"{path} has shape {list(scores.shape)}, the pool {pool.size} latents and --name "
            f"{len(names)} names: give one row for each latent, one column for each name"
        )
    data = f"scores of {Path(path).name} on {pool.describe()}"
    return Samples(
        pool.latents,
        _checked(scores, path),
        named_attributes(names),
        pool.generator_hash,
        pool.space,
        data,
    )


def samples_of_csv(path: str | Path, editor: FaceNetworks) -> Samples:
    """Read a user's labels of seeds: a header with ``seed`` and the attributes, then one row each.

    Rows without any label are left out. The rows of a file by ``label-seeds`` are put in
    `labels.fitting_order`.

    Args:
        path: a ``.csv`` file.
        editor: samples the seeds.

    Raises:
        LatentEditError: no column ``seed``, a cell that is no number, a seed twice, labels of
            another generator's seeds, or see `samples_of_npy`.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows, lines = filled_rows(file)
    except FileNotFoundError:
        raise LatentEditError(
            f"{path} does not exist: make it with 'latentedit label-seeds', or check the path"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LatentEditError(f"cannot read {path}: {error}") from None
    if rows:
        rows = _without_index([[cell.strip() for cell in rows[0]], *rows[1:]])
    if len(rows) < 2 or SEED not in rows[0] or len(rows[0]) < 2:
        raise LatentEditError(f"{path} needs a first line like 'seed,wink' and rows below it")
    rows, at_random = _without_provenance(rows, path, editor.generator_hash)
    column = rows[0].index(SEED)
    seeds, values, chance, silent = [], [], [], 0
    for number, row in enumerate(rows[1:]):
        try:
            if len(row) != len(rows[0]):
                raise ValueError
            if not any(cell for at, cell in enumerate(row) if at != column):
                silent += 1
                continue
            seeds.append(int(row[column]))
            values.append([float(cell) for at, cell in enumerate(row) if at != column])
            chance.append(at_random[number])
        except ValueError:
            raise LatentEditError(
                f"{path}, line {lines[number + 1]}: cannot read {','.join(row)!r}: give "
                "a whole number as seed and a number for each attribute"
            ) from None
    if len(set(seeds)) < len(seeds):
        raise LatentEditError(f"{path} names a seed twice: keep one row for each")
    if not seeds:
        raise LatentEditError(f"no row of {path} says yes or no: label some faces")
    order = fitting_order(chance)
    names = [cell for at, cell in enumerate(rows[0]) if at != column]
    left = f", {silent} more without a label" if silent else ""
    return Samples(
        editor.sample([seeds[row] for row in order]),
        _checked(np.array(values)[order], path, names),
        named_attributes(names),
        editor.generator_hash,
        editor.space,
        f"labels of {Path(path).name} for {len(seeds)} seeds of generator {editor.generator_hash}"
        f"{left}",
    )


def _without_provenance(
    rows: list[list[str]], path: str | Path, generator: str
) -> tuple[list[list[str]], list[bool]]:
    """Return a table without the columns in which `labels.LabelFile` says where rows are from.

    Also return, for each row below the head, whether its face was chosen at random.

    Raises:
        LatentEditError: seeds of another generator.
    """
    head, body = rows[0], rows[1:]
    cells = {
        name: [row[head.index(name)] for row in body if len(row) == len(head)]
        for name in (CHOSEN, GENERATOR)
        if head.count(name) == 1
    }
    ours, at_random = set(), [True] * len(body)
    if (hashes := set(cells.get(GENERATOR, ()))) and all(HASH.fullmatch(one) for one in hashes):
        if hashes != {generator}:
            other = min(hashes - {generator})
            raise LatentEditError(
                f"{path} has labels of seeds of generator {other}, this model's is {generator}: "
                "give their --model, or label this one's faces"
            )
        ours.add(head.index(GENERATOR))
    if cells.get(CHOSEN) and set(cells[CHOSEN]) <= {NEAR, RANDOM}:
        ours.add(head.index(CHOSEN))
        at_random = [NEAR not in row for row in body]
    kept = [[cell for at, cell in enumerate(row) if at not in ours] for row in (head, *body)]
    return kept, at_random


_INDEX = ("", "unnamed: 0", "index", "level_0")
"""Names that pandas gives to a column of row numbers."""


def _without_index(rows: list[list[str]]) -> list[list[str]]:
    """Return a table without the columns that only number its rows."""
    numbers = [
        {str(float(number)) for number in range(first, len(rows) + first)} for first in (0, 1)
    ]
    dropped = set()
    for at, name in enumerate(rows[0]):
        cells = [row[at] for row in rows[1:] if at < len(row)]
        if name.lower() in _INDEX and len(set(cells)) == len(cells):
            with suppress(ValueError):
                if {str(float(cell)) for cell in cells} <= numbers[0] | numbers[1]:
                    dropped.add(at)
    return [[cell for at, cell in enumerate(row) if at not in dropped] for row in rows]


def _checked(
    values: NDArray[Any], path: str | Path, names: Sequence[str] = ()
) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = values.astype(np.float32)
    for place, column in enumerate(scores.T):
        named = f"column {names[place]!r}" if place < len(names) else f"column {place + 1}"
        if not np.isfinite(column).all() or column.min() < 0 or column.max() > 1:
            raise LatentEditError(
                f"scores in {path} must lie between 0 and 1, labels or probabilities; {named} runs "
                f"from {column.min():g} to {column.max():g}: leave it out"
            )
        if math.isclose(column.min(), column.max()):
            raise LatentEditError(
                f"a column of {path} ({named}) says the same of every face: label both kinds"
            )
    return scores


def named_attributes(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a user's own attributes as boundaries keep them.

    Raises:
        LatentEditError: a name has other characters than letters, digits, spaces and underscores,
            or two names are the same.
    """
    stripped = tuple(name.strip().replace(" ", "_") for name in names)
    for name in stripped:
        if not name.replace("_", "").isalnum():
            raise LatentEditError(f"{name!r} is no attribute's name: use letters and digits")
    if len({spelling_key(name) for name in stripped}) < len(stripped):
        raise LatentEditError("two attributes have one name: give each its own")
    return stripped
