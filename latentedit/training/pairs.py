"""Pairs of latents and pictures, drawn by a generator and kept on disk.

They are examples for a network that learns to invert a generator, or to draw like it; there can be
any number of them. In half of the pictures, the layers from a random one on take a second latent
(style mixing, Karras et al. 2019, sec. 3.1). So a network can learn what each layer does.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open

from latentedit import defaults
from latentedit.errors import LatentEditError
from latentedit.inference.renderer import Renderer
from latentedit.io.files import read_json
from latentedit.io.folders import ResumableFolder
from latentedit.io.images import UInt8Array

SHARD = 250
"""Pairs in one file."""

PSI = (0.6, 1.0)
"""Smallest and largest psi of a latent, by default. The range is wide because photos are not
typical samples, and edits go far."""

MIXED = 0.5
"""Share of the pictures that mix two latents, by default."""

QUALITY = 95
"""JPEG quality of the pictures on disk; colours are kept at full resolution."""

FACTS = "pairs.json"
"""The file that says which generator drew a folder's pairs, and how large they are."""

_USUAL = {"mixed": MIXED, "psi": list(PSI)}
"""What the files of older versions lack."""

Progress = Callable[[int, int], None]
"""Called with the number of finished pairs, whoever drew them, and of all pairs."""


def render_pairs(
    renderer: Renderer,
    folder: Path,
    count: int,
    size: int,
    on_progress: Progress,
    *,
    mixed: float = MIXED,
    psi: tuple[float, float] = PSI,
) -> None:
    """Draw pairs into a folder; finished files are kept, so a killed run can go on.

    Several processes share the files, see `sharing.turns`.

    Each pair has a number; the same number gives the same latents and picture.

    Args:
        renderer: of a generator whose layers take a latent each.
        count: number of pairs that the folder shall hold, rounded up to whole files of `SHARD`.
        size: edge of the pictures.
        on_progress: see `Progress`.
        mixed: share of the pictures that mix two latents.
        psi: smallest and largest psi.

    Raises:
        LatentEditError: the folder holds pairs of another generator, size, `mixed` or `psi`, these
            two are out of range, `count` is below 1, or the generator has one latent for all
            layers.
    """
    space = renderer.space
    if count < 1:
        raise LatentEditError(f"{count} pairs cannot be drawn: give 1 or more")
    if space.layers < 2:
        raise LatentEditError("pairs need a generator whose layers take a latent each: use space w")
    if not 0 <= mixed <= 1 or len(psi) != 2 or not 0 <= psi[0] <= psi[1] <= 1:
        raise LatentEditError(
            f"no pairs can be drawn with {mixed:g} of them mixed and psi {psi}: give a share, and "
            "the least and the most psi, all from 0 to 1"
        )
    renderer.generator.source_of(size)  # refuses other sizes
    facts = {"generator_hash": renderer.hash, "size": size, "layers": space.layers}
    facts |= {"mixed": mixed, "psi": list(psi)}
    kept = ResumableFolder(folder, FACTS, facts, content="set of pairs", before=_USUAL)
    names = [f"{shard:05d}" for shard in range(math.ceil(count / SHARD))]

    def make(shard: int) -> None:
        numbers = range(shard * SHARD, (shard + 1) * SHARD)
        kept.fill(names[shard], lambda: _shard(renderer, numbers, size, mixed, psi))

    for _ in kept.turns(len(names), make):
        done = sum(kept.file(name).is_file() for name in names)
        on_progress(done * SHARD, len(names) * SHARD)


def _shard(
    renderer: Renderer, numbers: range, size: int, mixed: float, between: tuple[float, float]
) -> dict[str, NDArray[Any]]:
    """Draw the pairs of one file; return its tensors by name.

    ``files`` holds all JPEG files, joined, and ``ends`` where each ends; for the rest see `Pairs`.
    """
    layers = renderer.space.layers
    first, second, cuts = [], [], []
    for number in numbers:
        random = np.random.RandomState(number)
        seeds = [defaults.PAIRS_FIRST_SEED + 2 * number + each for each in (0, 1)]
        psi = random.uniform(*between)
        one, two = renderer.generator.truncated(psi).sample(seeds)
        first.append(one)
        second.append(two)
        cuts.append(int(random.randint(1, layers)) if random.uniform() < mixed else layers)
    rows = [lay_out(*each, layers) for each in zip(first, second, cuts, strict=True)]
    files = []
    for picture in renderer.render(np.stack(rows), size):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=QUALITY, subsampling=0)
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    return {
        "first": np.stack(first),
        "second": np.stack(second),
        "cuts": np.array(cuts),
        "files": np.concatenate(files),
        "ends": np.cumsum([len(file) for file in files]),
    }


def lay_out(
    first: NDArray[np.float32], second: NDArray[np.float32], cut: int, layers: int
) -> NDArray[np.float32]:
    """Return w+ [L, D]: layers below `cut` take the first latent [D], the others the second."""
    rows = np.repeat(first[None], layers, axis=0)
    rows[cut:] = second
    return rows


@dataclass(frozen=True)
class Shard:
    """One file of pairs; see `Pairs`."""

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    cuts: NDArray[np.int64]
    files: list[bytes]

    @classmethod
    def read(cls, path: Path) -> Shard:
        """Read a file.

        Raises:
            LatentEditError: the file is damaged.
        """
        first, second, cuts, joined, ends = read_tensors(
            path, "first", "second", "cuts", "files", "ends"
        )
        data, ends = joined.tobytes(), ends.tolist()
        files = [data[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        return cls(first, second, cuts, files)

    def picture(self, row: int) -> UInt8Array:
        """One picture, uint8 [size, size, 3]."""
        return picture_of(self.files[row])


def read_tensors(path: Path, *names: str) -> list[NDArray[Any]]:
    """Read some tensors of a file of pairs; for their names see `_shard`.

    Raises:
        LatentEditError: the file is damaged.
    """
    try:
        with safe_open(str(path), framework="np") as shard:
            return [shard.get_tensor(name) for name in names]
    except (OSError, SafetensorError):
        raise LatentEditError(f"{path} is damaged: delete it, it is drawn again") from None


def shard_files(folder: Path, count: int) -> list[Path]:
    """Return the files of a folder's first `count` pairs, in order; the last file is read whole.

    A folder may hold more, which were drawn for another run.

    Raises:
        LatentEditError: the folder holds no pairs.
    """
    paths = sorted(folder.glob("[0-9]*.safetensors"))
    if not paths:
        raise LatentEditError(f"{folder} holds no pairs: let the run draw them first")
    return paths[: math.ceil(count / SHARD)]


def picture_of(file: bytes) -> UInt8Array:
    """The picture of a JPEG file, uint8 [size, size, 3]."""
    return np.array(Image.open(io.BytesIO(file)))


@dataclass(frozen=True)
class Pairs:
    """The pairs of a folder, in memory; pictures are kept as JPEG files.

    Attributes:
        first: float32 [N, D], the latent of each picture's first layers.
        second: float32 [N, D], the latent of its other layers.
        cuts: int [N], the first layer that takes the second latent; `layers` if none does.
        files: N JPEG files.
        layers: L.
        size: edge of the pictures.
        generator_hash: hash of the generator that drew them.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    cuts: NDArray[np.int64]
    files: list[bytes]
    layers: int
    size: int
    generator_hash: str

    @classmethod
    def read(cls, folder: Path, count: int) -> Pairs:
        """Read the first `count` pairs of a folder; see `shard_files`.

        Raises:
            LatentEditError: the folder holds no pairs, or a file is damaged.
        """
        shards = [Shard.read(path) for path in shard_files(folder, count)]
        facts = read_json(folder / FACTS)
        return cls(
            np.concatenate([shard.first for shard in shards]),
            np.concatenate([shard.second for shard in shards]),
            np.concatenate([shard.cuts for shard in shards]),
            [file for shard in shards for file in shard.files],
            facts["layers"],
            facts["size"],
            facts["generator_hash"],
        )

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, row: int) -> UInt8Array:
        """One picture, uint8 [size, size, 3]."""
        return picture_of(self.files[row])

    def latents(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return w+ of some pairs, float32 [n, L, D]."""
        above = np.arange(self.layers) >= self.cuts[rows][:, None]
        chosen = np.where(above[..., None], self.second[rows][:, None], self.first[rows][:, None])
        return torch.from_numpy(chosen)
