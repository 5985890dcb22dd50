"""The tab Portrait check: what a photo gets for an answer."""

from __future__ import annotations

import io
import re

import pytest
import torch
from PIL import Image
from portraits import draw_portrait

from latentedit.classifiers.portrait import PortraitConfig, PortraitNetwork
from latentedit.demo.portrait_check import check_photo
from latentedit.demo.sitters import MAX_BYTES
from latentedit.io.html import asset
from latentedit.portrait.assessor import PortraitAssessor
from latentedit.portrait.conventions import CONVENTIONS


@pytest.fixture(scope="module")
def assessor() -> PortraitAssessor:
    torch.manual_seed(0)
    return PortraitAssessor(PortraitNetwork(PortraitConfig(stem=4, widths=(8, 8), blocks=(1, 1))))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_photo_gets_verdicts(assessor: PortraitAssessor) -> None:
    photo = draw_portrait((300, 320), (150.0, 150.0), 60.0)
    html = check_photo(assessor, "<i>me.jpg", png(Image.fromarray(photo)))
    for name in ("blur", "occlusion", "make-up", "illumination", "expression", "pose"):
        assert f"<td>{name}</td>" in html
    assert "data:image/png;base64," in html
    assert "&lt;i&gt;me.jpg" in html
    assert check_photo(assessor, "<i>me.jpg", photo) == html


def test_the_page_says_by_what_it_judges(assessor: PortraitAssessor) -> None:
    photo = draw_portrait((300, 320), (150.0, 150.0), 60.0)
    portrait, passport = (
        check_photo(assessor, "a", photo, name) for name in ("portrait", "passport")
    )
    assert portrait == check_photo(assessor, "a", photo)
    assert portrait.count("does not count") == 2  # make-up and expression
    assert "does not count" not in passport
    assert "open eyes" in passport  # which nothing here looks at
    assert "no convention" in check_photo(assessor, "a", photo, "beauty")
    page = asset("latentedit.demo", "page.html").split('id="portrait"')[1]
    assert re.findall(r'option value="(\w+)"', page) == list(CONVENTIONS)


def test_no_face_is_said(assessor: PortraitAssessor) -> None:
    assert "no face found" in check_photo(assessor, "a", png(Image.new("RGB", (50, 40))))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "choose a photo"),
        (b"x" * (MAX_BYTES + 1), "choose a photo of at most 40 MB"),
        (b"<html>", "this file is not an image"),
        (png(Image.new("1", (10_001, 5000))), "make it smaller"),
    ],
)
def test_anything_else_is_refused_in_words(
    assessor: PortraitAssessor, sent: bytes, words: str
) -> None:
    html = check_photo(assessor, "a", sent)
    assert html.startswith("<p>")
    assert words in html
