"""What lies where weights were expected is named, with what to do; content decides, not names."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import checkpoint_writers as writers
import numpy as np
import pytest
import torch

from latentedit.checkpoints import convert
from latentedit.checkpoints.kinds import kind_of
from latentedit.errors import LatentEditError

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f"
    b"32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.pth"))
    return buffer.getvalue()


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"0" * 20)
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((4, 512)))
    return buffer.getvalue()


FILES = {
    "web page": b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head>",
    "web page (lines first)": b"\n\n  <HTML lang='en'>\n<body>Sign in</body>",
    "answer in XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "JSON": b'{"error": "Repository not found"}',
    "a text": b"Entry not found",
    "Git LFS pointer": POINTER,
    "git-annex": b"/annex/objects/SHA256E-s1--abc.pth",
    "gzip": gzip.compress(b"weights"),
    "bzip2": b"BZh91AY&SY",
    "xz": b"\xfd7zXZ\x00\x00\x04",
    "7z": b"7z\xbc\xaf\x27\x1c\x00\x04",
    "RAR": b"Rar!\x1a\x07\x00",
    "tar archive": tar(),
    "zip archive that holds inner/a.pth": zipped("README.md", "inner/a.pth"),
    "zip archive that holds G.safetensors \\(and 1 more\\)": zipped("G.safetensors", "G.pkl"),
    "zip archive of something else": zipped("photos/1.jpg"),
    "empty zip archive": zipped(),
    "Keras": zipped("config.json", "model.weights.h5"),
    "npz": zipped("w.npy"),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "array of numpy": array(),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(20),
    "is empty": b"",
    "begins with zeros": bytes(5000),
    "protocol 0": b"cos\nsystem\n(S'true'\ntR.",
    "TensorFlow Lite": b"\x1c\x00\x00\x00TFL3" + bytes(40),
    "no weight file": bytes(range(1, 200)),
}


@pytest.mark.parametrize("ending", [".pth", ".pkl", ".onnx", ".safetensors", ""])
@pytest.mark.parametrize("name", FILES)
def test_what_is_something_else_is_named(tmp_path, name, ending):
    path = tmp_path / f"weights{ending}"
    path.write_bytes(FILES[name])
    if name == "no weight file" and ending == ".onnx":
        return  # only ONNX Runtime can tell
    with pytest.raises(LatentEditError, match=name.partition(" (lines")[0]) as error:
        convert(path)
    assert str(error.value).startswith(f"{path} is ")
    assert "\n" not in str(error.value)
    assert ": " in str(error.value)


def test_torchscript_is_named(tmp_path):
    traced = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    torch.jit.save(traced, tmp_path / "scripted.pt")
    with pytest.raises(LatentEditError, match="TorchScript"):
        convert(tmp_path / "scripted.pt")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["generator.json", "generator.safetensors"], "bundle already"),
        (["data.pkl", "data", "version"], "unpacked PyTorch file"),
        (["a.pth", "b.pth"], r"give a file in it \(a.pth, b.pth\)"),
        (["saved_model.pb"], "SavedModel"),
        (["readme.txt"], "no .xml"),
    ],
)
def test_folders_are_named(tmp_path, names, words):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("x")
    with pytest.raises(LatentEditError, match=words):
        convert(folder)


@pytest.mark.parametrize("name", ["model", "model.bin", "model.pth", "größe 1.weights"])
def test_content_decides(tmp_path, name):
    writers.write_onnx(tmp_path / name, np.ones((10, 48), np.float32))
    assert kind_of(tmp_path / name) == "onnx"
    torch.save(writers.pggan_state("higan", [6, 4]), tmp_path / name)
    assert convert(tmp_path / name).format == "HiGAN progressive GAN"


def test_a_file_packed_again_with_compression(tmp_path):
    torch.save(writers.pggan_state("higan", [6, 4]), tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as old,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(LatentEditError, match="compressed, as PyTorch never writes it"):
        convert(tmp_path / "b.pth")
