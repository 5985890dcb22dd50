"""An ONNX file as a generator; ONNX Runtime runs it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from latentedit.errors import LatentEditError
from latentedit.generators.adapters import (
    Adapted,
    AdaptedConfig,
    check_range,
    check_sphere,
    picture_of,
)
from latentedit.generators.onnx_files import open_session
from latentedit.generators.trials import FACES, try_generator
from latentedit.io.weights import config_from_json, no_such_network


class OnnxGenerator(Adapted):
    """An ONNX file with one input, [N, D] or [N, D, 1, 1]; its first output is [N, 3, R, R].

    ONNX Runtime runs it on the CPU, in float16, float32 or float64. Its batch size may be free or
    fixed. Large tensors may lie in files beside it (``.onnx.data``). A buffer holds the SHA-256 of
    all these files, so that boundaries can tell generators apart.

    Args:
        path: the file.
        value_range: the values of black and white.
        space: the latent space's name, kept with boundaries; any but ``w``.

    Raises:
        LatentEditError: space w; ONNX Runtime is not installed; or the file is missing, damaged
            or not such a generator.
    """

    kind: ClassVar[str] = "onnx"
    suffix: ClassVar[str] = ".onnx"
    digest: Tensor

    def __init__(
        self,
        path: str | Path,
        *,
        value_range: tuple[float, float] = (-1.0, 1.0),
        space: str = "z",
    ) -> None:
        super().__init__()
        check_sphere(space)
        self.path = Path(path)
        self.low, self.high = value_range
        check_range(value_range)
        self.session, data, self.beside = open_session(
            self.path,
            lambda error: LatentEditError(
                f"{path} is no ONNX file that can be run: {_detail(error)}"
            ),
        )
        batch, length = self._look_at_input()
        digest = np.frombuffer(self._hash(data), np.uint8).copy()
        self.register_buffer("digest", torch.from_numpy(digest))
        self._batch = batch
        self.config = AdaptedConfig(1, length, space, value_range)
        images = self(torch.from_numpy(self.sample([0])))
        self.config = replace(self.config, resolution=int(images.shape[-1]))

    def _look_at_input(self) -> tuple[int | None, int]:
        """Return how many latents it takes at once (None: any number), and their length."""
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs)
            raise LatentEditError(
                f"{self.path} has {len(inputs)} inputs ({names}), not one [N, D]: export it with "
                "all but the latent fixed"
            )
        shape = inputs[0].shape
        if (
            len(shape) not in (2, 4)
            or not isinstance(shape[1], int)
            or shape[2:] not in ([], [1, 1])
        ):
            raise LatentEditError(
                f"{self.path} must have one input of shape [N, D], with a fixed D; it has {shape}"
            )
        kind = _INPUTS.get(inputs[0].type)
        if kind is None:
            raise LatentEditError(
                f"{self.path} takes {inputs[0].type.removeprefix('tensor')} and no floating-point "
                "latents: export it with a latent as its input"
            )
        self._input, self._dtype, self._map = inputs[0].name, kind, len(shape) == 4
        return shape[0] if isinstance(shape[0], int) else None, shape[1]

    def _hash(self, data: bytes) -> bytes:
        """Return the SHA-256 of the file and of the files beside it that belong to it."""
        whole = hashlib.sha256(data)
        for name in self.beside:
            with open(self.path.parent / name, "rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        return whole.digest()

    def tried(self) -> list[str]:
        """Try the generator, see `trials.try_generator`; return hints for its user.

        Raises:
            LatentEditError: it is not a generator of faces.
        """
        try:
            latents = torch.from_numpy(self.sample(range(FACES)))
            return try_generator(self._raw, latents, (self.low, self.high))
        except LatentEditError as error:
            raise LatentEditError(f"{self.path} is refused: {error}") from None

    @classmethod
    def read(cls, weights: Path, config: Any) -> Self:
        """Open a bundle's ONNX file as its card describes it; see `FaceGenerator.read`."""
        try:
            wanted = config_from_json(AdaptedConfig, config)
        except (TypeError, AttributeError):
            raise LatentEditError(no_such_network(weights)) from None
        generator = cls(weights, value_range=wanted.value_range, space=wanted.space)
        if generator.config != wanted:
            raise LatentEditError(f"{weights} does not fit its card: convert the file again")
        return generator.eval()

    @property
    def files_beside(self) -> Mapping[str, Path]:
        """Files beside it that hold its large tensors."""
        return {str(name): self.path.parent / name for name in self.beside}

    def write(self, weights: Path) -> None:
        """Copy the file as it is; see `files_beside`."""
        shutil.copyfile(self.path, weights)

    def draw(self, latents: Tensor) -> Tensor:
        """See `Adapted.draw`; runs on the CPU, not differentiable."""
        images = self._raw(latents).to(latents.device)
        return (images - self.low) * (2 / (self.high - self.low)) - 1

    def _raw(self, latents: Tensor) -> Tensor:
        """Return pictures in the network's own value range.

        If its batch size is fixed, the last batch is filled up with copies of a latent.
        """
        rows = latents.detach().float().cpu().numpy().astype(self._dtype)
        rows = rows[:, :, None, None] if self._map else rows
        size = self._batch or len(rows)
        outputs = []
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            filled = np.concatenate((batch, np.repeat(batch[:1], size - len(batch), axis=0)))
            try:
                output = self.session.run(None, {self._input: filled})[0]
            except Exception as error:  # ONNX Runtime has no common type
                raise LatentEditError(f"{self.path} cannot be run: {_detail(error)}") from None
            outputs.append(picture_of(torch.from_numpy(output), len(filled))[: len(batch)])
        return torch.cat(outputs)


_INPUTS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}


def _detail(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
