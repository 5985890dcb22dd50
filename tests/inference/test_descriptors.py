"""dlib's descriptor network in PyTorch against dlib itself, and its reader against bad files."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import draw_face

from latentedit.classifiers.dlib_network import CHIP, DlibFaceNetwork, read_dlib_network
from latentedit.errors import LatentEditError
from latentedit.inference import descriptors
from latentedit.inference.descriptors import CHIP_BOX, cosine, describe, face_chip
from latentedit.io.images import to_frame
from latentedit.photos.align import FRAME_LANDMARKS


def optional(name: str) -> Any:
    """A module of the extra `evaluate`, or a skipped test that says what is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed: pip install 'latentedit[evaluate]'")


@pytest.fixture
def weight_file() -> Path:
    package = optional("face_recognition_models")
    return Path(package.__path__[0]) / "models" / "dlib_face_recognition_resnet_model_v1.dat"


@pytest.fixture
def drawn_chips() -> np.ndarray:
    """A drawn face, noise, and a ramp of colours, uint8 [3, 150, 150, 3]."""
    random = np.random.RandomState(0)
    face = face_chip(to_frame(np.array(draw_face(3)), 128))
    ramp = np.linspace(0, 255, CHIP, dtype=np.uint8)
    ramps = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], ramp[::-1, None]), axis=2)
    return np.stack((face, random.randint(0, 256, face.shape, dtype=np.uint8), ramps))


def test_same_numbers_as_dlib(weight_file: Path, drawn_chips: np.ndarray) -> None:
    dlib = optional("dlib")
    theirs = dlib.face_recognition_model_v1(str(weight_file))
    expected = np.array(theirs.compute_face_descriptor(list(drawn_chips)))
    pixels = torch.from_numpy(drawn_chips).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        found = read_dlib_network(weight_file)(pixels).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_chip_is_where_dlib_puts_it() -> None:
    dlib = optional("dlib")
    scale = 10_000
    points = [dlib.point(*(int(v) for v in np.round(p * scale))) for p in FRAME_LANDMARKS]
    whole = dlib.rectangle(0, 0, scale, scale)
    shape = dlib.full_object_detection(whole, dlib.points(points))
    details = dlib.get_face_chip_details(shape, CHIP, 0.25)
    rect = details.rect
    edges = (rect.left(), rect.top(), rect.right(), rect.bottom())
    np.testing.assert_allclose(np.array(edges) / scale, CHIP_BOX, atol=2e-4)
    assert abs(details.angle) < 0.01


def test_describe_is_the_same_in_batches_and_alone(weight_file: Path) -> None:
    faces = np.stack([to_frame(np.array(draw_face(index)), 32) for index in range(3)])
    together = describe(faces, device="cpu")
    assert together.shape == (3, 128)
    assert together.dtype == np.float32
    np.testing.assert_allclose(describe(faces[1:2], device="cpu")[0], together[1], atol=1e-5)
    assert np.linalg.norm(together[0] - together[1]) > 0.01
    assert describe(faces[:0], device="cpu").shape == (0, 128)


@pytest.mark.parametrize("cut", [0, 1, 100, 350, 20_000, -1])
def test_cut_short(weight_file: Path, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.dat"
    path.write_bytes(weight_file.read_bytes()[:cut])
    with pytest.raises(LatentEditError, match=r"cut\.dat is not dlib's .* \(cut short\)"):
        read_dlib_network(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"loss_metric_2", b"loss_metric_3", "loss_metric"),
        (b"relu_", b"sig__", "relu_"),
        (b"\x01\x96\x01\x96", b"\x01\x97\x01\x96", "150"),  # the chip's size
        (b"\x02\x80\x12\x01\x01", b"\x02\x80\x12\x01\x7f", "4736"),  # a parameter tensor's shape
        (b"\x01\x02\x02\x80\x12", b"\x41\x02\x02\x80\x12", "no integer"),
    ],
)
def test_another_network_is_refused(
    weight_file: Path, tmp_path: Path, old: bytes, new: bytes, message: str
) -> None:
    whole = weight_file.read_bytes()
    assert old in whole
    path = tmp_path / "other.dat"
    path.write_bytes(whole.replace(old, new, 1))
    with pytest.raises(LatentEditError, match=message):
        read_dlib_network(path)


def test_more_after_the_end_is_refused(weight_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.dat"
    path.write_bytes(weight_file.read_bytes() + b"\0")
    with pytest.raises(LatentEditError, match="follows"):
        read_dlib_network(path)


def test_not_a_weight_file(tmp_path: Path) -> None:
    path = tmp_path / "noise.dat"
    path.write_bytes(np.random.RandomState(0).bytes(1000))
    with pytest.raises(LatentEditError, match="is not dlib's face recognition network"):
        read_dlib_network(path)
    with pytest.raises(LatentEditError, match="cannot read"):
        read_dlib_network(tmp_path / "missing.dat")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "face_recognition_models", None)
    descriptors.descriptor_network.cache_clear()
    with pytest.raises(LatentEditError, match=r"pip install 'latentedit\[evaluate\]'"):
        describe(np.zeros((1, 16, 16, 3), np.uint8))


def test_shapes_without_the_weights() -> None:
    torch.manual_seed(0)
    with torch.inference_mode():
        assert DlibFaceNetwork()(torch.zeros(2, 3, CHIP, CHIP)).shape == (2, 128)


def test_cosine() -> None:
    a = np.array([[1, 0], [0, 2], [1, 1]], np.float32)
    b = np.array([[3, 0], [4, 0], [-1, -1]], np.float32)
    np.testing.assert_allclose(cosine(a, b), [1, 0, -1], atol=1e-6)


def test_chip_goes_on_below_the_frame() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[-1] = 255
    chip = face_chip(image)
    assert chip.shape == (CHIP, CHIP, 3)
    assert (chip[-5:] == 255).all()
    assert (chip[: CHIP // 2] == 0).all()
