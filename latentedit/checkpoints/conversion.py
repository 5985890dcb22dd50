"""`convert`: recognise a checkpoint, account for every key, build the network, write a bundle."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from latentedit.checkpoints import openvino, stylegan2, tensorflow_pggan
from latentedit.checkpoints.accounting import Reading
from latentedit.checkpoints.ir_files import pairs
from latentedit.checkpoints.kinds import kind_of
from latentedit.checkpoints.layouts import Options, find_network
from latentedit.checkpoints.objects import resolve
from latentedit.checkpoints.tensors import load_safetensors, load_torch, open_pickle
from latentedit.checkpoints.torch_files import TorchFile
from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.generators.onnx import OnnxGenerator
from latentedit.io.files import make_folder, reason, sha256, temporary_beside
from latentedit.pretrained.bundles import save_generator

TERMS = (
    "Converted from another project's weights, which keep their own licence: read it before you "
    "use or share these. Do not use them to deceive about, or to identify, real people."
)


@dataclass(frozen=True)
class ConvertedGenerator:
    """A generator read from another project's file.

    Attributes:
        network: in eval mode; z (or w) [N, D] -> images float [N, 3, R, R], about [-1, 1].
        format: the layout it was stored in, in words.
        source: the file.
        keys: how many tensors of the file the network is made of.
        unused: reason by name for everything else in the file.
        notes: what the reader should know.
    """

    network: FaceGenerator
    format: str
    source: Path
    keys: int
    unused: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def card(self) -> dict[str, Any]:
        """Entries for a bundle's card, besides those that the network gives itself."""
        return {
            "network": self.network.kind,
            "terms": TERMS,
            "converted": {
                "from": self.source.name,
                "sha256": _digest(self.source),
                "format": self.format,
                "keys": self.keys,
                "unused": dict(self.unused),
                "notes": list(self.notes),
            },
        }

    def save(self, folder: str | Path) -> Path:
        """Write ``generator.safetensors`` and ``generator.json`` into a bundle's folder.

        Both are made in a temporary folder first, so a failure leaves nothing behind.

        Returns:
            The folder.

        Raises:
            LatentEditError: the folder holds a generator already, or cannot be written.
        """
        folder = Path(folder)
        if any(folder.glob("generator.*")):
            raise LatentEditError(f"{folder} holds a generator already: choose another folder")
        existed = folder.is_dir()
        make_folder(folder.absolute().parent)
        temporary = temporary_beside(folder / "generator" if existed else folder.absolute())
        try:
            temporary.mkdir()
            save_generator(temporary, self.network, self.card)
            if existed:
                made = sorted(temporary.iterdir(), key=lambda path: path.suffix == ".json")
                for path in made:
                    if (folder / path.name).exists():
                        raise LatentEditError(f"{folder} holds {path.name} already: choose another")
                for path in made:  # the card last
                    os.replace(path, folder / path.name)
            else:
                os.replace(temporary, folder)
        except OSError as error:
            raise LatentEditError(f"cannot write {folder}: {reason(error)}") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder


def convert(
    path: str | Path,
    *,
    space: Literal["z", "w"] = "z",
    truncation: float = 1.0,
    value_range: tuple[float, float] = (-1.0, 1.0),
) -> ConvertedGenerator:
    """Read a generator from another project's checkpoint.

    The format is told by the file's first bytes and its keys (see `kinds`). These can be read:

    - progressive GANs of InterFaceGAN, HiGAN, GenForce, pytorch_GAN_zoo and Karras et al.
      (TensorFlow pickles);
    - StyleGAN2 of rosinality, BasicSR, GenForce and NVIDIA;
    - MobileStyleGAN's OpenVINO IR files, given as a wheel, a folder or an .xml (see `openvino`);
    - an ONNX file from z to pictures, which is kept as it is.

    The first two come as PyTorch files, safetensors, or pickles of whole modules such as NVIDIA's
    snapshots. Nothing in a file is ever executed (see `tensors`, `pickles` and `objects`).

    Args:
        path: the file, or a folder of IR files.
        space: the space that latents will be given in; for StyleGAN2, MobileStyleGAN and ONNX.
        truncation: psi; for StyleGAN2 and MobileStyleGAN.
        value_range: the values of black and white; for ONNX.

    Raises:
        LatentEditError: the format is unknown, the file is refused or damaged, or keys are missing,
            extra or mis-shaped.
    """
    converted = _read(Path(path), space, truncation, value_range)
    if (converted.network.space.name, converted.network.truncation) != (space, truncation):
        raise LatentEditError(
            f"{path} holds a network of z alone ({converted.format}): leave out space w and "
            "truncation, which need a mapping network, as StyleGAN2 has one"
        )
    if value_range != (-1.0, 1.0) and kind_of(Path(path)) != "onnx":
        raise LatentEditError(
            f"{path} holds a {converted.format}: a value range is for ONNX files only"
        )
    return converted


def _read(
    path: Path,
    space: Literal["z", "w"],
    truncation: float,
    value_range: tuple[float, float],
) -> ConvertedGenerator:
    kind = kind_of(path)
    if kind == "onnx":
        generator = OnnxGenerator(path, value_range=value_range, space=space).eval()
        notes = tuple(generator.tried())
        return ConvertedGenerator(generator, "ONNX file, kept as it is", path, 1, notes=notes)
    if kind == "ir":
        reading = openvino.convert_ir(path, space=space, truncation=truncation)
        return _converted(reading, openvino.NAME, path)
    if kind == "pickle":
        pickled = open_pickle(path)
        if not isinstance(pickled, TorchFile):
            reading = tensorflow_pggan.convert_tensorflow(pickled, str(path))
            return _converted(reading, tensorflow_pggan.NAME, path)
        value = resolve(pickled)
    else:
        value = load_safetensors(path) if kind == "safetensors" else load_torch(path)
    found = find_network(value, str(path))
    if found.module is not None and found.name == stylegan2.NAMES["nvidia"]:
        stylegan2.check_module(found.module, str(path))
    reading = found.layout.read(found.state, str(path), Options(space, truncation, found.mean))
    return _converted(reading, found.name, path, found.unused)


def _digest(path: Path) -> str | dict[str, str]:
    """Return the SHA-256 of a file; for IR files outside a zip, one for each file by its name."""
    if kind_of(path) != "ir" or zipfile.is_zipfile(path):
        return sha256(path)
    files = [Path(file) for pair in pairs(path) for file in (pair.where, pair.weights_where)]
    return {file.name: sha256(file) for file in files}


def _converted(
    reading: Reading, layout: str, path: Path, unused: Mapping[str, str] | None = None
) -> ConvertedGenerator:
    return ConvertedGenerator(
        reading.network,
        layout,
        path,
        reading.keys,
        {**(unused or {}), **reading.unused},
        tuple(reading.notes),
    )
