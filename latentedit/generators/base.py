"""The base of all generators: latents in, faces out. Other code never asks for the kind.

A generator has one or more latent spaces. It is used in one of them (`FaceGenerator.space`): seeds
become latents of that space, and boundaries belong to it. Latents are float32 ``[N, D]``. A
generator whose layers take one latent each (StyleGAN's W+, Abdal et al. 2019) also takes
``[N, L, D]``.

To add a kind of generator, write a file with a subclass of `FaceGenerator`, and add one line to
`registry`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.io.resampling import resize
from latentedit.io.weights import build_network, save_weights

CHANNELS = 32
"""Channels at full size, assumed for generators that do not say how many they have."""


@dataclass(frozen=True)
class LatentSpace:
    """One latent space of a generator.

    Attributes:
        name: ``z``, ``w``, or a name of the user's own; kept with boundaries.
        dim: D, the length of a latent.
        layers: L, how many layers take a latent each, ``[N, L, D]``; 1 where all share one.
    """

    name: str
    dim: int
    layers: int = 1


@dataclass(frozen=True)
class Frame:
    """Where the shared frame of the judges lies in a generator's pictures.

    The classifier, the age estimator and the descriptors look at faces that stand in the shared
    frame: eyes 0.27 of the width apart. The sides of this box are fractions of the picture's edge.
    The box may reach beyond the picture; there the picture's border is repeated.
    """

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def cut(self, images: Tensor) -> Tensor:
        """Cut the box out of pictures [N, C, H, W] -> [N, C, h, w], at their own scale."""
        if self == SHARED_FRAME:
            return images
        height, width = images.shape[-2:]
        left, right = round(self.left * width), round(self.right * width)
        top, bottom = round(self.top * height), round(self.bottom * height)
        out = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
        if any(out):
            images = nn.functional.pad(images, out, mode="replicate")
        left, top = left + out[0], top + out[2]
        return images[..., top : bottom + out[2], left : right + out[0]]

    def least(self, edge: int) -> int:
        """Return the edge of the smallest pictures in which the box is `edge` pixels large."""
        return math.ceil(edge / min(self.right - self.left, self.bottom - self.top))


SHARED_FRAME = Frame()
"""Frame of generators whose faces already stand in the judges' frame."""

FFHQ_FRAME = Frame(0.037, -0.006, 0.963, 0.92)
"""Frame of generators whose faces are aligned like FFHQ's (Karras et al. 2019): eyes 0.25 apart."""


class FaceGenerator(nn.Module, ABC):
    """Base of all generators. A subclass gives `resolution`, `spaces` and `synthesize`.

    Attributes:
        kind: its name in cards; the registry finds the class by it.
        config_type: the dataclass of its `config`, which a card holds.
        suffix: ending of the file of its weights in a bundle.
        most_psi: largest psi that `truncated` takes.
        config: its shape and use.
    """

    kind: ClassVar[str]
    config_type: ClassVar[type[Any]]
    suffix: ClassVar[str] = ".safetensors"
    most_psi: ClassVar[float] = 1
    config: Any

    @classmethod
    def read(cls, weights: Path, config: Any) -> Self:
        """Build the generator from a card's ``config`` and a file of weights, in eval mode.

        Raises:
            LatentEditError: the configuration cannot be built, or the weights are damaged or do
                not fit it.
        """
        return build_network(cls, cls.config_type, config, weights)

    def write(self, weights: Path) -> None:
        """Write the file that `read` reads.

        Raises:
            LatentEditError: its code is the user's own, which no file can hold.
        """
        save_weights(weights, self)

    @property
    @abstractmethod
    def resolution(self) -> int:
        """Edge of the square pictures in pixels."""

    @property
    @abstractmethod
    def spaces(self) -> tuple[LatentSpace, ...]:
        """The latent spaces that it can be used in; the first is the usual one."""

    @property
    def space(self) -> LatentSpace:
        """The latent space that it is used in."""
        return self.spaces[0]

    @property
    def latent_dim(self) -> int:
        """D, the length of a latent of its `space`."""
        return self.space.dim

    @property
    def frame(self) -> Frame:
        """Where the shared frame lies in its pictures."""
        return SHARED_FRAME

    @property
    def previews(self) -> tuple[int, ...]:
        """Sizes below `resolution` that it draws faster than the whole picture, increasing."""
        return ()

    @property
    def truncation(self) -> float:
        """psi: how far samples reach from the mean latent; 1 where nothing is truncated."""
        return 1.0

    @property
    def scales_latents(self) -> bool:
        """Whether only a latent's direction matters: it scales latents to one length first."""
        return False

    @property
    def files_beside(self) -> Mapping[str, Path]:
        """Other files that a bundle keeps beside the file of `write`, by name."""
        return {}

    @property
    def largest_layer(self) -> int:
        """Values in its largest layer for one face; tells how many faces fit into a cache."""
        return CHANNELS * self.resolution**2

    def in_space(self, name: str) -> Self:
        """Return this generator, used in another of its spaces; the weights are shared.

        Raises:
            LatentEditError: it has no such space.
        """
        names = [space.name for space in self.spaces]
        if name == self.space.name:
            return self
        raise LatentEditError(
            f"no latent space {name!r}: this generator is used in space {' or '.join(names)} only"
        )

    def truncated(self, psi: float) -> Self:
        """Return this generator with another truncation; weights are shared where possible.

        Raises:
            LatentEditError: `psi` is out of range, or this generator cannot be truncated.
        """
        if psi == self.truncation:
            return self
        raise self._cannot("be truncated: leave psi out")

    def sample(self, seeds: Iterable[int]) -> latents.FloatArray:
        """Return one latent of its `space` per seed, float32 [N, D].

        The same seed gives the same row, alone and in a batch.

        Raises:
            LatentEditError: a seed out of range.
        """
        return latents.sample(seeds, self.latent_dim)

    @abstractmethod
    def synthesize(self, latents: Tensor, size: int | None = None) -> Tensor:
        """Draw latents of its `space`; differentiable where the kind allows it.

        Args:
            latents: float [N, D], or [N, L, D] where `space` has L layers.
            size: edge of the pictures in pixels; `resolution` by default. A size in `previews` is
                drawn faster than the whole picture. For any other size the next larger picture is
                drawn and resampled.

        Returns:
            float [N, 3, size, size], about [-1, 1].
        """

    def forward(self, latents: Tensor, size: int | None = None) -> Tensor:
        """See `synthesize`."""
        return self.synthesize(latents, size)

    def own_weights(self) -> Mapping[str, Tensor]:
        """Return the weights that identify this generator; its hash is computed from them."""
        return self.state_dict()

    def new_heads(self, sizes: tuple[int, ...]) -> nn.Module:
        """Return untrained heads for previews of these sizes.

        Raises:
            LatentEditError: it cannot draw previews of these sizes, or none at all.
        """
        raise self._cannot("draw previews")

    def read_previews(self, weights: Path, config: Any) -> Self:
        """Return this generator with the preview heads of a file; its own weights are shared.

        Args:
            weights: a safetensors file.
            config: the heads' configuration, from the card beside it.

        Raises:
            LatentEditError: the heads are damaged or belong to another generator, or this generator
                draws no previews.
        """
        raise self._cannot("draw previews")

    def first_weights(self) -> Tensor:
        """Return the matrix [outputs, D] that it first multiplies a latent of its `space` by.

        SeFa finds directions in it.

        Raises:
            LatentEditError: the matrix is not known.
        """
        raise self._cannot("show its first layer: convert its weights")

    def style_weights(self) -> list[Tensor]:
        """Return, for each layer of its `space`, the matrix [C, D] that makes C styles of a latent.

        StyleSpace moves these styles one by one.

        Raises:
            LatentEditError: its layers have no styles, or one latent makes the styles of several.
        """
        raise self._cannot("move single channels of its styles")

    def early_features(self, latents: Tensor) -> Tensor:
        """Return its first features, float [N, F], of latents float [N, D].

        GANSpace finds directions in them.

        Raises:
            LatentEditError: these features are not known.
        """
        raise self._cannot("show its early features: convert its weights")

    def _cannot(self, what: str) -> LatentEditError:
        return LatentEditError(f"a generator of kind {self.kind} cannot {what}")

    def layers_of(self, size: int) -> int:
        """Return how many layers of `space`, from the first, affect pictures of this size.

        Raises:
            LatentEditError: see `source_of`.
        """
        self.source_of(size)
        return self.space.layers

    def source_of(self, size: int) -> int:
        """Return the size that is drawn for pictures of this size: a preview or the `resolution`.

        Raises:
            LatentEditError: the size is above the `resolution`, below 1, or no whole number.
        """
        whole = isinstance(size, Integral) and not isinstance(size, bool)
        if not whole or not 1 <= size <= self.resolution:
            raise LatentEditError(
                f"size {size} cannot be drawn: give a whole number, 1 to {self.resolution}"
            )
        return next((preview for preview in self.previews if preview >= size), self.resolution)


def at_size(images: Tensor, size: int | None) -> Tensor:
    """Resample pictures [N, C, R, R] to the edge `size`, if it is given."""
    return images if size is None else resize(images, size)


def check_latents(space: LatentSpace, values: object) -> latents.FloatArray:
    """Return latents as float32 [N, D], or [N, L, D] where the space has layers.

    A single [D] becomes [1, D]. Latents that all lie on the sphere of z are taken for z, and space
    w refuses them. Spaces with other names take them.

    Raises:
        LatentEditError: another shape, not numbers, NaN or infinity inside, a latent of zeros, or
            z in place of w.
    """
    checked = latents.check_latents(values, space.dim, space.layers)
    if space.name == "w" and on_sphere(checked):
        raise LatentEditError(
            "these are latents of space z, this generator is used in w: sample them anew, or use "
            "it in space z"
        )
    return checked


def on_sphere(values: NDArray[Any]) -> bool:
    """Return whether all latents have the length that `latents.normalize` gives, up to rounding."""
    if not np.issubdtype(values.dtype, np.floating):
        return False
    squares = np.square(values, dtype=np.float64).mean(-1)
    return bool(np.abs(squares - 1).max() < SPHERE)


SPHERE = 1e-6
"""Mean squares of float32 rows from `latents.normalize` are nearer to 1 than this."""
