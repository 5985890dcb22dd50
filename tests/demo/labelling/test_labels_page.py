"""The labelling page in a real Chromium: keys answer, a page loaded again goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_needs import give_up, lacking

if why := lacking(browser=True):
    give_up(why)

from playwright.sync_api import Browser, Page, expect

from latentedit.boundaries.labels import LabelFile
from latentedit.demo.labelling.server import Serving, open_desk, start
from latentedit.editing.editor import FaceEditor

expect.set_options(timeout=20_000)  # machines are busy sometimes

COMMAND = "latentedit boundaries fit --scores wink.csv -o wink.safetensors"


@pytest.fixture(scope="module")
def editor(_bundle: Path) -> FaceEditor:
    return FaceEditor.load(_bundle)


def serving(path: Path, editor: FaceEditor) -> Serving:
    file = LabelFile(path, "big_wink", editor.generator_hash)
    return start(open_desk(editor, file, COMMAND, wanted=5))


def visit(browser: Browser, port: int) -> Page:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.faults = []
    page.on("console", lambda m: m.type == "error" and page.faults.append(m.text))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(f"http://127.0.0.1:{port}")
    settled(page)
    return page


def settled(page: Page) -> None:
    expect(page.locator("body[data-waiting='0'][data-seed]:not([data-seed=''])")).to_be_visible()
    expect(page.locator(".wait")).to_be_hidden()


def seed(page: Page) -> int:
    return int(page.locator("body").get_attribute("data-seed") or -1)


def press(page: Page, key: str) -> int:
    """Answer by a key; whose face it was."""
    settled(page)
    before = seed(page)
    page.keyboard.press(key)
    settled(page)
    return before


def test_keys_answer_and_a_new_page_and_a_new_server_go_on(
    browser: Browser, editor: FaceEditor, tmp_path: Path
) -> None:
    path = tmp_path / "wink.csv"
    server = serving(path, editor)
    page = visit(browser, server.port)
    expect(page.locator("h1")).to_have_text("big wink: yes or no?")
    said = [(press(page, key), key) for key in ("j", "f", "Space", "ArrowRight")]
    first = said[0][0]
    assert [one for one, _ in said] == [first, first + 1, first + 2, first + 3]

    def rows() -> list[tuple[int, bool | None]]:
        answers = LabelFile(path, "big_wink", editor.generator_hash).answers
        return [(answer.seed, answer.value) for answer in answers]

    assert rows() == list(zip(range(first, first + 4), (True, False, None, True), strict=True))
    press(page, "Backspace")
    assert seed(page) == first + 3  # shown again
    assert len(rows()) == 3
    page.reload()
    settled(page)
    assert seed(page) == first + 3
    expect(page.locator(".count")).to_have_text("2 of 5")
    assert page.locator(".face img").evaluate("image => image.naturalWidth") == 16
    page.locator("[data-says=no]").click()
    press(page, "f")
    assert rows()[3:] == [(first + 3, False), (first + 4, False)]
    expect(page.locator(".enough")).to_be_hidden()
    assert page.faults == []
    server.close()
    page.keyboard.press("j")
    expect(page.locator(".notice")).to_contain_text("not saved")
    assert len(rows()) == 5
    page.close()

    server = serving(path, editor)
    page = visit(browser, server.port)
    assert seed(page) == first + 5
    press(page, "j")
    expect(page.locator(".enough code")).to_have_text(COMMAND)
    expect(page.locator(".told")).to_have_text("Yes. 5 of 5.")
    assert page.faults == []
    page.close()
    server.close()


def test_a_page_that_is_behind_another_one_is_told_so(
    browser: Browser, editor: FaceEditor, tmp_path: Path
) -> None:
    server = serving(tmp_path / "wink.csv", editor)
    one, two = visit(browser, server.port), visit(browser, server.port)
    press(one, "j")
    press(two, "f")
    expect(two.locator(".notice")).to_contain_text("another page")
    assert seed(two) == seed(one)
    file = LabelFile(tmp_path / "wink.csv", "big_wink", editor.generator_hash)
    assert [answer.value for answer in file.answers] == [True]
    assert one.faults == two.faults == []
    one.close()
    two.close()
    server.close()


def test_many_quick_answers_are_all_kept_and_fit_the_phone(
    browser: Browser, editor: FaceEditor, tmp_path: Path
) -> None:
    server = serving(tmp_path / "wink.csv", editor)
    page = visit(browser, server.port)
    for number in range(30):
        expect(page.locator("[data-says=yes]")).to_be_enabled()
        expect(page.locator(".wait")).to_be_hidden()  # keys wait for the picture
        page.keyboard.press("jf"[number % 2])
    settled(page)
    file = LabelFile(tmp_path / "wink.csv", "big_wink", editor.generator_hash)
    assert [answer.value for answer in file.answers] == [True, False] * 15
    bottom = page.locator(".keys").bounding_box()
    assert bottom is not None
    assert bottom["y"] + bottom["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
    server.close()
