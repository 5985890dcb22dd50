"""Write the pictures and scores that `tests/test_golden.py` holds the shipped bundle to.

    python scripts/golden.py

Run it after the bundle was trained anew, look at `tests/golden/*.png`, and commit both files.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit import FaceEditor
from latentedit.io.files import write_json
from latentedit.io.images import grid, save_image

FOLDER = Path(__file__).parent.parent / "tests" / "golden"
SEEDS = range(8)


def describe(editor: FaceEditor) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """The faces of `SEEDS` side by side, and what a network says of each."""
    images = editor.render(editor.sample(SEEDS))
    entries: dict[str, Any] = {
        "generator_hash": editor.generator_hash,
        "classifier_hash": editor.classifier_hash,
        "seeds": list(SEEDS),
        "scores": editor.score(images).astype(float).round(4).tolist(),
    }
    return grid(images, columns=len(SEEDS), gap=0), entries


def main() -> None:
    """Write both files."""
    FOLDER.mkdir(exist_ok=True)
    editor = FaceEditor.load(device="cpu")
    picture, entries = describe(editor)
    save_image(FOLDER / f"{editor.name}.png", picture)
    write_json(FOLDER / f"{editor.name}.json", entries)
    print(f"{FOLDER / editor.name}.png and .json: commit them with the bundle")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
