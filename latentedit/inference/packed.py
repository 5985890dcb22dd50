"""Convolutions for inference: weights packed once for oneDNN, bias and activation fused in."""

from __future__ import annotations

import threading

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.inference.devices import computes_bfloat16

_PACKING = threading.Lock()


class PackedConv2d(nn.Module):
    """A convolution, then a leaky ReLU, in one kernel; not for training.

    Packed, the weights are kept in oneDNN's own layout, which it would otherwise make anew in every
    call: most of the time at 4x4 and 8x8. The operators are those that torch's own compiler calls;
    they have no public name, which is one reason why torch is pinned to a minor version.

    Args:
        weight: [O, I, h, w], or of a transposed convolution [I, O, h, w].
        bias: [O].
        stride: of the convolution, or of the transposed one; one number or two, down and across.
        padding: above and below, left and right; one number or two.
        slope: of the leaky ReLU for negative values; 0 is a ReLU, 1 no activation.
        transposed: a transposed convolution.
        groups: of channels that see each other only; not of a transposed convolution.
        dtype: that products are computed in and outputs have; sums are taken in float32.
        packed: use oneDNN's layout, or plain operators, which any device and compiler knows.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        slope: float = 1.0,
        transposed: bool = False,
        groups: int = 1,
        dtype: torch.dtype = torch.float32,
        packed: bool = True,
    ) -> None:
        super().__init__()
        weight = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias.detach().to(dtype))
        self.stride = _pair(stride)
        self.padding = _pair(padding)
        self.slope = slope
        self.transposed = transposed
        self.groups = groups
        self.packed = packed
        self._packed_weight: Tensor | None = None

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Convolve [N, I, H, W], add `shortcut` [N, O, H', W'] if there is one, activate.

        With a shortcut, `slope` must be 0: nothing else is fused.
        """
        x = x.to(self.weight.dtype)
        if self.packed:
            return self._fused(x, shortcut)
        if self.transposed:
            y = F.conv_transpose2d(x, self.weight, self.bias, self.stride, self.padding)
        else:
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        if shortcut is not None:
            y = y + shortcut
        return y if self.slope == 1 else F.leaky_relu(y, self.slope)

    def _fused(self, x: Tensor, shortcut: Tensor | None) -> Tensor:
        operators = torch.ops.mkldnn
        stride, padding, one = self.stride, self.padding, [1, 1]
        activation = {0.0: "relu", 1.0: "none"}.get(self.slope, "leaky_relu")
        scalars = [self.slope] if activation == "leaky_relu" else []
        with _PACKING:  # threads may share a network
            if self._packed_weight is None:
                self._packed_weight = self._pack(list(x.shape))
                self.weight = self.weight.new_empty(0)  # kept once
        weight = self._packed_weight
        if self.transposed:
            return operators._convolution_transpose_pointwise(
                x, weight, self.bias, padding, [0, 0], stride, one, 1, activation, scalars, ""
            )
        if shortcut is None:
            return operators._convolution_pointwise(
                x, weight, self.bias, padding, stride, one, self.groups, activation, scalars, ""
            )
        fused = ("add", 1.0, activation, list[float](), "")
        return operators._convolution_pointwise.binary(
            x, shortcut, weight, self.bias, padding, stride, one, self.groups, *fused
        )

    def _pack(self, input_size: list[int]) -> Tensor:
        """The weights in the layout that is best for inputs of this size."""
        operators = torch.ops.mkldnn
        stride, padding, one = self.stride, self.padding, [1, 1]
        if self.transposed:
            return operators._reorder_convolution_transpose_weight(
                self.weight, padding, [0, 0], stride, one, 1, input_size
            )
        return operators._reorder_convolution_weight(
            self.weight, padding, stride, one, self.groups, input_size
        )


def _pair(number: int | tuple[int, int]) -> list[int]:
    return [number, number] if isinstance(number, int) else list(number)


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether convolutions on this device, in this precision, can be packed."""
    return (
        device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and (dtype == torch.float32 or computes_bfloat16(device))
    )
