"""Any generator as one of this package: the protocol, and adapters for modules and ONNX files.

A generator is anything with a `latent_dim`, a `sample` that turns seeds into latents and a call
that turns latents into pictures; `FaceEditor` accepts any. `adapt` gives that
shape to a ``torch.nn.Module`` and `OnnxGenerator` to an ONNX file. Their code is the user's own: a
module is built and run by whoever calls `adapt`, and an ONNX file is run by ONNX Runtime.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.generators import latents


@runtime_checkable
class LatentGenerator(Protocol):
    """What is needed of a generator.

    Attributes:
        latent_dim: length D of a latent.
    """

    @property
    def latent_dim(self) -> int: ...

    def sample(self, seeds: Iterable[int]) -> latents.FloatArray:
        """Return one latent a seed, float32 [N, D]; the same row alone and in a batch."""
        ...

    def __call__(self, latent: Tensor) -> Tensor:
        """Latents float [N, D] -> images float [N, 3, R, R], about [-1, 1]."""
        ...


@dataclass(frozen=True)
class AdaptedConfig:
    """What an adapted generator takes and gives.

    Attributes:
        resolution: edge of the square pictures.
        latent_dim: length of a latent.
        space: the latent space's name, kept with boundaries.
        value_range: the values of black and white in what it draws itself.
    """

    resolution: int
    latent_dim: int
    space: str = "z"
    value_range: tuple[float, float] = (-1.0, 1.0)


class _Adapted(nn.Module):
    config: AdaptedConfig

    @property
    def latent_dim(self) -> int:
        """Length of a latent."""
        return self.config.latent_dim

    def sample(self, seeds: Iterable[int]) -> latents.FloatArray:
        """Return one latent a seed, float32 [N, D]; see `latents.sample`."""
        return latents.sample(seeds, self.config.latent_dim)


class AdaptedGenerator(_Adapted):
    """A module behind the protocol; made by `adapt`."""

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
        self.module = module
        self.low, self.high = value_range
        self.latent_shape = latent_shape
        self.normal = normal
        self.config = AdaptedConfig(4, latent_dim, space, value_range)
        with torch.inference_mode():
            shape = self(torch.from_numpy(self.sample([0])).to(_device(module))).shape
        self.config = replace(self.config, resolution=int(shape[-1]))

    def sample(self, seeds: Iterable[int]) -> latents.FloatArray:
        """Return one latent a seed, float32 [N, D].

        On the sphere of radius sqrt(D) as `latents.sample` gives it, or plain normal numbers from
        the same streams if `adapt` was told so.
        """
        if not self.normal:
            return super().sample(seeds)
        rows = [np.random.RandomState(seed).standard_normal(self.latent_dim) for seed in seeds]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.latent_dim)

    def forward(self, latent: Tensor) -> Tensor:
        """Latents float [N, D] -> images float [N, 3, R, R], about [-1, 1].

        Raises:
            LatentEditError: the module gives something else than RGB pictures.
        """
        if self.latent_shape == "map":
            latent = latent[:, :, None, None]
        images = _picture_of(self.module(latent), len(latent))
        return (images - self.low) * (2 / (self.high - self.low)) - 1


class ProtocolGenerator(_Adapted):
    """An object with the protocol, as a module; made by `FaceEditor`.

    An object that is no module has no weights that could be told from another's, so a buffer holds
    a digest of the pictures of three seeds.
    """

    def __init__(self, generator: LatentGenerator) -> None:
        super().__init__()
        self.generator = generator
        space = str(getattr(generator, "space", "z"))
        self.config = AdaptedConfig(4, int(generator.latent_dim), space)
        latent = torch.from_numpy(self.sample(range(3)))
        images = self(latent.to(_device(generator)) if isinstance(generator, nn.Module) else latent)
        self.config = replace(self.config, resolution=int(images.shape[-1]))
        if not isinstance(generator, nn.Module):
            pixels = images.detach().cpu().contiguous().numpy().tobytes()
            digest = np.frombuffer(hashlib.sha256(pixels).digest(), np.uint8).copy()
            self.register_buffer("digest", torch.from_numpy(digest))

    def sample(self, seeds: Iterable[int]) -> latents.FloatArray:
        """Return one latent a seed, float32 [N, D], as the object makes them.

        Raises:
            LatentEditError: they have another shape.
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
    def forward(self, latent: Tensor) -> Tensor:
        """Latents float [N, D] -> images float [N, 3, R, R], about [-1, 1].

        Raises:
            LatentEditError: the object gives something else than RGB pictures.
        """
        return _picture_of(self.generator(latent), len(latent))


def as_network(generator: object) -> nn.Module:
    """Make a module of an object with the protocol; one of this module is left as it is.

    Raises:
        LatentEditError: it has not got the protocol, or fails on its own latents.
    """
    if isinstance(generator, _Adapted):
        return generator
    if not isinstance(generator, LatentGenerator):
        raise LatentEditError(
            f"a {type(generator).__name__} is no generator: it needs latent_dim, sample(seeds) and "
            "a call; latentedit.generators.adapters.adapt gives them to a module"
        )
    try:
        return ProtocolGenerator(generator).eval()
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
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
    """Give any module that turns latents into pictures the generator protocol.

    Args:
        module: float [N, D] -> float [N, 3, R, R], or a tuple whose first entry, or a dictionary
            whose ``image``, is that. It is put into eval mode.
        latent_dim: D.
        value_range: the values of black and white, such as (0, 1).
        latent_shape: ``map`` if the module wants [N, D, 1, 1].
        normal: sample plain normal numbers instead of points on the sphere.
        space: the latent space's name, kept with boundaries.

    Raises:
        LatentEditError: the module fails on a latent or gives something else than pictures.
    """
    low, high = value_range
    if not low < high:
        raise LatentEditError(f"value range {value_range} is empty: give black, then white")
    try:
        return AdaptedGenerator(
            module.eval(),
            latent_dim,
            value_range=value_range,
            latent_shape=latent_shape,
            normal=normal,
            space=space,
        ).eval()
    except (RuntimeError, TypeError, AttributeError, IndexError) as error:
        detail = " ".join(str(error).split())[:160]
        raise LatentEditError(
            f"the module cannot render a latent of length {latent_dim}: {detail}; where it wants "
            "more than the latent, wrap it in a module that gives it that"
        ) from None


class OnnxGenerator(_Adapted):
    """An ONNX file with one input [N, D] (or [N, D, 1, 1]) and pictures [N, 3, R, R] first.

    Runs on the CPU with ONNX Runtime. The file's SHA-256 is a buffer, so that boundaries can tell
    generators apart.

    Args:
        path: the file.
        value_range: the values of black and white.
        space: the latent space's name, kept with boundaries.

    Raises:
        LatentEditError: ONNX Runtime is not installed, or the file is missing, damaged or no such
            generator.
    """

    digest: Tensor

    def __init__(
        self,
        path: str | Path,
        *,
        value_range: tuple[float, float] = (-1.0, 1.0),
        space: str = "z",
    ) -> None:
        super().__init__()
        try:
            runtime: Any = importlib.import_module("onnxruntime")
        except ImportError:
            raise LatentEditError(
                "ONNX files need ONNX Runtime: pip install 'latentedit[onnx]'"
            ) from None
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise LatentEditError(f"cannot read {path}: {error.strerror}") from None
        try:
            self.session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has no common type
            detail = " ".join(str(error).split())[:160]
            raise LatentEditError(f"{path} is no ONNX file that can be run: {detail}") from None
        inputs = self.session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if (
            len(shape) not in (2, 4)
            or not isinstance(shape[1], int)
            or shape[2:] not in ([], [1, 1])
        ):
            raise LatentEditError(
                f"{path} must have one input of shape [N, D], with a fixed D; it has "
                f"{[entry.shape for entry in inputs]}"
            )
        self.low, self.high = value_range
        if not self.low < self.high:
            raise LatentEditError(f"value range {value_range} is empty: give black, then white")
        self.path = Path(path)
        self._input = inputs[0].name
        self._map = len(shape) == 4
        self._one_by_one = shape[0] == 1
        digest = np.frombuffer(hashlib.sha256(data).digest(), np.uint8).copy()
        self.register_buffer("digest", torch.from_numpy(digest))
        self.config = AdaptedConfig(4, shape[1], space, value_range)
        images = self(torch.from_numpy(self.sample([0])))
        self.config = replace(self.config, resolution=int(images.shape[-1]))

    def forward(self, latent: Tensor) -> Tensor:
        """Latents float [N, D] -> images float [N, 3, R, R], about [-1, 1].

        Raises:
            LatentEditError: the file gives something else than RGB pictures.
        """
        rows = latent.detach().float().cpu().numpy()
        rows = rows[:, :, None, None] if self._map else rows
        batches = np.split(rows, len(rows)) if self._one_by_one else [rows]
        outputs = [
            torch.from_numpy(self.session.run(None, {self._input: batch})[0]) for batch in batches
        ]
        images = _picture_of(torch.cat(outputs), len(latent)).to(latent.device)
        return (images - self.low) * (2 / (self.high - self.low)) - 1


def _picture_of(output: Any, count: int) -> Tensor:
    if isinstance(output, Mapping):
        output = output.get("image")
    elif isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise LatentEditError(f"the generator gave a {type(output).__name__}, not pictures")
    if output.ndim != 4 or output.shape[:2] != (count, 3) or output.shape[2] != output.shape[3]:
        raise LatentEditError(
            f"the generator gave {list(output.shape)} for {count} latents, not [{count}, 3, R, R]"
        )
    return output.float()


def _device(module: nn.Module) -> torch.device:
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
