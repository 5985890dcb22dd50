"""A user's own face classifier as a judge: an ONNX file, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentedit.attributes import ATTRIBUTES, find_attribute
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.traces import sigmoid
from latentedit.generators.onnx_files import open_session
from latentedit.io.images import UInt8Array

_EDGE = 224
"""Edge in pixels of the classifier's pictures, if the file does not say it."""

_TRIALS = 4


class OnnxJudge:
    """A classifier float32 [N, 3, H, W] -> [N, K], RGB.

    The file's metadata may say what its shapes do not:

    - ``attributes``: names with commas between them. The default is CelebA's 40 if there are 40
      outputs, else "output 1" and so on.
    - ``mean`` and ``std``: three numbers each, for colours in [0, 1]. The default is 0.5, which
      brings colours to [-1, 1].
    - ``outputs``: ``logits`` or ``probabilities``. The default is probabilities if the outputs for
      pictures of noise all lie in [0, 1], else logits.

    Args:
        path: the file.

    Attributes:
        path: see above.
        attributes: names of its outputs; CelebA's attributes have CelebA's spelling.
        hash: first 16 hex digits of the file's SHA-256.

    Raises:
        LatentEditError: ONNX Runtime is not installed, or the file is missing, damaged or not a
            classifier of this form.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._session, data, _ = open_session(self.path, self._not_run)
        self.hash = hashlib.sha256(data).hexdigest()[:16]
        self._edge = self._look_at_input()
        said = self._session.get_modelmeta().custom_metadata_map
        self._mean, self._std = (self._colours(said.get(name)) for name in ("mean", "std"))
        if not (self._std > 0).all():
            raise self._refusal("its metadata has a std that is not above 0")
        noise = np.random.RandomState(0).randint(
            0, 256, (_TRIALS, self._edge, self._edge, 3), np.uint8
        )
        outputs = self._raw(noise)
        self.attributes = _names(said.get("attributes"), outputs.shape[1])
        if len(self.attributes) != outputs.shape[1]:
            raise self._refusal(
                f"its metadata names {len(self.attributes)} attributes, it has {outputs.shape[1]} "
                "outputs"
            )
        within = bool(((outputs >= 0) & (outputs <= 1)).all())
        kind = said.get("outputs") or ("probabilities" if within else "logits")
        if kind not in ("logits", "probabilities"):
            raise self._refusal(f"its outputs are called {kind!r}, not logits or probabilities")
        self._logits = kind == "logits"

    def __call__(self, images: UInt8Array) -> NDArray[np.float32]:
        """Return probabilities float32 [N, K] of uint8 [N, R, R, 3] faces in the shared frame."""
        outputs = self._raw(images)
        return sigmoid(outputs).astype(np.float32) if self._logits else outputs

    def _raw(self, images: UInt8Array) -> NDArray[np.float32]:
        """Return the network's outputs. Pictures go in one by one: a file may fix a batch of 1."""
        name, rows = self._session.get_inputs()[0].name, []
        for image in images:
            small = Image.fromarray(image).resize(
                (self._edge, self._edge), Image.Resampling.BICUBIC
            )
            pixels = (np.asarray(small, np.float32) / 255 - self._mean) / self._std
            try:
                output = self._session.run(None, {name: pixels.transpose(2, 0, 1)[None]})[0]
            except Exception as error:  # ONNX Runtime has no common type
                raise self._not_run(error) from None
            rows.append(np.asarray(output, np.float32).reshape(1, -1))
        return np.concatenate(rows)

    def _look_at_input(self) -> int:
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        edges = [edge for edge in shape[2:] if isinstance(edge, int)]
        fits = len(inputs) == 1 and len(shape) == 4 and shape[1] == 3 and shape[0] in (1, None)
        fits = fits or (len(inputs) == 1 and len(shape) == 4 and isinstance(shape[0], str))
        if not fits or len(set(edges)) > 1 or inputs[0].type != "tensor(float)":
            raise self._refusal(f"it must take pictures float32 [N, 3, H, H]; it takes {shape}")
        return edges[0] if edges else _EDGE

    def _colours(self, text: str | None) -> NDArray[np.float32]:
        """Read three numbers from the metadata; they are 0.5 if it has none."""
        try:
            values = np.array([float(part) for part in (text or "0.5,0.5,0.5").split(",")])
        except ValueError:
            values = np.zeros(0)
        if values.shape != (3,) or not np.isfinite(values).all():
            raise self._refusal(f"its metadata has {text!r} where three numbers belong")
        return values.astype(np.float32)

    def _not_run(self, error: Exception) -> LatentEditError:
        return self._refusal(f"it cannot be run ({' '.join(str(error).split())[:120]})")

    def _refusal(self, why: str) -> LatentEditError:
        return LatentEditError(f"{self.path} cannot be a judge: {why}")


def _names(text: str | None, count: int) -> tuple[str, ...]:
    if text is None:
        return ATTRIBUTES if count == len(ATTRIBUTES) else _numbers(count)
    names = []
    for name in text.split(","):
        try:
            names.append(find_attribute(name.strip(), words=False))
        except LatentEditError:
            names.append(name.strip())
    return tuple(names)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(f"output {number + 1}" for number in range(count))
