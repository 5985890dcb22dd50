"""Draw the sheet of example verdicts in docs/portrait.md: generated faces, spoilt step by step.

python scripts/portrait_sheet.py -o docs/images/portrait-verdicts.png
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.random import RandomState

from latentedit import FaceEditor
from latentedit.classifiers.portrait import QUALITIES
from latentedit.io.files import check_writable
from latentedit.io.images import UInt8Array, film_strip, save_image
from latentedit.photos.align import PORTRAIT_EDGE, cut, find_faces
from latentedit.portrait.assessor import UNSURE, PortraitAssessor, verdict_of
from latentedit.portrait.degradations import KINDS, UNSEEN, degrade

SHOWN = (
    ("blur", "defocus"),
    ("blur", "camera shake"),
    ("occlusion", "hand"),
    ("occlusion", "hair"),
    ("illumination", "side light"),
    ("illumination", "spotlight"),
)
STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def main(
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture to write.")],
    first_seed: Annotated[int, typer.Option(help="Faces are chosen from this seed on.")] = 0,
    seeds: Annotated[int, typer.Option(help="Number of faces to choose from.")] = 200,
    model: Annotated[str | None, typer.Option(help="Bundle of the generator.")] = None,
) -> None:
    """Take the clearest faces without a fault, spoil each in one way, write the verdicts below."""
    check_writable(output)
    editor, assessor = FaceEditor.load(model), PortraitAssessor.load()
    faces = editor.render(editor.sample(range(first_seed, first_seed + seeds)))
    edge = faces.shape[1]
    centre, size = np.full(2, edge / 2), assessor.network.config.resolution
    # the portrait frame reaches beyond the picture: there it is mirrored
    portraits = np.stack([cut(face, centre, PORTRAIT_EDGE * edge, size) for face in faces])
    clear = np.array([_clarity(face) for face in faces])
    clear[assessor.scores(portraits).min(1) < UNSURE[1]] = -1  # it has a fault already
    best = np.argsort(-clear)[: len(SHOWN)]
    rows, captions = [], []
    for place, (quality, kind) in zip(best, SHOWN, strict=True):
        strip = np.stack(
            [
                degrade(portraits[place], quality, kind, strength, RandomState(int(place)))
                for strength in STRENGTHS
            ]
        )
        column = assessor.scores(strip)[:, QUALITIES.index(quality)]
        rows.append(strip)
        captions.append([f"{quality} {s:.2f}, {verdict_of(s)}" for s in column])
    unseen = ", ".join(kind for quality, kind in SHOWN if kind in UNSEEN[quality])
    trained = ", ".join(kind for quality, kind in SHOWN if kind in KINDS[quality])
    title = f"Strength 0 to 1. Trained on: {trained}. Never seen: {unseen}."
    save_image(output, film_strip(rows, captions=captions, title=title, frame_size=150))
    print(f"seeds {', '.join(str(first_seed + int(i)) for i in best)} in {output}")


def _clarity(face: UInt8Array) -> float:
    """Return how sure dlib's detector is of a face in the shared frame; -1 if it finds none."""
    pad = (len(face) // 4,) * 2
    found = find_faces(np.pad(face, (pad, pad, (0, 0)), mode="edge"), edge=384)
    return found[0].score if found else -1.0


if __name__ == "__main__":
    typer.run(main)
