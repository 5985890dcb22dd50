"""InterFaceGAN's boundaries: ``.npy`` files with one unit normal, [1, 512] or [512].

Such a file says neither which attribute it is, nor which side has it, nor which generator and
latent space it was found in, nor where the plane lies; the first three are asked for when it is
imported, and the plane is put through the origin (bias 0), as InterFaceGAN does.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit.attributes import ATTRIBUTES, find_attribute
from latentedit.boundaries.model import Boundaries
from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path

SPACES = ("z", "w")
_MOST_VALUES = 1_000_000


def read_normal(path: str | Path) -> NDArray[np.float64]:
    """Read one normal and scale it to unit length.

    No pickles, and no more memory than the file has bytes.

    Returns:
        float64 [D].

    Raises:
        LatentEditError: missing, not a ``.npy`` of [1, D] or [D], zero, or not finite.
    """
    path = Path(path)
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise LatentEditError(f"{path} does not exist: check the path") from None
    except (OSError, ValueError, EOFError, SyntaxError, TypeError):
        raise LatentEditError(f"{path} is no boundary: give a .npy of shape [1, D]") from None
    shape: tuple[int, ...] = getattr(array, "shape", ())
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[0] != 1) or array.size == 0:
        raise LatentEditError(f"{path} has shape {list(shape)}: give a .npy of shape [1, D]")
    if array.dtype.kind not in "fi" or array.size > _MOST_VALUES:
        raise LatentEditError(f"{path} holds no normal of numbers: give a .npy of shape [1, D]")
    normal = np.array(array, dtype=np.float64).ravel()
    length = float(np.linalg.norm(normal))
    if not np.isfinite(length) or length < 1e-12:
        raise LatentEditError(f"{path} holds no direction: its length is {length:g}")
    return normal / length


def import_boundary(
    path: str | Path,
    name: str,
    *,
    sign: int,
    space: str,
    generator_hash: str,
    latent_dim: int,
    into: Boundaries | None = None,
) -> Boundaries:
    """Make boundaries from an InterFaceGAN file, or add it to others of the same generator.

    Args:
        path: the ``.npy`` file.
        name: the attribute; the spelling of one of the 40 is forgiven, other names are kept.
        sign: 1 if the file's normal points towards "has the attribute", -1 if away from it (its
            age boundary points to old, so for Young it is -1).
        space: the latent space it was found in, ``z`` or ``w``.
        generator_hash: of the generator it was found for.
        latent_dim: of that generator.
        into: boundaries to add to.

    Returns:
        Boundaries with this one last, its bias 0.

    Raises:
        LatentEditError: no boundary in the file, another length than the generator's latents, a
            sign other than 1 and -1, another generator or space than `into`, or a name it has.
    """
    if sign not in (1, -1):
        raise LatentEditError(
            f"sign {sign} means nothing: give 1, or -1 to turn the boundary round"
        )
    if space not in SPACES:
        raise LatentEditError(f"no latent space {space!r}: give z or w")
    normal = sign * read_normal(path)
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
        LatentEditError: no such boundary, another ending, or the path cannot be written.
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
    """Entries of the card of imported boundaries: where they came from."""
    return {"imported_from": [Path(source).name for source in sources], **entries}


def _spelling(name: str) -> str:
    try:
        return find_attribute(name)
    except LatentEditError as error:
        if difflib.get_close_matches(name.lower(), [known.lower() for known in ATTRIBUTES], 1, 0.8):
            raise error from None
        if not name.replace("_", "").replace(" ", "").isalnum():
            raise LatentEditError(f"{name!r} is no attribute's name: use letters") from None
        return name.strip().replace(" ", "_")
