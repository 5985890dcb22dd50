"""A compact CNN: face -> age in years, as the mean of a distribution over years."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentedit.classifiers.backbone import Backbone, BackboneConfig
from latentedit.io.resampling import resize

CHIP_TO_FRAME = 1.4
"""Edge of the shared frame in edges of one of UTKFace's chips, which hold the face tightly.
Measured, with the eyes' height, by dlib's landmarks on 243 chips: the eyes are 0.386 of a chip
apart and lie at 0.303 of its height."""

EYES_IN_CHIP, EYES_IN_FRAME = 0.303, 0.520
"""Height of the eyes from the top of a chip, and of the shared frame, in shares of its edge."""


@dataclass(frozen=True)
class AgeConfig(BackboneConfig):
    """Shape of an `AgeEstimator`.

    Attributes:
        oldest: ages are 0 to `oldest` years.
    """

    oldest: int = 116


class AgeEstimator(Backbone):
    """Images [N, 3, H, W] in [-1, 1] -> years [N], in any framing from UTKFace's to the shared one.

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


def tight_view(frames: Tensor) -> Tensor:
    """Cut pictures in the shared frame as tightly as UTKFace's chips, at the same size.

    The age estimator sees more of a face so, and tells ages better. [N, 3, H, W].
    """
    edge = frames.shape[-1]
    size = round(edge / CHIP_TO_FRAME)
    left = (edge - size) // 2
    top = min(edge - size, round(EYES_IN_FRAME * edge - EYES_IN_CHIP * size))
    return resize(frames[..., top : top + size, left : left + size], edge)


def expected_age(logits: Tensor) -> Tensor:
    """Mean of the distribution over years 0, 1, ...: logits [N, Y] -> years [N]."""
    years = torch.arange(logits.shape[1], dtype=logits.dtype, device=logits.device)
    return logits.softmax(1) @ years
