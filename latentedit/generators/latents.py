"""The only place where seeds become z; interpolation; saving latents with metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import safe_open
from safetensors.numpy import save, save_file

from latentedit import defaults
from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path

LATENT_DIM = 512
MAX_SEED = defaults.MAX_SEED
MAX_SEEDS = 1_000_000

LATENT_ENDINGS = (".npy", ".safetensors")
"""Endings of files that latents are saved in."""

FloatArray = NDArray[np.float32]


def sample(seeds: Iterable[int], dim: int = LATENT_DIM) -> FloatArray:
    """Return one latent per seed, on the sphere of radius sqrt(dim).

    Latents are normal vectors, pixel-normalised (Karras et al. 2018, sec. 4.2). Each row comes
    from its own ``numpy.random.RandomState(seed)``. Numpy guarantees never to change its stream.
    So a seed gives the same row alone, in a batch, and in years to come.

    Returns:
        float32 [N, dim].

    Raises:
        LatentEditError: a seed outside 0 to 2**32 - 1, or one number instead of several.
    """
    rows = [np.random.RandomState(seed).standard_normal(dim) for seed in check_seeds(seeds)]
    return normalize(np.array(rows).reshape(len(rows), dim))


def check_seeds(seeds: Any) -> list[int]:
    """Return seeds as whole numbers; text is read as `parse_seeds` reads it.

    Raises:
        LatentEditError: a seed outside 0 to 2**32 - 1 or no whole number, or one number instead of
            several.
    """
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    if not isinstance(seeds, Iterable) or isinstance(seeds, bytes):
        raise LatentEditError(f"seeds cannot be {seeds!r}: give several, or [{seeds!r}] for one")
    checked = []
    for seed in seeds:
        whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
        if not whole:
            raise LatentEditError(
                f"a seed cannot be {str(seed)[:40]!r}: give whole numbers from 0 to {MAX_SEED}"
            )
        if not 0 <= int(seed) <= MAX_SEED:
            raise LatentEditError(f"seed {seed} is out of range: use 0 to {MAX_SEED}")
        checked.append(int(seed))
    return checked


def normalize(z: ArrayLike) -> FloatArray:
    """Scale each row of [N, dim] to length sqrt(dim)."""
    wide = np.asarray(z, dtype=np.float64)
    length = np.sqrt(np.mean(np.square(wide), axis=-1, keepdims=True) + 1e-12)
    return (wide / length).astype(np.float32)


def parse_seeds(text: str, what: str = "seed") -> list[int]:
    """Read seeds as people write them: ``7``, ``0-7``, ``0-7,12,20-22``.

    Args:
        text: the seeds as written.
        what: word for one of the numbers in messages.

    Raises:
        LatentEditError: any other syntax, a backward range, or more than a million seeds.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        bounds = (first, last) if dash else (first, first)
        if not all(bound.strip().isascii() and bound.strip().isdigit() for bound in bounds):
            raise LatentEditError(f"cannot read {what}s {text!r}: write them like 7 or 0-7,12")
        try:
            start, stop = (int(bound) for bound in bounds)
        except ValueError:  # int refuses thousands of digits
            raise LatentEditError(f"a {what} is out of range: use 0 to {MAX_SEED}") from None
        if stop < start:
            raise LatentEditError(f"{what}s {part.strip()!r} run backwards: write {stop}-{start}")
        if stop > MAX_SEED:
            raise LatentEditError(f"{what} {stop} is out of range: use 0 to {MAX_SEED}")
        if len(seeds) + stop - start >= MAX_SEEDS:
            raise LatentEditError(f"{text!r} are more than {MAX_SEEDS:,} {what}s: ask for fewer")
        seeds.extend(range(start, stop + 1))
    return seeds


def check_latents(z: Any, dim: int = LATENT_DIM, layers: int = 1) -> FloatArray:
    """Return `z` as float32 [N, dim], or [N, layers, dim]; a single [dim] becomes [1, dim].

    Args:
        z: latents.
        dim: length of a latent.
        layers: how many layers may take a latent each; 1 where all share one.

    Raises:
        LatentEditError: another shape, not numbers, NaN or infinity inside, or a latent of zeros.
    """
    shapes = f"[N, {dim}]" + (f" or [N, {layers}, {dim}]" if layers > 1 else "")
    try:
        with np.errstate(over="ignore"):  # too large values become infinite, refused below
            array = np.asarray(z).astype(np.float32, casting="same_kind", copy=False)
    except (TypeError, ValueError):
        raise LatentEditError(f"latents must be numbers in shape {shapes}") from None
    if array.ndim == 1:
        array = array[None]
    allowed = [(dim,), (layers, dim)][: 1 + (layers > 1)]
    if array.shape[1:] not in allowed or not len(array):
        raise LatentEditError(f"latents must have shape {shapes}, got {list(array.shape)}")
    if not np.isfinite(array).all():
        raise LatentEditError("latents hold NaN or infinity: make them again")
    if not array.any(axis=-1).all():
        raise LatentEditError("a latent is all zeros and has no direction: make them again")
    return array


def check_length(z: FloatArray) -> None:
    """Refuse latents of z that are much too short or too long: an edit would destroy them.

    The generator draws a latent of z by its direction alone.

    Args:
        z: float32 [..., dim].

    Raises:
        LatentEditError: a row less than half or more than twice as long as sqrt(dim).
    """
    usual = z.shape[-1] ** 0.5
    lengths = np.linalg.norm(z.astype(np.float64), axis=-1)
    if lengths.min() < usual / 2 or lengths.max() > usual * 2:
        raise LatentEditError(
            f"latents have lengths {lengths.min():.3g} to {lengths.max():.3g}, z has {usual:.3g}: "
            "scale them with latentedit.generators.latents.normalize, or give z in place of w"
        )


def check_latents_path(path: str | Path) -> str:
    """Return the ending of a file for latents, in lower case.

    Raises:
        LatentEditError: none of `LATENT_ENDINGS`.
    """
    ending = Path(path).suffix.lower()
    if ending not in LATENT_ENDINGS:
        raise LatentEditError(
            f"cannot save latents in {path}: end its name in .npy or .safetensors"
        )
    return ending


def save_latents(path: str | Path, z: FloatArray, metadata: Mapping[str, Any]) -> None:
    """Write [N, dim] or [N, L, dim] to ``.npy`` (values only) or ``.safetensors`` (with metadata).

    The file is written whole or not at all.

    Raises:
        LatentEditError: another ending, or the path cannot be written.
    """
    ending = check_latents_path(path)
    with atomic_path(path) as temporary:
        if ending == ".npy":
            with open(temporary, "wb") as file:
                np.save(file, z)
        else:
            save_file({"z": z}, temporary, metadata={"latents": json.dumps(dict(metadata))})


def latents_bytes(z: FloatArray, metadata: Mapping[str, Any]) -> bytes:
    """Return what `save_latents` would write to a ``.safetensors`` file."""
    return save({"z": z}, metadata={"latents": json.dumps(dict(metadata))})


def load_latents(path: str | Path, dim: int = LATENT_DIM, layers: int = 1) -> FloatArray:
    """Read latents saved as ``.npy`` (no pickles) or ``.safetensors``; see `check_latents`.

    Returns:
        float32 [N, dim], or [N, layers, dim].

    Raises:
        LatentEditError: the file is missing, has another format, or holds no latents (see
            `check_latents`).
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".safetensors":
            with safe_open(str(path), framework="numpy") as file:
                z = file.get_tensor("z")
        else:
            z = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise LatentEditError(f"{path} does not exist: check the path") from None
    except Exception:  # readers raise many types on damaged files
        raise LatentEditError(f"{path} holds no latents: give a .npy of shape [N, {dim}]") from None
    if not isinstance(z, np.ndarray):
        raise LatentEditError(f"{path} holds several arrays: give a .npy of shape [N, {dim}]")
    try:
        return check_latents(z, dim, layers)
    except LatentEditError as error:
        advice = "'latentedit sample --save-latents' writes such a file"
        raise LatentEditError(f"{path}: {error}; {advice}") from None
