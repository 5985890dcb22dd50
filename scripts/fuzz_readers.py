"""Fuzz every reader of foreign files: damaged, swapped and enlarged copies of small good ones.

    python scripts/fuzz_readers.py --mutations 10000 --seed 0

Each reader gets this many mutations of files that it reads well: cuts, flipped bits, swapped and
repeated stretches, huge numbers, other opcodes and types. It may return, or raise `LatentEditError`
in one line; anything else is a crash. For each reader the script prints the mutations, how many
were accepted and refused, the crashes, the slowest read, and the peak memory of the process. It
runs in one thread, and exits with 1 after a crash, a read of more than 5 s, or more than 1 GiB.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1] / "tests"
LIMIT_SECONDS, LIMIT_BYTES = 5.0, 2**30

Reader = Callable[[Path], object]


def mutate(data: bytes, random: np.random.RandomState) -> bytes:
    """Return a damaged copy: one to four changes, most of them near headers and pickles."""
    out = bytearray(data)
    for _ in range(random.randint(1, 5)):
        if len(out) < 8:
            break
        near = len(out) if random.rand() < 0.5 else min(len(out), 2000)
        place = random.randint(near)
        kind = random.randint(8)
        if kind == 0:
            del out[place:]
        elif kind == 1:
            out[place] ^= 1 << random.randint(8)
        elif kind == 2:
            out[place] = random.randint(256)
        elif kind == 3:  # a huge size or count
            size = random.choice([2, 4, 8])
            out[place : place + size] = random.choice(
                [b"\xff" * size, b"\x7f" + b"\xff" * (size - 1), b"\xff" * (size - 1) + b"\x7f"]
            )
        elif kind == 4:  # another opcode, type or tag
            out[place] = random.choice(
                list(b"(]}).RbcuestaNKMJX\x80\x81\x85\x86\x87\x8c\x93\x94\x95")
            )
        elif kind == 5:
            end = min(len(out), place + random.randint(1, 64))
            other = random.randint(len(out))
            out[other:other] = out[place:end]
        elif kind == 6:
            del out[place : place + random.randint(1, 64)]
        else:
            end = min(len(out), place + 32)
            out[place:end] = bytes(random.randint(0, 256, end - place).astype(np.uint8))
    return bytes(out)


def samples(folder: Path) -> dict[str, tuple[Reader, list[Path]]]:
    """Return readers by name, each with small good files of its kind."""
    sys.path.insert(0, str(TESTS))
    import checkpoint_writers as writers
    import ir_writers
    import tiny_generators
    import torch
    from safetensors.torch import save_file

    from latentedit.checkpoints import convert
    from latentedit.checkpoints.boundaries_npy import read_normal
    from latentedit.checkpoints.latent_files import read_latents
    from latentedit.generators.onnx_files import external_files

    state = writers.pggan_state("higan", [4, 4])
    torch.save({"g_ema": state, "fid": np.float64(3), "rng": np.arange(4)}, folder / "a.pt")
    torch.save(state, folder / "b.pt", _use_new_zipfile_serialization=False)
    save_file(dict(state), folder / "a.safetensors")
    variables = writers.tensorflow_variables([2, 2], fused=True)
    writers.write_tensorflow(folder / "a.pkl", variables)
    reference = writers.rosinality_state([4, 2])
    writers.write_nvidia_snapshot(
        folder / "nv.pkl", writers.nvidia_stylegan2(reference, torch.zeros(16))
    )
    writers.write_onnx(folder / "a.onnx", np.ones((10, 48), np.float32))
    ir = folder / "ir"
    ir_writers.write_folder(ir, ir_writers.ir_files(tiny_generators.mobilestylegan()))
    w = np.random.RandomState(0).randn(2, 6, 16).astype(np.float32)
    np.save(folder / "w.npy", w)
    np.savez(folder / "w.npz", w=w, loss=np.zeros(3))
    torch.save(torch.from_numpy(w), folder / "latents.pt")
    np.save(folder / "n.npy", w[0, :1])
    torch.save({"age": torch.from_numpy(w[0, :1])}, folder / "n.pt")

    def external(path: Path) -> object:
        return external_files(path, path.read_bytes())

    with zipfile.ZipFile(folder / "a.pt") as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    (inner,) = (name for name in parts if name.endswith("/data.pkl"))
    (folder / "data.pkl").write_bytes(parts[inner])

    def packed(path: Path) -> object:
        """Convert the archive with this pickle inside, so that checksums fit."""
        with zipfile.ZipFile(folder / "packed.pt", "w") as archive:
            for entry, content in {**parts, inner: path.read_bytes()}.items():
                archive.writestr(entry, content)
        return convert(folder / "packed.pt")

    return {
        "PyTorch archive": (convert, [folder / "a.pt"]),
        "the pickle inside it": (packed, [folder / "data.pkl"]),
        "PyTorch, old kind": (convert, [folder / "b.pt"]),
        "safetensors": (convert, [folder / "a.safetensors"]),
        "TensorFlow pickle": (convert, [folder / "a.pkl"]),
        "NVIDIA snapshot": (convert, [folder / "nv.pkl"]),
        "ONNX, files beside it": (external, [folder / "a.onnx"]),
        "OpenVINO .xml": (convert, sorted(ir.glob("*.xml"))),
        "latents": (read_latents, [folder / f"{n}" for n in ("w.npy", "w.npz", "latents.pt")]),
        "directions": (read_normal, [folder / "n.npy", folder / "n.pt"]),
    }


def fuzz(
    name: str, reader: Reader, files: list[Path], mutations: int, seed: int
) -> dict[str, object]:
    """Read mutations of some files; return counts, crashes, slowest read and peak memory."""
    from latentedit.errors import LatentEditError

    random = np.random.RandomState(seed)
    wholes = [path.read_bytes() for path in files]
    accepted = refused = 0
    crashes: list[str] = []
    slowest = 0.0
    for count in range(mutations):
        path, whole = files[count % len(files)], wholes[count % len(files)]
        path.write_bytes(mutate(whole, random))
        start = time.perf_counter()
        try:
            reader(path)
            accepted += 1
        except LatentEditError as error:
            refused += 1
            if "\n" in str(error):
                crashes.append(f"two lines: {error}")
        except Exception as error:
            crashes.append(f"mutation {count}: {type(error).__name__}: {error}")
        slowest = max(slowest, time.perf_counter() - start)
        path.write_bytes(whole)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "reader": name,
        "mutations": mutations,
        "accepted": accepted,
        "refused": refused,
        "crashes": crashes,
        "slowest": slowest,
        "peak": peak,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="part of a reader's name")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    bad = 0
    heads = ("mutations", "accepted", "refused", "crashes", "slowest", "peak memory")
    print("".join((f"{'reader':<24}", *(f"{head:>12}" for head in heads))))
    with tempfile.TemporaryDirectory() as folder:
        for name, (reader, files) in samples(Path(folder)).items():
            if options.only and options.only not in name:
                continue
            row = fuzz(name, reader, files, options.mutations, options.seed)
            crashes, slowest, peak = row["crashes"], row["slowest"], row["peak"]
            assert isinstance(crashes, list)
            assert isinstance(slowest, float)
            assert isinstance(peak, int)
            cells = (row["mutations"], row["accepted"], row["refused"], len(crashes))
            print(
                f"{name:<24}"
                + "".join(f"{cell:>12}" for cell in cells)
                + f"{slowest:>10.2f} s{peak / 2**20:>9.0f} MB",
                flush=True,
            )
            for crash in crashes[:5]:
                print(f"  {crash}")
            bad += len(crashes) + (slowest > LIMIT_SECONDS) + (peak > LIMIT_BYTES)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
