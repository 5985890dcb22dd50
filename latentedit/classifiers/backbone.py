"""The compact residual CNN that this project's classifiers are built on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.io.resampling import resize

MAP_EDGE = 16
"""Most places along an edge of the map of `Backbone.pooled_and_map`: enough to tell the parts of a
face apart."""


@dataclass(frozen=True)
class BackboneConfig:
    """Shape of a `Backbone`.

    Attributes:
        resolution: edge at which the network looks at a face; other sizes are resized inside.
        stem: channels of the first convolution, at full resolution.
        widths: channels of the stages; each stage halves the resolution.
        blocks: residual blocks of each stage.
    """

    resolution: int = 64
    stem: int = 32
    widths: tuple[int, ...] = (64, 128, 256, 256)
    blocks: tuple[int, ...] = (1, 1, 2, 1)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut (He et al. 2016, basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm0 = nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.project = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm0(self.conv0(x)))
        return F.relu(self.norm1(self.conv1(y)) + self.project(self.pool(x)))


class Backbone(nn.Module):
    """Images [N, 3, H, W] in [-1, 1] (the shared frame, any size) -> features.

    Normalisation is part of the network: `mean` and `std` are buffers, set from the training
    faces and saved with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: BackboneConfig, outputs: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("std", torch.ones(3, 1, 1))
        self.stem = nn.Sequential(
            nn.Conv2d(3, config.stem, 3, 1, 1, bias=False), nn.BatchNorm2d(config.stem), nn.ReLU()
        )
        stages, inputs = [], config.stem
        for width, blocks in zip(config.widths, config.blocks, strict=True):
            stage = [ResidualBlock(inputs, width, 2)]
            stage += [ResidualBlock(width, width, 1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
            inputs = width
        self.stages = nn.ModuleList(stages)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(inputs, outputs)

    def normalise_to(self, images: Tensor) -> None:
        """Set `mean` and `std` from faces [N, 3, H, W] in [-1, 1]."""
        self.mean.copy_(images.mean((0, 2, 3)).view(3, 1, 1))
        self.std.copy_(images.std((0, 2, 3)).view(3, 1, 1))

    def features(self, images: Tensor, size: int | None = None) -> list[Tensor]:
        """Return every stage's output, [N, widths[i], S / 2^(i+1), S / 2^(i+1)].

        Args:
            images: [N, 3, H, W] in [-1, 1].
            size: S, the edge to look at; the config's resolution by default.
        """
        images = resize(images, size or self.config.resolution)
        x = self.stem((images - self.mean) / self.std)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def pooled(self, images: Tensor) -> Tensor:
        """Return the last stage averaged over its pixels, [N, widths[-1]]."""
        return self.pooled_and_map(images)[0]

    def pooled_and_map(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return `pooled`, and the first stage's map of at most 16x16 places, [N, C, h, w]."""
        maps = self.features(images)
        early = next((each for each in maps if each.shape[-1] <= MAP_EDGE), maps[-1])
        return maps[-1].mean((2, 3)), early

    def logits(self, images: Tensor) -> Tensor:
        """Return the head's outputs, [N, outputs]."""
        return self.head(self.dropout(self.pooled(images)))
