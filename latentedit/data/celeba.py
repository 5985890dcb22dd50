"""Reading CelebA exactly as it ships, at full size (178x218) or half size (89x109)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentedit.attributes import ATTRIBUTES
from latentedit.data.labelled import PrepareReport, Progress, write_labelled
from latentedit.errors import LatentEditError
from latentedit.io.images import is_celeba_crop, open_image, to_frame

_MEANING = {"1": 1, "-1": 0, "0": -1}  # yes, no, not known


@dataclass(frozen=True)
class CelebA:
    """A folder in CelebA's layout.

    Attributes:
        images: the folder of pictures.
        names: file names in the list's order.
        labels: int8 [N, 40], 1 yes, 0 no and -1 not known, in CelebA's order.
        bad: one line for each line of the list that cannot be read.
    """

    images: Path
    names: tuple[str, ...]
    labels: NDArray[np.int8]
    bad: tuple[str, ...] = ()

    def read(self, index: int, resolution: int | None = None) -> NDArray[np.uint8]:
        """Return face `index` in the shared frame, uint8 [R, R, 3].

        Args:
            resolution: edge in pixels; by default 64 for half-size and 128 for full-size crops.

        Raises:
            LatentEditError: the picture is missing, damaged or not an aligned crop.
        """
        path = self.images / self.names[index]
        image = open_image(path)
        height, width = image.shape[:2]
        if not is_celeba_crop(width, height):
            raise LatentEditError(
                f"{path} is {width}x{height}, not an aligned CelebA crop (178x218 or 89x109)"
            )
        return to_frame(image, resolution)


def is_celeba(folder: str | Path) -> bool:
    """Whether a folder has CelebA's layout."""
    return all(_find(Path(folder)))


def open_celeba(folder: str | Path) -> CelebA:
    """Open CelebA's layout: `list_attr_celeba.txt` beside (or in ``Anno/``) `img_align_celeba/`.

    Raises:
        LatentEditError: the list or the picture folder is missing, or the list is not whole.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LatentEditError(f"{folder} is not a folder: give CelebA's folder")
    listing, pictures = _find(folder)
    if listing is None or pictures is None:
        missing = "list_attr_celeba.txt" if listing is None else "img_align_celeba/"
        raise LatentEditError(f"{folder} is not CelebA's folder: {missing} is not in it")
    names, labels, bad = _read_list(listing)
    return CelebA(pictures, names, labels, bad)


def _find(folder: Path) -> tuple[Path | None, Path | None]:
    lists = (folder / sub / "list_attr_celeba.txt" for sub in ("", "Anno"))
    pictures = (folder / sub / "img_align_celeba" for sub in ("", "Img"))
    return (
        next((path for path in lists if path.is_file()), None),
        next((path for path in pictures if path.is_dir()), None),
    )


def _read_list(path: Path) -> tuple[tuple[str, ...], NDArray[np.int8], tuple[str, ...]]:
    """File names, labels, and the lines that are neither."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LatentEditError(f"cannot read {path}: {error}") from None
    if len(lines) < 3 or tuple(lines[1].split()) != ATTRIBUTES:
        raise LatentEditError(
            f"{path} is not CelebA's list: line 2 must name the 40 attributes in CelebA's order"
        )
    names: list[str] = []
    rows: list[list[int]] = []
    bad: list[str] = []
    for number, line in enumerate(lines[2:], start=3):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 1 + len(ATTRIBUTES) or not set(fields[1:]) <= set(_MEANING):
            bad.append(f"{path}, line {number}: expected a file name and 40 values of 1, -1 or 0")
            continue
        names.append(fields[0])
        rows.append([_MEANING[value] for value in fields[1:]])
    if lines[0].strip() != str(len(names) + len(bad)):
        raise LatentEditError(
            f"{path} announces {lines[0].strip()} faces and lists {len(names) + len(bad)}: "
            "fetch it again"
        )
    return tuple(names), np.array(rows, dtype=np.int8).reshape(-1, len(ATTRIBUTES)), tuple(bad)


def prepare_celeba(
    folder: str | Path,
    output: str | Path,
    *,
    resolution: int | None = None,
    skip_bad: bool = False,
    progress: Progress = lambda rows, total: rows,
) -> PrepareReport:
    """Write CelebA's faces, labels and ids to one memory-mapped training file.

    Args:
        folder: CelebA's folder, see `open_celeba`.
        output: the file to write; it appears only when complete.
        resolution: edge in pixels; by default the sharpest power of two (64 or 128).
        skip_bad: leave out missing and damaged pictures instead of stopping.
        progress: wraps the row iterator (a progress bar).

    Raises:
        LatentEditError: bad input, or (without `skip_bad`) the names of all bad pictures.
    """
    celeba = open_celeba(folder)
    if not celeba.names:
        raise LatentEditError(f"no line of CelebA's list in {folder} can be read: {celeba.bad[0]}")
    if resolution is None:
        resolution = _first_resolution(celeba)
    return write_labelled(
        celeba,
        output,
        resolution=resolution,
        label_names=ATTRIBUTES,
        source=f"CelebA aligned crops, {celeba.names[0]} to {celeba.names[-1]}",
        skip_bad=skip_bad,
        progress=progress,
    )


def _first_resolution(celeba: CelebA) -> int:
    for index in range(len(celeba.names)):
        try:
            return len(celeba.read(index))
        except LatentEditError:
            continue
    raise LatentEditError(f"no picture in {celeba.images} can be read: fetch the data set again")
