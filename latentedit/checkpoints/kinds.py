"""Tell what a file is by its first bytes: a kind that can be read, or a sentence that names it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NoReturn

from latentedit.checkpoints.ir_files import is_ir
from latentedit.checkpoints.torch_files import LEGACY_MAGIC
from latentedit.errors import LatentEditError

Kind = Literal["torch", "torch legacy", "safetensors", "pickle", "onnx", "ir"]

_HEAD = 1024
_WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors", ".pkl", ".onnx", ".bin", ".tar", ".pth.tar")

_UNPACK = "unpack it, and give the checkpoint inside"
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs.github.com/spec/",
        "is a Git LFS pointer, a few lines in place of the weights: run 'git lfs pull' in its "
        "repository, or download the file by itself",
    ),
    (b"/annex/objects/", "is a git-annex pointer: run 'git annex get' in its repository"),
    (b"\x1f\x8b", f"is a gzip archive: {_UNPACK}"),
    (b"BZh", f"is a bzip2 archive: {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"is an xz archive: {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"is a 7z archive: {_UNPACK}"),
    (b"Rar!", f"is a RAR archive: {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"is a Zstandard archive: {_UNPACK}"),
    (b"PK\x05\x06", "is an empty zip archive: download it again"),
    (
        b"\x89HDF\r\n\x1a\n",
        "is an HDF5 file (Keras?): export the generator to ONNX, and convert that",
    ),
    (
        b"\x93NUMPY",
        "is an array of numpy's, no network: latents are for 'edit --latents', boundaries for "
        "'boundaries import'",
    ),
    (b"\x89PNG", "is a picture, no network: give the weights"),
    (b"\xff\xd8\xff", "is a picture, no network: give the weights"),
    (b"GGUF", "is a GGUF file of a language model: give a generator's weights"),
    (b"%PDF", "is a PDF: give the weights"),
    (b"MZ", "is a program: give the weights"),
    (b"\x7fELF", "is a program: give the weights"),
)
_TEXTS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    (
        (b"<!doctype html", b"<html", b"<head", b"<script"),
        "is a web page, no network: a site answered with a page (a quota, a login, a licence to "
        "accept) in place of the file: download it with a browser, and look at its size",
    ),
    (
        (b"<?xml", b"<error"),
        "is a server's answer in XML, no network: download the weights again",
    ),
    (
        (b'{"', b"{\n", b"{'", b"["),
        "is a JSON text, no network: give the weights that belong to it, or download them again",
    ),
)


def kind_of(path: str | Path) -> Kind:
    """Return the kind of a weight file, from its first bytes; for IR files see `is_ir`.

    The name does not matter, except that a ``.onnx`` file with unknown bytes counts as ONNX.

    Raises:
        LatentEditError: the file is missing, or of no such kind: the message says what it is.
    """
    path = Path(path)
    if path.is_dir():
        return _kind_of_folder(path)
    if is_ir(path):
        return "ir"
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
            size = path.stat().st_size
    except OSError as error:
        raise LatentEditError(f"cannot read {path}: {error.strerror}") from None
    if head[:4] == b"PK\x03\x04":
        return _kind_of_zip(path)
    if head[:1] == b"\x80" and len(head) > 1 and head[1] in range(2, 6):
        return "torch legacy" if head[2:14] == LEGACY_MAGIC else "pickle"
    if head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 2**27:
        return "safetensors"
    if path.suffix.lower() == ".onnx" and not _in_words(path, head, size):
        return "onnx"
    if _is_onnx(head):
        return "onnx"
    return _refuse(path, _in_words(path, head, size) or _UNKNOWN)


_UNKNOWN = (
    "is no weight file: give a PyTorch .pth, a .pkl of TensorFlow or NVIDIA, a .safetensors or "
    ".onnx file, or OpenVINO's .xml"
)


def _refuse(path: Path, why: str) -> NoReturn:
    raise LatentEditError(f"{path} {why}")


def _in_words(path: Path, head: bytes, size: int) -> str | None:
    """Say what a file is instead of a weight file, and what to do; None if that is unknown."""
    if not size:
        return "is no weight file: it is empty, download it again"
    if not head.strip(b"\0"):
        return "is no weight file: it begins with zeros, its download was not finished"
    for beginning, words in _BEGINNINGS:
        if head.startswith(beginning):
            return words
    if head[257:262] == b"ustar":
        return f"is a tar archive: {_UNPACK}"
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite file: export the generator to ONNX, and convert that"
    if path.name == "saved_model.pb" or _is_tensorflow(path):
        return (
            "is a TensorFlow file: convert it to PyTorch with its authors' tools, or to ONNX with "
            "tf2onnx, and give that"
        )
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, words in _TEXTS:
        if text.startswith(beginnings):
            return words
    if head[:1] in b"(cI}]" and b"\n" in head[:80] and head.rstrip()[-1:] == b".":
        return "is a pickle of protocol 0 or 1, which no checkpoint has: save it again"
    if _is_text(head):
        line = " ".join(text.decode("utf-8", "replace").split())[:50]
        return f"is no weight file but a text ({line!r}): download the weights again"
    return None


def _is_text(head: bytes) -> bool:
    try:
        return (
            head.decode("utf-8")
            .replace("\n", " ")
            .replace("\r", " ")
            .replace("\t", " ")
            .isprintable()
        )
    except UnicodeDecodeError:
        return False


def _is_tensorflow(path: Path) -> bool:
    return path.suffix in (".index", ".meta") or ".data-00000-of-" in path.name


def _is_onnx(head: bytes) -> bool:
    """Whether bytes begin like ONNX's protocol buffer ``ModelProto``: a version, then fields."""
    versions = range(3, 32)
    return len(head) > 16 and head[0] == 0x08 and head[1] in versions and head[2] in _ONNX_FIELDS


_ONNX_FIELDS = (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42)
"""Tags of producer, its version, domain, model version, description, graph and operator sets."""


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception as error:  # zipfile raises many types on damaged files
        detail = " ".join(str(error).split())[:120]
        _refuse(path, f"is damaged ({detail}): its download may not be finished, fetch it again")


def _kind_of_zip(path: Path) -> Kind:
    names = _names(path)
    inside = [PurePosixPath(name) for name in names if not name.endswith("/")]
    if any(each.name == "constants.pkl" for each in inside) and any(
        "code" in each.parts for each in inside
    ):
        _refuse(
            path,
            "is a TorchScript archive, a program with its weights: save the network's "
            "state_dict(), or export it to ONNX, and convert that",
        )
    if any(each.name == "data.pkl" for each in inside):
        return "torch"
    for matches, words in _ARCHIVES:
        if any(matches(each) for each in inside):
            _refuse(path, words)
    weights = [str(each) for each in inside if each.suffix.lower() in _WEIGHTS]
    if weights:
        more = f" (and {len(weights) - 1} more)" if len(weights) > 1 else ""
        _refuse(path, f"is a zip archive that holds {weights[0]}{more}: unpack it, and give that")
    listing = ", ".join(str(each) for each in inside[:3]) or "nothing"
    _refuse(path, f"is a zip archive of something else ({listing}): give the weights")


_ARCHIVES: Sequence[tuple[Callable[[PurePosixPath], bool], str]] = (
    (
        lambda each: each.suffix == ".npy",
        "is numpy's .npz, no network: latents are for 'edit --latents', boundaries for "
        "'boundaries import'",
    ),
    (
        lambda each: each.name in ("model.weights.h5", "keras_metadata.pb"),
        "is a Keras model: export the generator to ONNX, and convert that",
    ),
    (
        lambda each: each.suffix in (".mlmodel", ".espresso.net"),
        "is a Core ML model: convert what it was made from",
    ),
)


def _kind_of_folder(path: Path) -> Kind:
    """Return ``ir`` for a folder that may hold IR files; for others, say what to give instead."""
    try:
        names = sorted(each.name for each in path.iterdir())
    except OSError as error:
        raise LatentEditError(f"cannot read {path}: {error.strerror}") from None
    if any(name.endswith(".xml") for name in names):
        return "ir"
    if "generator.json" in names:
        _refuse(path, "is a bundle already: name it with --model")
    if "data.pkl" in names and "data" in names:
        _refuse(
            path,
            "is an unpacked PyTorch file: pack the folder again without compression (zip -0 -r), "
            "or download the file anew",
        )
    if "saved_model.pb" in names:
        _refuse(path, "is a TensorFlow SavedModel: convert it to ONNX with tf2onnx, and give that")
    if "model_index.json" in names:
        _refuse(path, "is a diffusion pipeline: only GANs can be read")
    weights = [name for name in names if Path(name).suffix.lower() in _WEIGHTS]
    if weights:
        few = ", ".join(weights[:3])
        _refuse(path, f"is a folder: give a file in it ({few})")
    return "ir"
