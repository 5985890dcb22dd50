"""Draw the picture of docs/photos.md: photos, their inversions and five edits of each.

    python scripts/photo_sheet.py astronaut.png grace_hopper.jpg -o docs/images/photos.jpg

After the given photos come generated faces that are unusual; they show no real person.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from latentedit import FaceEditor, PhotoEditor
from latentedit.attributes import display_name
from latentedit.editing.photos import Portrait, as_photograph
from latentedit.io.files import check_writable
from latentedit.io.images import UInt8Array, film_strip, reduced, save_image
from latentedit.photos.photograph import Photograph

UNUSUAL = {
    "profile": 41008,
    "glasses": 41314,
    "hat": 41257,
    "child": 41162,
    "dark skin": 41254,
    "shade": 41043,
    "black and white": 41352,
}
"""Seeds of generated faces, psi 1, by what is unusual about them."""

EDITS = {"Smiling": 2.0, "Young": -2.0, "Eyeglasses": 3.0, "Gray_Hair": 2.0, "Bangs": 2.5}
"""Steps of the edits; the other way if the classifier already sees the result in the photo."""

SIZE = 256


def opened(given: list[Path], editor: FaceEditor) -> Iterator[tuple[str, Photograph]]:
    for path in given:
        yield path.name, as_photograph(path)
    generator = editor.generator.truncated(1.0)
    for name, seed in UNUSUAL.items():
        pixels = editor.render(generator.sample([seed]))[0]
        if name == "black and white":
            grey = pixels @ np.array((0.299, 0.587, 0.114))
            pixels = np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=2)
        yield name, as_photograph(pixels)


def row(editor: PhotoEditor, portrait: Portrait) -> tuple[list[UInt8Array], list[str]]:
    """Return the pictures of one photo, and captions for its edits."""

    def shown(pixels: UInt8Array) -> UInt8Array:
        return portrait.face.alignment.cut(pixels, SIZE)

    photo = shown(portrait.photo.pixels)
    pictures, words = [photo, reduced(portrait.reconstruction, SIZE)], []
    has = dict(
        zip(editor.editor.attributes, editor.editor.score(photo[None])[0] >= 0.5, strict=True)
    )
    for name, step in EDITS.items():
        step = -step if has[name] == (step > 0) else step
        pictures.append(shown(editor.edit(portrait, {name: step})))
        words.append(f"{display_name(name)} {step:+g}")
    return pictures, words


def main(
    photos: Annotated[list[Path], typer.Argument(help="Photos of people who agree.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture to write.")],
    steps: Annotated[int | None, typer.Option(help="Refining steps [default: as in edit].")] = None,
) -> None:
    """Draw each photo, its inversion and its edits in a row."""
    check_writable(output)
    editor = PhotoEditor.load()
    rows, captions = [], []
    for name, photo in opened(photos, editor.editor):
        portrait = editor.open(photo, steps=steps)
        pictures, words = row(editor, portrait)
        rows.append(np.stack(pictures))
        captions.append([name, f"distance {portrait.identity:.2f}", *words])
        print(*captions[-1], sep=", ")
    save_image(output, film_strip(rows, captions=captions, frame_size=SIZE))


if __name__ == "__main__":
    typer.run(main)
