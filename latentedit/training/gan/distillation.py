"""How far a student's pictures are from its teacher's: by pixels, and by features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentedit.io.resampling import downsample
from latentedit.photos.resemblance import feature_distance
from latentedit.training.gan.losses import FrozenNetwork

SCALES = (1, 2, 4, 8)
"""Pictures are compared as they are, and made smaller so many times."""

SMALLEST = 4
"""Edge of the smallest pictures that are compared, in pixels."""

SEEN_FROM = 32
"""Smallest pictures that are compared by features."""


class FeatureDistance(nn.Module):
    """Mean square difference of a frozen network's features, in shares of their power.

    Args:
        name: of the figure in the log.
        network: frozen; its parameters are left as they are.
        weight: of the distance in the loss.
        stages: of its features that count.
        most: edge in pixels at which larger pictures are looked at.
    """

    def __init__(
        self, name: str, network: FrozenNetwork, weight: float, stages: Sequence[int], most: int
    ) -> None:
        super().__init__()
        self.name, self.network, self.weight = name, network, weight
        self.stages, self.most = tuple(stages), most

    def forward(self, fake: Tensor, wanted: Tensor) -> Tensor:
        """Mean over stages and pictures [N, 3, r, r]: a scalar, 0 where they look the same."""
        size = min(fake.shape[-1], self.most)
        fake, wanted = (downsample(each, each.shape[-1] // size) for each in (fake, wanted))
        with torch.no_grad():
            goals = self.network.features(wanted, size)
        maps = self.network.features(fake, size)
        stages = [stage for stage in self.stages if stage < len(maps)]
        apart = torch.zeros((), device=fake.device)
        for stage in stages:
            apart = apart + feature_distance(maps[stage].float(), goals[stage].float()).mean()
        return apart / len(stages)


class Distillation(nn.Module):
    """The loss of a student's pictures against those that its teacher drew of the same latents.

    Args:
        pixels: weight of the mean absolute difference at each of `SCALES`, in a range of 2.
        views: differences of features, from `SEEN_FROM` pixels on.
    """

    def __init__(self, pixels: float, views: Sequence[FeatureDistance] = ()) -> None:
        super().__init__()
        self.pixels = pixels
        self.views = nn.ModuleList(views)

    def forward(self, fake: Tensor, wanted: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and figures for the log.

        Args:
            fake: [N, 3, r, r], about [-1, 1].
            wanted: of the same shape.
        """
        fake = fake.float()  # networks resize it, which bfloat16 cannot
        apart = pixel_distance(fake, wanted)
        loss = self.pixels * apart.sum()
        figures = {"distil_pixels": apart[0].detach()}
        if fake.shape[-1] >= SEEN_FROM:
            for view in self.views:
                distance = view(fake, wanted)
                loss = loss + view.weight * distance
                figures[f"distil_{view.name}"] = distance.detach()
        return loss, figures


def pixel_distance(fake: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference at each of `SCALES` that leaves `SMALLEST` pixels: [S]."""
    scales = [scale for scale in SCALES if fake.shape[-1] // scale >= SMALLEST] or [1]
    difference = fake - wanted
    return torch.stack([downsample(difference, scale).abs().mean() for scale in scales])
