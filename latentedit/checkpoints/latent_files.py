"""Read latents that other tools saved, and check their model, space and length before an edit.

These are read: InterFaceGAN's and our own ``.npy`` [N, D] and [N, L, D], StyleGAN2-ADA's
``projected_w.npz`` (``w`` [1, L, D]), e4e's and StyleCLIP's ``latents.pt`` [N, L, D], and whatever
else `array_files` reads. A W+ latent that is the same in every layer becomes a W latent. Latents
that a file calls z go through the mapping network if the model is used in w.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentedit.checkpoints.array_files import names_in_words, read_arrays
from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator, check_latents, on_sphere
from latentedit.generators.latents import FloatArray, normalize
from latentedit.generators.mapped import MappedGenerator

SPACES = {
    "z": "z", "w": "w", "wp": "w", "w+": "w", "w_plus": "w", "wplus": "w", "dlatents": "w",
    "dlatent": "w", "projected_w": "w", "latents": None, "latent": None, "latent_code": None,
    "codes": None, "": None,
}  # fmt: skip
"""Names that tools give latents, and the space that each means; None if it means no space."""

_NEAR = 0.25
"""Share by which edited latents, or plain normal numbers, may differ in length from the model's."""
_FAR = 2.5
"""How many times longer or shorter than the model's own a latent may be, if scale matters."""


_ERRORS = 5
"""How many standard errors the moments of normal numbers may be off the expected ones."""

_SAY_Z = "save them under the name z, np.savez('z.npz', z=z), and they are mapped to w"

_ADVICE = "'latentedit sample --save-latents' writes such a file"


class Latents(NamedTuple):
    """Latents as a file has them.

    Attributes:
        values: float [N, D] or [N, L, D].
        space: ``z`` or ``w``, if the file says so.
        metadata: what `latents.save_latents` wrote beside them.
        notes: what the user should know of how they were read.
    """

    values: NDArray[Any]
    space: str | None
    metadata: Mapping[str, Any]
    notes: list[str]


def read_latents(path: str | Path) -> Latents:
    """Read latents that any tool saved.

    Raises:
        LatentEditError: the file is missing, damaged, or holds no latents: the message names what
            it holds.
    """
    try:
        arrays, metadata = read_arrays(path)
    except LatentEditError as error:
        why = str(error).removeprefix(f"{path} ").replace("is no weight file: ", "")
        if why.startswith(("does not exist", "cannot read")):
            raise
        raise LatentEditError(f"{path} holds no latents ({why}); {_ADVICE}") from None
    known = [name for name in arrays if name.rpartition(".")[2].lower() in SPACES]
    chosen = known or (list(arrays) if len(arrays) == 1 else [])
    if not chosen:
        raise LatentEditError(
            f"{path} holds several arrays ({names_in_words(arrays)}) and none is called z or w: "
            "save the latents alone"
            if arrays
            else f"{path} holds no latents: give a .npy of shape [N, D]"
        )
    order = list(SPACES)
    name = min(
        chosen, key=lambda each: order.index(each.rpartition(".")[2].lower()) if known else 0
    )
    space = SPACES.get(name.rpartition(".")[2].lower())
    stored = metadata.get("space")
    space = stored if isinstance(stored, str) else (None if "generator_hash" in metadata else space)
    values, notes = _in_order(np.asarray(arrays[name]), Path(path))
    if space is None and "generator_hash" not in metadata and (notes or values.ndim == 3):
        space = "w"  # z has no layers
    if len(arrays) > 1:
        notes.append(f"of {names_in_words(arrays)} the latents are {name}")
    return Latents(values, space, metadata, notes)


def _in_order(values: NDArray[Any], path: Path) -> tuple[NDArray[Any], list[str]]:
    """Return latents as [N, D] or [N, L, D] from the shapes that tools save them in, and notes."""
    notes: list[str] = []
    shape = list(values.shape)
    if values.ndim == 4 and shape[2:] == [1, 1]:
        values = values[:, :, 0, 0]
    elif values.ndim == 4 and 1 in shape[:2]:  # [1, N, L, D], [N, 1, L, D]
        values = values.reshape(-1, *shape[2:])
    if values.ndim not in (1, 2, 3) or not values.size:
        raise LatentEditError(
            f"{path} has shape {shape}: latents are [N, D], or [N, L, D] in W+; {_ADVICE}"
        )
    values = values[None] if values.ndim == 1 else values
    if values.ndim == 3 and not np.ptp(values, axis=1).any():
        if values.shape[1] > 1:
            notes.append(f"all {values.shape[1]} layers are alike: taken as one latent for all")
        values = values[:, 0]
    return values, notes


def fit_latents(
    path: str | Path, generator: FaceGenerator, generator_hash: str, name: str
) -> tuple[FloatArray, list[str]]:
    """Read latents for a generator; check them, and scale or map them as the generator does.

    Args:
        path: see `read_latents`.
        generator: set to the space that it is used in.
        generator_hash: the hash of its weights.
        name: the model's name, for messages.

    Returns:
        float32 [N, D] or [N, L, D], and what the user should know.

    Raises:
        LatentEditError: the latents are of another generator, space or shape, or far longer or
            shorter than the generator's own.
    """
    found = read_latents(path)
    space = generator.space
    if space.name == "w" and isinstance(generator, MappedGenerator):
        if found.space == "z":
            return _mapped(found, generator, generator_hash, path, name)
        if found.space is None and on_sphere(found.values):
            raise LatentEditError(f"{path} holds latents of space z, {name} is used in w: {_SAY_Z}")
    _check_origin(found, generator_hash, space.name, path, name)
    shape = found.values.shape
    if len(shape) == 3 and shape[2] == space.dim and shape[1] != space.layers:
        raise LatentEditError(
            f"{path} holds W+ latents of {shape[1]} layers ({_maker(shape[1])}), {name} has "
            + (f"{space.layers}" if space.layers > 1 else f"one latent for all, in {space.name}")
            + ": give the model that they were made with"
        )
    try:
        values = check_latents(space, found.values)
    except LatentEditError as error:
        advice = f": they are another model's than {name}'s, whose {space.name} has {space.dim}"
        where = advice if shape[-1] != space.dim else ""
        raise LatentEditError(f"{path}: {error}{where}; {_ADVICE}") from None
    if found.metadata.get("generator_hash") == generator_hash and not generator.scales_latents:
        return values, found.notes  # its own: an inversion or an edit may go far
    values, notes = _scaled(values, generator, path, names_w=found.space == "w")
    return values, [*found.notes, *notes]


def _mapped(
    found: Latents, generator: MappedGenerator, generator_hash: str, path: str | Path, name: str
) -> tuple[FloatArray, list[str]]:
    """Return w for latents that a file calls z, and notes."""
    _check_origin(found, generator_hash, "z", path, name)
    in_z = generator.in_space("z").space
    try:
        z = check_latents(in_z, found.values)
    except LatentEditError as error:
        raise LatentEditError(
            f"{path} calls its latents z: {error}, for z of {name}; if they are w, "
            "save them under the name w"
        ) from None
    note = f"{Path(path).name}: z was mapped to w, as seeds are (psi {generator.truncation:g})"
    return generator.to_w(z), [*found.notes, note]


def _maker(layers: int) -> str:
    """Say which kind of generator has this many layers."""
    return f"a StyleGAN2 of {2 ** (layers // 2 + 1)} pixels" if layers % 2 == 0 else "another GAN"


def _check_origin(
    found: Latents, generator_hash: str, space: str, path: str | Path, name: str
) -> None:
    stored = found.metadata.get("generator_hash")
    if isinstance(stored, str) and stored != generator_hash:
        maker = found.metadata.get("model")
        raise LatentEditError(
            f"{path} holds latents of another model ({str(maker)[:60]}, generator {stored[:16]}; "
            f"{name} is {generator_hash}): give that model with --model"
        )
    if found.space is not None and space in ("z", "w") and found.space != space:
        raise LatentEditError(
            f"{path} holds latents of space {found.space}, {name} is used in {space}: sample them "
            f"anew, or use a model in space {found.space}"
        )


def _normal(values: FloatArray) -> NDArray[np.bool_]:
    """Tell which latents [..., D] look like normal random numbers, by three moments.

    Leaky ReLUs make w skewed: in ffhq1024 by 0.9 or more, at each psi.
    """
    wide, dim = values.astype(np.float64), values.shape[-1]
    mean, square = wide.mean(-1), np.square(wide).mean(-1)
    cube = ((wide - mean[..., None]) ** 3).mean(-1) / (wide.std(-1) ** 3 + 1e-12)
    limits = _ERRORS * np.sqrt(np.array([1, 2, 6]) / dim)  # standard errors of the three
    near = np.abs(np.stack([mean, square - 1, cube], -1)) < limits
    return np.asarray(near.all(-1))


def _scaled(
    values: FloatArray, generator: FaceGenerator, path: str | Path, *, names_w: bool
) -> tuple[FloatArray, list[str]]:
    """Scale latents if only their direction matters to the generator; refuse wrong lengths.

    With `names_w` the file calls them w, so they are not suspected to be z.
    """
    lengths = np.linalg.norm(values.astype(np.float64), axis=-1)
    low, high = float(lengths.min()), float(lengths.max())
    if generator.scales_latents:
        usual = np.sqrt(values.shape[-1])
        if usual * (1 - _NEAR) <= low and high <= usual * (1 + _NEAR):
            return values, []
        if len(lengths) > 1 and high > low * (1 + 2 * _NEAR):
            raise LatentEditError(
                f"{path} holds latents of lengths {low:.3g} to {high:.3g}, {generator.space.name} "
                f"has {usual:.3g}: they are of another space (w?) or model"
            )
        note = f"{Path(path).name}: latents of length {high:.3g} were scaled to {usual:.3g}"
        return normalize(values), [note]
    samples = generator.sample(range(32))
    if not names_w and _normal(values).all() and not _normal(samples).any():
        raise LatentEditError(
            f"{path} holds plain normal numbers, as latents of space z are; this generator is used "
            f"in {generator.space.name}: {_SAY_Z}"
        )
    own = np.linalg.norm(samples.astype(np.float64), axis=-1)
    if low < float(own.min()) / _FAR or high > float(own.max()) * _FAR:
        raise LatentEditError(
            f"{path} holds latents of lengths {low:.3g} to {high:.3g}, the model's own in "
            f"{generator.space.name} have {own.min():.3g} to {own.max():.3g}: they were scaled, or "
            "are another model's"
        )
    return values, []
