"""Write the pictures and scores that `tests/test_golden.py` checks the shipped bundles against.

    python scripts/golden.py --model faces128
    python scripts/golden.py --model ffhq1024

Run it after a bundle was made anew. Look at `tests/golden/*.png`, then commit both files.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit import FaceEditor
from latentedit.io.files import write_json
from latentedit.io.images import grid, save_image, to_tensor, to_uint8
from latentedit.io.resampling import downsample

FOLDER = Path(__file__).parent.parent / "tests" / "golden"
SEEDS = range(8)
EDGE = 128
"""Larger pictures are reduced to this edge by averaging pixels."""


def describe(editor: FaceEditor) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return the faces of `SEEDS` side by side, and their scores with the networks' hashes."""
    images = editor.render(editor.sample(SEEDS))
    entries: dict[str, Any] = {
        "generator_hash": editor.generator_hash,
        "classifier_hash": editor.classifier_hash,
        "seeds": list(SEEDS),
        "scores": editor.score(images).astype(float).round(4).tolist(),
    }
    return grid(shrink(images), columns=len(SEEDS), gap=0), entries


def shrink(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce pictures [N, R, R, 3] to `EDGE` pixels if they are larger."""
    times = max(1, images.shape[1] // EDGE)
    return to_uint8(downsample(to_tensor(images), times))


def main(model: str) -> None:
    """Write both files."""
    FOLDER.mkdir(exist_ok=True)
    editor = FaceEditor.load(model, device="cpu")
    picture, entries = describe(editor)
    save_image(FOLDER / f"{editor.name}.png", picture)
    write_json(FOLDER / f"{editor.name}.json", entries)
    print(f"{FOLDER / editor.name}.png and .json: commit them with the bundle")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="faces128")
    main(parser.parse_args().model)
