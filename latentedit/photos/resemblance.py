"""How much a drawn face resembles a photo: pixels, what a classifier sees, and whose face it is.

This is the loss that inversion and encoder training lower. It is differentiable in the drawn
pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentedit.classifiers.backbone import Backbone
from latentedit.classifiers.dlib_network import DlibFaceNetwork, chips
from latentedit.generators.base import Frame
from latentedit.io.resampling import resize
from latentedit.photos.encoder import Looks

SCALES = (256, 64)
"""Edges in pixels at which pictures are compared: one shows small things, one light and colours."""

STAGES = (1, 2, 3)
"""Stages of the classifier, counted from 0, after which features are compared."""

LEAST = 1e-4
"""Smallest mean square that something is divided by."""


@dataclass(frozen=True)
class ResemblanceWeights:
    """How much each part of the loss counts.

    Attributes:
        pixels: weight of the mean absolute difference at each of `SCALES`; pixels are -1 to 1.
        features: weight of the mean square difference at each of `STAGES`, in shares of the
            features' power.
        identity: weight of the squared distance of dlib's descriptors; two people differ by 0.36.
    """

    pixels: float = 1.0
    features: float = 0.5
    identity: float = 1.5


@dataclass(frozen=True, eq=False)
class Seen:
    """What the loss compares in pictures.

    Attributes:
        pixels: [N, 3, s, s] at each of `SCALES`.
        features: the classifier's features, [N, C, h, w] at each of `STAGES`.
        descriptors: [N, 128], or None without a descriptor network.
    """

    pixels: list[Tensor]
    features: list[Tensor]
    descriptors: Tensor | None


class Resemblance(nn.Module):
    """Compares drawn pictures with photos, both aligned as the generator's faces are.

    Args:
        classifier: a `Backbone` that knows faces.
        frame: where the shared frame lies in the pictures.
        descriptor: dlib's network, or None to leave identity out.
        weights: see `ResemblanceWeights`.
    """

    def __init__(
        self,
        classifier: Backbone,
        frame: Frame,
        descriptor: DlibFaceNetwork | None = None,
        weights: ResemblanceWeights | None = None,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.descriptor = descriptor
        self.frame = frame
        self.weights = weights or ResemblanceWeights()
        self.eval().requires_grad_(False)

    def looks(self, images: Tensor) -> Looks:
        """Return what an encoder looks at in pictures [N, 3, H, W] in [-1, 1]."""
        return Looks(images, self._describe(self.frame.cut(images)))

    def look(self, images: Tensor) -> Seen:
        """Return what the loss compares in pictures [N, 3, H, W] in [-1, 1]."""
        pixels = [resize(images, min(scale, images.shape[-1])) for scale in SCALES]
        face = self.frame.cut(images)
        maps = self.classifier.features(face)
        features = [maps[stage] for stage in STAGES if stage < len(maps)]
        return Seen(pixels, features, self._describe(face))

    def _describe(self, faces: Tensor) -> Tensor | None:
        return None if self.descriptor is None else self.descriptor(chips(faces))

    def forward(self, drawn: Tensor, wanted: Seen) -> Tensor:
        """Return the losses [N] of drawn pictures [N, 3, H, W] against `wanted`; 0 is the best."""
        seen = self.look(drawn)
        loss = torch.zeros(len(drawn), device=drawn.device)
        for a, b in zip(seen.pixels, wanted.pixels, strict=True):
            loss = loss + self.weights.pixels * (a - b).abs().mean((1, 2, 3))
        for a, b in zip(seen.features, wanted.features, strict=True):
            loss = loss + self.weights.features * feature_distance(a, b)
        if seen.descriptors is not None and wanted.descriptors is not None:
            apart = (seen.descriptors - wanted.descriptors).square().sum(1)
            loss = loss + self.weights.identity * apart
        return loss


def feature_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean square difference [N] of features [N, C, h, w], in shares of the wanted
    features' power (their mean square)."""
    power = wanted.square().mean((1, 2, 3)).clamp_min(LEAST)
    return (found - wanted).square().mean((1, 2, 3)) / power


def decibels(error: float) -> float:
    """PSNR of a mean square error between pictures in [-1, 1], in dB."""
    return round(10 * math.log10(4 / max(error, 1e-10)), 2)
