"""People in visitors' photos: opened in memory, inverted, and refined in slices. No Gradio."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentedit.editing.photos import PhotoEditor, Portrait, origin_of
from latentedit.editing.recipes import EditRecipe
from latentedit.errors import LatentEditError
from latentedit.photos.faces import ALL, PhotoFace, choose_faces
from latentedit.photos.inversion import InversionOptions
from latentedit.photos.photograph import Photograph, open_photograph
from latentedit.portrait.assessor import POOR, PortraitAssessor

MAX_BYTES = 40_000_000
MAX_PIXELS = 50_000_000
"""Largest photo that visitors may bring."""

SHOWN_EDGE, PREVIEW_EDGE = 1024, 512
"""Longer edge in pixels of photos on the page, at rest and while a slider moves."""

REFINING_STEPS = 60
REDRAWN_AT = (12, 30, REFINING_STEPS)
"""Steps of refining after which the page gets the latents so far."""

WARNED_OF = {
    "blur": "The photo is not sharp, so fine detail may be lost.",
    "occlusion": "Something covers part of the face: edits around it may look odd.",
}
"""Poor qualities of a portrait that edits suffer from."""


@dataclass(frozen=True, eq=False)
class Upload:
    """A photo with the faces in it.

    Attributes:
        name: of its file.
        data: what is in that.
        shown: the photo, made smaller for the page, without its metadata.
        faces: that can be edited, from the left; where they are in the whole photo.
    """

    name: str
    data: bytes
    shown: Photograph
    faces: tuple[PhotoFace, ...]

    @property
    def digest(self) -> str:
        """Tells photos apart."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class PhotoEdit:
    """An edit of a photo as it was saved.

    Attributes:
        photo: name of the file that it was made of, or "".
        edit: of the first face.
        face: its number, from the left.
        carrier: digest of the file that the edit came in.
    """

    photo: str
    edit: EditRecipe
    face: int
    carrier: str

    def came_in(self, data: bytes) -> bool:
        """Whether this is the file that it came in."""
        return hashlib.sha256(data).hexdigest() == self.carrier


@dataclass(eq=False)
class Sitter:
    """One person in a photo, and how far looking at them is.

    Attributes:
        upload: the photo.
        face: where they are in it.
        portrait: in the photo as it is shown; replaced by a better one now and then.
        version: counts the portraits.
        share: of refining that is done, 0 to 1.
        warnings: sentences on what will not work well; None while nobody has looked.
        previews: the portrait in a smaller photo, and what is drawn of it in 256 pixels.
        seen: what the judges see in the portrait, by what they look at; emptied with each version.
        working: slices of work that are left; each yields whether it keeps nothing in memory.
    """

    upload: Upload
    face: PhotoFace
    portrait: Portrait
    version: int = 0
    share: float = 0.0
    warnings: tuple[str, ...] | None = None
    seen: dict[Any, Any] = field(default_factory=dict)
    working: Iterator[bool] = field(default_factory=lambda: iter(()))

    @property
    def latents(self) -> NDArray[np.float32]:
        """[1, L, D]."""
        return self.portrait.latents[None]

    def replace(self, portrait: Portrait) -> None:
        """Go on with a better portrait."""
        self.portrait = portrait
        self.seen = {}
        self.version += 1

    def small(self) -> Portrait:
        """The portrait in its photo as previews show it."""
        if "small" not in self.seen:
            photo = within(self.portrait.photo, PREVIEW_EDGE)
            self.seen["small"] = self.portrait.within(photo)
        found: Portrait = self.seen["small"]
        return found


def read_upload(name: str, data: bytes) -> Upload:
    """Open a photo and find the faces in it.

    Raises:
        LatentEditError: no photo, one that is too large, or no face in it.
    """
    if len(data) > MAX_BYTES:
        raise LatentEditError(
            f"this photo has more than {MAX_BYTES // 1_000_000} MB: choose a smaller one"
        )
    photo = open_photograph(data, max_pixels=MAX_PIXELS)
    faces = choose_faces(photo.pixels, ALL)
    return Upload(name[:200], data, within(Photograph(photo.pixels), SHOWN_EDGE), faces)


def within(photo: Photograph, edge: int) -> Photograph:
    """A photo whose longer edge has at most so many pixels."""
    height, width = photo.pixels.shape[:2]
    scale = min(1.0, edge / max(height, width))
    if scale == 1:
        return photo
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(photo.pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return Photograph(np.array(small))


def whole(sitter: Sitter) -> Portrait:
    """The portrait in the whole photo, with what its file held."""
    photo = open_photograph(sitter.upload.data, max_pixels=MAX_PIXELS)
    return sitter.portrait.within(photo)


def seat(
    photos: PhotoEditor, assessor: PortraitAssessor | None, upload: Upload, number: int
) -> Sitter:
    """Look at one face of a photo as the encoder does; `Sitter.working` goes on from there.

    Args:
        photos: the model.
        assessor: tells what to warn of.
        upload: see `read_upload`.
        number: of the face, from the left.

    Raises:
        LatentEditError: no such face.
    """
    face = next((face for face in upload.faces if face.number == number), None)
    if face is None:
        raise LatentEditError("there is no such face in the photo: click one that is outlined")
    pixels = open_photograph(upload.data, max_pixels=MAX_PIXELS).pixels
    photo = Photograph(pixels)
    work = photos.refinement(photo, face, InversionOptions(steps=REFINING_STEPS))
    portrait = photos.portrait(photo, face, work.first.latents, origin_of(work.first))
    sitter = Sitter(upload, face, portrait.within(upload.shown))

    def working() -> Iterator[bool]:
        sitter.warnings = find_warnings(assessor, sitter)
        yield True
        shown = sitter.portrait.face
        while not work.done:
            work.look()
            yield False
            work.move()
            sitter.share = 0.99 * work.progress.share
            yield True
            if work.step in REDRAWN_AT:
                found = work.found
                drawn = photos.editor.render(found.latents[None])[0]
                yield True
                sitter.replace(
                    photos.portrait(upload.shown, shown, found.latents, origin_of(found), drawn)
                )
                yield True
        sitter.share = 1.0

    sitter.working = working()
    return sitter


def find_warnings(assessor: PortraitAssessor | None, sitter: Sitter) -> tuple[str, ...]:
    """What to know before a photo is edited, in sentences."""
    found = [
        note.text[:1].upper() + note.text[1:] + "."
        for note in sitter.face.notes
        if note.kind not in ("several", "skipped")
    ]
    if assessor is not None and len(sitter.upload.faces) == 1:
        qualities = assessor.assess(sitter.upload.shown.pixels).qualities
        found += [
            words
            for name, words in WARNED_OF.items()
            if name in qualities and qualities[name].verdict == POOR
        ]
    return tuple(found)


def photo_recipe(sitter: Sitter, recipe: EditRecipe) -> dict[str, Any]:
    """An edit of a photo as `latentedit edit` writes it, as JSON values."""
    edit = {
        "face": sitter.face.number,
        **recipe.as_dict(),
        "inversion": dict(sitter.portrait.origin),
    }
    return {"photo": sitter.upload.name or None, "edits": [edit]}


def read_photo_edit(values: Mapping[str, Any], carrier: bytes) -> PhotoEdit:
    """Read `photo_recipe`'s output; of several faces, the first.

    Raises:
        LatentEditError: anything else.
    """
    edits, name = values.get("edits"), values.get("photo")
    if not isinstance(edits, list) or not edits or not isinstance(edits[0], dict):
        raise LatentEditError("this is not an edit recipe that this version can read")
    rest = dict(edits[0])
    face = rest.pop("face", 1)
    rest.pop("inversion", None)
    if type(face) is not int or face < 1:
        raise LatentEditError("this is not an edit recipe that this version can read")
    recipe = EditRecipe.from_json(json.dumps(rest))
    return PhotoEdit(
        name[:200] if isinstance(name, str) else "",
        recipe,
        face,
        hashlib.sha256(carrier).hexdigest(),
    )


def place_of(sitter: Sitter) -> tuple[float, float, float]:
    """Where the aligned square lies: its middle, and its edge, in shares of width and height."""
    alignment = sitter.face.alignment
    x, y = alignment.quad.mean(0).tolist()
    return x / alignment.width, y / alignment.height, alignment.edge / alignment.width


def outlines(upload: Upload) -> list[dict[str, float]]:
    """Where the faces are: number, and box in shares of the photo's width and height."""
    boxes = []
    for face in upload.faces:
        width, height = face.alignment.width, face.alignment.height
        left, top, right, bottom = face.face.box
        boxes.append(
            {
                "number": face.number,
                "left": left / width,
                "top": top / height,
                "width": (right - left) / width,
                "height": (bottom - top) / height,
            }
        )
    return boxes
