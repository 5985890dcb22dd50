"""Directions from a user's file: boundaries, or directions that are matched to attributes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from latentedit.boundaries.model import Boundaries
from latentedit.checkpoints.array_files import read_arrays
from latentedit.checkpoints.boundaries_npy import read_direction
from latentedit.errors import LatentEditError
from latentedit.evaluation.methods.base import Float64Array, Found, Material, Method
from latentedit.evaluation.methods.unlabelled import matched


def from_file(name: str, path: Path) -> Method:
    """A method whose directions come from a file.

    Args:
        name: what the report calls it.
        path: boundaries or directions that this package saved: a row with the attribute's name is
            used. Or arrays [D], [1, D] or [K, D] of other programs, see
            `boundaries_npy.read_direction`. Without a name, the direction that fits the attribute
            best is used.

    Raises:
        LatentEditError: no such file, or it holds no directions.
    """
    named, rows = _read(path)
    return Method(name, name, path.name, partial(_given, named=named, rows=rows, path=path))


def _read(path: Path) -> tuple[Boundaries | None, Float64Array]:
    if path.suffix == ".safetensors" and path.with_suffix(".json").is_file():
        known = Boundaries.load(path)
        return known, np.array([known.moves(row) for row in known.normals])
    arrays = list(read_arrays(path).arrays.values())
    if len(arrays) == 1 and arrays[0].ndim == 2 and len(arrays[0]) > 1:
        return None, np.asarray(arrays[0], np.float64)
    return None, read_direction(path).values[None]


def _given(
    material: Material,
    attribute: str,
    named: Boundaries | None,
    rows: Float64Array,
    path: Path,
) -> Found:
    if rows.shape[1] != material.editor.latent_dim:
        raise LatentEditError(
            f"{path} has directions of length {rows.shape[1]}, the model's latents have "
            f"{material.editor.latent_dim}: give directions of this model"
        )
    if named is not None and named.generator_hash != material.editor.generator_hash:
        raise LatentEditError(f"{path} is for generator {named.generator_hash}, not for this one")
    if named is not None and named.space != material.editor.space:
        raise LatentEditError(
            f"{path} belongs to space {named.space}, the model is used in {material.editor.space}"
        )
    if named is not None and attribute in named.names:
        return Found(material.scaled(rows[named.names.index(attribute)]), "by its name")
    return matched(material, attribute, rows)
