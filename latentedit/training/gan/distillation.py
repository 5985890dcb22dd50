"""How far a student's pictures are from its teacher's: by pixels, and by features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentedit.io.resampling import downsample
from latentedit.photos.resemblance import feature_distance
from latentedit.training.gan.losses import FrozenNetwork, cut_out

SCALES = (1, 2, 4, 8)
"""Factors by which pictures are made smaller before they are compared."""

SMALLEST = 4
"""Edge of the smallest pictures that are compared, in pixels."""

SEEN_FROM = 32
"""Edge of the smallest pictures that are compared by features, in pixels."""

FACE_AND_HAIR = (3 / 16, 5 / 16, 13 / 16, 15 / 16)
"""Left, top, right, bottom of the face with some hair around it, in shares of the frame's edge."""

FACE_SCALES = 3
"""So many of `SCALES` also count for the face alone."""

STEP = 32
"""Edges of close-ups are multiples of this, in pixels, as networks that halve five times want."""


class FeatureDistance(nn.Module):
    """Mean square difference of a frozen network's features, divided by their mean square.

    Args:
        name: name of the figure in the log.
        network: the frozen network; its parameters stay as they are.
        weight: weight of the distance in the loss.
        stages: indices of the stages whose features count.
        most: largest edge in pixels; larger pictures are made smaller first.
        close_up: look at the face alone, about twice as large. Faces are told apart by eyes and
            mouth, a small part of the frame.
    """

    def __init__(
        self,
        name: str,
        network: FrozenNetwork,
        weight: float,
        stages: Sequence[int],
        most: int,
        *,
        close_up: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.network, self.weight = name, network, weight
        self.stages, self.most, self.close_up = tuple(stages), most, close_up

    def forward(self, fake: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean over stages and pictures [N, 3, r, r]: a scalar, 0 if they look alike."""
        if self.close_up:
            fake, wanted = cut_out(fake, FACE_AND_HAIR), cut_out(wanted, FACE_AND_HAIR)
            size = max(min(2 * fake.shape[-1], self.most) // STEP, 1) * STEP
        else:
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
    """The loss between a student's pictures and its teacher's pictures of the same latents.

    Args:
        pixels: weight of the mean absolute difference at each of `SCALES`, of pixels in a range
            of 2.
        views: distances of features, for pictures of at least `SEEN_FROM` pixels.
        faces: weight of the same difference of the face alone, for such pictures.
    """

    def __init__(
        self, pixels: float, views: Sequence[FeatureDistance] = (), *, faces: float = 0
    ) -> None:
        super().__init__()
        self.pixels, self.faces = pixels, faces
        self.views = nn.ModuleList(views)

    def forward(self, fake: Tensor, wanted: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and figures for the log.

        Args:
            fake: [N, 3, r, r], about [-1, 1].
            wanted: the teacher's pictures, of the same shape.
        """
        fake = fake.float()  # networks resize it, which does not work in bfloat16
        apart = pixel_distance(fake, wanted)
        loss = self.pixels * apart.sum()
        figures = {"distil_pixels": apart[0].detach()}
        if fake.shape[-1] >= SEEN_FROM:
            if self.faces:
                near = pixel_distance(cut_out(fake, FACE_AND_HAIR), cut_out(wanted, FACE_AND_HAIR))
                near = near[:FACE_SCALES]
                loss = loss + self.faces * near.sum()
                figures["distil_faces"] = near[0].detach()
            for view in self.views:
                distance = view(fake, wanted)
                loss = loss + view.weight * distance
                figures[f"distil_{view.name}"] = distance.detach()
        return loss, figures


def pixel_distance(fake: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean absolute difference at each scale, [S].

    Scales of `SCALES` that leave fewer than `SMALLEST` pixels do not count.
    """
    scales = [scale for scale in SCALES if fake.shape[-1] // scale >= SMALLEST] or [1]
    difference = fake - wanted
    return torch.stack([downsample(difference, scale).abs().mean() for scale in scales])
