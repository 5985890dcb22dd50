"""How far a face is from unedited faces, measured place by place.

Edited faces break in parts: a mouth melts, or an eye is gone. A classifier's features, averaged
over the picture, hardly show that. So features are compared at each place of an early stage. A
normal distribution is fitted there to the features of unedited faces, and the distance from it is
Mahalanobis' (PaDiM, Defard et al. 2021, without its random choice of features). Then the distances
are averaged, not the features: a face that fades is a little strange everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float32]

_RIDGE = 0.01
"""Share of a place's mean variance that is added to each variance. PaDiM's regularisation, but
relative to the scale of the features."""


@dataclass(frozen=True, eq=False)
class Places:
    """Normal distributions of features at P places, C features each.

    Attributes:
        mean: float32 [P, C].
        whitening: float32 [P, C, C]; deviations times it have unit covariance.
    """

    mean: FloatArray
    whitening: FloatArray

    def distances(self, maps: FloatArray) -> FloatArray:
        """Mahalanobis distance of maps [N, P, C] at each place, float32 [N, P]."""
        deviations = torch.from_numpy(maps - self.mean).transpose(0, 1)
        white = torch.bmm(deviations, torch.from_numpy(self.whitening))
        return white.norm(dim=2).T.numpy()

    def strangeness(self, maps: FloatArray) -> FloatArray:
        """Mean distance over all places of maps [N, P, C], float32 [N]."""
        return np.asarray(self.distances(maps).mean(1))


class PlacesFit:
    """Fits `Places` to maps that come a few at a time."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: Tensor = torch.zeros(())
        self._squares: Tensor = torch.zeros(())

    def add(self, maps: FloatArray) -> FloatArray:
        """Take in maps [N, P, C] of unedited faces. Return NaN [N]: no distance is known yet."""
        places = torch.from_numpy(maps).double().transpose(0, 1)
        self._count += len(maps)
        self._sum = self._sum + places.sum(1)
        self._squares = self._squares + places.transpose(1, 2) @ places
        return np.full(len(maps), np.nan, np.float32)

    def fit(self) -> Places:
        """Return the distributions of all maps that were taken in."""
        mean = self._sum / self._count
        covariance = self._squares / self._count - mean[:, :, None] * mean[:, None]
        scale = covariance.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12)
        ridge = _RIDGE * scale[:, None, None] * torch.eye(mean.shape[1], dtype=torch.float64)
        lower = torch.linalg.cholesky(torch.linalg.inv(covariance + ridge))
        return Places(mean.float().numpy(), lower.float().numpy())
