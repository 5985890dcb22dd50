"""The tab Portrait check: a photo travels in the request, verdicts and advice come back as HTML."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from latentedit import defaults
from latentedit.errors import LatentEditError
from latentedit.io.html import asset, render
from latentedit.io.images import open_image
from latentedit.portrait.assessor import PortraitAssessor
from latentedit.portrait.conventions import find_convention
from latentedit.portrait.report import fragment

if TYPE_CHECKING:
    import gradio as gr

MAX_PHOTO_BYTES = 8_000_000
"""Longest photo that is looked at, in base64; the page makes larger ones smaller first."""

MAX_PHOTO_PIXELS = 16_000_000


def check_photo(assessor: PortraitAssessor, request: Any) -> dict[str, str]:
    """Judge one photo.

    Args:
        assessor: see `PortraitAssessor.load`.
        request: ``{"name": str, "photo": the file in base64, "for": a convention's name}``, as the
            page sends it; without ``"for"`` it is judged for a portrait.

    Returns:
        ``{"html": ...}``: the face, verdicts and advice, or why there are none.
    """
    try:
        name, photo = _photo(request)
        convention = find_convention(str(request.get("for", defaults.CONVENTION)))
        found = assessor.assess(open_image(photo, max_pixels=MAX_PHOTO_PIXELS), convention)
    except LatentEditError as error:
        return {"html": render(__package__, "message.html.jinja", message=error)}
    return {"html": fragment(name, found)}


def build_portrait_check(check: Callable[[Any], Any], **event: Any) -> gr.HTML:
    """Put the tab's content into the Gradio blocks that are being built, and return it.

    Args:
        check: answers a photo, see `check_photo`.
        event: options of Gradio's event.
    """
    import gradio as gr

    page = gr.HTML(
        html_template=asset(__package__, "portrait.html"),
        js_on_load=asset(__package__, "portrait.js"),
        apply_default_css=False,
    )
    page.check(check, page, page, api_visibility="private", **event)
    return page


def _photo(request: Any) -> tuple[str, bytes]:
    name = request.get("name") if isinstance(request, dict) else None
    data = request.get("photo") if isinstance(request, dict) else None
    if not isinstance(name, str) or not isinstance(data, str) or len(data) > MAX_PHOTO_BYTES:
        raise LatentEditError(f"choose a photo of at most {MAX_PHOTO_BYTES // 1_000_000} MB")
    try:
        return name[:200], base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise LatentEditError("the photo did not arrive whole: choose it again") from None
