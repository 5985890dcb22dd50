"""A compact CNN: face -> 40 attribute logits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from latentedit.attributes import ATTRIBUTES
from latentedit.classifiers.backbone import Backbone, BackboneConfig


@dataclass(frozen=True)
class ClassifierConfig(BackboneConfig):
    """Shape of an `AttributeClassifier`.

    Attributes:
        attributes: names of the outputs, in order.
    """

    attributes: tuple[str, ...] = ATTRIBUTES


class AttributeClassifier(Backbone):
    """Images [N, 3, H, W] in [-1, 1] (the shared frame, any size) -> logits [N, 40]."""

    config: ClassifierConfig

    def __init__(self, config: ClassifierConfig | None = None) -> None:
        config = config or ClassifierConfig()
        super().__init__(config, len(config.attributes))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images)
