"""The network of the Photo-aid slides: one small CNN for each portrait quality."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

EDGE, CHANNELS = 96, 32
"""Edge of the portraits in pixels, and channels after the 1x1 convolution."""


@dataclass(frozen=True)
class SlidesSettings:
    """How the slides trained one of their networks."""

    learning_rate: float
    batch_size: int = 100
    epochs: int = 100


SETTINGS = {
    "blur": SlidesSettings(0.00278),
    "occlusion": SlidesSettings(0.0032585, batch_size=50),
    "make-up": SlidesSettings(0.003),
    "illumination": SlidesSettings(0.005),
    "expression": SlidesSettings(0.0055),
    "pose": SlidesSettings(0.005),
}
"""The slides' settings, by quality."""


class SlidesNetwork(nn.Module):
    """Portraits [N, 3, 96, 96], RGB from 0 to 255 -> one logit each, [N].

    The layers are those of the slides: pixels times 1/255, 3x3 depthwise convolution, 2x2 pooling,
    1x1 convolution to 32 channels, 3x3 depthwise, pooling, 3x3 depthwise, pooling, dense 128,
    dropout 0.5, dense 1. The last one's sigmoid is the probability that the quality is poor. The
    slides do not give the padding, the activations, the kind of pooling and the first weights.
    Here convolutions keep the size, ReLU follows each layer, pooling takes the maximum, and weights
    start as Keras's do (Glorot uniform, biases zero).
    """

    def __init__(self) -> None:
        super().__init__()
        self.depthwise0 = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.pointwise = nn.Conv2d(3, CHANNELS, 1)
        self.depthwise1 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS)
        self.depthwise2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS)
        self.dense = nn.Linear(CHANNELS * (EDGE // 8) ** 2, 128)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(128, 1)
        for name, value in self.named_parameters():
            nn.init.zeros_(value) if name.endswith("bias") else nn.init.xavier_uniform_(value)

    def forward(self, images: Tensor) -> Tensor:
        return self.judge(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Return what the convolutions make of [N, 3, 96, 96]: [N, 32 * 12 * 12]."""
        x = F.max_pool2d(F.relu(self.depthwise0(images / 255)), 2)  # [N, 3, 48, 48]
        x = F.relu(self.pointwise(x))  # [N, 32, 48, 48]
        x = F.max_pool2d(F.relu(self.depthwise1(x)), 2)  # [N, 32, 24, 24]
        return F.max_pool2d(F.relu(self.depthwise2(x)), 2).flatten(1)  # [N, 32, 12, 12], flat

    def judge(self, features: Tensor) -> Tensor:
        """Return logits [N] from `features`."""
        x = F.relu(self.dense(features))
        return self.head(self.dropout(x)).squeeze(1)


def slides_macs() -> int:
    """Return how many multiplications the slides' layers need for one portrait."""
    layers = ((96, 3, 9), (48, 32, 3), (48, 32, 9), (24, 32, 9))  # edge, channels, products each
    convolutions = sum(edge * edge * channels * products for edge, channels, products in layers)
    return convolutions + 32 * (EDGE // 8) ** 2 * 128 + 128
