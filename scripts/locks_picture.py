"""Draw docs/images/locks.jpg: one face made older, with no locks, automatic locks, all locks.

python scripts/locks_picture.py [--seed 1] [-o docs/images/locks.jpg]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from latentedit import FaceEditor


def main() -> None:
    """Render the faces, put them side by side, and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/locks.jpg"))
    options = parser.parse_args()
    editor = FaceEditor.load("ffhq1024")
    face = editor.sample([options.seed])
    ways = [editor.edit(face, {"Young": -3.0}, hold=hold) for hold in ("none", "auto", "all")]
    faces = [editor.render(way, 400)[0] for way in (face, *ways)]
    Image.fromarray(np.concatenate(faces, 1)).save(options.output, quality=90)


if __name__ == "__main__":
    main()
