"""A `Backbone`'s convolutions for inference by OpenVINO, batch norms folded in."""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from latentedit.classifiers.backbone import Backbone, ResidualBlock
from latentedit.inference.openvino import Compiled, Writer, as_array
from latentedit.io.resampling import resize

Network = TypeVar("Network", bound=Backbone)


def openvino_backbone(network: Network) -> Network:
    """A copy of a classifier or an age estimator whose `features` OpenVINO computes.

    Args:
        network: on a CPU, in any mode; later changes of its weights are not seen.

    Returns:
        a network that is called in the same way, without gradients, in float32.
    """
    prepared = copy.deepcopy(network).eval().requires_grad_(False)
    prepared.features = _Features(prepared)  # type: ignore[method-assign]
    prepared.stem, prepared.stages = nn.Sequential(), nn.ModuleList()
    return prepared


class _Features:
    """See `Backbone.features`."""

    def __init__(self, network: Backbone) -> None:
        stem, stages = network.stem, network.stages
        self.maps = Compiled(lambda shape: _Graph(shape).of(stem, stages))
        self.resolution = network.config.resolution
        self.mean, self.std = network.mean, network.std

    def __call__(self, images: Tensor, size: int | None = None) -> list[Tensor]:
        images = resize(images, size or self.resolution)
        return self.maps((images - self.mean) / self.std)


class _Graph(Writer):
    def of(self, stem: nn.Sequential, stages: nn.ModuleList) -> Any:
        """Normalised images -> every stage's output."""
        conv, norm, _ = stem
        x = self.ops.relu(self.without_norm(conv, norm, self.input))
        maps = []
        for stage in stages:
            for block in cast(nn.Sequential, stage):
                x = self.block(cast(ResidualBlock, block), x)
            maps.append(x)
        return self.model(maps)

    def block(self, block: ResidualBlock, x: Any) -> Any:
        ops = self.ops
        y = ops.relu(self.without_norm(block.conv0, block.norm0, x))
        y = self.without_norm(block.conv1, block.norm1, y)
        if isinstance(block.pool, nn.AvgPool2d):
            edge, none = [block.pool.kernel_size] * 2, [0, 0]
            x = ops.avg_pool(x, edge, none, none, edge, exclude_pad=True)
        if isinstance(block.project, nn.Conv2d):
            x = self.convolution(block.project, x)
        return ops.relu(ops.add(y, x))

    def without_norm(self, conv: nn.Module, norm: nn.Module, x: Any) -> Any:
        """A convolution and its batch norm as one convolution."""
        return self.convolution(
            fuse_conv_bn_eval(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm)), x
        )

    def convolution(self, conv: nn.Conv2d, x: Any) -> Any:
        bias = None if conv.bias is None else as_array(conv.bias)
        stride, padding = int(conv.stride[0]), int(conv.padding[0])
        return self.convolved(x, as_array(conv.weight), bias, stride=stride, padding=padding)
