"""A compact CNN: face -> age in years, as the mean of a distribution over years."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentedit.classifiers.backbone import Backbone, BackboneConfig
from latentedit.io.resampling import resize

CHIP_TO_FRAME = 1.4
"""Edge of the shared frame, in edges of UTKFace's chips, which are cut close to the face. It was
measured, with the eyes' height, by dlib's landmarks on 243 chips: the eyes are 0.386 of a chip
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

    The head gives a distribution over whole years. The estimate is its mean, as in label
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
    """Cut pictures in the shared frame as close as UTKFace's chips, and keep their size.

    The face is then larger, and the age estimator tells ages better. [N, 3, H, W].
    """
    edge = frames.shape[-1]
    size = round(edge / CHIP_TO_FRAME)
    left = (edge - size) // 2
    top = min(edge - size, round(EYES_IN_FRAME * edge - EYES_IN_CHIP * size))
    return resize(frames[..., top : top + size, left : left + size], edge)


def expected_age(logits: Tensor) -> Tensor:
    """Return the mean of the distribution over years 0, 1, ...: logits [N, Y] -> years [N]."""
    years = torch.arange(logits.shape[1], dtype=logits.dtype, device=logits.device)
    return logits.softmax(1) @ years
