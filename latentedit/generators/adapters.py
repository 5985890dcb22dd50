"""Use any generator with this package: the generator protocol, and adapters to it.

A generator is any object with three things: a `latent_dim`, a method `sample` that turns seeds
into latents, and a call that turns latents into pictures. `FaceEditor` accepts every such object.
`adapt` adds these three things to a ``torch.nn.Module``. The module's code is the user's own: the
caller of `adapt` builds and runs it.
"""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.base import FaceGenerator, LatentSpace, at_size
from latentedit.generators.trials import FACES, try_generator


@runtime_checkable
class LatentGenerator(Protocol):
    """The generator protocol: what an object needs to be a generator.

    Attributes:
        latent_dim: length D of a latent.
    """

    @property
    def latent_dim(self) -> int: ...

    def sample(self, seeds: Iterable[int]) -> latents.FloatArray:
        """Return one latent per seed, float32 [N, D]; the same row alone and in a batch."""
        ...

    def __call__(self, latent: Tensor) -> Tensor:
        """Draw latents float [N, D] as images float [N, 3, R, R], about [-1, 1]."""
        ...


@dataclass(frozen=True)
class AdaptedConfig:
    """Input and output of an adapted generator.

    Attributes:
        resolution: edge of the square pictures.
        latent_dim: length of a latent.
        space: the latent space's name, kept with boundaries.
        value_range: the values of black and white in its own pictures.
    """

    resolution: int
    latent_dim: int
    space: str = "z"
    value_range: tuple[float, float] = (-1.0, 1.0)


class Adapted(FaceGenerator):
    """Base of adapted generators: they have one latent space and draw one size."""

    config_type: ClassVar[type] = AdaptedConfig
    config: AdaptedConfig

    @property
    def resolution(self) -> int:
        """Edge of the pictures in pixels."""
        return self.config.resolution

    @property
    def spaces(self) -> tuple[LatentSpace, ...]:
        """The one space that the config names."""
        return (LatentSpace(self.config.space, self.config.latent_dim),)

    def synthesize(self, latents: Tensor, size: int | None = None) -> Tensor:
        """See `FaceGenerator.synthesize`.

        Raises:
            LatentEditError: the adapted object gives something other than RGB pictures.
        """
        self.source_of(size or self.resolution)
        return at_size(self.draw(latents), size)

    @abstractmethod
    def draw(self, latents: Tensor) -> Tensor:
        """Draw latents float [N, D] as images float [N, 3, R, R], about [-1, 1]."""

    def write(self, weights: Path) -> None:
        """Raise `LatentEditError`: the code is the user's own, and no bundle can hold it."""
        raise LatentEditError(
            "a bundle cannot hold a module of your own: export it to ONNX and convert that"
        )


class AdaptedGenerator(Adapted):
    """A module that follows the generator protocol; `adapt` makes it."""

    kind: ClassVar[str] = "adapted"

    def __init__(
        self,
        module: nn.Module,
        latent_dim: int,
        *,
        value_range: tuple[float, float],
        latent_shape: Literal["vector", "map"],
        normal: bool,
        space: str,
    ) -> None:
        super().__init__()
        if not normal:
            check_sphere(space)
        self.module = module
        self.low, self.high = value_range
        self.latent_shape = latent_shape
        self.normal = normal
        self.config = AdaptedConfig(1, latent_dim, space, value_range)
        with torch.inference_mode():
            shape = self(torch.from_numpy(self.sample([0])).to(_device(module))).shape
            rows = torch.from_numpy(self.sample(range(FACES))).to(_device(module))
            self.notes = try_generator(self.raw, rows, value_range)
        self.config = replace(self.config, resolution=int(shape[-1]))

    def sample(self, seeds: Iterable[int]) -> latents.FloatArray:
        """Return one latent per seed, float32 [N, D].

        Latents lie on the sphere of radius sqrt(D), as `latents.sample` makes them. With ``normal``
        of `adapt` they are plain normal numbers from the same random streams.
        """
        if not self.normal:
            return super().sample(seeds)
        numbers = latents.check_seeds(seeds)
        rows = [np.random.RandomState(seed).standard_normal(self.latent_dim) for seed in numbers]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.latent_dim)

    def draw(self, latents: Tensor) -> Tensor:
        """See `Adapted.draw`."""
        return (self.raw(latents) - self.low) * (2 / (self.high - self.low)) - 1

    def raw(self, latents: Tensor) -> Tensor:
        """Return pictures float [N, 3, R, R] in the module's own value range."""
        latents = latents[:, :, None, None] if self.latent_shape == "map" else latents
        return picture_of(self.module(latents), len(latents))


class ProtocolGenerator(Adapted):
    """An object that follows the generator protocol, as a module; `FaceEditor` makes it.

    Weights tell generators apart. For an object without weights a buffer does so: it holds a
    digest of the pictures of three seeds.
    """

    kind: ClassVar[str] = "protocol"

    def __init__(self, generator: LatentGenerator) -> None:
        super().__init__()
        self.generator = generator
        space = str(getattr(generator, "space", "z"))
        self.config = AdaptedConfig(1, int(generator.latent_dim), space)
        latents = torch.from_numpy(self.sample(range(3)))
        images = self(latents.to(_device(self)))
        self.config = replace(self.config, resolution=int(images.shape[-1]))
        if not self.state_dict():
            pixels = images.detach().cpu().contiguous().numpy().tobytes()
            digest = np.frombuffer(hashlib.sha256(pixels).digest(), np.uint8).copy()
            self.register_buffer("digest", torch.from_numpy(digest))

    def sample(self, seeds: Iterable[int]) -> latents.FloatArray:
        """Return the object's own latents, one per seed, float32 [N, D].

        Raises:
            LatentEditError: the latents have another shape.
        """
        seeds = list(seeds)
        rows = np.asarray(self.generator.sample(seeds), dtype=np.float32)
        if rows.shape != (len(seeds), self.latent_dim):
            raise LatentEditError(
                f"the generator's sample gave {list(rows.shape)} for {len(seeds)} seeds, not "
                f"[{len(seeds)}, {self.latent_dim}]"
            )
        return rows

    @torch.inference_mode()
    def draw(self, latents: Tensor) -> Tensor:
        """See `Adapted.draw`."""
        return picture_of(self.generator(latents), len(latents))


def as_network(generator: object) -> FaceGenerator:
    """Make a `FaceGenerator` of an object that follows the generator protocol.

    An object that is a `FaceGenerator` already is returned as it is.

    Raises:
        LatentEditError: the object does not follow the protocol, or fails on its own latents.
    """
    if isinstance(generator, FaceGenerator):
        return generator
    if not isinstance(generator, LatentGenerator):
        raise LatentEditError(
            f"a {type(generator).__name__} is no generator: it needs latent_dim, sample(seeds) and "
            "a call; latentedit.generators.adapters.adapt gives them to a module"
        )
    try:
        return ProtocolGenerator(generator).eval()
    except LatentEditError:
        raise
    except Exception as error:  # the code is somebody else's
        detail = " ".join(str(error).split())[:160]
        raise LatentEditError(f"the generator fails on its own latents: {detail}") from None


def adapt(
    module: nn.Module,
    latent_dim: int,
    *,
    value_range: tuple[float, float] = (-1.0, 1.0),
    latent_shape: Literal["vector", "map"] = "vector",
    normal: bool = False,
    space: str = "z",
) -> AdaptedGenerator:
    """Make a generator of any module that turns latents into pictures.

    Args:
        module: turns float [N, D] into float [N, 3, R, R]. It may also give a tuple with the
            pictures first, or a dictionary with the pictures under ``image``. It is put into eval
            mode.
        latent_dim: D.
        value_range: the values of black and white, such as (0, 1).
        latent_shape: ``vector`` if the module takes [N, D], ``map`` if it takes [N, D, 1, 1].
        normal: sample plain normal numbers instead of points on the sphere.
        space: the latent space's name, kept with boundaries; ``w`` only with `normal`.

    The module is tried on a few latents first, see `trials.try_generator`. The result's ``notes``
    are hints for the user.

    Raises:
        LatentEditError: the value range is empty, the module fails on a latent, or it gives no
            pictures. Or its pictures are not finite, do not depend on the latent alone, or lie
            outside the value range.
    """
    check_range(value_range)
    try:
        return AdaptedGenerator(
            module.eval(),
            latent_dim,
            value_range=value_range,
            latent_shape=latent_shape,
            normal=normal,
            space=space,
        ).eval()
    except LatentEditError:
        raise
    except Exception as error:  # the code is somebody else's
        detail = " ".join(str(error).split())[:160]
        raise LatentEditError(
            f"the module cannot render a latent of length {latent_dim}: {detail}; if it needs "
            "more inputs than the latent, wrap it in a module that adds them"
        ) from None


def check_range(value_range: tuple[float, float]) -> None:
    """Refuse values of black and white between which there is nothing.

    Raises:
        LatentEditError: black is not below white, or they are infinitely far apart.
    """
    low, high = value_range
    if not 0 < high - low < math.inf:
        raise LatentEditError(f"value range {value_range} is empty: give black, then white")


def check_sphere(space: str) -> None:
    """Refuse to sample on the sphere of z for a space W, whose latents lie elsewhere.

    Raises:
        LatentEditError: the space is ``w``.
    """
    if space == "w":
        raise LatentEditError(
            "samples are points on the sphere, which are no latents of space w: give space z or "
            "another name, or a generator with a sample of its own"
        )


def picture_of(output: Any, count: int) -> Tensor:
    """Return the pictures in a foreign generator's output, float [count, 3, R, R].

    Args:
        output: the pictures, a tuple with the pictures first, or a dictionary with the pictures
            under ``image``.
        count: number of latents that they were drawn from.

    Raises:
        LatentEditError: the output holds no such pictures.
    """
    if isinstance(output, Mapping):
        output = output.get("image")
    elif isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise LatentEditError(f"the generator gave a {type(output).__name__}, not pictures")
    shape = tuple(output.shape)
    if output.ndim != 4 or shape[:2] != (count, 3) or shape[2] != shape[3]:
        hint = ""
        if shape[:1] == (count,) and shape[-1:] == (3,) and len(shape) == 4:
            hint = ": its colours come last, transpose them"
        elif shape[:2] == (count, 3):
            hint = ": its pictures are not square, cut them"
        raise LatentEditError(
            f"the generator gave {list(shape)} for {count} latents, not [{count}, 3, R, R]{hint}"
        )
    if not output.is_floating_point():
        raise LatentEditError(
            f"the generator gave {str(output.dtype).removeprefix('torch.')}: let it give "
            "floating-point numbers, and name black and white with a value range"
        )
    return output.float()


def _device(module: nn.Module) -> torch.device:
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
