"""Networks prepared once for fast inference on a CPU: the same function, other arithmetic.

`prepare` returns a module that is called like the network it was made from. Scales and batch norms
are folded into the weights, biases and activations fused into the convolutions, and large pictures
are drawn in strips that stay in the cache.
"""

from __future__ import annotations

import copy
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from latentedit.classifiers.backbone import Backbone, ResidualBlock
from latentedit.generators.layers import EqualizedConv2d, UpsampleConv2d, box_kernel, pixel_norm
from latentedit.generators.mobilestylegan import MobileStyleGAN
from latentedit.generators.progressive import FirstBlock, Generator, GrowBlock
from latentedit.inference.mobilestylegan import OpenVINOMobileStyleGAN
from latentedit.inference.openvino import has_openvino
from latentedit.inference.packed import PackedConv2d, can_pack
from latentedit.inference.winograd import WinogradConv2d, WinogradTileConv2d, WinogradUpsampleConv2d

Network = TypeVar("Network", bound=Backbone)

LEAK = 0.2
"""Slope of the generator's leaky ReLU."""

EXACT_RESOLUTION = 16
HALVED_BLOCKS = 3
"""bfloat16 is for the last so many resolutions, above that one; what is before costs little in
float32, and its errors would add to all that follows. Up to `SMALL_RESOLUTION`, where more channels
leave smaller errors, one resolution more."""
SMALL_RESOLUTION = 256

WINOGRAD_CHANNELS = 64
WINOGRAD_WORK = 8192
"""Channels, and channels times resolution, from which fewer products are worth more additions, in
the second convolution of a block. Measured, like the next two, at 8 to 1024 pixels with the
published widths, and with half of those of the shipped bundle."""

TILE_CHANNELS = 256
"""Channels from which they are saved in both directions."""

UPSAMPLE_CHANNELS = {torch.float32: 128, torch.bfloat16: 256}
UPSAMPLE_WORK = 4096
"""The same for the first convolution, into which the enlargement is fused."""

WHOLE_BYTES = 16 << 20
"""Features up to this size are computed whole."""

STRIP_BYTES = 8 << 20
"""Features of one strip of a larger resolution."""


class PreparedGenerator(nn.Module):
    """A `Generator` at its full resolution, for inference; made by `prepare_generator`.

    Resolutions whose features outgrow the cache are drawn in horizontal strips, from the last
    resolution that fits up to the colours, each with the few rows around it that the convolutions
    look at. No tensor is then so large that the system has to find new memory for it in every
    layer, which costs more than the arithmetic does.
    """

    def __init__(self, generator: Generator, *, dtype: torch.dtype, packed: bool) -> None:
        super().__init__()
        self.config = config = generator.config
        first, *others = generator.blocks
        self.first = _FirstBlock(cast(FirstBlock, first), packed=packed)
        self.blocks = nn.ModuleList()
        halved = HALVED_BLOCKS + (config.resolution <= SMALL_RESOLUTION)
        exact = max(EXACT_RESOLUTION, config.resolution >> halved)
        for resolution, block in zip(config.resolutions[1:], others, strict=True):
            kind = dtype if resolution > exact else torch.float32
            self.blocks.append(
                _GrowBlock(cast(GrowBlock, block), resolution, dtype=kind, packed=packed)
            )
        self.to_rgb = _folded(
            cast(EqualizedConv2d, generator.to_rgb[-1]), torch.float32, slope=1, packed=packed
        )
        sizes = [4 * config.channels(r) * r * r for r in config.resolutions]
        self.whole = sum(size <= WHOLE_BYTES for size in sizes[1:]) if packed else len(sizes) - 1
        in_strips = self.whole < len(self.blocks)
        self.rows = max(1, config.resolution * STRIP_BYTES // sizes[-1]) if in_strips else 0

    def forward(self, z: Tensor) -> Tensor:
        """Render z [N, latent_dim] -> images float32 [N, 3, R, R], about [-1, 1]."""
        x = self.first(z)
        for block in self.blocks[: self.whole]:
            x = block(x)
        if not self.rows:
            return self.to_rgb(x)
        size = self.config.resolution
        images = torch.empty(
            (len(z), 3, size, size), device=x.device, memory_format=torch.channels_last
        )
        for top in range(0, size, self.rows):
            rows = range(top, min(top + self.rows, size))
            images[:, :, top : rows.stop] = self.to_rgb(self._strip(x, rows, len(self.blocks)))
        return images

    def _strip(self, x: Tensor, rows: range, block: int) -> Tensor:
        """Some rows of the features after `block` blocks; x is what `whole` blocks gave."""
        if block == self.whole:
            return x[:, :, rows.start : rows.stop]
        last = cast(_GrowBlock, self.blocks[block - 1])
        size = 4 * 2**block
        before = last.rows_before(rows, size)
        return last.strip(self._strip(x, before, block - 1), before, rows, size)


class _FirstBlock(nn.Module):
    """z [N, L] -> features [N, C, 4, 4]."""

    weight: Tensor
    bias: Tensor

    def __init__(self, block: FirstBlock, *, packed: bool) -> None:
        super().__init__()
        weight = block.dense.weight.detach() * block.dense.scale  # [C * 16, L]
        channels = len(weight) // 16
        # rows in the order of channels_last memory
        self.register_buffer("weight", weight.view(channels, 16, -1).transpose(0, 1).flatten(0, 1))
        bias = block.bias.detach().expand(-1, 4, 4).reshape(channels, 16)
        self.register_buffer("bias", bias.T.flatten())
        self.conv = _folded(block.conv, torch.float32, packed=packed)

    def forward(self, z: Tensor) -> Tensor:
        x = torch.addmm(self.bias, pixel_norm(z.float()), self.weight.T)
        x = x.view(len(z), 4, 4, -1).permute(0, 3, 1, 2)
        x = _normed(nn.functional.leaky_relu(x, LEAK))
        return _normed(self.conv(x))


class _GrowBlock(nn.Module):
    """Features [N, I, r, r] -> [N, O, 2r, 2r], or some rows of them."""

    def __init__(
        self, block: GrowBlock, resolution: int, *, dtype: torch.dtype, packed: bool
    ) -> None:
        super().__init__()
        self.conv0 = _upsampling(block.conv0, resolution, dtype, packed=packed)
        self.conv1 = _convolution(block.conv1, resolution, dtype, packed=packed)

    def forward(self, x: Tensor) -> Tensor:
        return _normed(self.conv1(_normed(self.conv0(x))))

    @staticmethod
    def rows_before(rows: range, size: int) -> range:
        """Rows of the input, `size` / 2 high, that some rows of the output depend on."""
        seen = _widened(rows, size)
        return range(max((seen.start - 1) // 2, 0), min(seen.stop // 2 + 1, size // 2))

    def strip(self, x: Tensor, before: range, rows: range, size: int) -> Tensor:
        """Rows of the output from the rows `before` of the input.

        The convolutions pad both edges with zeros as if they were the picture's; where they are
        not, the rows next to them are wrong, and cut off.
        """
        seen = _widened(rows, size)
        start = 2 * before.start
        y = self.conv0(x)[:, :, seen.start - start : seen.stop - start]
        y = self.conv1(_normed(y))
        return _normed(y[:, :, rows.start - seen.start : rows.stop - seen.start])


def _upsampling(
    conv: UpsampleConv2d, resolution: int, dtype: torch.dtype, *, packed: bool
) -> nn.Module:
    """The fastest form of an enlarging convolution with this resolution after it."""
    weight, channels = conv.weight.detach() * conv.scale, len(conv.weight)
    if packed and channels >= UPSAMPLE_CHANNELS[dtype] and channels * resolution >= UPSAMPLE_WORK:
        return WinogradUpsampleConv2d(weight, conv.bias, slope=LEAK, dtype=dtype)
    return PackedConv2d(
        box_kernel(weight).transpose(0, 1).flip(2, 3),
        conv.bias,
        stride=2,
        padding=1,
        slope=LEAK,
        transposed=True,
        dtype=dtype,
        packed=packed,
    )


def _convolution(
    conv: EqualizedConv2d, resolution: int, dtype: torch.dtype, *, packed: bool
) -> nn.Module:
    """The fastest form of a block's second convolution."""
    channels = len(conv.weight)
    winograd = packed and dtype == torch.float32
    if winograd and channels >= WINOGRAD_CHANNELS and channels * resolution >= WINOGRAD_WORK:
        form = WinogradTileConv2d if channels >= TILE_CHANNELS else WinogradConv2d
        return form(conv.weight.detach() * conv.scale, conv.bias, slope=LEAK)
    return _folded(conv, dtype, packed=packed)


def _widened(rows: range, size: int) -> range:
    """Rows and one more on either side, inside the picture."""
    return range(max(rows.start - 1, 0), min(rows.stop + 1, size))


_EPSILON = torch.tensor(1e-8)


def _normed(x: Tensor) -> Tensor:
    """`pixel_norm` in few passes over the memory -> float32; may overwrite x [N, C, H, W]."""
    pixels = x.permute(0, 2, 3, 1).float()
    norm = torch.linalg.vector_norm(pixels, dim=-1, keepdim=True)
    square = torch.addcmul(_EPSILON.to(x.device), norm, norm, value=1 / x.shape[1])
    return pixels.mul_(square.rsqrt_()).permute(0, 3, 1, 2)


def _folded(
    conv: EqualizedConv2d, dtype: torch.dtype, *, slope: float = LEAK, packed: bool
) -> PackedConv2d:
    weight = conv.weight.detach() * conv.scale
    return PackedConv2d(
        weight,
        conv.bias,
        padding=weight.shape[-1] // 2,
        slope=slope,
        dtype=dtype,
        packed=packed,
    )


def prepare(network: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Prepare a network for inference where this package knows a faster form of it.

    Args:
        network: any; left as it is, and later changes of its weights are not seen.
        dtype: that a generator computes in, float32 or bfloat16; others stay in float32.

    Returns:
        The prepared form of a `Generator` or a `Backbone` on a CPU; any other network itself.
    """
    if any(parameter.device.type != "cpu" for parameter in network.parameters()):
        return network
    if isinstance(network, Generator):
        return prepare_generator(network, dtype=dtype)
    if isinstance(network, MobileStyleGAN):
        return OpenVINOMobileStyleGAN(network, dtype) if has_openvino() else network
    return prepare_backbone(network) if isinstance(network, Backbone) else network


def prepare_generator(
    generator: Generator, *, dtype: torch.dtype = torch.float32, packed: bool | None = None
) -> PreparedGenerator:
    """Prepare a generator for inference; later changes of its weights are not seen.

    Args:
        generator: any; left as it is.
        dtype: float32, or bfloat16 for the convolutions of the last resolutions.
        packed: weights in oneDNN's layout, which ties them to the CPU. By default wherever the
            generator is on a CPU and torch has oneDNN.

    Returns:
        A module z float [N, latent_dim] -> images float32 [N, 3, R, R].
    """
    packed = _may_pack(generator, dtype) if packed is None else packed
    return PreparedGenerator(generator, dtype=dtype, packed=packed).eval()


def _may_pack(network: nn.Module, dtype: torch.dtype) -> bool:
    return all(can_pack(parameter.device, dtype) for parameter in network.parameters())


def prepare_backbone(network: Network, *, packed: bool | None = None) -> Network:
    """Prepare a classifier or an age estimator for inference; see `prepare_generator`.

    Returns:
        A copy that is called in the same way, in eval mode, in float32.
    """
    packed = _may_pack(network, torch.float32) if packed is None else packed
    prepared = copy.deepcopy(network).eval()
    conv, norm, _ = prepared.stem
    stem = _without_norm(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm), packed=packed)
    prepared.stem = nn.Sequential(stem)
    for stage in prepared.stages:
        blocks = cast(nn.Sequential, stage)
        for place, block in enumerate(blocks):
            blocks[place] = _ResidualBlock(cast(ResidualBlock, block), packed=packed)
    return prepared.requires_grad_(False)


class _ResidualBlock(nn.Module):
    """A `ResidualBlock` with its batch norms folded in."""

    def __init__(self, block: ResidualBlock, *, packed: bool) -> None:
        super().__init__()
        self.conv0 = _without_norm(block.conv0, block.norm0, packed=packed)
        self.conv1 = _without_norm(block.conv1, block.norm1, packed=packed)
        self.pool = block.pool
        self.project: nn.Module = nn.Identity()
        if isinstance(block.project, nn.Conv2d):
            self.project = PackedConv2d(block.project.weight, _bias(block.project), packed=packed)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1(self.conv0(x), self.project(self.pool(x)))


def _bias(conv: nn.Conv2d) -> Tensor:
    return conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias


def _without_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d, *, packed: bool) -> PackedConv2d:
    """Convolution, batch norm and ReLU as one convolution and its ReLU."""
    fused = torch.nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    return PackedConv2d(
        fused.weight,
        _bias(fused),
        stride=conv.stride[0],
        padding=1,
        slope=0,
        packed=packed,
    )
