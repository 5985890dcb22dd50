"""A compact CNN: face -> age in years, as the mean of a distribution over years."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentedit.backbone import Backbone, BackboneConfig


@dataclass(frozen=True)
class AgeConfig(BackboneConfig):
    """Shape of an `AgeEstimator`.

    Attributes:
        oldest: ages are 0 to `oldest` years.
    """

    oldest: int = 116


class AgeEstimator(Backbone):
    """Images [N, 3, H, W] in [-1, 1] (the shared frame or a tighter one, any size) -> years [N].

    The head is a distribution over whole years and the estimate its mean, as in label
    distribution learning (Gao et al. 2018, "Age Estimation Using Expectation of Label
    Distribution Learning").
    """

    config: AgeConfig

    def __init__(self, config: AgeConfig | None = None) -> None:
        config = config or AgeConfig()
        super().__init__(config, config.oldest + 1)

    def forward(self, images: Tensor) -> Tensor:
        return expected_age(self.logits(images).float())


def expected_age(logits: Tensor) -> Tensor:
    """Mean of the distribution over years 0, 1, ...: logits [N, Y] -> years [N]."""
    years = torch.arange(logits.shape[1], dtype=logits.dtype, device=logits.device)
    return logits.softmax(1) @ years
