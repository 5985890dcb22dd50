"""Compare this package with what people would use instead, in one table; both run in turn.

    python benchmarks/others.py                    # about ten minutes; needs a quiet machine
    python benchmarks/others.py photo --photo me.jpg

Two of the others no longer run as they were published, so their steps are repeated here.
random-face's engine imports a module that OpenVINO has dropped. So its two published files run on
today's OpenVINO, in the engine's order. InterFaceGAN's progressive generator is written again in
`reference.py`, with random weights. `face_recognition` is replaced by the calls to dlib that it
makes, followed by FFHQ's crop.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timing
import torch
from boundaries import compare, planted
from numpy.typing import NDArray
from PIL import Image
from reference import make_pair
from runtimes import compiled

from latentedit import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.inference.devices import computes_bfloat16
from latentedit.inference.openvino import load_openvino
from latentedit.inference.prepare import prepare
from latentedit.io.packages import package_folder
from latentedit.photos.faces import choose_faces
from latentedit.photos.ffhq import Alignment
from latentedit.photos.photograph import open_photograph
from latentedit.pretrained.cache import SOURCES, pulled
from latentedit.pretrained.wheels import check_wheel, fetch, installed

CPU = torch.device("cpu")
SOURCE = SOURCES["ffhq1024"]
PHOTO_SIZE = (4000, 3000)
CROP, SUPERSAMPLED = 1024, 4096
"""Edges in pixels of FFHQ's aligned pictures, and of what they are reduced from."""


class Row(NamedTuple):
    """One task: what it is, who else does it, and the seconds of the other and of ours."""

    task: str
    other: str
    seconds: float
    ours: float


def precisions() -> list[torch.dtype]:
    """Return float32, and bfloat16 if the CPU computes in it."""
    return [torch.float32, *([torch.bfloat16] if computes_bfloat16(CPU) else [])]


def said(dtype: torch.dtype) -> str:
    """Return the name of a type: float32 or bfloat16."""
    return str(dtype).removeprefix("torch.")


def in_turn(task: str, other: str, calls: tuple[Callable[[], object], ...], rounds: int) -> Row:
    """Time the other's call and ours in turn."""
    seconds = timing.time_in_turn(dict(zip(("other", "ours"), calls, strict=True)), rounds)
    return Row(task, other, seconds["other"], seconds["ours"])


# ---- faces of 1024 pixels


def published(wheel: Path | None, folder: Path) -> Path:
    """Return the folder of random-face's two published networks; fetch them if needed."""
    if wheel is None and (files := installed(SOURCE)):
        return files
    wheel = check_wheel(wheel, SOURCE) if wheel else fetch(SOURCE, folder, lambda *_: None)
    with zipfile.ZipFile(wheel) as archive:
        for name in SOURCE.files:
            archive.extract(f"{SOURCE.folder}/{name}", folder)
    return folder / SOURCE.folder


class RandomFace:
    """random-face's engine: a random face, uint8 [1024, 1024, 3]."""

    def __init__(self, files: Path, dtype: torch.dtype) -> None:
        core = load_openvino().Core()
        self.mapping = compiled(core.read_model(files / "MappingNetwork.xml"), dtype)
        self.synthesis = compiled(core.read_model(files / "SynthesisNetwork.xml"), dtype)
        self.random = np.random.default_rng(0)
        self.mean = torch.stack([self.style() for _ in range(64)]).mean(0)

    def style(self) -> torch.Tensor:
        """Return a random w, float32 [1, 512]."""
        z = self.random.standard_normal((1, 512), dtype=np.float32)
        return self.mapping(torch.from_numpy(z))

    def face(self, psi: float = 0.5) -> NDArray[np.uint8]:
        """Do as `EngineBase.get_random_face` and `tensor_to_img`; blue comes first, as there."""
        picture = self.synthesis(self.mean + psi * (self.style() - self.mean))[0].numpy()
        picture = (np.clip(picture, -1, 1) + 1) / (2 + 1e-5)
        colours = np.clip(picture * 255 + 0.5, 0, 255).transpose(1, 2, 0).astype(np.uint8)
        return colours[:, :, ::-1]


def face_of_seed(editor: FaceEditor) -> object:
    """Draw the same with our Python API."""
    return editor.render(editor.sample([0]))


def photographs(options: argparse.Namespace) -> Iterator[Row]:
    """Time a face of ffhq1024, from its seed."""
    if not pulled("ffhq1024"):
        raise LatentEditError("ffhq1024 is not here: latentedit models pull ffhq1024")
    with tempfile.TemporaryDirectory() as folder:
        files = published(options.wheel, Path(folder))
        for dtype in precisions():
            editor = FaceEditor.load("ffhq1024", device="cpu", precision=said(dtype))
            engine = RandomFace(files, dtype)
            yield in_turn(
                f"a face of ffhq1024, {said(dtype)}",
                "random-face's files",
                (engine.face, partial(face_of_seed, editor)),
                options.rounds,
            )


def one_by_one(network: Callable[[torch.Tensor], torch.Tensor], z: torch.Tensor) -> object:
    """Draw with ours: one face at a time, as everywhere on a CPU."""
    return [network(row) for row in z.split(1)]


def progressive(options: argparse.Namespace) -> Iterator[Row]:
    """Time one face and four of InterFaceGAN's progressive GAN."""
    for resolution in (256, 1024):
        reference, generator = make_pair(resolution)
        fast = {dtype: prepare(generator, dtype) for dtype in precisions()}
        for count in (1, 4):
            z = torch.randn(count, 512, generator=torch.Generator().manual_seed(0))
            for dtype, network in fast.items():
                with torch.inference_mode():
                    yield in_turn(
                        f"{count} of a progressive GAN's, {resolution} pixels, {said(dtype)}",
                        "InterFaceGAN's arithmetic, float32",
                        (partial(reference, z), partial(one_by_one, network, z)),
                        options.rounds,
                    )


# ---- boundaries


def boundary(options: argparse.Namespace) -> Iterator[Row]:
    """Time one attribute's boundary; the time of SVC grows with the square of the latents."""
    z, scores = planted(2 * options.latents)
    found = compare(z, scores[:, -1], options.latents, options.rounds)
    ours = found["BoundaryFinder"]
    for name, other in found["others"].items():
        yield Row(
            f"a boundary from {options.latents:,} latents (accuracy {ours['accuracy']:.3f},"
            f" the other's {other['accuracy']:.3f})",
            f"scikit-learn's {name}",
            other["seconds"],
            ours["seconds"],
        )


# ---- photos


def large_photo() -> bytes:
    """Return a JPEG of 12 megapixels: a generated face on a blurred background."""
    editor = FaceEditor.load("ffhq1024" if pulled("ffhq1024") else "faces128", device="cpu")
    face = Image.fromarray(editor.render(editor.sample([0]))[0])
    width, height = PHOTO_SIZE
    photo = face.resize((8, 6)).resize(PHOTO_SIZE, Image.Resampling.BICUBIC)
    edge = height * 2 // 3
    photo.paste(
        face.resize((edge, edge), Image.Resampling.LANCZOS), ((width - edge) // 2, edge // 4)
    )
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=92)
    return file.getvalue()


class FaceRecognition:
    """The calls to dlib that `face_recognition` makes, then FFHQ's crop."""

    def __init__(self) -> None:
        import dlib

        models = package_folder("face_recognition_models") / "models"
        self.detector = dlib.get_frontal_face_detector()
        self.predictor = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))

    def aligned(self, data: bytes) -> NDArray[np.uint8]:
        """Do as `load_image_file`, `face_locations`, `face_landmarks`; uint8 [1024, 1024, 3]."""
        image = Image.open(io.BytesIO(data)).convert("RGB")
        pixels = np.array(image)
        box = max(self.detector(pixels, 1), key=lambda box: box.area())
        points = np.array([(p.x, p.y) for p in self.predictor(pixels, box).parts()], np.float64)
        corners = Alignment.of(points, *image.size).quad[[0, 3, 2, 1]]
        edge = (SUPERSAMPLED, SUPERSAMPLED)
        square = image.transform(
            edge, Image.Transform.QUAD, corners.flatten().tolist(), Image.Resampling.BILINEAR
        )
        return np.asarray(square.resize((CROP, CROP), Image.Resampling.LANCZOS))


def photo(options: argparse.Namespace) -> Iterator[Row]:
    """Time the way from a photo's file to its aligned face."""
    data = options.photo.read_bytes() if options.photo else large_photo()
    other = FaceRecognition()

    def ours() -> NDArray[np.uint8]:
        pixels = open_photograph(data).pixels
        (face,) = choose_faces(pixels)
        return face.alignment.cut(pixels, CROP)

    apart = np.abs(other.aligned(data).astype(np.float32) - ours()).mean()
    width, height = open_photograph(data).pixels.shape[1::-1]
    yield in_turn(
        f"the aligned face of a photo of {width} x {height} ({apart:.1f} of 255 apart)",
        "face_recognition's calls, FFHQ's crop",
        (lambda: other.aligned(data), ours),
        options.rounds,
    )


ROWS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "ffhq1024": photographs,
    "progressive": progressive,
    "boundary": boundary,
    "photo": photo,
}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--latents", type=int, default=10_000, help="latents to fit the boundary to"
    )
    parser.add_argument("--wheel", type=Path, help="random-face's wheel, if fetched before")
    parser.add_argument("--photo", type=Path, help="photo to use; by default one is drawn")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians\n")
    print(
        "| task | instead | s | latentedit, s | times faster |\n|---|---|---|---|---|", flush=True
    )
    for name in options.rows:
        for row in ROWS[name](options):
            print(
                f"| {row.task} | {row.other} | {row.seconds:.3f} | {row.ours:.3f} |"
                f" {row.seconds / row.ours:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
