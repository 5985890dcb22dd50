"""An ONNX file as a generator; ONNX Runtime runs it."""

from __future__ import annotations

import hashlib
import importlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from latentedit.errors import LatentEditError
from latentedit.generators.adapters import Adapted, AdaptedConfig, picture_of
from latentedit.io.weights import config_from_json, no_such_network


class OnnxGenerator(Adapted):
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
        self.config = AdaptedConfig(1, shape[1], space, value_range)
        images = self(torch.from_numpy(self.sample([0])))
        self.config = replace(self.config, resolution=int(images.shape[-1]))

    @classmethod
    def read(cls, weights: Path, config: Any) -> Self:
        """Open a bundle's file as its card says; see `FaceGenerator.read`."""
        try:
            wanted = config_from_json(AdaptedConfig, config)
        except (TypeError, AttributeError):
            raise LatentEditError(no_such_network(weights)) from None
        generator = cls(weights, value_range=wanted.value_range, space=wanted.space)
        if generator.config != wanted:
            raise LatentEditError(f"{weights} does not fit its card: convert the file again")
        return generator.eval()

    def write(self, weights: Path) -> None:
        """Copy the file as it is."""
        shutil.copyfile(self.path, weights)

    def draw(self, latents: Tensor) -> Tensor:
        """See `Adapted.draw`; runs on the CPU, not differentiable."""
        rows = latents.detach().float().cpu().numpy()
        rows = rows[:, :, None, None] if self._map else rows
        batches = np.split(rows, len(rows)) if self._one_by_one else [rows]
        outputs = [
            torch.from_numpy(self.session.run(None, {self._input: batch})[0]) for batch in batches
        ]
        images = picture_of(torch.cat(outputs), len(latents)).to(latents.device)
        return (images - self.low) * (2 / (self.high - self.low)) - 1
