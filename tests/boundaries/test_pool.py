"""Pools: what is in the shards, going on after a kill, and what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from latentedit.boundaries.pool import BATCH, Pool, build_pool, for_many
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.pretrained.bundles import load_classifier

SIZE, SHARD = 25, 10


@pytest.fixture
def editor(tiny_bundle: Path) -> FaceEditor:
    return FaceEditor.load(tiny_bundle, device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pool"


def build(editor: FaceEditor, folder: Path, size: int = SIZE, **options: Any) -> Pool:
    return build_pool(editor, folder, size, **{"first_seed": 100, "shard_size": SHARD, **options})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_holds_what_the_editor_gives_for_its_seeds(editor: FaceEditor, folder: Path) -> None:
    pool = build(editor, folder / "new")
    z, scores = Pool(folder / "new").load()
    assert (z.dtype, z.shape) == (np.float32, (SIZE, 64))
    assert (scores.dtype, scores.shape) == (np.float32, (SIZE, 40))
    np.testing.assert_array_equal(z, editor.sample(range(100, 100 + SIZE)))
    np.testing.assert_allclose(scores, editor.score(editor.render(z)), atol=0.005)
    together = for_many(editor)
    assert together.batch_size == 16  # the faces have 16 pixels
    np.testing.assert_array_equal(
        scores[:10],
        together.score(together.render(z[:10])),  # a shard has 10
    )
    assert pool.attributes == editor.attributes
    assert pool.generator_hash == editor.generator_hash
    assert [path.name for path in pool.shards] == [f"shard-{n:05d}.safetensors" for n in range(3)]
    assert [len(pool.seeds_of(shard)) for shard in range(3)] == [10, 10, 5]
    assert editor.generator_hash in pool.describe()


@pytest.mark.parametrize(
    ("resolution", "fmap_base", "count"), [(64, 1024, 8), (128, 1024, 4), (64, 8192, 1)]
)
def test_fewer_go_together_where_layers_are_large(
    resolution: int, fmap_base: int, count: int
) -> None:
    generator = Generator(GeneratorConfig(resolution, fmap_base=fmap_base, fmap_max=256))
    assert for_many(FaceEditor(generator, device="cpu")).batch_size == count


def test_no_picture_is_kept_and_nothing_else_is_left(editor: FaceEditor, folder: Path) -> None:
    build(editor, folder)
    assert sorted(contents(folder)) == [
        "pool.json",
        *(f"shard-{n:05d}.safetensors" for n in range(3)),
    ]
    assert set(load_file(folder / "shard-00000.safetensors")) == {"z", "scores", "seeds"}


def test_pictures_in_memory_do_not_grow_with_the_pool(
    editor: FaceEditor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = 0
    render = editor.render

    def watch(z: Any, size: int | None = None) -> Any:
        nonlocal largest
        largest = max(largest, len(z))
        return render(z, size)

    monkeypatch.setattr(editor, "render", watch)
    build(editor, folder, size=2 * BATCH + 5, shard_size=2 * BATCH)
    assert largest == BATCH


def test_progress_rises_to_the_end(editor: FaceEditor, folder: Path) -> None:
    reports: list[tuple[int, int]] = []
    build(editor, folder, on_progress=lambda done, total: reports.append((done, total)))
    done = [report[0] for report in reports]
    assert done == sorted(done)
    assert reports[-1] == (SIZE, SIZE)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_stopped_build_goes_on_and_ends_the_same(
    editor: FaceEditor, folder: Path, after: int
) -> None:
    build(editor, folder.parent / "whole")
    calls = 0

    def stop(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise KilledError

    with pytest.raises(KilledError):
        build(editor, folder, on_progress=stop)
    if after < 4:
        with pytest.raises(LatentEditError, match="unfinished"):
            Pool(folder).load()
    build(editor, folder)
    assert contents(folder) == contents(folder.parent / "whole")


def test_what_a_kill_leaves_is_swept_and_finished_shards_stay(
    editor: FaceEditor, folder: Path, abandon: Callable[[Path], Path]
) -> None:
    build(editor, folder)
    whole = contents(folder)
    lost = folder / "shard-00001.safetensors"
    abandon(lost)
    kept = (folder / "shard-00000.safetensors").stat().st_mtime_ns
    build(editor, folder)
    assert contents(folder) == whole
    assert (folder / "shard-00000.safetensors").stat().st_mtime_ns == kept


@pytest.mark.parametrize(("first", "then"), [(7, 25), (10, 13), (25, 47), (23, 24)])
def test_a_pool_grows(editor: FaceEditor, folder: Path, first: int, then: int) -> None:
    wanted = build(editor, folder.parent / "whole", size=then).load()
    small = build(editor, folder, size=first)
    assert small.size == first
    kept = (folder / "shard-00000.safetensors").stat().st_mtime_ns if first >= SHARD else None
    grown = build(editor, folder, size=then)
    assert (grown.size, Pool(folder).size) == (then, then)
    z, scores = grown.load()
    np.testing.assert_array_equal(z, wanted[0])
    np.testing.assert_allclose(scores, wanted[1], atol=0.005)
    np.testing.assert_array_equal(small.load()[0], wanted[0][:first])  # what it was before
    assert not list(folder.glob("part-*"))
    if kept is not None:
        assert (folder / "shard-00000.safetensors").stat().st_mtime_ns == kept
    assert build(editor, folder, size=3).size == then  # nothing is thrown away


def test_a_pool_that_grows_keeps_the_faces_it_has(
    editor: FaceEditor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(editor, folder, size=7)
    before = Pool(folder).load()[1]
    drawn: list[int] = []
    render = editor.render
    monkeypatch.setattr(
        "latentedit.boundaries.pool.for_many", lambda networks: networks
    )  # so that the patch below is used
    monkeypatch.setattr(
        editor, "render", lambda z, size=None: (drawn.append(len(z)), render(z, size))[1]
    )
    build(editor, folder, size=9)
    assert drawn == [2]
    np.testing.assert_array_equal(Pool(folder).load()[1][:7], before)


def test_a_grown_pool_that_is_not_finished_says_so(editor: FaceEditor, folder: Path) -> None:
    build(editor, folder, size=7)
    card = json.loads((folder / "pool.json").read_text())
    (folder / "pool.json").write_text(json.dumps({**card, "size": 9}))
    with pytest.raises(LatentEditError, match="unfinished"):
        Pool(folder).load()
    assert len(build(editor, folder, size=9).load()[0]) == 9


@pytest.mark.parametrize("damage", [None, b"", b"junk"])
def test_faces_of_an_unfinished_shard_are_kept_by_time(
    editor: FaceEditor, folder: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    size = 3 * BATCH
    wanted = build(editor, folder.parent / "whole", size=size, shard_size=size).load()
    monkeypatch.setattr("latentedit.boundaries.pool.KEPT_EVERY", 0.0)

    def stop(done: int, total: int) -> None:
        if done == 2 * BATCH:
            raise KilledError

    with pytest.raises(KilledError):
        build(editor, folder, size=size, shard_size=size, on_progress=stop)
    part = folder / "part-00000.safetensors"
    assert load_file(part)["scores"].shape == (2 * BATCH, 40)
    if damage is not None:
        part.write_bytes(damage)
    reports: list[int] = []
    build(editor, folder, size=size, shard_size=size, on_progress=lambda d, _: reports.append(d))
    assert reports[0] == (3 * BATCH if damage is None else BATCH)
    np.testing.assert_array_equal(Pool(folder).load()[1], wanted[1])
    assert not part.exists()


def test_a_pool_from_before_spaces_had_names_goes_on(editor: FaceEditor, folder: Path) -> None:
    pool = build(editor, folder)
    card = json.loads((folder / "pool.json").read_text())
    assert card.pop("space") == pool.space == "z"
    (folder / "pool.json").write_text(json.dumps(card))
    pool.shards[1].unlink()
    assert build(editor, folder).space == "z"
    assert len(Pool(folder).load()[0]) == SIZE


def test_a_finished_pool_is_not_built_again(
    editor: FaceEditor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(editor, folder)
    monkeypatch.setattr(editor, "render", None)
    build(editor, folder)


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "named"),
    [({"first_seed": 0}, "first_seed 100"), ({"shard_size": 5}, "10")],
)
def test_a_folder_with_another_pool(
    editor: FaceEditor, folder: Path, options: dict[str, int], named: str
) -> None:
    build(editor, folder)
    before = contents(folder)
    with pytest.raises(LatentEditError, match="holds another pool") as caught:
        build(editor, folder, **options)
    assert named in str(caught.value)
    assert contents(folder) == before


def test_faces_rendered_in_another_precision(editor: FaceEditor, folder: Path) -> None:
    build(editor, folder)
    card = json.loads((folder / "pool.json").read_text())
    assert card.pop("precision") == "float32"
    (folder / "pool.json").write_text(json.dumps(card))  # as it was before there was a choice
    build(editor, folder)
    (folder / "pool.json").write_text(json.dumps({**card, "precision": "bfloat16"}))
    with pytest.raises(LatentEditError, match=r"precision 'bfloat16', not 'float32'"):
        build(editor, folder)


def test_another_models_folder(editor: FaceEditor, tiny_bundle: Path, folder: Path) -> None:
    build(editor, folder)
    torch.manual_seed(7)
    generator = Generator(GeneratorConfig(resolution=16, latent_dim=64, fmap_base=64, fmap_max=16))
    classifier, _ = load_classifier(tiny_bundle)
    other = FaceEditor(generator, classifier, name="tiny", device="cpu")
    with pytest.raises(LatentEditError, match=r"another pool \(generator_hash"):
        build(other, folder)


def test_another_classifier(editor: FaceEditor, tiny_generator: Generator, folder: Path) -> None:
    build(editor, folder)
    classifier = editor.classifier
    assert classifier is not None
    with torch.no_grad():
        classifier.head.bias.add_(1)
    other = FaceEditor(tiny_generator, classifier, name="tiny", device="cpu")
    with pytest.raises(LatentEditError, match=r"another pool \(classifier_hash"):
        build(other, folder)


def test_a_model_without_a_classifier(tiny_generator: Generator, folder: Path) -> None:
    with pytest.raises(LatentEditError, match="no classifier"):
        build(FaceEditor(tiny_generator, device="cpu"), folder)
    assert not (folder).exists()


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"size": -1}, {"first_seed": -1}, {"first_seed": 2**32 - SIZE + 1}]
)
def test_sizes_and_seeds_out_of_range(
    editor: FaceEditor, folder: Path, options: dict[str, int]
) -> None:
    with pytest.raises(LatentEditError):
        build(editor, folder, **options)
    assert not (folder).exists()


def test_the_last_seed_there_is(editor: FaceEditor, folder: Path) -> None:
    build(editor, folder, size=2, first_seed=2**32 - 2)


def test_what_is_not_a_pool(folder: Path) -> None:
    for other in (folder, folder.parent):
        with pytest.raises(LatentEditError, match="latentedit pool build"):
            Pool(other)


@pytest.mark.parametrize(
    "entries",
    [
        *({name: None} for name in ("model", "generator_hash", "classifier_hash", "latent_dim")),
        {"size": "25"},
        {"size": 0},
        {"shard_size": 0},
        {"first_seed": -1},
        {"first_seed": 0.5},
        {"attributes": "Young"},
        {"attributes": [1, 2]},
        {"space": 7},
    ],
)
def test_a_damaged_card(editor: FaceEditor, folder: Path, entries: dict[str, Any]) -> None:
    build(editor, folder, size=1)
    card = json.loads((folder / "pool.json").read_text())
    (folder / "pool.json").write_text(json.dumps({**card, **entries}))
    with pytest.raises(LatentEditError, match=r"pool\.json is damaged"):
        Pool(folder)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}"])
def test_a_card_that_is_none(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "pool.json").write_text(text)
    with pytest.raises(LatentEditError, match=r"pool\.json"):
        Pool(folder)


def shard_parts() -> dict[str, Any]:
    return {
        "z": np.zeros((10, 64), np.float32),
        "scores": np.zeros((10, 40), np.float32),
        "seeds": np.arange(110, 120),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"z": None},
        {"scores": None},
        {"seeds": None},
        {"z": np.zeros((9, 64), np.float32)},
        {"z": np.zeros(10, np.float32)},
        {"z": np.zeros((10, 63), np.float32)},
        {"scores": np.zeros((10, 39), np.float32)},
        {"seeds": np.arange(10)},
        {"seeds": np.array(110)},
    ],
)
def test_a_shard_with_other_contents(
    editor: FaceEditor, folder: Path, change: dict[str, Any]
) -> None:
    build(editor, folder)
    parts = {key: value for key, value in {**shard_parts(), **change}.items() if value is not None}
    save_file(parts, folder / "shard-00001.safetensors")
    with pytest.raises(LatentEditError, match=r"shard-00001\.safetensors is damaged"):
        Pool(folder).load()


def test_a_truncated_shard(editor: FaceEditor, folder: Path) -> None:
    build(editor, folder)
    path = folder / "shard-00002.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LatentEditError, match=r"damaged: delete it and run"):
        Pool(folder).load()
    path.unlink()
    build(editor, folder)
    assert len(Pool(folder).load()[0]) == SIZE


def test_two_at_once_build_one_pool(editor: FaceEditor, folder: Path) -> None:
    build(editor, folder.parent / "whole")
    rendered: list[int] = []

    def together() -> None:
        def note(done: int, total: int) -> None:
            rendered.append(done)

        build(editor, folder, on_progress=note)

    threads = [threading.Thread(target=together) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents(folder) == contents(folder.parent / "whole")
    assert len(rendered) == 3 + 2  # three shards, each once, and two ends
