"""Users' own attributes: from a .npy beside a pool and from a .csv of seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from latentedit.boundaries.fitting import _selections, fit_boundaries
from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.pool import Pool, build_pool
from latentedit.boundaries.samples import samples_of_csv, samples_of_npy
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError

SIZE = 520


@pytest.fixture(scope="module")
def planted() -> NDArray[np.float64]:
    normal = np.random.RandomState(5).standard_normal(64)
    return normal / np.linalg.norm(normal)


@pytest.fixture(scope="module")
def editor(_bundle: Path) -> FaceEditor:
    return FaceEditor.load(_bundle)


@pytest.fixture(scope="module")
def pool(editor: FaceEditor, tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return build_pool(editor, tmp_path_factory.mktemp("samples") / "pool", SIZE, shard_size=100)


def test_labels_of_a_pool_make_a_boundary(
    pool: Pool, planted: NDArray[np.float64], tmp_path: Path
) -> None:
    z, _ = pool.load()
    np.save(tmp_path / "wink.npy", z @ planted > 0)
    samples = samples_of_npy(tmp_path / "wink.npy", pool, ["wink"])
    found = fit_boundaries(samples.latents, samples.scores, samples.names, samples.generator_hash)
    assert found.names == ("wink",)
    assert found.normals[0] @ planted > 0.8
    assert found.figures["wink"]["accuracy"] > 0.75
    np.testing.assert_array_equal(samples.latents[:], z)


def test_labels_of_seeds_make_a_boundary(
    editor: FaceEditor, planted: NDArray[np.float64], tmp_path: Path
) -> None:
    seeds = range(1000, 1600)
    has = editor.sample(seeds) @ planted > 0
    lines = [f"{int(label)},{seed},0.{seed % 7}" for label, seed in zip(has, seeds, strict=True)]
    (tmp_path / "w.csv").write_text("\n".join(["wink,seed,big ears", *lines]) + "\n")
    samples = samples_of_csv(tmp_path / "w.csv", editor)
    assert samples.names == ("wink", "big_ears")
    found = fit_boundaries(samples.latents, samples.scores, samples.names, samples.generator_hash)
    assert found.normals[0] @ planted > 0.8
    merged = editor.boundaries.merged(found)
    assert merged.names[-2:] == ("wink", "big_ears")
    moved = FaceEditor(editor.generator, boundaries=merged).edit(
        editor.sample([1]), {"wink": 2.0}, {"Male": 1.0}
    )
    change = (merged.distances(moved) - merged.distances(editor.sample([1])))[0]
    assert change[merged.index("wink")] > 1
    assert abs(change[merged.index("Male")]) < 1e-5


def test_rare_labels_are_not_mixed_with_the_others() -> None:
    scores = np.zeros(1000, np.float32)
    scores[::10] = 1
    for rows, low in _selections(scores):
        assert not scores[rows[:low]].any()
        assert scores[rows[low:]].all()


def test_of_labels_all_are_taken() -> None:
    has = np.random.RandomState(0).random_sample(600) < 0.3
    ((rows, low),) = _selections(has.astype(np.float32))
    assert sorted(rows) == list(range(600))
    assert (low, has[rows[low:]].all()) == ((~has).sum(), True)


def test_one_selection_is_all_latents_as_they_are_labelled() -> None:
    scores = np.random.RandomState(0).random_sample(1000).astype(np.float32) ** 3
    rows, low = _selections(scores)[-1]
    assert sorted(rows) == list(range(1000))
    assert scores[rows[:low]].max() <= 0.5 < scores[rows[low:]].min()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wink\n1\n", "needs a first line"),
        ("seed\n1\n", "needs a first line"),
        ("seed,wink\n", "needs a first line"),
        ("seed,wink\n1,yes\n", "line 2: cannot read '1,yes'"),
        ("seed,wink\n1,0\n2\n", "line 3"),
        ("seed,wink\n\n1,0\n\n2\n", "line 5"),
        ("seed,wink\n1,0\n1,1\n", "names a seed twice"),
        ("seed,wink\n1,0\n2,2\n", "between 0 and 1"),
        ("seed,wink\n1,0\n2,nan\n", "between 0 and 1"),
        ("seed,wink\n1,1\n2,1\n", "the same of every face"),
        ("seed,wink,wink\n1,1,0\n2,0,1\n", "two attributes have one name"),
        ("seed,wink,Wink\n1,1,0\n2,0,1\n", "two attributes have one name"),
        ("seed,!\n1,1\n2,0\n", "no attribute's name"),
        ("seed,wink\n-1,1\n2,0\n", "out of range"),
    ],
)
def test_labels_that_cannot_be(editor: FaceEditor, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(LatentEditError, match=message):
        samples_of_csv(tmp_path / "w.csv", editor)


def test_arrays_that_cannot_be(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for scores, message in (
        (np.zeros(SIZE - 1), "give one row for each latent"),
        (np.zeros((SIZE, 2)), "give one row for each latent"),
        (np.array(["a"] * SIZE), "holds no numbers"),
        (np.full(SIZE, 3.0), "between 0 and 1"),
    ):
        np.save(path, scores)
        with pytest.raises(LatentEditError, match=message):
            samples_of_npy(path, pool, ["wink"])
    path.write_bytes(b"half")
    with pytest.raises(LatentEditError, match="holds no numbers"):
        samples_of_npy(path, pool, ["wink"])
    with pytest.raises(LatentEditError, match="does not exist"):
        samples_of_npy(tmp_path / "missing.npy", pool, ["wink"])


def test_a_pool_is_read_by_rows(pool: Pool) -> None:
    z, scores = pool.load()
    np.testing.assert_array_equal(pool.scores(), scores)
    latents = pool.latents
    assert (len(latents), latents.shape) == (SIZE, (SIZE, 64))
    np.testing.assert_array_equal(latents[95:210], z[95:210])
    rows = np.array([0, 99, 100, 101, 519])
    np.testing.assert_array_equal(latents[rows], z[rows])


def test_large_pools_give_the_same_boundaries(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    names = pool.attributes[:3]
    scores = pool.scores()[:, :3]
    whole = fit_boundaries(pool.load()[0], scores, names, "tiny")
    monkeypatch.setattr("latentedit.boundaries.fitting._IN_MEMORY", 10)
    monkeypatch.setattr("latentedit.boundaries.fitting._CHUNK", 33)
    streamed = fit_boundaries(pool.latents, scores, names, "tiny")
    np.testing.assert_allclose(streamed.normals, whole.normals, atol=1e-6)
    assert {name: f["samples"] for name, f in streamed.figures.items()} == {
        name: f["samples"] for name, f in whole.figures.items()
    }


def test_merging_keeps_the_others_figures(tmp_path: Path) -> None:
    axes = np.eye(3)
    ours = Boundaries(
        ("a", "b"), axes[:2], np.zeros(2), "g", auto={"a": {"b": 1.0}, "b": {}}, rare=("a",)
    )
    other = Boundaries(("b", "c"), axes[1:], np.ones(2), "g", safe_ranges={"b": (-1.0, 2.0)})
    both = ours.merged(other)
    assert both.names == ("a", "b", "c")
    assert both.safe_range("b") == (-1, 2)
    assert both.biases.tolist() == [0, 1, 1]
    assert both.rare == ("a",)
    assert both.auto == {"a": {"b": 1.0}}
    with pytest.raises(LatentEditError, match="do not go with"):
        ours.merged(Boundaries(("c",), axes[:1], np.zeros(1), "other"))


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_numbers_the_rows_is_left_out(tmp_path, editor, name, first):
    rows = [f"{first + row},{row + 5},{row % 2}" for row in range(6)]
    (tmp_path / "a.csv").write_text("\n".join([f"{name},seed,wink", *rows]) + "\n")
    samples = samples_of_csv(tmp_path / "a.csv", editor)
    assert samples.names == ("wink",)
    np.testing.assert_array_equal(samples.scores[:, 0], [0, 1] * 3)


def test_a_column_out_of_range_is_named(tmp_path, editor):
    rows = [f"{row},{row % 2},{10 * row}" for row in range(6)]
    (tmp_path / "a.csv").write_text("\n".join(["seed,wink,years", *rows]) + "\n")
    with pytest.raises(LatentEditError, match=r"column 'years' runs from 0 to 50: leave it out"):
        samples_of_csv(tmp_path / "a.csv", editor)
