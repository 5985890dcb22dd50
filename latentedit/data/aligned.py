"""Folders of photos -> faces as FFHQ aligns them, in one training file, for encoders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from latentedit.data.face_file import create_face_data
from latentedit.data.photos import NAMED, PhotoReport
from latentedit.errors import LatentEditError
from latentedit.io.files import check_writable
from latentedit.io.images import open_image
from latentedit.io.photo_files import find_photos, in_words
from latentedit.photos.align import check_detector, check_points
from latentedit.photos.faces import choose_faces


def prepare_aligned(
    folders: Sequence[str | Path],
    output: str | Path,
    *,
    resolution: int = 256,
    per_person: int = 20,
    progress: Callable[[Iterator[Path], int], Iterator[Path]] = lambda items, total: items,
) -> PhotoReport:
    """Align the largest face of every photo as FFHQ's faces are, and keep it without labels.

    Args:
        folders: searched with all their sub-folders.
        output: the training file, see `data.face_file`.
        resolution: edge in pixels; smaller faces are enlarged.
        per_person: most faces from one sub-folder (data sets keep a person in each).
        progress: wraps the iterator over files (a progress bar).

    Raises:
        LatentEditError: a folder has no photo, the output cannot be written, or the extra
            ``photos`` is missing.
    """
    check_writable(output)
    report, kept = PhotoReport(resolution=resolution), Counter[Path]()
    files: list[tuple[Path, Path]] = []
    for folder in map(Path, folders):
        photos, others = photos_of(folder)
        files += [(folder, path) for path in photos]
        report.left_out += others
    check_detector()
    check_points()
    named = [Path(folder).resolve().name for folder in folders]
    names = "; ".join(named[:NAMED])
    if further := named[NAMED:]:
        names += f"; and {len(further)} more folders"
    source = f"photos of {names} ({len(files)} files), aligned as FFHQ"
    with create_face_data(output, resolution=resolution, label_names=(), source=source) as writer:
        for (root, _), path in zip(
            files, progress(iter([path for _, path in files]), len(files)), strict=True
        ):
            if path.parent != root and kept[path.parent] >= per_person:
                report.dropped[f"more than {per_person} of one person"] += 1
                continue
            try:
                pixels = open_image(path)
            except LatentEditError as error:
                report.bad.append(str(error))
                continue
            try:
                (face,) = choose_faces(pixels)
            except LatentEditError:
                report.dropped["no face that can be aligned"] += 1
                continue
            kept[path.parent] += 1
            writer.append(face.alignment.cut(pixels, resolution), [], str(path.relative_to(root)))
        report.written = len(writer)
    return report


def photos_of(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the photos in a folder and its sub-folders, by name, and a line for each other kind.

    Raises:
        LatentEditError: it is not a folder, or has no photo.
    """
    if not folder.is_dir():
        raise LatentEditError(f"{folder} is not a folder: give a folder of photos")
    found, others = find_photos(folder)
    if not found:
        raise LatentEditError(f"no photo in {folder}: give a folder with .jpg or .png files")
    return found, in_words(others, folder)
