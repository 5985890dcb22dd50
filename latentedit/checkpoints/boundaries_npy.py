"""Import and export InterFaceGAN's boundaries, and import directions of other tools.

InterFaceGAN's file is a ``.npy`` with one unit normal, [1, 512] or [512]. It does not say which
attribute it is for, which side has the attribute, which generator and latent space it was found in,
or where the plane lies. The importer asks for the first three, and puts the plane through the
origin (bias 0), as InterFaceGAN does.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentedit.attributes import ATTRIBUTES, find_attribute
from latentedit.boundaries.model import Boundaries
from latentedit.checkpoints.array_files import names_in_words, read_arrays
from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path

SPACES = ("z", "w")
_MOST_VALUES = 100_000_000

_USUAL = ("lat_comp", "eigvec", "boundary", "boundaries", "direction", "directions", "normal")
"""Names that GANSpace, SeFa's code and others give directions in a file with other arrays."""


class Normal(NamedTuple):
    """A direction from a file: float64 [D], unit length, and what the user should know of it."""

    values: NDArray[np.float64]
    notes: list[str]


def read_normal(path: str | Path, component: str | None = None) -> NDArray[np.float64]:
    """Read one normal and scale it to unit length; see `read_direction`."""
    return read_direction(path, component).values


def read_direction(path: str | Path, component: str | None = None) -> Normal:
    """Read a direction of latent space that any of the common tools saved.

    These are read: InterFaceGAN's ``.npy`` [1, D] or [D]; directions in ``.pt`` files, alone or by
    name; SeFa's ``eigvec`` [D, D], one in each column; GANSpace's ``lat_comp`` [K, 1, D]; W+
    directions [1, L, D] that are the same in every layer, or in some layers and zero in the others.

    Args:
        path: the file, see `array_files.read_arrays`.
        component: which of several directions: its number from 0, or its name.

    Raises:
        LatentEditError: the file is missing or holds no direction, or several and none is chosen;
            or the direction is not the same in all its layers, zero, or not finite.
    """
    arrays = read_arrays(path).arrays
    name, index = _chosen(arrays, component, path)
    array = np.asarray(arrays[name])
    if array.size > _MOST_VALUES:
        raise LatentEditError(f"{path} holds no direction but {array.size:,} numbers")
    rows = array.T if name.rpartition(".")[2] == "eigvec" else array
    row, notes = _row(rows, index, path)
    length = float(np.linalg.norm(row))
    if not np.isfinite(length) or length < 1e-12:
        raise LatentEditError(f"{path} holds no direction: its length is {length:g}")
    return Normal(row / length, notes)


def _chosen(
    arrays: Mapping[str, NDArray[Any]], component: str | None, path: str | Path
) -> tuple[str, int | None]:
    """Return the name of the array that holds the direction, and its number in the array."""
    index = int(component) if component is not None and component.isdecimal() else None
    if component is not None and index is None:
        matching = [name for name in arrays if name.rpartition(".")[2] == component]
        if not matching:
            raise LatentEditError(
                f"{path} holds no direction {component!r} but {names_in_words(arrays)}"
            )
        return matching[0], None
    usual = [name for name in arrays if name.rpartition(".")[2] in _USUAL]
    usual.sort(key=lambda name: _USUAL.index(name.rpartition(".")[2]))
    if len(arrays) > 1 and not usual:
        raise LatentEditError(
            f"{path} holds several arrays ({names_in_words(arrays)}): name one with --component"
        )
    if not arrays:
        raise LatentEditError(f"{path} holds no direction: give a .npy of shape [1, D]")
    return usual[0] if usual else next(iter(arrays)), index


def _row(
    array: NDArray[Any], index: int | None, path: str | Path
) -> tuple[NDArray[np.float64], list[str]]:
    """Return one direction of an array [D], [K, D], [K, 1, D] or [1, L, D], and notes."""
    shape = list(array.shape)
    values = np.asarray(array, dtype=np.float64)
    if values.ndim == 1:
        values = values[None]
    if values.ndim == 3 and shape[1] == 1:
        values = values[:, 0]
    layered = values.ndim == 3 and shape[0] == 1
    values = values[0] if layered else values
    if values.ndim != 2 or not values.size:
        raise LatentEditError(f"{path} has shape {shape}: give a .npy of shape [1, D]")
    if index is not None and not layered:
        if index >= len(values):
            raise LatentEditError(f"{path} holds {len(values)} directions, from 0: no {index}")
        return values[index], []
    moved = [layer for layer, row in enumerate(values) if row.any()]
    rows = values[moved]
    alike = len(rows) > 0 and bool(np.allclose(rows, rows[0], rtol=1e-5, atol=1e-8))
    if len(values) == 1 or (alike and len(rows) == len(values)):
        return values[0], []
    if alike and moved == list(range(moved[0], moved[-1] + 1)):
        layers = f"{moved[0]}-{moved[-1]}"
        return rows[0], [f"it moves layers {layers} only: edit with --layers {layers}"]
    if layered:
        raise LatentEditError(
            f"{path} has a direction of its own for each of {len(values)} layers (W+): boundaries "
            "here have one for all layers"
        )
    raise LatentEditError(
        f"{path} has shape {shape}, {len(values)} directions: choose one with --component 0 to "
        f"{len(values) - 1}"
    )


def import_boundary(
    path: str | Path,
    name: str,
    *,
    sign: int,
    space: str,
    generator_hash: str,
    latent_dim: int,
    into: Boundaries | None = None,
    component: str | None = None,
) -> Boundaries:
    """Make boundaries from an InterFaceGAN file, or add it to others of the same generator.

    Args:
        path: the file, see `read_direction`.
        name: one of the 40 attributes (case and spaces do not matter), or a name of your own.
        sign: 1 if the file's normal points towards "has the attribute", -1 if away from it (its
            age boundary points to old, so for Young it is -1).
        space: the latent space it was found in, ``z`` or ``w``.
        generator_hash: the hash of the generator that it was found for.
        latent_dim: the length of that generator's latents.
        into: boundaries to add to.
        component: which of several directions, see `read_direction`.

    Returns:
        Boundaries with this one last, its bias 0.

    Raises:
        LatentEditError: the file holds no boundary, or one of another length than the generator's
            latents; the sign is not 1 or -1, or the space not z or w; `into` has another generator
            or space, or has the name already.
    """
    if sign not in (1, -1):
        raise LatentEditError(
            f"sign {sign} means nothing: give 1, or -1 to turn the boundary round"
        )
    if space not in SPACES:
        raise LatentEditError(f"no latent space {space!r}: give z or w")
    normal = sign * read_normal(path, component)
    if len(normal) != latent_dim:
        raise LatentEditError(
            f"{path} is a boundary for latents of length {len(normal)}, the model's have "
            f"{latent_dim}: give the model it was found for"
        )
    name = _spelling(name)
    figures = {"imported": 1.0, "sign": float(sign)}
    alone = Boundaries(
        names=(name,),
        normals=normal[None],
        biases=np.zeros(1),
        generator_hash=generator_hash,
        space=space,
        figures={name: figures},
        auto={name: {}},
    )
    if into is None:
        return alone
    if into.generator_hash != generator_hash or into.space != space:
        raise LatentEditError(
            f"the boundaries to add to belong to generator {into.generator_hash} and space "
            f"{into.space}, this one to {generator_hash} and {space}: write another file"
        )
    if name in into.names:
        raise LatentEditError(f"the boundaries to add to have {name} already: write another file")
    alone = alone.rebased(into.whitening)
    return replace(
        into,
        names=(*into.names, name),
        normals=np.concatenate((into.normals, alone.normals)),
        biases=np.concatenate((into.biases, alone.biases)),
        figures={**into.figures, name: figures},
        auto={**into.auto, name: {}},
    )


def export_boundary(boundaries: Boundaries, name: str, path: str | Path, *, sign: int = 1) -> float:
    """Write one boundary as InterFaceGAN does: ``.npy``, float32 [1, D].

    Args:
        name: the attribute.
        path: ends in ``.npy``.
        sign: -1 to let the normal point away from "has the attribute".

    Returns:
        The bias, which such a file cannot hold: the plane lies this far from the origin.

    Raises:
        LatentEditError: there is no such boundary, the path has another ending or cannot be
            written, or the sign is not 1 or -1.
    """
    if Path(path).suffix != ".npy":
        raise LatentEditError(f"cannot export to {path}: end its name in .npy")
    if sign not in (1, -1):
        raise LatentEditError(
            f"sign {sign} means nothing: give 1, or -1 to turn the boundary round"
        )
    normal, bias = boundaries.plane(name)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, (sign * normal[None]).astype(np.float32))
    return sign * bias


def card_entries(sources: Sequence[str | Path], **entries: Any) -> dict[str, Any]:
    """Return entries for the card of imported boundaries: where they came from."""
    return {"imported_from": [Path(source).name for source in sources], **entries}


def _spelling(name: str) -> str:
    try:
        # no words such as "older": they would turn the sign
        return find_attribute(name, words=False)
    except LatentEditError as error:
        if difflib.get_close_matches(name.lower(), [known.lower() for known in ATTRIBUTES], 1, 0.8):
            raise error from None
        if not name.replace("_", "").replace(" ", "").isalnum():
            raise LatentEditError(f"{name!r} is no attribute's name: use letters") from None
        return name.strip().replace(" ", "_")
