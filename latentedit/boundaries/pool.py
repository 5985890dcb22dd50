"""A pool: latents and the classifier's scores of their faces, in shards on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from latentedit import defaults
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.io.files import make_folder, read_json, write_json
from latentedit.io.folders import ResumableFolder, save_arrays
from latentedit.io.locks import claimed
from latentedit.io.sharing import making, turns

if TYPE_CHECKING:
    from latentedit.inference.networks import FaceNetworks

Networks = TypeVar("Networks", bound="FaceNetworks")

CARD = "pool.json"
SHARD_SIZE = 512
"""Latents in a file. A process takes one file at a time, about 30 seconds of work."""
BEFORE = {"space": "z", "precision": defaults.PRECISION, "truncation": 1.0}
"""Values for pools whose cards are older than these entries."""
KEPT_EVERY = 60.0
"""Seconds between two saves of an unfinished shard."""
BATCH = 64
"""Faces between two reports of progress. No more pictures are in memory at once."""

FEATURES_AT_ONCE = 2**20
"""Most values in the largest layer, over all faces that go through the networks together on a CPU.
One reading of the weights serves all these faces, and their features still fit into the cache."""


class Pool:
    """A folder with ``pool.json`` and ``shard-NNNNN.safetensors`` (z, scores, seeds).

    An unfinished shard is kept in ``part-NNNNN.safetensors``.

    Attributes:
        folder: the pool's folder.
        generator_hash: of the generator that rendered it.
        classifier_hash: of the classifier that scored it.
        model: name of the bundle.
        attributes: names of the scores' columns.
        latent_dim: length of a latent.
        space: the latents' space, ``z`` or ``w``.
        truncation: psi that the latents were sampled with.
        size: latents in all.
        first_seed: the lowest seed; the others follow upwards.
        shard_size: latents in a shard; the last one may have fewer.
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
        if not _is_card(card):
            raise LatentEditError(
                f"{self.folder / CARD} is damaged: delete {folder} and build the pool again"
            )
        self.model: str = card["model"]
        self.generator_hash: str = card["generator_hash"]
        self.classifier_hash: str = card["classifier_hash"]
        self.attributes: tuple[str, ...] = tuple(card["attributes"])
        self.latent_dim: int = card["latent_dim"]
        self.space: str = card.get("space", BEFORE["space"])
        self.truncation = float(card.get("truncation", BEFORE["truncation"]))
        self.size: int = card["size"]
        self.first_seed: int = card["first_seed"]
        self.shard_size: int = card["shard_size"]

    def describe(self) -> str:
        """Return one line for cards: how many latents, their generator and their classifier."""
        return (
            f"{self.size} latents in {self.space} of generator {self.generator_hash} "
            f"({self.model}), {self._psi()}seeds from {self.first_seed}, scored by classifier "
            f"{self.classifier_hash}"
        )

    def _psi(self) -> str:
        return "" if self.truncation == 1 else f"psi {self.truncation:g}, "

    @property
    def shards(self) -> list[Path]:
        """Paths of all shards, finished or not, in order."""
        return [self.shard(index) for index in range(self.shard_count)]

    @property
    def shard_count(self) -> int:
        """How many shards there are, finished or not."""
        return -(-self.size // self.shard_size)

    def shard(self, index: int) -> Path:
        """Where a finished shard is kept."""
        return self.folder / f"shard-{index:05d}.safetensors"

    def part(self, shard: int) -> Path:
        """Where the faces of an unfinished shard are kept."""
        return self.folder / f"part-{shard:05d}.safetensors"

    def is_finished(self, shard: int) -> bool:
        """Whether a shard is there, and not a shorter one from before the pool grew."""
        try:
            with safe_open(str(self.shard(shard)), framework="numpy") as file:
                count = file.get_slice("seeds").get_shape()
        except OSError:
            return False
        except SafetensorError:
            return True  # damaged: `_read` reports it
        return not (len(count) == 1 and 0 < count[0] < len(self.seeds_of(shard)))

    def seeds_of(self, shard: int) -> range:
        """Seeds of one shard."""
        start = self.first_seed + shard * self.shard_size
        return range(start, min(start + self.shard_size, self.first_seed + self.size))

    def load(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return all latents [N, D] and scores [N, K]; one more shard is in memory meanwhile.

        Raises:
            LatentEditError: the pool is unfinished or a shard is damaged.
        """
        z = np.empty((self.size, self.latent_dim), dtype=np.float32)
        scores = np.empty((self.size, len(self.attributes)), dtype=np.float32)
        start = 0
        for index in range(self.shard_count):
            shard = self._read(index)
            rows = slice(start, start := start + len(shard["z"]))
            z[rows], scores[rows] = shard["z"], shard["scores"]
        return z, scores

    def scores(self) -> NDArray[np.float32]:
        """Return all scores [N, K]; latents are not kept in memory.

        Raises:
            LatentEditError: the pool is unfinished or a shard is damaged.
        """
        return np.concatenate([self._read(index)["scores"] for index in range(self.shard_count)])

    @property
    def latents(self) -> PoolLatents:
        """The latents [N, D], read from disk by rows: for pools larger than memory."""
        return PoolLatents(self)

    def read_shard(self, index: int) -> NDArray[np.float32]:
        """Latents of one shard.

        Raises:
            LatentEditError: the pool is unfinished or the shard is damaged.
        """
        latents: NDArray[np.float32] = self._read(index)["z"]
        return latents

    def _read(self, index: int) -> dict[str, NDArray[Any]]:
        path, seeds = self.shard(index), np.array(self.seeds_of(index))
        if not self.is_finished(index):
            raise LatentEditError(
                f"pool {self.folder} is unfinished: run the same 'latentedit pool build' again"
            )
        try:
            # a shard has more rows if another process meanwhile grew the pool
            shard = {name: rows[: len(seeds)] for name, rows in load_file(path).items()}
            whole = (
                np.array_equal(shard["seeds"], seeds)
                and shard["z"].shape == (len(seeds), self.latent_dim)
                and shard["scores"].shape == (len(seeds), len(self.attributes))
            )
        except (SafetensorError, KeyError, IndexError):
            whole = False
        if not whole:
            raise LatentEditError(
                f"{path} is damaged: delete it and run the same 'latentedit pool build' again"
            )
        return shard


class PoolLatents:
    """The latents of a pool as an array [N, D]; only the shards that are needed are read.

    The index is a slice or an array of increasing row numbers. One shard at a time is in memory
    beside the rows that are returned.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @property
    def shape(self) -> tuple[int, int]:
        """Number of latents, and their length."""
        return self._pool.size, self._pool.latent_dim

    def __len__(self) -> int:
        return self._pool.size

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        numbers = np.arange(len(self))[rows]
        starts = np.array([self._pool.seeds_of(i)[0] for i in range(self._pool.shard_count)])
        starts = starts - self._pool.first_seed
        shards = np.searchsorted(starts, numbers, side="right") - 1
        out = np.empty((len(numbers), self.shape[1]), np.float32)
        for shard in np.unique(shards):
            here = shards == shard
            out[here] = self._pool.read_shard(int(shard))[numbers[here] - starts[shard]]
        return out


def _is_card(card: Any) -> bool:
    """Whether decoded JSON has the entries of a pool's card and their types."""
    texts = ("model", "generator_hash", "classifier_hash")
    counts = ("latent_dim", "size", "shard_size")
    return (
        isinstance(card, dict)
        and all(isinstance(card.get(name), str) for name in texts)
        and all(isinstance(card.get(name), int) and card[name] > 0 for name in counts)
        and isinstance(card.get("space", BEFORE["space"]), str)
        and isinstance(card.get("truncation", BEFORE["truncation"]), int | float)
        and isinstance(card.get("first_seed"), int)
        and card["first_seed"] >= 0
        and isinstance(card.get("attributes"), list)
        and all(isinstance(name, str) for name in card["attributes"])
    )


def build_pool(
    editor: FaceNetworks,
    folder: str | Path,
    size: int,
    *,
    first_seed: int = defaults.POOL_FIRST_SEED,
    shard_size: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pool:
    """Sample, render and score `size` seeds; no picture is kept. Run again to go on.

    Several processes may build one pool together, also on several computers that share a disk,
    and with or without a launcher. Each process takes shards that no other process works at, its
    own ones first (`sharing.turns`). The result is the same as from one process. A pool grows when
    more latents are asked for, and keeps what it has when fewer are asked for. An unfinished shard
    is saved every `KEPT_EVERY` seconds.

    Latents are sampled in the editor's space (`FaceNetworks.space`). Several faces go through the
    networks together, see `for_many`.

    Args:
        editor: generator and classifier.
        folder: made if it is missing.
        size: least number of latents in all.
        first_seed: seeds run upwards from here.
        shard_size: latents in a file; by default as in the pool that is there, or `SHARD_SIZE`.
        on_progress: called with (latents done, all) after every batch; the work of other processes
            is counted when a shard begins.

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
        "latent_dim": editor.latent_dim,
        "space": editor.space,
        "precision": editor.precision_name,
        "truncation": editor.generator.truncation,
        "size": size,
        "first_seed": first_seed,
        "shard_size": shard_size or SHARD_SIZE,
    }
    pool = _open(folder, card, keeps_shards=shard_size is None)
    together, finished = for_many(editor), _Finished(pool)

    def make(index: int) -> None:
        if index in finished:
            return
        with making(pool.shard(index), waits=False):
            if index not in finished:
                _fill(together, pool, index, finished.count(), on_progress)

    for _ in turns(pool.shard_count, make):
        pass
    on_progress(pool.size, pool.size)
    return pool


class _Finished:
    """The finished shards of a pool, made by any process; a finished shard is opened once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: set[int] = set()

    def __contains__(self, shard: int) -> bool:
        if shard not in self._known and self._pool.is_finished(shard):
            self._known.add(shard)
        return shard in self._known

    def count(self) -> int:
        """Return the number of latents in the finished shards."""
        there = set(os.listdir(self._pool.folder))
        shards = range(self._pool.shard_count)
        return sum(
            len(self._pool.seeds_of(shard))
            for shard in shards
            if self._pool.shard(shard).name in there and shard in self
        )


def _open(folder: str | Path, card: dict[str, Any], *, keeps_shards: bool) -> Pool:
    """Start a pool, or open one whose card differs only in its size; the larger size is kept.

    With `keeps_shards`, its shards may also have another size than `card` says.
    """
    path = make_folder(folder) / CARD
    with claimed(path, waits=True):
        found = read_json(path) if path.is_file() else None
        if isinstance(found, dict) and _is_card(found):
            if keeps_shards:
                card = {**card, "shard_size": found["shard_size"]}
            card = {**card, "size": max(card["size"], found["size"])}
            kept = ResumableFolder(
                folder, CARD, {**card, "size": found["size"]}, content="pool", before=BEFORE
            )
            if card["size"] > found["size"]:
                write_json(kept.path / CARD, {**found, "size": card["size"]})
        else:
            ResumableFolder(folder, CARD, card, content="pool", before=BEFORE)
    return Pool(folder)


def _fill(
    editor: FaceNetworks,
    pool: Pool,
    index: int,
    done: int,
    on_progress: Callable[[int, int], None],
) -> None:
    """Sample, render and score one shard, from where it stopped.

    `done` is the number of latents in finished shards, for `on_progress`.
    """
    seeds, part = pool.seeds_of(index), pool.part(index)
    z, scores = editor.sample(seeds), [_known_scores(pool, index, seeds)]
    start, kept = len(scores[0]), time.monotonic()
    while start < len(z):
        images = editor.render(z[start : start + BATCH], editor.judged_size)
        scores.append(editor.score(images))
        start += len(images)
        if start < len(z) and time.monotonic() - kept >= KEPT_EVERY:
            save_arrays(part, _arrays(z, scores, seeds))
            kept = time.monotonic()
        on_progress(done + start, pool.size)
    save_arrays(pool.shard(index), _arrays(z, scores, seeds))
    part.unlink(missing_ok=True)


def _arrays(
    z: NDArray[np.float32], scores: list[NDArray[np.float32]], seeds: range
) -> dict[str, NDArray[Any]]:
    """Return the arrays that a shard keeps, for the latents that have scores."""
    known = np.concatenate(scores)
    return {"z": z[: len(known)], "scores": known, "seeds": np.array(seeds)[: len(known)]}


def _known_scores(pool: Pool, index: int, seeds: range) -> NDArray[np.float32]:
    """Return the saved scores of a shard's first latents: of its part, or of a shorter shard."""
    best = np.empty((0, len(pool.attributes)), np.float32)
    for path in (pool.part(index), pool.shard(index)):
        try:
            found = load_file(path)
            scores, same = found["scores"], np.array(seeds)[: len(found["seeds"])]
            fits = scores.shape == (len(same), len(pool.attributes))
            if fits and np.array_equal(found["seeds"], same) and len(scores) > len(best):
                best = scores
        except (SafetensorError, OSError, KeyError):
            continue
    return best


def for_many(editor: Networks) -> Networks:
    """Return the same model with the batch size that is fastest for many faces.

    A colour value may differ by 1 from that of the same face drawn alone.
    """
    size = min(FEATURES_AT_ONCE // editor.generator.largest_layer, BATCH // 4)
    return editor if editor.batch_size >= size else editor.with_batch_size(size)
