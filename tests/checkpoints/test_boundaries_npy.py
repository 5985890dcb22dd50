"""InterFaceGAN's boundary files, in and out."""

from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest

from latentedit.boundaries.model import Boundaries
from latentedit.checkpoints.boundaries_npy import export_boundary, import_boundary, read_normal
from latentedit.errors import LatentEditError

MODEL = {"space": "z", "generator_hash": "0123456789abcdef", "latent_dim": 16}


@pytest.fixture
def age(tmp_path):
    """What InterFaceGAN's `train_boundary` saves: float32 [1, D], unit length."""
    normal = np.random.RandomState(3).randn(1, 16).astype(np.float32)
    np.save(tmp_path / "age.npy", normal / np.linalg.norm(normal))
    return tmp_path / "age.npy"


def test_there_and_back(tmp_path, age):
    boundaries = import_boundary(age, "young", sign=-1, **MODEL)
    assert boundaries.names == ("Young",)
    assert (boundaries.space, boundaries.generator_hash) == ("z", MODEL["generator_hash"])
    assert np.allclose(boundaries.normals, -np.load(age), atol=1e-6)
    assert boundaries.biases == 0
    boundaries.save(tmp_path / "b.safetensors")
    loaded = Boundaries.load(tmp_path / "b.safetensors")
    assert export_boundary(loaded, "Young", tmp_path / "back.npy", sign=-1) == 0
    back = np.load(tmp_path / "back.npy")
    assert back.dtype == np.float32
    assert back.shape == (1, 16)
    assert np.allclose(back, np.load(age), atol=1e-6)


def test_several_in_one_file(tmp_path, age):
    first = import_boundary(age, "Young", sign=-1, **MODEL)
    np.save(tmp_path / "pose.npy", 5 * np.eye(16)[2])  # [D], not of unit length
    both = import_boundary(tmp_path / "pose.npy", "Pose", sign=1, into=first, **MODEL)
    assert both.names == ("Young", "Pose")
    assert np.array_equal(both.normals[1], np.eye(16)[2])
    with pytest.raises(LatentEditError, match="have Pose already"):
        import_boundary(tmp_path / "pose.npy", "Pose", sign=1, into=both, **MODEL)
    for other in ({"space": "w"}, {"generator_hash": "f" * 16}):
        with pytest.raises(LatentEditError, match="belong to generator"):
            import_boundary(age, "Male", sign=1, into=both, **{**MODEL, **other})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sign": 2}, "sign 2 means nothing"),
        ({"space": "w+"}, "give z or w"),
        ({"latent_dim": 512}, "of length 16, the model's have 512"),
        ({"name": "Yung"}, "did you mean 'Young'"),
        ({"name": "../x"}, "no attribute's name"),
    ],
)
def test_what_is_asked_for_is_checked(age, options, words):
    with pytest.raises(LatentEditError, match=words):
        import_boundary(age, **{"name": "Young", "sign": -1, **MODEL, **options})


def header_of(shape: tuple[int, ...]) -> bytes:
    """A .npy file that announces `shape` and holds four numbers."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return file.getvalue() + bytes(16)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch the-pickle-ran",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"hello", "a text"),
        (pickle.dumps(Hostile()), "is refused"),
        (header_of((1, 2**40)), "damaged"),
        (header_of((2, 2)), r"has shape \[2, 2\], 2 directions"),
        (header_of(()), "has shape"),
        (header_of((1, 4)), "no direction"),
    ],
)
def test_files_that_hold_no_boundary(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(LatentEditError, match=words):
        read_normal(tmp_path / "a.npy")
    assert not (tmp_path / "the-pickle-ran").exists()


def test_arrays_that_are_no_normals(tmp_path):
    np.save(tmp_path / "o.npy", np.array([None, Hostile()]), allow_pickle=True)
    np.save(tmp_path / "n.npy", np.full((1, 4), np.nan))
    np.save(tmp_path / "c.npy", np.ones((1, 4), complex))
    for name, words in (("o", "Python objects"), ("n", "no direction"), ("c", "no numbers")):
        with pytest.raises(LatentEditError, match=words):
            read_normal(tmp_path / f"{name}.npy")


def test_export_says_what_it_cannot(tmp_path, age):
    boundaries = import_boundary(age, "Young", sign=1, **MODEL)
    with pytest.raises(LatentEditError, match=r"end its name in \.npy"):
        export_boundary(boundaries, "Young", tmp_path / "a.txt")
    with pytest.raises(LatentEditError, match="unknown attribute"):
        export_boundary(boundaries, "Male", tmp_path / "a.npy")
    with pytest.raises(LatentEditError, match="does not exist"):
        export_boundary(boundaries, "Young", tmp_path / "none" / "a.npy")
