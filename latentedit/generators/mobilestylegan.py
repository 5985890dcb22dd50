"""MobileStyleGAN's generator (Belousov 2021, arXiv 2104.04767): photographs of 1024 pixels.

It is a student of StyleGAN2 that draws wavelets. Every block enlarges its input by an inverse Haar
transform, then convolves it depthwise and pointwise. Demodulation is folded into the weights and
the noise is fixed, so a latent always gives the same picture. `latentedit.checkpoints.openvino`
reads trained weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators.base import FFHQ_FRAME, Frame, LatentSpace, at_size
from latentedit.generators.mapped import MappedGenerator, check_psi
from latentedit.generators.previews import PreviewHeads, PreviewHeadsConfig
from latentedit.generators.wavelets import SLOPE, Modulation, inverse_haar
from latentedit.io.weights import build_network


@dataclass(frozen=True)
class MobileStyleGANConfig:
    """Shape and use of a `MobileStyleGAN`.

    Attributes:
        widths: channels at 4 pixels and after each block. Each block doubles the edge; the last
            inverse Haar transform, which makes the colours, doubles it once more.
        mapping: layers from z to w.
        style: length of z and of w.
        space: the latent space that the generator is used in, ``w`` or ``z``.
        truncation: psi; samples are moved towards the mean: ``mean + psi * (w - mean)``.
        previews: edges of the pictures that its `PreviewHeads` draw, increasing.
    """

    widths: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64)
    mapping: int = 8
    style: int = 512
    space: Literal["w", "z"] = "w"
    truncation: float = 0.7
    previews: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.space not in ("w", "z"):
            raise LatentEditError(f"no latent space {self.space!r}: give w or z")
        check_psi(self.truncation)
        if len(self.widths) < 2 or any(width < 4 or width % 4 for width in self.widths):
            raise LatentEditError("widths must be two or more multiples of four")
        for size in self.previews:
            if size not in self.sizes[2:]:
                raise LatentEditError(f"no preview of {size} pixels: give some of {self.sizes[2:]}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """4, 8, ... up to the edge of the last block's features."""
        return tuple(4 * 2**block for block in range(len(self.widths)))

    @property
    def resolution(self) -> int:
        """Edge of the picture in pixels."""
        return 2 * self.sizes[-1]

    @property
    def layers(self) -> int:
        """Layers with a latent each: the first convolution, three per block, and the colours."""
        return 3 * (len(self.widths) - 1) + 2


class FirstConvolution(nn.Module):
    """The learnt constant, scaled by w, and a 3x3 convolution: w [N, S] -> [N, C, 4, 4]."""

    noise: Tensor

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.randn(1, channels, 4, 4))
        self.modulation = Modulation(style, channels)
        self.weight = nn.Parameter(torch.randn(channels, channels, 3, 3) / (9 * channels) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise", torch.zeros(1, 1, 4, 4))

    def forward(self, w: Tensor) -> Tensor:
        x = F.conv2d(self.constant * self.modulation(w), self.weight, self.bias, padding=1)
        return F.leaky_relu_(x.add_(self.noise), SLOPE)


class SeparableConvolution(nn.Module):
    """Scale by w, convolve each channel 3x3, mix channels, add noise: [N, I, s, s] -> [N, O, s, s].

    Sec. 3.2, with the noise plane fixed.
    """

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, style: int, size: int) -> None:
        super().__init__()
        self.modulation = Modulation(style, inputs)
        self.depthwise = nn.Parameter(torch.randn(inputs, 1, 3, 3) / 3)
        self.pointwise = nn.Parameter(torch.randn(outputs, inputs, 1, 1) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise", torch.zeros(1, 1, size, size))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = F.conv2d(x * self.modulation(w), self.depthwise, padding=1, groups=x.shape[1])
        x = F.conv2d(x, self.pointwise, self.bias)
        return F.leaky_relu_(x.add_(self.noise), SLOPE)  # in place: new memory costs more


class Block(nn.Module):
    """Enlarge by an inverse Haar transform, convolve twice: [N, I, s/2, s/2] -> [N, O, s, s].

    Args:
        inputs: I, a multiple of four.
        outputs: O.
        style: length of w.
        size: s.
    """

    def __init__(self, inputs: int, outputs: int, style: int, size: int) -> None:
        super().__init__()
        self.enlarge = Modulation(style, inputs)
        self.conv0 = SeparableConvolution(inputs // 4, outputs, style, size)
        self.conv1 = SeparableConvolution(outputs, outputs, style, size)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Run the block; w [N, 3, S] is a latent for the enlargement and for each convolution."""
        x = inverse_haar(x * self.enlarge(w[:, 0]))
        return self.conv1(self.conv0(x, w[:, 1]), w[:, 2])


class ToImage(nn.Module):
    """Features [N, C, s, s] -> colours [N, 3, 2s, 2s], by twelve Haar bands."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.modulation = Modulation(style, channels)
        self.weight = nn.Parameter(torch.randn(12, channels, 1, 1) / channels**0.5)
        self.bias = nn.Parameter(torch.zeros(12))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return inverse_haar(F.conv2d(x * self.modulation(w), self.weight, self.bias))


class MobileStyleGAN(MappedGenerator):
    """Latents -> photographs [N, 3, R, R], about [-1, 1]; used in W, or in Z.

    In W space latents are [N, 512], or [N, L, 512] with one latent per layer (W+): the first for
    the first convolution, three for each block (enlargement, two convolutions), the last for the
    colours.
    """

    kind: ClassVar[str] = "mobilestylegan"
    config_type: ClassVar[type] = MobileStyleGANConfig
    config: MobileStyleGANConfig

    def __init__(self, config: MobileStyleGANConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MobileStyleGANConfig()
        style = config.style
        self.mapping = nn.ModuleList(nn.Linear(style, style) for _ in range(config.mapping))
        self.register_buffer("mean", torch.zeros(style))
        self.first = FirstConvolution(config.widths[0], style)
        self.blocks = nn.ModuleList(
            Block(a, b, style, size)
            for (a, b), size in zip(pairwise(config.widths), config.sizes[1:], strict=True)
        )
        self.to_image = ToImage(config.widths[-1], style)
        self.heads = self.new_heads(config.previews)

    def depth_of(self, size: int) -> int:
        """Return the number of blocks before the head that draws a preview of this size.

        Raises:
            LatentEditError: no block's features have half this size.
        """
        if size % 2 or size // 2 not in self.config.sizes[1:]:
            sizes = ", ".join(str(2 * edge) for edge in self.config.sizes[1:-1])
            raise LatentEditError(f"no preview of {size} pixels can be drawn: give one of {sizes}")
        return self.config.sizes.index(size // 2)

    def new_heads(self, sizes: tuple[int, ...]) -> PreviewHeads:
        """Return untrained heads for previews of these sizes.

        Raises:
            LatentEditError: see `depth_of`.
        """
        channels = tuple(self.config.widths[self.depth_of(size)] for size in sizes)
        return PreviewHeads(PreviewHeadsConfig(sizes, channels, self.config.style))

    @property
    def spaces(self) -> tuple[LatentSpace, ...]:
        """W, also with one latent per layer (W+), and Z."""
        style = self.config.style
        return LatentSpace("w", style, self.config.layers), LatentSpace("z", style)

    @property
    def frame(self) -> Frame:
        """FFHQ's frame."""
        return FFHQ_FRAME

    @property
    def previews(self) -> tuple[int, ...]:
        """The sizes of its heads."""
        return self.config.previews

    def with_heads(self, heads: PreviewHeads) -> Self:
        """Return this generator with other preview heads; its own weights are shared.

        Raises:
            LatentEditError: the heads are made for features of another shape.
        """
        sizes = heads.config.sizes
        wanted = self.new_heads(sizes).config
        if (heads.config.channels, heads.config.style) != (wanted.channels, wanted.style):
            raise LatentEditError("these preview heads belong to another generator: train others")
        other = self._with(previews=sizes)
        other._modules = {**self._modules}
        other.heads = heads
        return other

    def read_previews(self, weights: Path, config: Any) -> Self:
        """See `FaceGenerator.read_previews`."""
        return self.with_heads(build_network(PreviewHeads, PreviewHeadsConfig, config, weights))

    def own_weights(self) -> dict[str, Tensor]:
        """Return all weights but the preview heads', which do not change the whole picture."""
        state = self.state_dict()
        return {name: value for name, value in state.items() if not name.startswith("heads.")}

    @property
    def largest_layer(self) -> int:
        """Values in the largest of its blocks' features, for one face."""
        sizes = zip(self.config.widths, self.config.sizes, strict=True)
        return max(width * size**2 for width, size in sizes)

    def first_weights(self) -> Tensor:
        """In Z return the mapping's first layer; in W `style_weights` without the last, stacked."""
        if self.config.space == "z":
            return cast(nn.Linear, self.mapping[0]).weight
        return torch.cat(self.style_weights()[:-1])

    def style_weights(self) -> list[Tensor]:
        """Return those of W's layers; see `FaceGenerator.style_weights`."""
        if self.config.space != "w":
            return super().style_weights()
        modulations = [self.first.modulation]
        for block in cast(Iterable[Block], self.blocks):
            modulations += [block.enlarge, block.conv0.modulation, block.conv1.modulation]
        return [each.weight for each in (*modulations, self.to_image.modulation)]

    def features(self, w: Tensor, blocks: int) -> Tensor:
        """w+ [N, L, S] -> features [N, C, s, s] after the first `blocks` blocks."""
        x = self.first(w[:, 0])
        for number, block in enumerate(self.blocks[:blocks]):
            x = block(x, w[:, 3 * number + 1 : 3 * number + 4])
        return x

    def layers_of(self, size: int) -> int:
        """See `FaceGenerator.layers_of`: a preview head takes the latent of the layer before it."""
        source = self.source_of(size)
        whole = source == self.resolution
        return self.space.layers if whole else 3 * self.depth_of(source) + 1

    def synthesize(self, latents: Tensor, size: int | None = None) -> Tensor:
        """See `FaceGenerator.synthesize`."""
        w = self.styles(latents)
        source = self.source_of(size or self.resolution)
        if source == self.resolution:
            images = self.to_image(self.features(w, len(self.blocks)), w[:, -1])
        else:
            depth = self.depth_of(source)
            images = self.heads.head(source)(self.features(w, depth), w[:, 3 * depth])
        return at_size(images, size)
