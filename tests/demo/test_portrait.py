"""The tab Portrait check: what a photo in a request gets for an answer."""

from __future__ import annotations

import base64
import io
import re
from functools import partial
from pathlib import Path

import pytest
import torch
from page_needs import CHROMIUM, give_up, lacking
from PIL import Image
from portraits import draw_portrait

from latentedit.classifiers.portrait import PortraitConfig, PortraitNetwork
from latentedit.demo.portrait_check import MAX_PHOTO_BYTES, build_portrait_check, check_photo
from latentedit.io.html import asset
from latentedit.portrait.assessor import PortraitAssessor
from latentedit.portrait.conventions import CONVENTIONS


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


def test_the_page_says_by_what_it_judges(assessor: PortraitAssessor) -> None:
    photo = request(Image.fromarray(draw_portrait((300, 320), (150.0, 150.0), 60.0)))
    portrait, passport = (
        check_photo(assessor, {**photo, "for": name})["html"] for name in ("portrait", "passport")
    )
    assert portrait == check_photo(assessor, photo)["html"]
    assert portrait.count("not asked") == 2  # make-up and expression
    assert "not asked" not in passport
    assert "open eyes" in passport  # which nothing here looks at
    assert "no convention" in check_photo(assessor, {**photo, "for": "beauty"})["html"]
    page = asset("latentedit.demo", "portrait.html")
    assert re.findall(r'option value="(\w+)"', page) == list(CONVENTIONS)


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


DROP = """photo => {
  const bytes = Uint8Array.from(atob(photo), letter => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
  const zone = document.querySelector(".le-drop");
  zone.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""


def test_the_tab_in_a_browser(assessor: PortraitAssessor, tmp_path: Path) -> None:
    if why := lacking(browser=True):
        give_up(why)
    import gradio as gr
    from playwright.sync_api import expect, sync_playwright

    photo = tmp_path / "me.png"
    Image.fromarray(draw_portrait((300, 320), (150.0, 150.0), 60.0)).save(photo)
    (tmp_path / "no photo.txt").write_text("nothing to see")
    with gr.Blocks(analytics_enabled=False) as blocks:
        build_portrait_check(partial(check_photo, assessor), queue=False)
    blocks.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{blocks.server_port}")
            chooser, found = page.locator("input[type=file]"), page.locator(".le-found")
            chooser.set_input_files(photo)
            expect(found.locator("tr")).to_have_count(6, timeout=30_000)
            expect(found.locator("h2")).to_have_text("me.png")
            chooser.set_input_files(tmp_path / "no photo.txt")
            expect(found).to_contain_text("not an image", timeout=30_000)
            chooser.set_input_files(photo)
            expect(found.locator(".summary")).to_contain_text("portrait", timeout=30_000)
            page.locator(".le-for select").select_option("passport")
            expect(found.locator(".summary")).to_contain_text("passport", timeout=30_000)
            page.evaluate(DROP, base64.b64encode(photo.read_bytes()).decode())
            expect(found.locator("h2")).to_have_text("dropped.png", timeout=30_000)
            browser.close()
    finally:
        blocks.close()
