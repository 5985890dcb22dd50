"""Anyone's classifier of faces as a judge: an ONNX file, run by ONNX Runtime on the CPU."""

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
"""Of the pictures that it is given, where the file does not say."""

_TRIALS = 4


class OnnxJudge:
    """A classifier float32 [N, 3, H, W] -> [N, K], RGB.

    What a file's shapes do not say, its metadata may: ``attributes``, names with commas between
    them (CelebA's 40 where there are 40 outputs, else "output 1" ...); ``mean`` and ``std``, three
    numbers each, of colours in [0, 1] (0.5: colours in [-1, 1]); ``outputs``, ``logits`` or
    ``probabilities`` (by default logits, unless noise gives nothing outside [0, 1]).

    Args:
        path: the file.

    Attributes:
        path: see above.
        attributes: names of its outputs; those that are CelebA's are spelt so.
        hash: 16 hex digits of the file.

    Raises:
        LatentEditError: ONNX Runtime is not installed, or the file is missing, damaged or no such
            classifier.
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
        """Probabilities float32 [N, K] of pictures uint8 [N, R, R, 3] in the shared frame."""
        outputs = self._raw(images)
        return sigmoid(outputs).astype(np.float32) if self._logits else outputs

    def _raw(self, images: UInt8Array) -> NDArray[np.float32]:
        """Outputs as the network gives them: a picture at a time, for any fixed batch of 1."""
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
        """Three numbers of the metadata; 0.5 where it says nothing."""
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
