"""Tiny random networks and drawn data, so that no test needs a download or a trained model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries.model import Boundaries
from latentedit.classifiers.attributes import AttributeClassifier, ClassifierConfig
from latentedit.cli import main
from latentedit.data.face_file import FaceData, create_face_data, open_face_data
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.inference import prepare
from latentedit.io.files import temporary_beside
from latentedit.pretrained.bundles import save_part
from latentedit.pretrained.cache import HOME_VARIABLE, pulled
from latentedit.pretrained.hashing import weights_hash

settings.register_profile("steady", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("steady")

PULLED = pulled("ffhq1024")
"""The user's own ffhq1024, for tests of it alone; the others see none."""

TINY_GENERATOR = GeneratorConfig(resolution=16, latent_dim=64, fmap_base=64, fmap_max=16)
TINY_CLASSIFIER = ClassifierConfig(resolution=16, stem=4, widths=(8, 8), blocks=(1, 1))


def _generator() -> Generator:
    torch.manual_seed(0)
    return Generator(TINY_GENERATOR).eval()


def _classifier() -> AttributeClassifier:
    torch.manual_seed(1)
    return AttributeClassifier(TINY_CLASSIFIER).eval()


@pytest.fixture(scope="session", autouse=True)
def _no_pulled_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests do not depend on what the user pulled; processes that they start do not either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module", autouse=True)
def _plain_networks(request: pytest.FixtureRequest) -> Iterator[None]:
    """PyTorch computes tiny networks: OpenVINO takes longer to compile them than to run them.

    What a user gets is computed in modules marked `fast_form`, and in processes that tests start.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("fast_form") is None:
            patch.setattr(prepare, "has_openvino", lambda: False)
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are taken in one order, whatever the machine: for what must repeat to the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def exit_code(*words: object) -> int:
    """Run the command line in this process."""
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return int(stopped.value.code or 0)


def run(arguments: list[str], code: int = 0) -> None:
    """Run the command line in this process and check its exit code."""
    assert exit_code(*arguments) == code


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture(name="run")
def _run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Run the command line in this process, inside an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*words: object) -> Result:
        capsys.readouterr()
        code = exit_code(*words)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def abandon(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Makes of a file, or a folder, what a process that was killed while writing it leaves."""

    def leave(path: Path) -> Path:
        process = subprocess.Popen([sys.executable, "-S", "-c", ""])
        process.wait()
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: process.pid)
            left = temporary_beside(path)
        if path.is_dir():
            return path.rename(left)
        left.mkdir()
        path.rename(left / "new")
        return left

    return leave


@pytest.fixture
def tiny_generator() -> Generator:
    """A random generator, 64-d latents, 16x16 pictures; the one in `tiny_bundle`."""
    return _generator()


@pytest.fixture
def tiny_classifier() -> AttributeClassifier:
    """A random classifier of the 40 attributes; the one in `tiny_bundle`."""
    return _classifier()


@pytest.fixture(scope="session")
def _bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    generator, classifier = _generator(), _classifier()
    card = {"data": "none", "commands": ["none"], "options": {}}
    save_part(folder, "generator", generator, generator.config, card)
    save_part(folder, "classifier", classifier, classifier.config, card)
    normals = np.random.RandomState(0).standard_normal((len(ATTRIBUTES), 64))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    Boundaries(
        names=ATTRIBUTES,
        normals=normals,
        biases=np.linspace(-1, 1, len(ATTRIBUTES)),
        generator_hash=weights_hash(generator),
        figures={name: {"accuracy": 0.5, "f1": 0.5} for name in ATTRIBUTES},
        auto={"Young": {"Male": 0.8, "Gray_Hair": 0.5}},
    ).save(folder / "boundaries.safetensors")
    return folder


@pytest.fixture
def tiny_bundle(_bundle: Path, tmp_path: Path) -> Path:
    """A bundle folder with generator, classifier and 40 boundaries; the test's own to damage."""
    return Path(shutil.copytree(_bundle, tmp_path / "tiny"))


def draw_face(index: int, size: tuple[int, int] = (178, 218)) -> Image.Image:
    """Draw a face as CelebA aligns it: eyes at (69, 111) and (108, 111) of 178x218."""
    random = np.random.RandomState(index)
    scale = size[0] / 178
    skin, back = (tuple(int(c) for c in random.randint(120, 220, 3)) for _ in range(2))
    picture = Image.new("RGB", size, back)
    draw = ImageDraw.Draw(picture)
    draw.ellipse([edge * scale for edge in (35, 45, 142, 190)], fill=skin)
    for x in (69, 108):
        draw.ellipse([edge * scale for edge in (x - 7, 104, x + 7, 118)], fill="black")
    draw.line([edge * scale for edge in (70, 152, 107, 152)], fill="darkred", width=3)
    return picture


@pytest.fixture
def face(tmp_path: Path) -> Path:
    path = tmp_path / "face.jpg"
    draw_face(1).save(path)
    return path


@pytest.fixture
def make_celeba() -> Callable[..., Path]:
    """Draw a folder in CelebA's layout: make_celeba(folder, count=6, size=(89, 109))."""

    def make(folder: Path, count: int = 6, size: tuple[int, int] = (89, 109)) -> Path:
        pictures = folder / "img_align_celeba"
        pictures.mkdir(parents=True)
        lines = [str(count), " ".join(ATTRIBUTES) + " "]
        for number in range(1, count + 1):
            draw_face(number, size).save(pictures / f"{number:06d}.jpg", quality=95)
            values = np.random.RandomState(number).choice((-1, 1), len(ATTRIBUTES))
            lines.append(f"{number:06d}.jpg " + " ".join(f"{value:2d}" for value in values))
        (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
        return folder

    return make


@pytest.fixture
def celeba_folder(make_celeba: Callable[..., Path], tmp_path: Path) -> Path:
    """Six drawn half-size faces exactly as CelebA ships them."""
    return make_celeba(tmp_path / "celeba")


def tiny_faces(count: int, resolution: int = 16) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Draw discs on plain grounds; label k says whether the disc is bright, k even, or large."""
    random = np.random.RandomState(0)
    shade, radius = random.uniform(60, 250, (count, 1, 1, 3)), random.uniform(0.3, 0.9, count)
    axis = np.linspace(-1, 1, resolution)
    distance = np.hypot(axis[:, None], axis[None])
    inside = distance[None] < radius[:, None, None]
    images = np.where(inside[..., None], shade, 20).astype(np.uint8)
    bright, large = shade.mean((1, 2, 3)) > 155, radius > 0.6
    labels = np.where(np.arange(len(ATTRIBUTES)) % 2, large[:, None], bright[:, None])
    return images, labels.astype(np.int8)


@pytest.fixture(scope="session")
def face_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training file of 240 drawn 16x16 faces with 40 labels; do not write to it."""
    path = tmp_path_factory.mktemp("faces") / "tiny.faces"
    images, labels = tiny_faces(240)
    with create_face_data(
        path, resolution=16, label_names=ATTRIBUTES, source="drawn discs"
    ) as writer:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            writer.append(image, label.tolist(), f"{index:06d}.jpg")
    return path


@pytest.fixture
def data(face_file: Path) -> FaceData:
    return open_face_data(face_file)
