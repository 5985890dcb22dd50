"""The tab Portrait check: what a photo in a request gets for an answer."""

from __future__ import annotations

import base64
import io

import pytest
import torch
from PIL import Image
from portraits import draw_portrait

from latentedit.demo.portrait_check import MAX_PHOTO_BYTES, check_photo
from latentedit.portrait import PortraitAssessor
from latentedit.portrait_network import PortraitConfig, PortraitNetwork


@pytest.fixture(scope="module")
def assessor() -> PortraitAssessor:
    torch.manual_seed(0)
    return PortraitAssessor(PortraitNetwork(PortraitConfig(stem=4, widths=(8, 8), blocks=(1, 1))))


def request(image: Image.Image, name: str = "me.jpg") -> dict[str, str]:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return {"name": name, "photo": base64.b64encode(buffer.getvalue()).decode()}


def test_a_photo_gets_verdicts(assessor: PortraitAssessor) -> None:
    photo = Image.fromarray(draw_portrait((300, 320), (150.0, 150.0), 60.0))
    html = check_photo(assessor, request(photo, "<i>me.jpg"))["html"]
    for name in ("blur", "occlusion", "make-up", "illumination", "expression", "pose"):
        assert f"<td>{name}</td>" in html
    assert "data:image/png;base64," in html
    assert "&lt;i&gt;me.jpg" in html


def test_no_face_is_said(assessor: PortraitAssessor) -> None:
    html = check_photo(assessor, request(Image.new("RGB", (50, 40))))["html"]
    assert "no face found" in html


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (None, "choose a photo"),
        ({"name": "a"}, "choose a photo"),
        ({"name": "a", "photo": 3}, "choose a photo"),
        ({"name": "a", "photo": "x" * (MAX_PHOTO_BYTES + 1)}, "choose a photo of at most 8 MB"),
        ({"name": "a", "photo": "%%%"}, "did not arrive whole"),
        ({"name": "a", "photo": base64.b64encode(b"<html>").decode()}, "this file is not an image"),
        (request(Image.new("L", (4001, 4000))), "make it smaller"),
    ],
)
def test_anything_else_is_refused_in_words(
    assessor: PortraitAssessor, sent: object, words: str
) -> None:
    html = check_photo(assessor, sent)["html"]
    assert html.startswith("<p>")
    assert words in html
