"""The encoder: a photo of a face -> latents, one for each layer, that a generator draws it with.

The encoder looks at the aligned photo and at what was drawn of it so far, and answers how the
latents have to change (Alaluf et al. 2021, ReStyle). In the first pass it compares the photo with
the mean face, later with its own last result. It looks at pixels and at face descriptors. The
descriptor network learned from millions of photos of people, so it knows what tells two people
apart better than a network that learned from drawn faces. The layers of a group share a latent, so
that the result stays near W, where boundaries mean what they say (Tov et al. 2021, e4e).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentedit.classifiers.backbone import ResidualBlock
from latentedit.errors import LatentEditError
from latentedit.io.resampling import resize

SCALE = 20.0
"""Factor for descriptors: their values differ by only a twentieth between people."""


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of an `Encoder`.

    Attributes:
        resolution: edge at which it looks at a face; other sizes are resized inside.
        widths: channels of the stages. The first stage has a quarter of the resolution, each later
            one half the edge of the one before.
        blocks: residual blocks of each stage.
        squeeze: channels to which the last map is reduced before the dense layers see it.
        hidden: width of the first dense layer.
        style: S, length of a latent.
        layers: L, layers of the generator.
        groups: first layer of each group of layers that share a latent; begins with 0.
        descriptor: length of the face descriptors; 0 to look at pixels alone.
    """

    resolution: int = 256
    widths: tuple[int, ...] = (64, 128, 224, 288)
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    squeeze: int = 32
    hidden: int = 400
    style: int = 512
    layers: int = 23
    groups: tuple[int, ...] = (0, 4, 7, 10, 13)
    descriptor: int = 128

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.blocks) or not self.widths:
            raise LatentEditError("an encoder needs one number of blocks for each of its widths")
        if self.resolution % self.stride:
            raise LatentEditError(f"an encoder's resolution must be a multiple of {self.stride}")
        ordered = list(self.groups) == sorted({*self.groups}) and self.groups[:1] == (0,)
        if not ordered or self.groups[-1] >= self.layers:
            raise LatentEditError("groups of layers must begin with layer 0 and rise")

    @property
    def stride(self) -> int:
        """Pixels between places of the last map."""
        return int(4 * 2 ** (len(self.widths) - 1))

    @property
    def places(self) -> int:
        """Places of the last map."""
        return (self.resolution // self.stride) ** 2


@dataclass(frozen=True, eq=False)
class Looks:
    """What an encoder looks at in pictures.

    Attributes:
        pixels: [N, 3, H, W] in [-1, 1], aligned.
        descriptors: descriptors of the faces, [N, 128]; None if they are not used.
    """

    pixels: Tensor
    descriptors: Tensor | None = None


class Encoder(nn.Module):
    """Aligned photos [N, 3, H, W] in [-1, 1] -> latents w+ [N, L, S].

    The dense layers answer in the coordinates u of `boundaries.whitening`, w = mean + basis u. In
    these, latents vary more alike in every direction. `mean` and `basis` are buffers.

    Attributes:
        config: see `EncoderConfig`.
        mean: mean of the generator's latents, [S].
        basis: see above, [S, S].
        start: the face that the generator draws from `mean`, [3, R/2, R/2], at half the
            resolution R because it is smooth.
        start_descriptor: the descriptor of `start`, [128].
    """

    mean: Tensor
    basis: Tensor
    start: Tensor
    start_descriptor: Tensor

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EncoderConfig()
        self.register_buffer("mean", torch.zeros(config.style))
        self.register_buffer("basis", torch.eye(config.style))
        half = config.resolution // 2
        self.register_buffer("start", torch.zeros(3, half, half))
        self.register_buffer("start_descriptor", torch.zeros(config.descriptor))
        inputs = config.widths[0]
        stem = nn.Conv2d(6, inputs, 6, 4, 1, bias=False)
        blocks: list[nn.Module] = [stem, nn.BatchNorm2d(inputs), nn.ReLU()]
        for stage, (width, count) in enumerate(zip(config.widths, config.blocks, strict=True)):
            for number in range(count):
                blocks.append(ResidualBlock(inputs, width, 2 if stage and not number else 1))
                inputs = width
        self.body = nn.Sequential(*blocks)
        self.squeeze = nn.Conv2d(inputs, config.squeeze, 1)
        seen = config.squeeze * config.places + 2 * config.descriptor
        self.dense = nn.Linear(seen, config.hidden)
        if config.descriptor:
            self.person = nn.Linear(config.descriptor, config.style, bias=False)
        self.heads = nn.Linear(config.hidden, len(config.groups) * config.style)

    def changes(self, photos: Looks, drawn: Looks | None = None) -> Tensor:
        """Return how the latents of `drawn` have to change to draw the photos instead.

        Args:
            photos: what is to be drawn.
            drawn: what was drawn so far; by default the mean face.

        Returns:
            Coordinates u [N, groups, S].

        Raises:
            LatentEditError: the encoder looks at descriptors, and they are missing.
        """
        edge, count = self.config.resolution, len(photos.pixels)
        drawn = drawn or Looks(self.start[None], self.start_descriptor[None])
        now = resize(drawn.pixels, edge).expand(count, -1, -1, -1)
        x = self.body(torch.cat((resize(photos.pixels, edge), now), 1))
        seen = [F.relu(self.squeeze(x)).flatten(1)]
        shared = torch.zeros((), device=x.device)
        if self.config.descriptor:
            if photos.descriptors is None or drawn.descriptors is None:
                raise LatentEditError(
                    "this encoder needs descriptors, which tell whose faces it looks at"
                )
            apart = SCALE * (photos.descriptors - drawn.descriptors)
            seen += [SCALE * (photos.descriptors - self.start_descriptor), apart]
            shared = self.person(apart)[:, None]
        x = F.relu(self.dense(torch.cat(seen, 1)))
        return self.heads(x).unflatten(1, (len(self.config.groups), self.config.style)) + shared

    def forward(self, photos: Looks) -> Tensor:
        """Photos -> w+ [N, L, S], in one pass."""
        return self.latents(self.changes(photos).float())

    def latents(self, coordinates: Tensor) -> Tensor:
        """u of the groups, [N, groups, S] -> w+ [N, L, S]."""
        w = self.mean + coordinates @ self.basis.T
        return w[:, self.group_of_layers()]

    def coordinates(self, latents: Tensor) -> Tensor:
        """w+ [N, L, S] -> u [N, L, S]."""
        return torch.linalg.solve(self.basis, (latents - self.mean).flatten(0, 1).T).T.view_as(
            latents
        )

    def group_of_layers(self) -> Tensor:
        """Return the group of each layer, int [L]."""
        first = torch.tensor(self.config.groups, device=self.mean.device)
        layers = torch.arange(self.config.layers, device=self.mean.device)
        return (layers[:, None] >= first).sum(1) - 1


def mean_answer(
    mean: Tensor, basis: Tensor, layers: int, resolution: int = EncoderConfig.resolution
) -> Encoder:
    """Return an encoder that was never trained: for every photo it answers the mean latent.

    If a generator has no trained encoder, refining can begin there.

    Args:
        mean: mean of the generator's latents, [S].
        basis: see `Encoder`, [S, S].
        layers: L, layers of the generator.
        resolution: edge at which photos are looked at.
    """
    config = EncoderConfig(resolution, (1,), (1,), 1, 1, len(mean), layers, (0,), descriptor=0)
    encoder = Encoder(config)
    encoder.mean.copy_(mean)
    encoder.basis.copy_(basis)
    nn.init.zeros_(encoder.heads.weight)
    nn.init.zeros_(encoder.heads.bias)
    return encoder
