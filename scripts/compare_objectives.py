"""Compare objectives of the generator's training in equal time, with the same seed and data.

    python scripts/compare_objectives.py runs/faces64.faces pretrained/faces128 -o runs/compare

All settings grow in the same way and train for the same processor time, which other programs do
not change. The script measures 1,000 samples of each averaged generator. It writes a table
(`table.md`), the figures (`table.json`), one picture per setting, and one picture with the first
samples of all settings (`table.png`). Finished settings are not trained again; an interrupted one
starts anew.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import typer

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.data.face_file import FaceData, open_face_data
from latentedit.editing.editor import FaceEditor
from latentedit.evaluation.generators.report import (
    RealFaces,
    describe_real_faces,
    evaluate_generator,
)
from latentedit.io.files import make_folder, read_json, write_json
from latentedit.io.images import grid, open_image, save_image
from latentedit.pretrained.bundles import load_classifier
from latentedit.training.gan.adversarial import load_generator_run, train_generator
from latentedit.training.gan.meter import Report
from latentedit.training.options import GeneratorOptions

GROWTH = GeneratorOptions(
    stable_kimg=(5, 8, 12), fade_kimg=(5, 8, 10), total_kimg=10_000, decay_kimg=0, save_kimg=2
)
SETTINGS: dict[str, dict[str, Any]] = {
    "WGAN-GP": {"objective": "wgan-gp", "learning_rate": 1e-3},
    "WGAN-GP, augmented": {"objective": "wgan-gp", "learning_rate": 1e-3, "augment": True},
    "R1": {"objective": "r1"},
    "R1, augmented": {"objective": "r1", "augment": True},
    "projected": {"augment": False},
    "projected, augmented": {},
    "projected, augmented, no sliced distance": {"sliced_weight": 0},
    # about the same FLOPs: channels moved from coarse resolutions to fine ones
    "projected, augmented, fine": {"fmap_base": 1152, "fmap_max": 128},
}

COLUMNS = 12
"""Samples in a row of the pictures."""


class TimeIsUpError(Exception):
    """Ends a training from its progress callback."""


def main(
    data: Annotated[Path, typer.Argument(help="Training file.")],
    bundle: Annotated[Path, typer.Argument(help="Bundle of the classifier.")],
    output: Annotated[Path, typer.Option("-o", help="Folder of the runs and the table.")],
    minutes: Annotated[float, typer.Option(help="Processor time of each setting.")] = 20,
    n: Annotated[int, typer.Option(help="Samples to measure.")] = 1000,
) -> None:
    faces, (classifier, _) = open_face_data(data), load_classifier(bundle)
    real = describe_real_faces(faces, classifier, n)
    rows = []
    for name, changes in SETTINGS.items():
        folder = folder_of(make_folder(output), name)
        figures = folder / "figures.json"
        if not figures.exists():
            shutil.rmtree(folder, ignore_errors=True)
            seconds = train_for(60 * minutes, faces, folder, replace(GROWTH, **changes), classifier)
            write_json(figures, {"name": name, **measure(folder, classifier, real, seconds)})
        rows.append(read_json(figures))
    write_json(output / "table.json", rows)
    draw(rows, output)
    table = as_table(rows)
    (output / "table.md").write_text(table, encoding="utf-8")
    print(table)


def folder_of(output: Path, name: str) -> Path:
    """Return the run's folder; its picture has the same name."""
    return output / name.replace(", ", "_").replace(" ", "-")


def train_for(
    seconds: float,
    faces: FaceData,
    folder: Path,
    options: GeneratorOptions,
    classifier: AttributeClassifier,
) -> float:
    """Train until a state is saved after this processor time; return the time it took."""
    started = time.process_time()

    def watch(report: Report) -> None:
        saved = report.images % (1000 * options.save_kimg) < options.batch_size
        if saved and time.process_time() > started + seconds:
            raise TimeIsUpError

    with suppress(TimeIsUpError):
        train_generator(faces, folder, options, classifier=classifier, on_step=watch)
    return time.process_time() - started


def measure(
    folder: Path, classifier: AttributeClassifier, real: RealFaces, seconds: float
) -> dict[str, float]:
    """Measure a run's averaged generator; save a picture of its samples beside the folder."""
    generator, progress = load_generator_run(folder)
    editor = FaceEditor(generator, classifier, name=folder.name)
    report, samples = evaluate_generator(editor, classifier, real)
    save_image(folder.with_suffix(".png"), grid(samples.images[: 4 * COLUMNS], columns=COLUMNS))
    dlib = report["spaces"]["dlib"]
    finest = next(iter(report["sliced_wasserstein"].values()))
    return {
        "images": progress["images"],
        "images_per_second": progress["images"] / seconds,
        "frechet": dlib["frechet"]["samples"],
        "times_halves": dlib["frechet"]["times_halves"],
        "recall": dlib["recall"]["samples"],
        "sliced_wasserstein": finest["samples"],
        "face_found": report["face_found"]["samples"],
    }


def draw(rows: list[dict[str, Any]], output: Path) -> None:
    """Draw the first row of each setting's picture under its name."""
    figure, axes = plt.subplots(len(rows), figsize=(8, len(rows)), squeeze=False)
    for row, axis in zip(rows, axes.flat, strict=True):
        picture = open_image(folder_of(output, row["name"]).with_suffix(".png"))
        axis.imshow(picture[: picture.shape[1] // COLUMNS])
        axis.set_title(f"{row['name']}: {row['frechet']:.3f}", fontsize=8, loc="left", pad=2)
        axis.axis("off")
    figure.tight_layout(h_pad=0.2)
    figure.savefig(output / "table.png", dpi=150)
    plt.close(figure)


def as_table(rows: list[dict[str, Any]]) -> str:
    """Return the figures as a Markdown table."""
    keys = [key for key in rows[0] if key != "name"]
    lines = [f"| objective | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"]
    lines += [
        f"| {row['name']} | {' | '.join(f'{row[key]:.4g}' for key in keys)} |" for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
