"""What every generator is: latents in, faces out. One contract; nothing else asks for the kind.

A generator has one or more latent spaces. It is used in one of them (`FaceGenerator.space`): seeds
become latents of that space, and boundaries belong to it. Latents are float32 ``[N, D]``; a
generator whose layers take a latent each (StyleGAN's W+, Abdal et al. 2019) also takes
``[N, L, D]``.

A kind of generator is one file, with a subclass of `FaceGenerator`, and one line in `registry`.
"""

from __future__ import annotations

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
"""What is assumed of generators that do not say how many they have at full size."""


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
    frame: eyes 0.27 of the width apart. The box is in shares of the picture's edge and may reach
    out of it; there the edge is repeated.
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


SHARED_FRAME = Frame()
"""Of generators whose faces stand in the judges' frame already."""

FFHQ_FRAME = Frame(0.037, -0.006, 0.963, 0.92)
"""Of generators of faces that are aligned as FFHQ is (Karras et al. 2019): eyes 0.25 apart."""


class FaceGenerator(nn.Module, ABC):
    """Base of all generators. A kind of generator says what `spaces` it has, and `synthesize`.

    Attributes:
        kind: what cards call it; the registry finds the class by it.
        config_type: the dataclass of its `config`, which a card holds.
        suffix: of the file that a bundle keeps its weights in.
        config: its shape and use.
    """

    kind: ClassVar[str]
    config_type: ClassVar[type[Any]]
    suffix: ClassVar[str] = ".safetensors"
    config: Any

    @classmethod
    def read(cls, weights: Path, config: Any) -> Self:
        """Build it as a card's ``config`` says, in eval mode, with the weights of a file.

        Raises:
            LatentEditError: no such configuration, or weights that are damaged or do not fit it.
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
        """Whether only the direction of a latent of its `space` matters: it scales all alike."""
        return False

    @property
    def files_beside(self) -> Mapping[str, Path]:
        """Further files that a bundle keeps beside that of `write`, by name."""
        return {}

    @property
    def largest_layer(self) -> int:
        """Values in its largest layer for one face: how many faces fit into a cache."""
        return CHANNELS * self.resolution**2

    def in_space(self, name: str) -> Self:
        """This generator, used in another of its spaces; weights are shared.

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
        """This generator with another truncation; weights are shared where they can be.

        Raises:
            LatentEditError: `psi` out of range, or it cannot be truncated.
        """
        if psi == self.truncation:
            return self
        raise self._cannot("be truncated: leave psi out")

    def sample(self, seeds: Iterable[int]) -> latents.FloatArray:
        """Return one latent a seed of its `space`, float32 [N, D].

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
            size: edge of the pictures; `resolution` by default. One of `previews` is drawn faster
                than the whole picture; others are the next larger one, resampled.

        Returns:
            float [N, 3, size, size], about [-1, 1].
        """

    def forward(self, latents: Tensor, size: int | None = None) -> Tensor:
        """See `synthesize`."""
        return self.synthesize(latents, size)

    def own_weights(self) -> Mapping[str, Tensor]:
        """What tells this generator from others, and its hash is taken of."""
        return self.state_dict()

    def new_heads(self, sizes: tuple[int, ...]) -> nn.Module:
        """Untrained heads for previews of these sizes.

        Raises:
            LatentEditError: no previews of such a size, or of any, can be drawn.
        """
        raise self._cannot("draw previews")

    def read_previews(self, weights: Path, config: Any) -> Self:
        """This generator with the preview heads of a file; weights are shared.

        Args:
            weights: a safetensors file.
            config: the heads' configuration, from the card beside it.

        Raises:
            LatentEditError: heads that are damaged or of another generator, or it has none.
        """
        raise self._cannot("draw previews")

    def first_weights(self) -> Tensor:
        """The matrix [outputs, D] by which it first looks at a latent of its `space`; for SeFa.

        Raises:
            LatentEditError: it is not known.
        """
        raise self._cannot("show its first layer: convert its weights")

    def style_weights(self) -> list[Tensor]:
        """The matrix [C, D] by which each layer of its `space` makes C styles; for StyleSpace.

        Raises:
            LatentEditError: its layers have no styles, or one latent makes the styles of several.
        """
        raise self._cannot("move single channels of its styles")

    def early_features(self, latents: Tensor) -> Tensor:
        """What it first makes of latents float [N, D]: float [N, F]; for GANSpace.

        Raises:
            LatentEditError: it is not known.
        """
        raise self._cannot("show its early features: convert its weights")

    def _cannot(self, what: str) -> LatentEditError:
        return LatentEditError(f"a generator of kind {self.kind} cannot {what}")

    def layers_of(self, size: int) -> int:
        """The first so many layers of `space` decide of pictures of this size; others do nothing.

        Raises:
            LatentEditError: see `source_of`.
        """
        self.source_of(size)
        return self.space.layers

    def source_of(self, size: int) -> int:
        """The preview, or the `resolution`, that pictures of this size are made from.

        Raises:
            LatentEditError: larger than the `resolution`, below 1, or no whole number.
        """
        whole = isinstance(size, Integral) and not isinstance(size, bool)
        if not whole or not 1 <= size <= self.resolution:
            raise LatentEditError(
                f"size {size} cannot be drawn: give a whole number, 1 to {self.resolution}"
            )
        return next((preview for preview in self.previews if preview >= size), self.resolution)


def at_size(images: Tensor, size: int | None) -> Tensor:
    """Resample pictures [N, C, R, R] to an edge, if one is asked for."""
    return images if size is None else resize(images, size)


def check_latents(space: LatentSpace, values: object) -> latents.FloatArray:
    """Return latents as float32 [N, D], or [N, L, D] where the space has layers.

    A single [D] becomes [1, D]. Latents that all lie on the sphere of z are taken for z, and only
    a space of that name takes those, or one of the user's own.

    Raises:
        LatentEditError: another shape, not numbers, NaN or infinity inside, a latent of zeros, or
            z where w is asked.
    """
    checked = latents.check_latents(values, space.dim, space.layers)
    if space.name == "w" and on_sphere(checked):
        raise LatentEditError(
            "these are latents of space z, this generator is used in w: sample them anew, or use "
            "it in space z"
        )
    return checked


def on_sphere(values: NDArray[Any]) -> bool:
    """Whether all latents have the length that `latents.normalize` gives, to its rounding."""
    if not np.issubdtype(values.dtype, np.floating):
        return False
    squares = np.square(values, dtype=np.float64).mean(-1)
    return bool(np.abs(squares - 1).max() < SPHERE)


SPHERE = 1e-6
"""Mean squares of rows of float32 are this near to 1 where `latents.normalize` made them so."""
