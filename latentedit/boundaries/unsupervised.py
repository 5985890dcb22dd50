"""Directions that need no labels: SeFa and GANSpace, kept as boundaries through the origin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentedit import defaults
from latentedit.boundaries.model import Boundaries
from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator

if TYPE_CHECKING:
    from latentedit.inference.networks import FaceNetworks

Float64Array = NDArray[np.float64]
Track = Callable[[Sequence[Any], int, str], Iterable[Any]]
"""Rows, how many, and a title -> the same rows, while a progress bar moves."""

METHODS = ("sefa", "pca")
PCA_LATENTS = 10_000
_BATCH = 500

NAMING_STEP = 2.0
"""Directions are named by what this step to either side does."""


def sefa(generator: FaceGenerator, k: int) -> tuple[Float64Array, Float64Array]:
    """Directions that change the first layer's output most (Shen and Zhou 2021, equation 8).

    The eigenvectors of A^T A for the first layer A, largest eigenvalue first.

    Args:
        generator: of a kind that knows its first layer.
        k: how many.

    Returns:
        Unit rows float64 [k, D], and each one's share of the sum of eigenvalues [k].

    Raises:
        LatentEditError: more directions than a latent has numbers or the layer has outputs, or see
            `FaceGenerator.first_weights`.
    """
    matrix = generator.first_weights().detach().double().cpu().numpy()
    _check_count(k, min(matrix.shape))
    _, sizes, rows = np.linalg.svd(matrix, full_matrices=False)
    powers = np.square(sizes)
    return _signed(rows[:k]), powers[:k] / powers.sum()


def pca(
    editor: FaceNetworks,
    k: int,
    *,
    count: int = PCA_LATENTS,
    first_seed: int = defaults.POOL_FIRST_SEED,
) -> tuple[Float64Array, Float64Array]:
    """Directions of most variance among early features (Haerkoenen et al. 2020, section 2.2).

    They are principal components of the features. Least squares carries each one back to the
    latent space, by the latents that the features were computed from.

    Args:
        editor: samples latents and has the generator.
        k: how many.
        count: how many latents to sample.
        first_seed: the lowest of their seeds.

    Returns:
        Unit rows float64 [k, D], and each component's share of the variance [k].

    Raises:
        LatentEditError: more directions than a latent has numbers or there are features, or see
            `FaceGenerator.early_features`.
    """
    _check_count(k, editor.latent_dim)
    moments: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, count, _BATCH):
            seeds = range(first_seed + start, first_seed + min(start + _BATCH, count))
            z = torch.from_numpy(editor.sample(seeds)).to(editor.device)
            x = editor.generator.early_features(z).float()
            _check_count(k, x.shape[1])
            parts = [x.sum(0), x.T @ x, z.sum(0), z.T @ x]
            if not moments:
                moments = [torch.zeros_like(part, dtype=torch.float64) for part in parts]
            for total, part in zip(moments, parts, strict=True):
                total += part
    mean, square, z_mean, cross = (part.cpu().numpy() / count for part in moments)
    variances, components = np.linalg.eigh(square - np.outer(mean, mean))
    order = np.argsort(-variances)[:k]
    rows = ((cross - np.outer(z_mean, mean)) @ components[:, order]).T  # [k, D]
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise LatentEditError("early features do not follow the latents: ask for fewer directions")
    return _signed(rows / lengths), np.maximum(variances[order], 0) / variances.sum()


def find_directions(
    editor: FaceNetworks, method: str, k: int, *, count: int = PCA_LATENTS
) -> Boundaries:
    """Find unlabelled directions, named ``sefa_01``, ``sefa_02``, ...

    Args:
        method: one of `METHODS`.
        k: how many.
        count: latents that ``pca`` looks at.

    Returns:
        Boundaries through the origin, without holds; their figure ``share`` says how much of the
        whole each direction accounts for.

    Raises:
        LatentEditError: unknown method, or see `sefa` and `pca`.
    """
    if method not in METHODS:
        raise LatentEditError(f"no method {method!r}: choose {' or '.join(METHODS)}")
    rows, shares = sefa(editor.generator, k) if method == "sefa" else pca(editor, k, count=count)
    names = tuple(f"{method}_{number + 1:02d}" for number in range(k))
    return Boundaries(
        names=names,
        normals=rows,
        biases=np.zeros(k),
        generator_hash=editor.generator_hash,
        space=editor.space,
        figures={
            name: {"share": round(float(s), 5)} for name, s in zip(names, shares, strict=True)
        },
    )


@dataclass(frozen=True)
class Moves:
    """What a direction does.

    Attributes:
        name: of the direction.
        changes: (attribute, mean change of its probability from step -2 to 2), largest first.
    """

    name: str
    changes: tuple[tuple[str, float], ...]


def name_by_attributes(
    editor: FaceNetworks,
    directions: Boundaries,
    seeds: Sequence[int],
    *,
    most: int = 3,
    track: Track = lambda rows, count, title: rows,
) -> list[Moves]:
    """Say which attributes each direction moves most.

    Args:
        editor: with a classifier.
        directions: from `find_directions`, in the coordinates that edits move in, see
            `FaceEditor.as_edited`.
        seeds: faces to look at.
        most: attributes named for each.
        track: shows progress over the directions.

    Raises:
        LatentEditError: the model has no classifier.
    """
    z, moves = editor.sample(seeds), []
    rows = list(zip(directions.names, directions.normals, strict=True))
    for name, row in track(rows, len(rows), "Naming directions"):
        move = directions.moves(row * directions.spread(row))
        ends = [(z + step * move).astype(np.float32) for step in (-NAMING_STEP, NAMING_STEP)]
        low, high = (editor.score(editor.render(end, editor.judged_size)).mean(0) for end in ends)
        change = high - low
        order = np.argsort(-np.abs(change), kind="stable")[:most]
        moves.append(
            Moves(name, tuple((editor.attributes[i], round(float(change[i]), 3)) for i in order))
        )
    return moves


def card_entries(moves: Sequence[Moves]) -> Mapping[str, Any]:
    """Return the card's entry that says what each direction moves."""
    return {"moves": {each.name: dict(each.changes) for each in moves}}


def _check_count(k: int, dim: int) -> None:
    if not 1 <= k <= dim:
        raise LatentEditError(f"{k} directions cannot be found: ask for 1 to {dim}")


def _signed(rows: Float64Array) -> Float64Array:
    """The same directions with their largest entry positive, so a result can be repeated."""
    largest = np.argmax(np.abs(rows), axis=1)
    return np.asarray(rows * np.sign(rows[np.arange(len(rows)), largest])[:, None])
