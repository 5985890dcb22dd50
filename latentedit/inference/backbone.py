"""A `Backbone`'s convolutions for inference by OpenVINO, batch norms folded in."""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

from torch import Tensor, nn

from latentedit.classifiers.backbone import MAP_EDGE, Backbone, ResidualBlock
from latentedit.inference.openvino import Compiled, Writer, as_array
from latentedit.io.resampling import resize

Network = TypeVar("Network", bound=Backbone)


def openvino_backbone(network: Network) -> Network:
    """Return a classifier or an age estimator whose `pooled_and_map` OpenVINO computes.

    Args:
        network: on a CPU, in any mode; later changes of its weights are not seen.

    Returns:
        a network that is called in the same way, without gradients, in float32.
    """
    prepared = copy.copy(network)
    prepared._modules = {**network._modules, "dropout": nn.Identity()}
    prepared.pooled_and_map = _PooledAndMap(network)  # type: ignore[method-assign]
    return prepared


class _PooledAndMap:
    """See `Backbone.pooled_and_map`."""

    def __init__(self, network: Backbone) -> None:
        self.maps = Compiled(lambda shape: _Graph(shape).of(network))
        self.resolution = network.config.resolution
        self.mean, self.std = network.mean, network.std

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        images = resize(images, self.resolution)
        *early, last = self.maps((images - self.mean) / self.std)
        return last.mean((2, 3)), early[0] if early else last


class _Graph(Writer):
    def of(self, network: Backbone) -> Any:
        """Normalised images -> the early map, if it is not the last one, and the last map.

        Other maps are no outputs: each would cost a copy that nobody reads.
        """
        conv, norm, _ = network.stem
        x = self.ops.relu(self.without_norm(conv, norm, self.input))
        maps = []
        for stage in network.stages:
            for block in cast(nn.Sequential, stage):
                x = self.block(cast(ResidualBlock, block), x)
            maps.append(x)
        small = [each for each in maps[:-1] if each.get_output_shape(0)[-1] <= MAP_EDGE]
        return self.model([*small[:1], maps[-1]])

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
