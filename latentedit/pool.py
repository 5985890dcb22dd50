"""A pool: latents and the classifier's scores of their faces, in shards on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from latentedit import defaults, latents
from latentedit.errors import LatentEditError
from latentedit.files import atomic_path, make_folder, read_json, write_json

if TYPE_CHECKING:
    from latentedit.editor import FaceEditor

CARD = "pool.json"
SHARD_SIZE = 2000
BATCH = 64
"""Faces between two reports of progress, the most pictures in memory."""


class Pool:
    """A folder with ``pool.json`` and ``shard-NNNNN.safetensors`` (z, scores, seeds).

    Attributes:
        folder: the pool's folder.
        generator_hash: of the generator that rendered it.
        classifier_hash: of the classifier that scored it.
        model: name of the bundle.
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
        if not (self.folder / CARD).is_file():
            raise LatentEditError(f"{folder} is not a pool: make one with 'latentedit pool build'")
        card = read_json(self.folder / CARD)
        try:
            self.model = str(card["model"])
            self.generator_hash = str(card["generator_hash"])
            self.classifier_hash = str(card["classifier_hash"])
            self.attributes: tuple[str, ...] = tuple(map(str, card["attributes"]))
            self.size = int(card["size"])
            self.first_seed = int(card["first_seed"])
            self._shard_size = int(card["shard_size"])
            if self.size < 1 or self._shard_size < 1:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise LatentEditError(f"{self.folder / CARD} is damaged: build anew") from None

    def describe(self) -> str:
        """One line for cards: how many latents, of what, judged by what."""
        return (
            f"{self.size} latents of generator {self.generator_hash} ({self.model}), seeds from "
            f"{self.first_seed}, scored by classifier {self.classifier_hash}"
        )

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
        """Return all latents [N, D] and scores [N, K], one shard in memory beside them.

        Raises:
            LatentEditError: the pool is unfinished or a shard is damaged.
        """
        z: NDArray[np.float32] | None = None
        scores = np.empty((self.size, len(self.attributes)), dtype=np.float32)
        start = 0
        for index, path in enumerate(self.shards):
            seeds = self.seeds_of(index)
            part = _read_shard(path, seeds, len(self.attributes))
            if z is None:
                z = np.empty((self.size, part["z"].shape[1]), dtype=np.float32)
            rows = slice(start, start := start + len(seeds))
            z[rows], scores[rows] = part["z"], part["scores"]
        assert z is not None
        return z, scores


def _read_shard(path: Path, seeds: range, attributes: int) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise LatentEditError(
            f"pool {path.parent} is unfinished: run the same 'latentedit pool build' again"
        )
    try:
        shard = load_file(path)
        if (
            not np.array_equal(shard["seeds"], np.array(seeds))
            or shard["z"].ndim != 2
            or len(shard["z"]) != len(seeds)
            or shard["scores"].shape != (len(seeds), attributes)
        ):
            raise KeyError
    except (SafetensorError, KeyError):
        raise LatentEditError(
            f"{path} is damaged: delete it and run the same 'latentedit pool build' again"
        ) from None
    return shard


def build_pool(
    editor: FaceEditor,
    folder: str | Path,
    size: int,
    *,
    first_seed: int = defaults.POOL_FIRST_SEED,
    shard_size: int = SHARD_SIZE,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pool:
    """Sample, render and score `size` seeds; no picture is kept. Run again to go on.

    Args:
        editor: generator and classifier.
        folder: made if it is missing.
        size: latents in all.
        first_seed: seeds run upwards from here.
        shard_size: latents in a file.
        on_progress: called with (latents done, all) after every batch.

    Raises:
        LatentEditError: the model has no classifier, seeds out of range, or the folder holds
            another pool or cannot be written.
    """
    if size < 1:
        raise LatentEditError(f"a pool of {size} latents cannot be: ask for 1 or more")
    if not 0 <= first_seed <= latents.MAX_SEED + 1 - size:
        raise LatentEditError(
            f"seeds {first_seed} to {first_seed + size - 1} are out of range: "
            f"use 0 to {latents.MAX_SEED}"
        )
    card: dict[str, Any] = {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "classifier_hash": editor.classifier_hash,
        "attributes": list(editor.attributes),
        "size": size,
        "first_seed": first_seed,
        "shard_size": shard_size,
    }
    pool = _open_or_start(make_folder(folder), card)
    done = 0
    for index, path in enumerate(pool.shards):
        seeds = pool.seeds_of(index)
        if not path.is_file():
            z = editor.sample(seeds)
            scores = []
            for start in range(0, len(z), BATCH):
                images = editor.render(z[start : start + BATCH])
                scores.append(editor.score(images))
                on_progress(done + start + len(images), size)
            tensors = {"z": z, "scores": np.concatenate(scores), "seeds": np.array(seeds)}
            with atomic_path(path) as temporary:
                save_file(tensors, temporary)
        done += len(seeds)
        on_progress(done, size)
    return pool


def _open_or_start(folder: Path, card: dict[str, Any]) -> Pool:
    """Write the card of a new pool, or check that the folder's pool is the same one."""
    path = folder / CARD
    if path.exists():
        found = read_json(path)
        if found != card:
            known = found if isinstance(found, dict) else {}
            other = next((key for key in card if known.get(key) != card[key]), "more entries")
            raise LatentEditError(
                f"{folder} holds another pool ({other} {known.get(other)!r}, not "
                f"{card.get(other)!r}): choose another folder"
            )
    else:
        write_json(path, card)
    for leftover in folder.glob(".shard-*.tmp-*"):  # of a build that was killed
        leftover.unlink(missing_ok=True)
    return Pool(folder)
