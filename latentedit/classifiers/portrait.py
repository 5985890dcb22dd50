"""A portrait -> six calibrated probabilities that something is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentedit.classifiers.backbone import Backbone, BackboneConfig

QUALITIES = ("blur", "occlusion", "make-up", "illumination", "expression", "pose")
"""What is asked of a portrait, in the order of the network's heads."""


@dataclass(frozen=True)
class PortraitConfig(BackboneConfig):
    """Shape of a `PortraitNetwork`.

    Attributes:
        qualities: names of the outputs, in order.
    """

    resolution: int = 96
    stem: int = 24
    widths: tuple[int, ...] = (48, 96, 160)
    blocks: tuple[int, ...] = (1, 1, 2)
    qualities: tuple[str, ...] = QUALITIES


class PortraitNetwork(Backbone):
    """Portraits [N, 3, H, W] in [-1, 1] (the portrait frame, any size) -> logits [N, 6].

    The first convolution halves the resolution, which halves the time. Each logit gives the
    probability that a quality is poor. Platt's (1999) scale and shift of every head are buffers;
    `calibrate` sets them from portraits that training did not see.
    """

    config: PortraitConfig
    scale: Tensor
    shift: Tensor

    def __init__(self, config: PortraitConfig | None = None) -> None:
        config = config or PortraitConfig()
        super().__init__(config, len(config.qualities))
        self.stem[0] = nn.Conv2d(3, config.stem, 4, 2, 1, bias=False)
        self.register_buffer("scale", torch.ones(len(config.qualities)))
        self.register_buffer("shift", torch.zeros(len(config.qualities)))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images) * self.scale + self.shift

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [N, 6] and where they come from, [N, 6, h, w].

        The maps are class activation maps (Zhou et al. 2016): a logit is the mean of its map over
        the pixels, plus a constant from the head's bias and the calibration.
        """
        features = self.features(images)[-1]
        maps = torch.einsum("nchw,qc->nqhw", features, self.head.weight)
        logits = maps.mean((2, 3)) + self.head.bias
        return logits * self.scale + self.shift, maps * self.scale[:, None, None]

    def calibrate(self, scale: Tensor, shift: Tensor) -> None:
        """Apply a scale and a shift [6] on top of the present ones."""
        self.shift.copy_(self.shift * scale + shift)
        self.scale.copy_(self.scale * scale)

    def forget_calibration(self) -> None:
        """Put scales back to 1 and shifts to 0."""
        self.scale.fill_(1)
        self.shift.zero_()
