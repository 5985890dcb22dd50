"""People in visitors' photos, called sitters. Photos are opened in memory, inverted, and refined.

No Gradio. Refining is done in slices, so that it can give way to requests.
"""

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
from latentedit.photos.photograph import Kept, Photograph, open_photograph
from latentedit.portrait.assessor import POOR, PortraitAssessor

MAX_BYTES = 40_000_000
MAX_PIXELS = 50_000_000
"""The largest photo that a visitor may open."""

SHOWN_EDGE, PREVIEW_EDGE = 1024, 512
"""Longer edge in pixels of photos on the page: at rest, and while a slider moves."""

REFINING_STEPS = 60
REDRAWN_AT = (12, 30, REFINING_STEPS)
"""Refining steps after which the page shows the latents found so far."""

WARNED_OF = {
    "blur": "The photo is not sharp, so fine detail may be lost.",
    "occlusion": "Something covers part of the face: edits around it may look odd.",
}
"""Warnings by quality of a portrait: edits suffer if the quality is poor."""


@dataclass(frozen=True, eq=False)
class Upload:
    """A photo with the faces in it.

    Attributes:
        name: the file's name.
        data: the file's content.
        shown: the photo with its colour profile but no other metadata, made smaller for the page.
        faces: the faces that can be edited, from the left; their places are in the whole photo.
    """

    name: str
    data: bytes
    shown: Photograph
    faces: tuple[PhotoFace, ...]

    @property
    def icc(self) -> bytes | None:
        """The photo's colour profile, in which all pictures of it are meant."""
        return self.shown.kept.icc

    @property
    def digest(self) -> str:
        """SHA-256 of the file, which tells photos apart."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class PhotoEdit:
    """An edit of a photo, read from a saved file.

    Attributes:
        photo: name of the photo that was edited, or "" if unknown.
        edit: the edit of the first face.
        face: the number of that face, from the left.
        carrier: SHA-256 of the file that carried the edit.
    """

    photo: str
    edit: EditRecipe
    face: int
    carrier: str

    def came_in(self, data: bytes) -> bool:
        """Return whether `data` is the file that carried the edit."""
        return hashlib.sha256(data).hexdigest() == self.carrier


@dataclass(eq=False)
class Sitter:
    """One person in a photo, and the state of refining.

    Attributes:
        upload: the photo.
        face: the person's face in the whole photo.
        portrait: the inverted face in the photo as it is shown. Refining brings better ones.
        version: counts the portraits.
        share: the share of refining that is done, 0 to 1.
        warnings: sentences on what will not work well; None until the photo was checked.
        seen: a cache of what is made from the portrait; emptied with each version.
        working: the slices of work that are left. Each yields True if nothing big stays in memory
            after it.
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
        """Latents of the portrait, [1, L, D]."""
        return self.portrait.latents[None]

    def replace(self, portrait: Portrait) -> None:
        """Put a better portrait in place of this one."""
        self.portrait = portrait
        self.seen = {}
        self.version += 1

    def small(self) -> Portrait:
        """Return the portrait in a photo as small as previews show it."""
        if "small" not in self.seen:
            photo = within(self.portrait.photo, PREVIEW_EDGE)
            self.seen["small"] = self.portrait.within(photo)
        found: Portrait = self.seen["small"]
        return found


def read_upload(name: str, data: bytes) -> Upload:
    """Open a photo and find the faces in it.

    Raises:
        LatentEditError: the data is no photo, it is too large, or there is no face in it.
    """
    if len(data) > MAX_BYTES:
        raise LatentEditError(
            f"this photo has more than {MAX_BYTES // 1_000_000} MB: choose a smaller one"
        )
    photo = open_photograph(data, max_pixels=MAX_PIXELS)
    faces = choose_faces(photo.pixels, ALL)
    plain = Photograph(photo.pixels, kept=Kept(icc=photo.kept.icc))
    return Upload(name[:200], data, within(plain, SHOWN_EDGE), faces)


def within(photo: Photograph, edge: int) -> Photograph:
    """Return a photo whose longer edge has at most `edge` pixels."""
    height, width = photo.pixels.shape[:2]
    scale = min(1.0, edge / max(height, width))
    if scale == 1:
        return photo
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(photo.pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return Photograph(np.array(small), kept=Kept(icc=photo.kept.icc))


def whole(sitter: Sitter) -> Portrait:
    """Return the portrait in the whole photo, with the metadata of its file."""
    photo = open_photograph(sitter.upload.data, max_pixels=MAX_PIXELS)
    return sitter.portrait.within(photo)


def seat(
    photos: PhotoEditor, assessor: PortraitAssessor | None, upload: Upload, number: int
) -> Sitter:
    """Invert one face of a photo by the encoder; `Sitter.working` refines the latents from there.

    Args:
        photos: the model.
        assessor: judges the photo for warnings, or None.
        upload: the photo, see `read_upload`.
        number: the number of the face, from the left.

    Raises:
        LatentEditError: there is no such face.
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
            if work.done:
                work.finish()
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
    """Return warnings before a photo is edited, in sentences."""
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
    """Return an edit of a photo as JSON values, as `latentedit edit` writes it."""
    edit = {
        "face": sitter.face.number,
        **recipe.as_dict(),
        "inversion": dict(sitter.portrait.origin),
    }
    return {"photo": sitter.upload.name or None, "edits": [edit]}


def read_photo_edit(values: Mapping[str, Any], carrier: bytes) -> PhotoEdit:
    """Read the output of `photo_recipe`; if it edits several faces, the first is taken.

    Args:
        values: the recipe's JSON values.
        carrier: the content of the file that they came in.

    Raises:
        LatentEditError: the values are something else.
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
    """Return the place of the aligned square in the photo.

    Returns:
        Its middle, as shares of the photo's width and height, and its edge as a share of the width.
    """
    alignment = sitter.face.alignment
    x, y = alignment.quad.mean(0).tolist()
    return x / alignment.width, y / alignment.height, alignment.edge / alignment.width


def outlines(upload: Upload) -> list[dict[str, float]]:
    """Return number and box of each face; boxes are in shares of the photo's width and height."""
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
