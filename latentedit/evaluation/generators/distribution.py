"""Distances between two sets of feature vectors, and how much of one the other covers.

Needs the extra ``evaluate`` (torchmetrics and prdc).
"""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentedit.errors import LatentEditError

Features = NDArray[np.floating[Any]]

NEAREST = 5
"""Neighbours that make up the manifold in `coverage`."""

MOST_NEIGHBOURS = 10_000
"""Rows of a set that `coverage` looks at: its memory grows with their square."""

_SUBSETS, _SUBSET_SIZE = 100, 1000


class _Precomputed(nn.Module):
    """Stands in for the feature network in torchmetrics: features in, features out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(reference: Features, features: Features) -> float:
    """Fréchet distance of the normal distributions with the sets' means and covariances.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al. 2017, eq. 6), by torchmetrics in
    float64. It is biased upwards by small sets: compare only at equal sizes.

    Args:
        reference: float [N, D], at least four rows.
        features: float [M, D], at least four rows.

    Raises:
        LatentEditError: sets of unfit shapes or too small, or the extra is missing.
    """
    _check(reference, features)
    metric = _extra("torchmetrics.image.fid", "FrechetInceptionDistance")(
        feature=_Precomputed(reference.shape[1])
    )
    # a common shift changes nothing, and keeps the sums of squares from cancelling
    centre = reference.mean(0, dtype=np.float64)
    metric.update(torch.from_numpy(reference - centre), real=True)
    metric.update(torch.from_numpy(features - centre), real=False)
    return max(0.0, float(metric.compute()))


def kernel_distance(reference: Features, features: Features, *, seed: int = 0) -> float:
    """Squared maximum mean discrepancy with the kernel (g x.y + 1)^3, unbiased.

    Bińkowski et al. 2018, sec. 4, by torchmetrics: the mean over 100 random subsets of 1,000 rows,
    or of half the smaller set. g is one over the mean squared length of the reference features,
    so features of any scale get the same kernel. The paper's 1 / D does this for Inception's.

    Args:
        reference: float [N, D], at least four rows.
        features: float [M, D], at least four rows.
        seed: of the subsets.

    Raises:
        LatentEditError: sets of unfit shapes or too small, or the extra is missing.
    """
    _check(reference, features)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance`")  # "large memory"
        metric = _extra("torchmetrics.image.kid", "KernelInceptionDistance")(
            feature=_Precomputed(reference.shape[1]),
            subsets=_SUBSETS,
            subset_size=max(2, min(_SUBSET_SIZE, len(reference) // 2, len(features) // 2)),
            gamma=float(1 / np.square(reference, dtype=np.float64).sum(1).mean()),
        )
    metric.update(torch.from_numpy(np.asarray(reference, np.float64)), real=True)
    metric.update(torch.from_numpy(np.asarray(features, np.float64)), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, _ = metric.compute()
    return float(mean)


def coverage(reference: Features, features: Features) -> dict[str, float]:
    """Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Each row has a ball that reaches to its 5th neighbour in its own set. The authors' package
    `prdc` computes the figures on the first 10,000 rows of each set. Precision: share of `features`
    in a ball of the reference. Recall: the other way round. Density: how many balls, relative to
    chance. Coverage: share of the reference's balls that hold a feature.

    Args:
        reference: float [N, D], at least seven rows.
        features: float [M, D], at least seven rows.

    Returns:
        ``precision``, ``recall``, ``density``, ``coverage``.

    Raises:
        LatentEditError: sets of unfit shapes or too small, or the extra is missing.
    """
    _check(reference, features)
    if min(len(reference), len(features)) < NEAREST + 2:
        raise LatentEditError(f"at least {NEAREST + 2} faces are needed on both sides")
    compute_prdc = _extra("prdc", "compute_prdc")
    with redirect_stdout(io.StringIO()):  # it prints its sizes
        figures = compute_prdc(reference[:MOST_NEIGHBOURS], features[:MOST_NEIGHBOURS], NEAREST)
    return {name: float(value) for name, value in figures.items()}


def nearest(
    queries: Features, features: Features, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows of `features` nearest to each query by Euclidean distance, nearest first.

    Args:
        queries: float [Q, D].
        features: float [N, D], N at least `count`.

    Returns:
        Row numbers int64 [Q, count] and distances float64 [Q, count].
    """
    wide = features.astype(np.float64)
    rows, distances = [], []
    for query in queries.astype(np.float64):
        distance = np.sqrt(np.square(wide - query).sum(1))
        order = np.argsort(distance, kind="stable")[:count]
        rows.append(order)
        distances.append(distance[order])
    return np.array(rows, dtype=np.int64), np.array(distances)


def _check(reference: Features, features: Features) -> None:
    if reference.ndim != 2 or features.ndim != 2 or reference.shape[1] != features.shape[1]:
        raise LatentEditError(
            f"two sets of features [N, D] are needed, got {list(reference.shape)} and "
            f"{list(features.shape)}"
        )
    if min(len(reference), len(features)) < 4:
        raise LatentEditError("at least four faces are needed on both sides")


def _extra(module: str, name: str) -> Any:
    """Import one thing that the extra brings."""
    try:
        return getattr(import_module(module), name)
    except ImportError:
        raise LatentEditError(
            "these figures need an extra: pip install 'latentedit[evaluate]'"
        ) from None
