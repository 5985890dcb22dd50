"""Faces -> portraits with six flags in one training file; some are spoilt by a known amount.

Labels of a portrait, in the columns of the training file:

    six flags       1 poor, 0 good, -1 not known, in the order of `QUALITIES`
    four strengths  0 to 100, -1 not known, in the order of `STRENGTHS`

The rows of one face lie together; the first shows the face as it was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from latentedit.attributes import ATTRIBUTES
from latentedit.classifiers.portrait import QUALITIES
from latentedit.data.accounts import account_for
from latentedit.data.celeba import CelebA, is_celeba, open_celeba
from latentedit.data.face_file import FaceData, FaceDataWriter, create_face_data
from latentedit.data.wflw import WFLW, flags_as, is_wflw, open_wflw
from latentedit.errors import LatentEditError
from latentedit.io.files import check_writable
from latentedit.io.images import CELEBA_SIZE, UInt8Array, is_celeba_crop, open_image
from latentedit.photos.align import check_detector, cut, find_faces
from latentedit.portrait.degradations import KINDS, POOR_FROM, compress, degrade

STRENGTHS = ("blur", "occlusion", "illumination", "pose")
"""Qualities whose strength is known: the degradation's strength, or how far the head is turned."""

COLUMNS = (*QUALITIES, *(f"{name} strength" for name in STRENGTHS))

POSE_POOR_FROM, POSE_FULL = 20.0, 60.0
"""Degrees of yaw or roll from which a pose is poor, and from which its strength is 1."""

_EYES = (0.5, 0.505)  # middle of the portrait frame in a CelebA crop, in shares of its size
_SHARE_SPOILT, _SHARE_LEANING = 0.45, 0.3


@dataclass
class PortraitReport:
    """What `prepare_portraits` did.

    Attributes:
        faces: number of faces that were used.
        rows: number of portraits in the file.
        skipped: one line for each picture that cannot be used.
        notes: what the user should know about how the data set was read.
        left_out: a line for each kind of other files in its folder.
    """

    faces: int = 0
    rows: int = 0
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def prepare_portraits(
    folder: str | Path,
    output: str | Path,
    *,
    variants: int | None = None,
    resolution: int = 96,
    limit: int | None = None,
    seed: int | None = None,
    progress: Callable[[Iterator[int], int], Iterator[int]] = lambda rows, total: rows,
) -> PortraitReport:
    """Write the portraits of CelebA or of WFLW.

    CelebA's attributes serve as flags where they fit: Blurry for blur, Heavy_Makeup for make-up,
    Eyeglasses or Wearing_Hat for occlusion. An expression counts as poor if Smiling and
    Mouth_Slightly_Open are both set, as good if neither is, and as not known if only one is. Poses
    come from dlib's five landmarks (`Face.pose`), and from turning the picture. WFLW's flags are
    taken as they are, and its faces are not spoilt.

    Args:
        folder: CelebA's or WFLW's.
        output: the training file.
        variants: rows for each face of CelebA, by default 3: one shows the face as taken, the
            others are spoilt.
        resolution: edge in pixels.
        limit: stop after this many faces.
        seed: seed of CelebA's degradations, by default 0.
        progress: wraps the iterator over faces (a progress bar).

    Raises:
        LatentEditError: the folder is neither CelebA's nor WFLW's, a list is malformed, the output
            cannot be written, or the extra ``faces`` is missing.
    """
    check_writable(output)
    source: _CelebASource | _WFLWSource
    if is_wflw(folder):
        if (variants, seed) != (None, None):
            raise LatentEditError(
                "WFLW's faces are not spoilt: leave out the variants and the seed"
            )
        source = _WFLWSource(open_wflw(folder), resolution)
    elif is_celeba(folder):
        source = _CelebASource(open_celeba(folder), resolution, variants or 3, seed or 0)
    else:
        raise LatentEditError(f"{folder} is neither CelebA's folder nor WFLW's: check the path")
    count = min(len(source), limit or len(source))
    report, skipped = PortraitReport(), []
    with create_face_data(
        output, resolution=resolution, label_names=COLUMNS, source=source.description
    ) as writer:
        for row in progress(iter(range(count)), count):
            try:
                source.write(row, writer)
                report.faces += 1
            except LatentEditError as error:
                skipped.append(str(error))
        report.rows, report.skipped = len(writer), tuple(skipped)
    report.notes = source.notes
    report.left_out = account_for(Path(folder), source.used, lambda path: "not in the lists")
    return report


def split_faces(data: FaceData, *parts: int) -> list[FaceData]:
    """Split a file of portraits by faces into a first part and `parts` from its end.

    Each of `parts` is a number of faces; the first part has all other faces.

    Raises:
        LatentEditError: there are too few faces, or it is not a file of portraits.
    """
    if data.label_names != COLUMNS:
        raise LatentEditError("these are no portraits: make them with 'prepare portraits'")
    starts = [0]
    for row in range(1, len(data)):
        if _face(data.ids[row]) != _face(data.ids[row - 1]):
            starts.append(row)
    if sum(parts) >= len(starts):
        raise LatentEditError(
            f"cannot hold out {sum(parts)} of {len(starts)} faces: prepare more, or hold out fewer"
        )
    cuts = [starts[len(starts) - sum(parts[i:])] for i in range(len(parts))]
    edges = [0, *cuts, len(data)]
    return [data.rows(slice(a, b)) for a, b in pairwise(edges)]


def as_taken(data: FaceData) -> NDArray[np.int64]:
    """Return the rows of a file of portraits that show a face as it was taken, not spoilt."""
    return np.flatnonzero([name.endswith("#0") for name in data.ids])


def _face(identifier: str) -> str:
    return identifier.rpartition("#")[0]


class _WFLWSource:
    def __init__(self, wflw: WFLW, size: int) -> None:
        self.wflw, self.size = wflw, size
        parts = ", ".join(f"{n} {name}" for name, n in wflw.splits.items())
        self.description = f"WFLW ({parts})"
        self.notes = wflw.notes
        self.used = {*(wflw.images / name for name in wflw.names), *wflw.lists}

    def __len__(self) -> int:
        return len(self.wflw.names)

    def write(self, row: int, writer: FaceDataWriter) -> None:
        flags = flags_as(self.wflw.flags[row], QUALITIES)
        name = f"{row:05d} {self.wflw.names[row]}"
        writer.append(
            self.wflw.read(row, self.size), [*flags, *(-1 for _ in STRENGTHS)], f"{name}#0"
        )


class _CelebASource:
    def __init__(self, celeba: CelebA, size: int, variants: int, seed: int) -> None:
        self.celeba, self.size, self.variants, self.seed = celeba, size, variants, seed
        self.description = (
            f"CelebA aligned crops ({len(celeba.names)} files), "
            f"{variants} portraits of each, all but one spoilt (seed {seed})"
        )
        self.notes = celeba.notes
        self.used = {*(celeba.images / name for name in celeba.names), *celeba.lists}
        check_detector()  # each portrait has a pose

    def __len__(self) -> int:
        return len(self.celeba.names)

    def write(self, row: int, writer: FaceDataWriter) -> None:
        path = self.celeba.images / self.celeba.names[row]
        image = open_image(path)
        height, width = image.shape[:2]
        if not is_celeba_crop(width, height):
            raise LatentEditError(f"{path} is {width}x{height}, not an aligned CelebA crop")
        known = dict(zip(ATTRIBUTES, self.celeba.labels[row].tolist(), strict=True))
        # the detector needs a face of 80 pixels, which is half a full-size crop
        faces = find_faces(image, edge=CELEBA_SIZE[1])
        pose = faces[0].pose if faces else None
        for variant in range(self.variants):
            random = RandomState([self.seed, row, variant])
            portrait, strengths, degrees = self._portrait(image, variant > 0, random)
            turn = -1.0 if pose is None else max(abs(pose.yaw), abs(pose.roll + degrees))
            labels = _labels(known, strengths, turn)
            writer.append(portrait, labels, f"{self.celeba.names[row]}#{variant}")

    def _portrait(
        self, image: UInt8Array, spoilt: bool, random: RandomState
    ) -> tuple[UInt8Array, dict[str, float], float]:
        """Return a portrait, the strengths of its degradations, and by how many degrees it was
        turned."""
        height, width = image.shape[:2]
        centre = (np.array(_EYES) + random.uniform(-0.02, 0.02, 2)) * (width, height)
        degrees = random.uniform(-6, 6)
        if spoilt and random.rand() < _SHARE_LEANING:
            degrees = random.choice((-1, 1)) * random.uniform(8, 45)
        portrait = cut(
            image, centre, width * random.uniform(0.94, 1.06), self.size, degrees=degrees
        )
        strengths = dict.fromkeys(POOR_FROM, 0.0)
        for quality in ("occlusion", "illumination", "blur") if spoilt else ():
            if random.rand() < _SHARE_SPOILT:
                strengths[quality] = random.uniform(0.02, 1)
                kinds = sorted(KINDS[quality])
                kind = kinds[random.randint(len(kinds))]
                portrait = degrade(portrait, quality, kind, strengths[quality], random)
        if random.rand() < 0.5:
            portrait = compress(portrait, random.randint(50, 96))
        return portrait, strengths, degrees


def _labels(known: dict[str, int], strengths: dict[str, float], turn: float) -> list[int]:
    """Return the flags and strengths of one portrait from CelebA's attributes, the strengths of its
    degradations, and the degrees by which its head is turned (negative if not known)."""
    smile, mouth = known["Smiling"], known["Mouth_Slightly_Open"]
    worn = known["Eyeglasses"] or known["Wearing_Hat"]
    given = {"blur": known["Blurry"], "occlusion": worn, "illumination": 0}
    flags = {name: int(flag or strengths[name] >= POOR_FROM[name]) for name, flag in given.items()}
    flags["make-up"] = known["Heavy_Makeup"]
    flags["expression"] = smile if smile == mouth else -1
    flags["pose"] = int(turn >= POSE_POOR_FROM) if turn >= 0 else -1
    percent = {name: -1 if given[name] else round(100 * strengths[name]) for name in strengths}
    percent["pose"] = round(100 * min(1.0, turn / POSE_FULL)) if turn >= 0 else -1
    return [*(flags[name] for name in QUALITIES), *(percent[name] for name in STRENGTHS)]
