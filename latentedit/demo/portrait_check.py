"""The tab Portrait check: it shows a photo's verdicts and advice as HTML."""

from __future__ import annotations

from latentedit import defaults
from latentedit.demo.sitters import MAX_BYTES, MAX_PIXELS
from latentedit.errors import LatentEditError
from latentedit.io.html import render
from latentedit.io.images import UInt8Array, open_image
from latentedit.portrait.assessor import PortraitAssessor
from latentedit.portrait.conventions import find_convention
from latentedit.portrait.report import fragment


def check_photo(
    assessor: PortraitAssessor,
    name: str,
    photo: bytes | UInt8Array,
    convention: str = defaults.CONVENTION,
) -> str:
    """Judge one photo.

    Args:
        assessor: see `PortraitAssessor.load`.
        name: the file's name.
        photo: the file's content, or pixels as uint8 [H, W, 3].
        convention: the name of the rules to judge by, see `CONVENTIONS`.

    Returns:
        The face, verdicts and advice as HTML, or a message that says why there are none.
    """
    try:
        judged_for = find_convention(convention)
        if isinstance(photo, bytes):
            if not photo or len(photo) > MAX_BYTES:
                raise LatentEditError(f"choose a photo of at most {MAX_BYTES // 1_000_000} MB")
            photo = open_image(photo, max_pixels=MAX_PIXELS)
        return fragment(name[:200], assessor.assess(photo, judged_for))
    except LatentEditError as error:
        return render(__package__, "message.html.jinja", message=error)
