"""The real page in a real Chromium: one server, one page, a visitor's day."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_needs import CHROMIUM, give_up, lacking
from PIL import Image
from torch import Tensor

if why := lacking(browser=True):
    give_up(why)

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from latentedit import defaults
from latentedit.boundaries.calibration import Calibration
from latentedit.boundaries.model import Boundaries
from latentedit.demo.server import serve
from latentedit.editing.editor import FaceEditor
from latentedit.editing.recipes import EditRecipe
from latentedit.pretrained.bundles import load_classifier, load_generator

expect.set_options(timeout=20_000)  # machines are busy sometimes

PHONE = {"width": 390, "height": 844}


def years(images: Tensor) -> Tensor:
    return 50 + 2000 * images.mean((1, 2, 3))


@pytest.fixture(scope="module")
def address(_bundle: Path) -> Iterator[str]:
    boundaries = replace(
        Boundaries.load(_bundle / "boundaries.safetensors"),
        safe_ranges={"Young": (-3.0, 2.0), "Smiling": (-2.0, 3.0)},
        calibrations={
            "Young": Calibration((-3.0, 0.0, 2.0), (0.02, 0.6, 0.95), (24, 0, -9)),
            "Smiling": Calibration((-2.0, 0.0, 3.0), (0.05, 0.5, 0.97)),
        },
        rare=("Bald",),
    )
    parts = load_generator(_bundle)[0], load_classifier(_bundle)[0], years, boundaries
    blocks = serve(FaceEditor(*parts, name="tiny", device="cpu"), wait=False)
    yield f"http://127.0.0.1:{blocks.server_port}"
    blocks.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # no sandbox: as root, in a container, Chromium has none
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


class Watch:
    """What must not happen on any page: console errors, and requests to other hosts."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.address = address
        context.on("console", lambda m: m.type == "error" and self.faults.append(m.text))
        context.on("weberror", lambda error: self.faults.append(str(error.error)))
        context.on("request", lambda request: self.see(request.url))

    def see(self, url: str) -> None:
        self.requests.append(url)
        if not url.startswith((self.address, "data:", "blob:")):
            self.faults.append(f"request to {url}")


def visit(browser: Browser, address: str, **options: Any) -> Page:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.watch = Watch(context, address)
    enter(page, address)
    return page


def enter(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".le-row")).to_have_count(40)


@pytest.fixture(scope="module")
def shared_page(browser: Browser, address: str) -> Iterator[Page]:
    page = visit(browser, address)
    yield page
    page.context.close()


@pytest.fixture
def page(shared_page: Page) -> Iterator[Page]:
    """The page, everything back where it started; nothing bad may happen on it."""
    shared_page.locator("[data-do=reset]").click()
    settled(shared_page)
    pick(shared_page, defaults.SEED)
    expect(shared_page.locator(".le-row[data-moved], .le-row[data-locked]")).to_have_count(0)
    yield shared_page
    assert shared_page.watch.faults == []


# ---- what a visitor does


def pick(page: Page, seed: int) -> None:
    page.locator(".le-seed input").fill(str(seed))
    page.locator(".le-seed input").press("Enter")
    expect(page.locator(".le-seed input")).to_have_value(str(seed))
    settled(page)


def settled(page: Page) -> None:
    expect(page.locator("[data-resting], [data-busy]")).to_have_count(0)


def slide(page: Page, name: str, key: str = "End") -> None:
    """Move a slider by the keyboard."""
    details = page.locator("details", has=page.locator(f"#le-{name}"))
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    page.locator(f"#le-{name}").press(key)
    settled(page)


def edited(page: Page) -> str:
    return page.locator(".le-edited img").get_attribute("src") or ""


def original(page: Page) -> str:
    return page.locator(".le-original img").get_attribute("src") or ""


def value(page: Page, name: str) -> float:
    return float(page.locator(f"#le-{name}").input_value())


def take(page: Page, what: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator(f"[data-take={what}]").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


# ---- the day


def test_a_face_is_already_there(page: Page) -> None:
    assert original(page).startswith("data:image/png;base64,")
    assert edited(page) == original(page)
    expect(page.locator(".le-gallery button")).to_have_count(12)
    expect(page.locator(".le-hint")).to_be_visible()
    assert page.title() == "latentedit"
    assert page.locator("details[open]").count() == 1
    expect(page.locator("summary").last).to_contain_text("Rarely seen by this model")
    ends = [page.locator("#le-Young").get_attribute(end) for end in ("min", "max")]
    assert ends == ["-2", "3"]  # its safe range, older to the right


def test_moving_age_changes_the_picture_the_age_and_the_story(page: Page) -> None:
    before = original(page)
    young = page.locator(".le-age b").first.inner_text()
    slide(page, "Young")
    assert edited(page) != before
    assert original(page) == before
    first, second = page.locator(".le-age b").all_inner_texts()
    assert first == young
    assert second != young
    expect(page.locator(".le-asked li")).to_have_count(1)
    expect(page.locator(".le-asked")).to_contain_text("looks older")
    expect(page.locator(".le-told")).to_contain_text("You asked for: looks older")
    expect(page.locator("output[for=le-Young]")).to_have_text("+24 years · +3.0")
    slide(page, "Smiling")
    expect(page.locator("output[for=le-Smiling]")).to_have_text("very likely · +3.0")
    slide(page, "Smiling", "Home")
    expect(page.locator("output[for=le-Smiling]")).to_have_text("very unlikely · -2.0")
    expect(page.locator(".le-asked li")).to_have_count(2)


def test_undo_and_redo_by_button_and_by_key(page: Page) -> None:
    before = edited(page)
    slide(page, "Young")
    older = edited(page)
    slide(page, "Smiling")
    both = edited(page)
    page.locator("[data-do=undo]").click()
    expect(page.locator(".le-edited img")).to_have_attribute("src", older)
    assert value(page, "Smiling") == 0
    page.keyboard.press("Control+z")
    expect(page.locator(".le-edited img")).to_have_attribute("src", before)
    page.keyboard.press("Control+Shift+z")
    expect(page.locator(".le-edited img")).to_have_attribute("src", older)
    page.locator("[data-do=redo]").click()
    expect(page.locator(".le-edited img")).to_have_attribute("src", both)
    expect(page.locator("[data-do=redo]")).to_be_disabled()
    assert value(page, "Smiling") == 3


def test_arrow_keys_held_down_are_one_move(page: Page) -> None:
    before = edited(page)
    slider = page.locator("#le-Young")
    slider.evaluate(  # as fast as a keyboard repeats, however busy this machine is
        """(slider) => {
            for (let i = 1; i <= 10; i++) {
                slider.value = 0.05 * i;
                for (const name of ["input", "change"]) slider.dispatchEvent(new Event(name));
            }
        }"""
    )
    settled(page)
    assert value(page, "Young") == 0.5
    assert edited(page) != before
    page.locator("[data-do=undo]").click()
    expect(page.locator(".le-edited img")).to_have_attribute("src", before)
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert value(page, "Young") == 0  # it finds its way home


def test_a_drag_with_the_mouse_is_one_move(page: Page) -> None:
    before = edited(page)
    box = page.locator("#le-Smiling").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)  # where 0 is
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=12)
    expect(page.locator(".le-asked")).to_contain_text("smiling")  # shown while it moves
    page.mouse.up()
    settled(page)
    assert 2 < value(page, "Smiling") < 3
    assert edited(page) != before
    page.locator("[data-do=undo]").click()
    settled(page)
    assert (edited(page), value(page, "Smiling")) == (before, 0)


def test_stale_previews_are_dropped(page: Page) -> None:
    slide(page, "Smiling")
    already = len(page.watch.requests)
    page.evaluate(
        """() => {
            const slider = document.getElementById("le-Young");
            for (let i = 1; i <= 60; i++) {
                slider.value = i / 20;
                slider.dispatchEvent(new Event("input"));
            }
            slider.dispatchEvent(new Event("change"));
        }"""
    )
    settled(page)
    made = [url for url in page.watch.requests[already:] if "/run/" in url]
    assert 1 <= len(made) <= 3
    dragged = edited(page)
    page.locator("[data-do=undo]").click()
    settled(page)
    assert value(page, "Young") == 0
    slide(page, "Young")
    assert edited(page) == dragged  # the last value is the one that is shown


def test_locks_and_presets(page: Page) -> None:
    slide(page, "Young")
    automatic = edited(page)
    expect(page.locator(".le-row[data-held]")).to_have_count(2)
    expect(page.locator(".le-holding")).to_contain_text("grey hair")
    page.locator("[data-name=Heavy_Makeup] .le-lock").click()
    expect(page.locator("[data-name=Heavy_Makeup] .le-lock")).to_have_attribute(
        "aria-pressed", "true"
    )
    settled(page)
    locked = edited(page)
    assert locked != automatic
    page.locator(".le-strict input").press("Home")
    settled(page)
    assert edited(page) == automatic
    page.locator("[data-preset=none]").click()
    expect(page.locator(".le-row[data-held]")).to_have_count(0)
    settled(page)
    assert edited(page) not in (locked, automatic)
    page.locator("[data-preset=all]").click()
    expect(page.locator(".le-row[data-locked]")).to_have_count(39)
    settled(page)
    page.locator("[data-preset=auto]").click()
    settled(page)
    assert edited(page) == automatic


def test_a_locked_slider_that_is_moved_is_explained(page: Page) -> None:
    page.locator("[data-name=Smiling] .le-lock").click()
    slide(page, "Smiling")
    expect(page.locator(".le-fights")).to_contain_text("“Smile” is locked")


def test_requests_in_quick_succession_leave_page_and_session_agreed(page: Page) -> None:
    before = edited(page)
    slide(page, "Young")
    older = edited(page)
    page.evaluate(
        """() => {
            for (const act of ["undo", "redo", "undo", "more"]) {
                document.querySelector(`[data-do=${act}]`).disabled = false;
                document.querySelector(`[data-do=${act}]`).click();
            }
        }"""
    )
    settled(page)
    assert (edited(page), value(page, "Young")) == (before, 0)
    page.locator("[data-do=redo]").click()
    settled(page)
    assert (edited(page), value(page, "Young")) == (older, 3)


def test_other_faces(page: Page) -> None:
    slide(page, "Young")
    page.locator(".le-gallery button").first.click()
    settled(page)
    assert value(page, "Young") == 0
    assert edited(page) == original(page)
    seed = page.locator(".le-gallery button").first.get_attribute("data-seed")
    expect(page.locator(".le-seed input")).to_have_value(seed or "")
    page.locator(".le-keep").check()
    slide(page, "Young")
    page.locator("[data-do=dice]").click()
    settled(page)
    assert value(page, "Young") == 3
    assert edited(page) != original(page)
    page.locator(".le-keep").uncheck()
    page.locator("[data-do=more]").click()
    settled(page)
    assert page.locator(".le-gallery button").first.get_attribute("data-seed") != seed


def test_a_saved_picture_brings_everything_back(page: Page, address: str, tmp_path: Path) -> None:
    slide(page, "Young")
    slide(page, "Gray_Hair", "PageUp")
    page.locator("[data-name=Male] .le-lock").click()
    settled(page)
    shown, grey = edited(page), value(page, "Gray_Hair")
    picture = take(page, "picture", tmp_path)
    with Image.open(picture) as image:
        recipe = EditRecipe.from_json(image.text["latentedit"])
    assert (recipe.model, recipe.seeds) == ("tiny", (defaults.SEED,))
    assert recipe.steps == {"Young": -3.0, "Gray_Hair": grey}
    assert recipe.holds["Young"] == {"Male": 1.0}
    saved = take(page, "recipe", tmp_path)
    assert json.loads(saved.read_text()) == recipe.as_dict() | {"seeds": [defaults.SEED]}
    assert take(page, "animation", tmp_path).read_bytes().startswith(b"GIF89a")
    assert take(page, "video", tmp_path).suffix == ".mp4"
    assert take(page, "strip", tmp_path).stat().st_size > 1000
    assert take(page, "latent", tmp_path).suffix == ".safetensors"
    enter(page, address)  # a new session
    for file in (picture, saved):
        assert value(page, "Young") == 0
        page.locator(".le-drop input").set_input_files(file)
        expect(page.locator(".le-notice")).to_contain_text("Opened")
        assert edited(page) == shown
        assert (value(page, "Young"), value(page, "Gray_Hair")) == (3, grey)
        expect(page.locator("[data-name=Male] .le-lock")).to_have_attribute("aria-pressed", "true")
        page.locator("[data-do=reset]").click()
        settled(page)


def test_a_recipe_can_be_dropped_anywhere(page: Page) -> None:
    text = EditRecipe("tiny", "0" * 12, (1,), {"Young": -2.0}, {}, {"Young": {}}).to_json()
    before = edited(page)
    page.evaluate(
        """(text) => {
            const data = new DataTransfer();
            data.items.add(new File([text], "recipe.json"));
            document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        text,
    )
    expect(page.locator(".le-notice")).to_contain_text("another model")
    assert edited(page) == before


@pytest.mark.parametrize(
    ("name", "content"),
    [("face.png", b"I am text"), ("face.png", b"\x89PNG\r\n\x1a\n"), ("big.png", b" " * 5_000_000)],
)
def test_a_file_that_is_none_of_ours_changes_nothing(page: Page, name: str, content: bytes) -> None:
    slide(page, "Young")
    before = edited(page)
    page.locator(".le-drop input").set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": content}
    )
    expect(page.locator(".le-notice.le-bad")).to_contain_text(re.compile("neither|damaged|MB"))
    assert (edited(page), value(page, "Young")) == (before, 3)
    slide(page, "Young", "Home")  # and the page goes on working
    assert edited(page) != before


def test_ways_to_look(page: Page) -> None:
    slide(page, "Young")
    page.locator("button[data-mode=swipe]").click()
    swipe = page.locator(".le-swipe")
    expect(swipe).to_be_visible()
    expect(page.locator(".le-edited")).to_be_hidden()
    swipe.locator("input").press("ArrowRight")
    assert "51%" in (swipe.get_attribute("style") or "")
    page.locator("button[data-mode=film]").click()
    settled(page)
    frames = page.locator(".le-scrub input")
    expect(frames).to_have_attribute("max", "8")
    frames.press("End")
    expect(page.locator(".le-film img")).to_have_attribute("src", edited(page))
    frames.press("Home")
    expect(page.locator(".le-film img")).to_have_attribute("src", original(page))
    page.locator("[data-do=play]").click()
    page.wait_for_timeout(300)
    assert frames.input_value() != "0"
    page.locator("button[data-mode=side]").click()
    expect(page.locator(".le-edited")).to_be_visible()


def test_the_search_finds_sliders(page: Page) -> None:
    page.locator(".le-search").fill("BEARD")
    expect(page.locator(".le-row:visible")).to_have_count(1)
    page.locator(".le-search").fill("wearing")
    assert page.locator(".le-row:visible").count() >= 4
    page.locator(".le-search").fill("qqq")
    expect(page.locator(".le-none")).to_be_visible()
    page.locator(".le-search").press("Escape")
    expect(page.locator(".le-row:visible")).to_have_count(6)


def test_the_keyboard_is_enough(page: Page) -> None:
    page.locator(".le-search").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "le-Young"
    page.keyboard.press("End")
    settled(page)
    assert edited(page) != original(page)
    page.keyboard.press("Tab")  # the cross that sets it back
    assert page.evaluate("document.activeElement.className") == "le-clear"
    page.keyboard.press("Enter")
    settled(page)
    assert edited(page) == original(page)


def test_compare_without_and_with_locks(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator(".le-compare img")).to_have_count(3)
    free, held = (
        page.locator(".le-compare img").nth(index).get_attribute("src") for index in (1, 2)
    )
    assert free != held
    expect(page.locator(".le-compare")).to_contain_text("looks older")
    page.get_by_label("What moves").click()
    page.get_by_role("option", name="Smile").click()
    expect(page.locator(".le-compare")).to_contain_text("smiling")
    page.get_by_role("tab", name="Edit").click()
    expect(page.locator(".le-edited")).to_be_visible()


def test_dark_mode_is_kept(page: Page, address: str) -> None:
    colour = "getComputedStyle(document.querySelector('gradio-app')).backgroundColor"
    light = page.evaluate(colour)
    page.locator(".le-top button").click()
    dark = page.evaluate(colour)
    assert dark != light
    enter(page, address)
    assert page.evaluate(colour) == dark
    page.locator(".le-top button").click()
    assert page.evaluate(colour) == light


def test_two_visitors_and_a_phone(page: Page, browser: Browser, address: str) -> None:
    slide(page, "Young")
    before = edited(page)
    other = visit(browser, address, viewport=PHONE, color_scheme="dark")
    assert value(other, "Young") == 0
    assert edited(other) == original(other)
    slide(other, "Smiling")
    assert edited(other) not in (before, original(other))
    other.locator("[data-do=undo]").click()
    settled(other)
    assert (edited(page), value(page, "Young")) == (before, 3)
    slide(page, "Smiling")
    assert value(page, "Young") == 3
    assert other.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    other.locator("#le-Heavy_Makeup").scroll_into_view_if_needed()
    box = other.locator(".le-pictures").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 20  # the pictures stay in view beside the slider
    assert box["height"] < PHONE["height"] / 2
    assert other.watch.faults == []
    other.context.close()
