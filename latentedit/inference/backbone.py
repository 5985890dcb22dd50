"""A `Backbone`'s convolutions for inference by OpenVINO, batch norms folded in."""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

from torch import Tensor, nn

from latentedit.classifiers.backbone import Backbone, ResidualBlock
from latentedit.inference.openvino import Compiled, Writer, as_array
from latentedit.io.resampling import resize

Network = TypeVar("Network", bound=Backbone)


def openvino_backbone(network: Network) -> Network:
    """A classifier or an age estimator whose `features` OpenVINO computes.

    Args:
        network: on a CPU, in any mode; later changes of its weights are not seen.

    Returns:
        a network that is called in the same way, without gradients, in float32.
    """
    prepared = copy.copy(network)
    prepared._modules = {**network._modules, "dropout": nn.Identity()}
    prepared.features = _Features(network)  # type: ignore[method-assign]
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
            x = ops.avg_pool(x, edge, none, none, edge, True)
        if isinstance(block.project, nn.Conv2d):
            x = self.convolution(block.project, x)
        return ops.relu(ops.add(y, x))

    def without_norm(self, conv: nn.Module, norm: nn.Module, x: Any) -> Any:
        """A convolution and its batch norm as one convolution."""
        return self.convolution(cast(nn.Conv2d, conv), x, cast(nn.BatchNorm2d, norm))

    def convolution(self, conv: nn.Conv2d, x: Any, norm: nn.BatchNorm2d | None = None) -> Any:
        weight = as_array(conv.weight)
        bias = None if conv.bias is None else as_array(conv.bias)
        if norm is not None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = as_array(norm.weight * (norm.running_var + norm.eps).rsqrt())
            weight = weight * scale[:, None, None, None]
            mean = as_array(norm.running_mean) - (0 if bias is None else bias)
            bias = as_array(norm.bias) - scale * mean
        stride, padding = int(conv.stride[0]), int(conv.padding[0])
        return self.convolved(x, weight, bias, stride=stride, padding=padding)
