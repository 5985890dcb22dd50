from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from latentedit.errors import LatentEditError
from latentedit.generators import latents

seeds = st.integers(0, latents.MAX_SEED)


def test_seed_0_is_the_face_it_always_was() -> None:
    z = latents.sample([0])
    assert z.shape == (1, 512)
    assert z.dtype == np.float32
    # numpy's documented first normals of seed 0 are 1.76405235, 0.40015721, 0.97873798
    np.testing.assert_allclose(z[0, 1] / z[0, 0], 0.40015721 / 1.76405235, rtol=1e-6)
    np.testing.assert_allclose(z[0, :3], [1.7653587, 0.4004535, 0.9794628], rtol=1e-6)


@given(st.lists(seeds, max_size=5), st.sampled_from((2, 16, 512)))
def test_a_row_depends_on_its_seed_alone(chosen: list[int], dim: int) -> None:
    batch = latents.sample(chosen, dim)
    assert batch.shape == (len(chosen), dim)
    for row, seed in zip(batch, chosen, strict=True):
        assert np.array_equal(row, latents.sample([seed], dim)[0])
    np.testing.assert_allclose(np.linalg.norm(batch, axis=1), np.sqrt(dim), rtol=1e-6)


@given(seeds, seeds)
def test_other_seeds_give_other_latents(first: int, second: int) -> None:
    assume(first != second)
    a, b = latents.sample([first, second])
    assert abs(a @ b) < 0.3 * 512  # nearly orthogonal, as random directions in 512 dimensions are


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(LatentEditError, match=f"seed {seed} is out of range: use 0 to 4294967295"):
        latents.sample([0, seed])


def test_one_number_is_not_taken_for_a_count() -> None:
    with pytest.raises(LatentEditError, match=r"seeds cannot be 3: give several, or \[3\] for one"):
        latents.sample(3)  # type: ignore[arg-type]


@given(st.integers(1, 5), st.floats(1e-3, 1e3), st.data())
def test_normalize_keeps_directions(count: int, scale: float, data: st.DataObject) -> None:
    z = latents.sample(data.draw(st.lists(seeds, min_size=count, max_size=count)), 8)
    np.testing.assert_allclose(latents.normalize(z * scale), z, rtol=1e-5, atol=1e-6)


ranges = st.tuples(st.integers(0, latents.MAX_SEED), st.integers(0, 30)).map(
    lambda pair: (pair[0], min(pair[0] + pair[1], latents.MAX_SEED))
)


@given(st.lists(ranges, min_size=1, max_size=6), st.data())
def test_seeds_are_read_back_as_written(chosen: list[tuple[int, int]], data: st.DataObject) -> None:
    space = st.sampled_from(("", " "))
    parts, expected = [], []
    for first, last in chosen:
        single = first == last and data.draw(st.booleans())
        text = str(first) if single else f"{first}{data.draw(space)}-{data.draw(space)}{last}"
        parts.append(data.draw(space) + text + data.draw(space))
        expected += range(first, last + 1)
    assert latents.parse_seeds(",".join(parts)) == expected


@given(st.text(alphabet="0123456789-, .ex+²٣", max_size=12))
def test_any_text_is_seeds_or_an_error_of_ours(text: str) -> None:
    try:
        found, message = latents.parse_seeds(text), ""
    except LatentEditError as error:
        found, message = [], str(error)
    assert found or len(message.splitlines()) == 1
    assert all(0 <= seed <= latents.MAX_SEED for seed in found)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "write them like 7 or 0-7,12"),
        ("7,", "write them like"),
        ("-3", "write them like"),
        ("1-2-3", "write them like"),
        ("1.5", "write them like"),
        ("٣", "write them like"),
        ("0x10", "write them like"),
        ("7-0", "run backwards: write 0-7"),
        ("4294967296", "out of range"),
        ("9" * 5000, "out of range"),
        ("0-1000000", "more than 1,000,000 seeds"),
        ("0-500000,1-500000", "more than 1,000,000 seeds"),
    ],
)
def test_what_is_wrong_with_seeds_is_said(text: str, advice: str) -> None:
    with pytest.raises(LatentEditError, match=advice):
        latents.parse_seeds(text)


def test_a_million_seeds_are_allowed() -> None:
    assert len(latents.parse_seeds("1-1000000")) == 1_000_000


def test_latents_in_any_form_become_float32_rows() -> None:
    single = latents.check_latents([1, 2, 3], dim=3)
    assert single.tolist() == [[1, 2, 3]]
    assert single.dtype == np.float32
    z = np.ones((2, 3), dtype=np.float64)
    assert latents.check_latents(z, dim=3).shape == (2, 3)


def test_latents_a_layer() -> None:
    assert latents.check_latents(np.ones((2, 5, 3)), 3, 5).shape == (2, 5, 3)
    assert latents.check_latents(np.ones((2, 3)), 3, 5).shape == (2, 3)
    for shape in ((2, 4, 3), (2, 5, 4), (0, 5, 3), (1, 2, 5, 3)):
        with pytest.raises(LatentEditError, match=r"shape \[N, 3\] or \[N, 5, 3\]"):
            latents.check_latents(np.ones(shape), 3, 5)


@pytest.mark.parametrize(
    ("z", "said"),
    [
        (np.ones((2, 4)), r"shape \[N, 3\], got \[2, 4\]"),
        (np.ones((1, 1, 3)), r"got \[1, 1, 3\]"),
        (np.ones((0, 3)), r"got \[0, 3\]"),
        (np.float32(1), r"got \[\]"),
        ([[1, 2], [3]], "must be numbers"),
        ("abc", "must be numbers"),
        ([None, 1, 2], "must be numbers"),
        (np.ones(3) * 1j, "must be numbers"),
        ([1, 2, 1e300], "infinity"),
        ([1, np.nan, 2], "NaN or infinity: make them again"),
        ([1, 2, -np.inf], "NaN or infinity"),
    ],
)
def test_what_are_no_latents_is_refused(z: object, said: str) -> None:
    with pytest.raises(LatentEditError, match=said):
        latents.check_latents(z, dim=3)


@pytest.mark.parametrize("ending", ["npy", "safetensors", "SAFETENSORS"])
def test_saved_latents_come_back_bit_for_bit(tmp_path: Path, ending: str) -> None:
    path, z = tmp_path / f"z.{ending}", latents.sample(range(3))
    latents.save_latents(path, z, {"seeds": [0, 1, 2], "model": "tiny"})
    assert np.array_equal(latents.load_latents(path), z)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_safetensors_keep_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "z.safetensors"
    latents.save_latents(path, latents.sample([5]), {"seeds": [5], "model": "tïny"})
    with safe_open(str(path), framework="numpy") as file:
        assert json.loads(file.metadata()["latents"]) == {"seeds": [5], "model": "tïny"}


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"end its name in \.npy or \.safetensors"):
        latents.save_latents(tmp_path / "z.txt", latents.sample([0]), {})
    assert list(tmp_path.iterdir()) == []


def _damaged(folder: Path) -> dict[str, Path]:
    """Files that are no latents, by what is wrong with them."""
    z = latents.sample(range(2))
    files = {
        name: folder / f"{name}.npy"
        for name in ("text", "empty", "cut", "pickle", "zip", "archive", "header", "complex")
    }
    files["text"].write_text("not latents")
    files["empty"].write_bytes(b"")
    np.save(files["cut"], z)
    files["cut"].write_bytes(files["cut"].read_bytes()[:-100])
    np.save(files["pickle"], np.array([{"a": 1}], dtype=object), allow_pickle=True)
    files["zip"].write_bytes(b"PK\x03\x04 cut short")
    with zipfile.ZipFile(files["archive"], "w") as archive:
        archive.writestr("a.npy", b"")
    files["header"].write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'shape': (9**9,}")
    np.save(files["complex"], z * 1j)
    files["no z"] = folder / "no.safetensors"
    save_file({"w": z}, files["no z"])
    files["no safetensors"] = folder / "text.safetensors"
    files["no safetensors"].write_text("x" * 40)
    files["a folder"] = folder / "folder.npy"
    files["a folder"].mkdir()
    return files


def test_files_that_are_no_latents_are_refused_by_name(tmp_path: Path) -> None:
    for what, path in _damaged(tmp_path).items():
        with pytest.raises(LatentEditError) as caught:
            latents.load_latents(path)
        assert len(str(caught.value).splitlines()) == 1, what
        assert path.name in str(caught.value), what


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    for name in ("z.npy", "z.safetensors"):
        with pytest.raises(LatentEditError, match=f"{name} does not exist"):
            latents.load_latents(tmp_path / name)


def test_latents_of_another_length_are_refused(tmp_path: Path) -> None:
    latents.save_latents(tmp_path / "z.npy", latents.sample([0], 64), {})
    with pytest.raises(LatentEditError, match=r"shape \[N, 512\], got \[1, 64\]"):
        latents.load_latents(tmp_path / "z.npy")
    assert latents.load_latents(tmp_path / "z.npy", dim=64).shape == (1, 64)


@pytest.mark.parametrize("wrong", [[1.5], ["1"], [None], [True], b"12", [[1]]])
def test_what_is_no_seed_is_refused(wrong: object) -> None:
    with pytest.raises(LatentEditError, match=r"cannot be"):
        latents.sample(wrong)  # type: ignore[arg-type]


def test_text_and_numpys_numbers_are_seeds() -> None:
    wanted = latents.sample([12])
    assert np.array_equal(latents.sample("12"), wanted)
    assert np.array_equal(latents.sample(np.array([12])), wanted)
    assert np.array_equal(latents.sample("0-2,12")[3:], wanted)
    with pytest.raises(LatentEditError, match="write them like"):
        latents.sample("0-")


def test_latents_in_memory_are_those_of_a_file(tmp_path: Path) -> None:
    z, origin = latents.sample([1, 2]), {"model": "tiny"}
    latents.save_latents(tmp_path / "z.safetensors", z, origin)
    assert latents.latents_bytes(z, origin) == (tmp_path / "z.safetensors").read_bytes()
