"""A pool: latents and the classifier's scores of their faces, in shards on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from latentedit.errors import LatentEditError
from latentedit.files import atomic_path, make_folder, read_json, write_json

if TYPE_CHECKING:
    from latentedit.editor import FaceEditor

SHARD_SIZE = 2000


class Pool:
    """A folder with ``pool.json`` and ``shard-NNNNN.safetensors`` (z, scores, seeds).

    Attributes:
        folder: the pool's folder.
        generator_hash: of the generator that rendered it.
        attributes: names of the scores' columns.
        size: latents in all.
        first_seed: seeds run from here upwards.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a pool.

        Raises:
            LatentEditError: not a pool's folder.
        """
        self.folder = Path(folder)
        if not (self.folder / "pool.json").is_file():
            raise LatentEditError(f"{folder} is not a pool: make one with 'latentedit pool build'")
        card = read_json(self.folder / "pool.json")
        try:
            self.model = str(card["model"])
            self.generator_hash = str(card["generator_hash"])
            self.attributes: tuple[str, ...] = tuple(card["attributes"])
            self.size = int(card["size"])
            self.first_seed = int(card["first_seed"])
            self._shard_size = int(card["shard_size"])
        except (KeyError, TypeError, ValueError):
            raise LatentEditError(f"{self.folder / 'pool.json'} is damaged: build anew") from None

    @property
    def shards(self) -> list[Path]:
        """Paths of all shards, finished or not, in order."""
        count = -(-self.size // self._shard_size)
        return [self.folder / f"shard-{index:05d}.safetensors" for index in range(count)]

    def seeds_of(self, shard: int) -> range:
        """Seeds of one shard."""
        start = self.first_seed + shard * self._shard_size
        return range(start, min(start + self._shard_size, self.first_seed + self.size))

    def load(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return all latents [N, D] and scores [N, K].

        Raises:
            LatentEditError: the pool is unfinished or a shard is damaged.
        """
        z, scores = [], []
        for path in self.shards:
            if not path.is_file():
                raise LatentEditError(
                    f"pool {self.folder} is unfinished: run the same 'pool build' again"
                )
            try:
                shard = load_file(path)
            except SafetensorError:
                raise LatentEditError(f"{path} is damaged: delete it and build again") from None
            z.append(shard["z"])
            scores.append(shard["scores"])
        return np.concatenate(z), np.concatenate(scores)


def build_pool(
    editor: FaceEditor,
    folder: str | Path,
    size: int,
    *,
    first_seed: int = 1_000_000,
    shard_size: int = SHARD_SIZE,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pool:
    """Sample, render and score `size` seeds; no picture is kept. Run again to go on.

    Args:
        editor: generator and classifier.
        first_seed: seeds run upwards from here; the default keeps clear of the small seeds that
            people look at, so boundaries are shown on faces they were not fitted on.
        on_progress: called with (latents done, all) after every batch.

    Raises:
        LatentEditError: the folder holds another pool or cannot be written.
    """
    folder = make_folder(folder)
    card: dict[str, Any] = {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "attributes": list(editor.attributes),
        "size": size,
        "first_seed": first_seed,
        "shard_size": shard_size,
    }
    card_path = folder / "pool.json"
    if card_path.exists():
        if read_json(card_path) != card:
            raise LatentEditError(f"{folder} holds another pool: choose another folder")
    else:
        write_json(card_path, card)
    pool = Pool(folder)
    done = 0
    for index, path in enumerate(pool.shards):
        seeds = pool.seeds_of(index)
        if not path.is_file():
            z = editor.sample(seeds)
            scores = []
            for start in range(0, len(z), editor.batch_size):
                images = editor.render(z[start : start + editor.batch_size])
                scores.append(editor.score(images))
                on_progress(done + start + len(images), size)
            tensors = {"z": z, "scores": np.concatenate(scores), "seeds": np.array(seeds)}
            with atomic_path(path) as temporary:
                save_file(tensors, temporary)
        done += len(seeds)
        on_progress(done, size)
    return pool
