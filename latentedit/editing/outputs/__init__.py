"""Kinds of files that an edit is written to. A kind is one module here and a line in `OUTPUTS`."""

from __future__ import annotations

from latentedit.editing.outputs.base import Asked, Edited, Output
from latentedit.editing.outputs.films import FILMS
from latentedit.editing.outputs.latents import LATENTS
from latentedit.editing.outputs.pictures import PICTURES
from latentedit.editing.recipes import check_frames
from latentedit.errors import LatentEditError

OUTPUTS = (
    PICTURES,
    FILMS,
    LATENTS,
)


def find_output(asked: Asked) -> Output:
    """Return the kind of file that is asked for, by its ending.

    Raises:
        LatentEditError: an ending that no kind has, or something that this kind cannot hold.
    """
    if asked.frames is not None:
        check_frames(asked.frames)
    for output in OUTPUTS:
        if asked.ending in output.endings:
            output.check(asked)
            return output
    kinds = ", or ".join(f"{' or '.join(each.endings[:4])} ({each.name})" for each in OUTPUTS)
    raise LatentEditError(f"cannot save {asked.path}: end its name in {kinds}")


__all__ = ["OUTPUTS", "PICTURES", "Asked", "Edited", "Output", "find_output"]
