"""The real page in a real Chromium: one server, one page, a visitor's day."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_needs import give_up, lacking
from PIL import Image
from torch import Tensor

if why := lacking(browser=True):
    give_up(why)

from playwright.sync_api import Browser, BrowserContext, Page, expect

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
    expect(page.locator(".row")).to_have_count(40)


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
    expect(shared_page.locator(".row[data-moved], .row[data-locked]")).to_have_count(0)
    yield shared_page
    assert shared_page.watch.faults == []


# ---- what a visitor does


def pick(page: Page, seed: int) -> None:
    page.locator(".seed input").fill(str(seed))
    page.locator(".seed input").press("Enter")
    expect(page.locator(".seed input")).to_have_value(str(seed))
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
    """Tells pictures apart."""
    return page.locator(".after").get_attribute("data-key") or ""


def original(page: Page) -> str:
    return page.locator(".le-original img").get_attribute("data-key") or ""


def show_edited(page: Page, key: str) -> None:
    expect(page.locator(".after")).to_have_attribute("data-key", key)


def value(page: Page, name: str) -> float:
    return float(page.locator(f"#le-{name}").input_value())


def take(page: Page, what: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator(".more summary").click()
        page.locator(f".more [data-take={what}]").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


# ---- the day


def test_a_face_is_already_there(page: Page) -> None:
    assert re.fullmatch("[0-9a-f]{16}", original(page))
    assert edited(page) == original(page)
    expect(page.locator(".gallery button")).to_have_count(12)
    expect(page.locator(".hint")).to_be_visible()
    assert page.title() == "latentedit"
    assert page.locator("details[open]").count() == 1
    expect(page.locator("summary").last).to_contain_text("Rarely seen by this model")
    ends = [page.locator("#le-Young").get_attribute(end) for end in ("min", "max")]
    assert ends == ["-2", "3"]  # its safe range, older to the right


def test_moving_age_changes_the_picture_the_age_and_the_story(page: Page) -> None:
    before = original(page)
    young = page.locator(".age b").first.inner_text()
    slide(page, "Young")
    assert edited(page) != before
    assert original(page) == before
    first, second = page.locator(".age b").all_inner_texts()
    assert first == young
    assert second != young
    expect(page.locator(".asked li")).to_have_count(1)
    expect(page.locator(".asked")).to_contain_text("looks older")
    expect(page.locator(".told")).to_contain_text("You asked for: looks older")
    expect(page.locator("output[for=le-Young]")).to_have_text(re.compile(r"^about [+-]?\d+ years$"))
    slide(page, "Smiling")
    expect(page.locator("output[for=le-Smiling]")).to_have_text(re.compile("likely|maybe"))
    slide(page, "Smiling", "Home")
    expect(page.locator("output[for=le-Smiling]")).to_have_text(re.compile("likely|maybe"))
    expect(page.locator(".asked li")).to_have_count(2)


def test_undo_and_redo_by_button_and_by_key(page: Page) -> None:
    before = edited(page)
    slide(page, "Young")
    older = edited(page)
    slide(page, "Smiling")
    both = edited(page)
    page.locator("[data-do=undo]").click()
    show_edited(page, older)
    assert value(page, "Smiling") == 0
    page.keyboard.press("Control+z")
    show_edited(page, before)
    page.keyboard.press("Control+Shift+z")
    show_edited(page, older)
    page.locator("[data-do=redo]").click()
    show_edited(page, both)
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
    show_edited(page, before)
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
    expect(page.locator(".asked")).to_contain_text("smiling")  # shown while it moves
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
    made = [url for url in page.watch.requests[already:] if url.endswith("/act")]
    assert 1 <= len(made) <= 4  # one of them may be what is looked at in idle time
    dragged = edited(page)
    page.locator("[data-do=undo]").click()
    settled(page)
    assert value(page, "Young") == 0
    slide(page, "Young")
    assert edited(page) == dragged  # the last value is the one that is shown


def test_locks_and_presets(page: Page) -> None:
    slide(page, "Young")
    automatic = edited(page)
    expect(page.locator(".row[data-held]")).to_have_count(2)
    expect(page.locator(".holding")).to_contain_text("grey hair")
    page.locator("[data-name=Heavy_Makeup] .lock").click()
    expect(page.locator("[data-name=Heavy_Makeup] .lock")).to_have_attribute("aria-pressed", "true")
    settled(page)
    locked = edited(page)
    assert locked != automatic
    page.locator(".strict input").press("Home")
    settled(page)
    assert edited(page) == automatic
    page.locator("[data-preset=none]").click()
    expect(page.locator(".row[data-held]")).to_have_count(0)
    settled(page)
    assert edited(page) not in (locked, automatic)
    page.locator("[data-preset=all]").click()
    expect(page.locator(".row[data-locked]")).to_have_count(39)
    settled(page)
    page.locator("[data-preset=auto]").click()
    settled(page)
    assert edited(page) == automatic


def test_a_locked_slider_that_is_moved_is_explained(page: Page) -> None:
    page.locator("[data-name=Smiling] .lock").click()
    slide(page, "Smiling")
    expect(page.locator(".fights")).to_contain_text("“Smile” is locked")


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
    page.locator(".gallery button").first.click()
    settled(page)
    assert value(page, "Young") == 0
    assert edited(page) == original(page)
    seed = page.locator(".gallery button").first.get_attribute("data-seed")
    expect(page.locator(".seed input")).to_have_value(seed or "")
    page.locator(".keep").check()
    slide(page, "Young")
    page.locator("[data-do=dice]").click()
    settled(page)
    assert value(page, "Young") == 3
    assert edited(page) != original(page)
    page.locator(".keep").uncheck()
    page.locator("[data-do=more]").click()
    settled(page)
    assert page.locator(".gallery button").first.get_attribute("data-seed") != seed


def test_a_saved_picture_brings_everything_back(page: Page, address: str, tmp_path: Path) -> None:
    slide(page, "Young")
    slide(page, "Gray_Hair", "PageUp")
    page.locator("[data-name=Male] .lock").click()
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
    page.evaluate("sessionStorage.clear()")
    enter(page, address)  # a new session
    for file in (picture, saved):
        assert value(page, "Young") == 0
        page.locator(".choose").set_input_files(file)
        expect(page.locator(".notice")).to_contain_text("Opened")
        assert edited(page) == shown
        assert (value(page, "Young"), value(page, "Gray_Hair")) == (3, grey)
        expect(page.locator("[data-name=Male] .lock")).to_have_attribute("aria-pressed", "true")
        page.locator("[data-do=reset]").click()
        settled(page)


def test_a_recipe_can_be_dropped_anywhere(page: Page) -> None:
    text = EditRecipe("tiny", "0" * 12, (1,), {"Young": -2.0}, {}, {"Young": {}}).to_json()
    before = edited(page)
    page.evaluate(DROP, [text, "recipe.json"])
    expect(page.locator(".notice")).to_contain_text("another version of tiny")
    assert edited(page) == before


DROP = """([text, name]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
}"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("face.png", b"I am text"),
        ("face.png", b"\x89PNG\r\n\x1a\n"),
        ("big.png", b" " * 41_000_000),
    ],
)
def test_a_file_that_is_none_of_ours_changes_nothing(
    page: Page, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    slide(page, "Young")
    before = edited(page)
    page.locator(".choose").set_input_files(tmp_path / name)
    expect(page.locator(".notice.bad")).to_contain_text(re.compile("not an image|damaged|MB"))
    assert (edited(page), value(page, "Young")) == (before, 3)
    slide(page, "Young", "Home")  # and the page goes on working
    assert edited(page) != before


def test_ways_to_look(page: Page) -> None:
    slide(page, "Young")
    page.locator("button[data-mode=side]").click()
    expect(page.locator(".le-original")).to_be_visible()
    page.locator("button[data-mode=swipe]").click()
    expect(page.locator(".le-original")).to_be_hidden()
    page.locator(".swipe").press("ArrowRight")
    assert "51%" in (page.locator(".le-edited").get_attribute("style") or "")
    page.locator("button[data-mode=film]").click()
    expect(page.locator(".film")).to_be_visible()
    settled(page)
    frames = page.locator(".scrub input")
    expect(frames).to_have_attribute("max", "8")
    frames.press("End")
    expect(page.locator(".film")).to_have_attribute("data-key", edited(page))
    frames.press("Home")
    expect(page.locator(".film")).to_have_attribute("data-key", original(page))
    page.locator("[data-do=play]").click()
    expect(frames).not_to_have_value("0")
    page.locator("button[data-mode=one]").click()
    expect(page.locator(".after")).to_be_visible()


def test_the_picture_is_held_zoomed_and_moved(page: Page) -> None:
    slide(page, "Young")
    canvas, before = page.locator(".canvas"), page.locator(".before")
    expect(before).to_be_hidden()
    canvas.press("o", delay=0)
    box = canvas.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    expect(before).to_be_visible()
    page.mouse.up()
    expect(before).to_be_hidden()
    page.mouse.wheel(0, -600)
    expect(page.locator(".canvas[data-zoomed]")).to_have_count(1)
    transform = page.locator(".zoomed").get_attribute("style")
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1] + 25, steps=4)
    page.mouse.up()
    assert page.locator(".zoomed").get_attribute("style") != transform
    canvas.press("0")
    expect(page.locator(".canvas[data-zoomed]")).to_have_count(0)
    for _ in range(3):
        page.locator("[data-do=in]").click()
    expect(page.locator(".canvas[data-zoomed]")).to_have_count(1)
    page.locator("[data-do=fit]").click()


def test_a_reload_keeps_the_edit(page: Page, address: str) -> None:
    slide(page, "Young")
    before = edited(page)
    page.reload()
    expect(page.locator(".row")).to_have_count(40)
    show_edited(page, before)
    assert value(page, "Young") == 3
    page.locator("[data-do=undo]").click()
    settled(page)
    assert value(page, "Young") == 0


def test_a_model_without_photos_says_so(page: Page) -> None:
    page.locator("button[data-way=photo]").click()
    expect(page.locator(".lacking")).to_contain_text("tiny takes no photos")
    page.locator(".lacking button").click()
    expect(page.locator(".model code")).to_have_text("latentedit models pull ffhq1024")
    expect(page.locator(".model summary")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".model code")).to_be_hidden()
    page.locator("button[data-way=seed]").click()
    expect(page.locator(".gallery")).to_be_visible()


def test_nothing_on_the_page_is_in_the_words_of_the_trade(page: Page) -> None:
    text = page.locator("body").inner_text() + page.locator("body").evaluate(
        "(body) => [...body.querySelectorAll('[title],[aria-label],[placeholder],[alt]')]"
        ".map((e) => ['title','aria-label','placeholder','alt'].map((n) => e.getAttribute(n)))"
        ".join(' ')"
    )
    assert "latent" not in text.lower().replace("latentedit", "")


def test_the_search_finds_sliders(page: Page) -> None:
    page.locator(".search").fill("BEARD")
    expect(page.locator(".row:visible")).to_have_count(1)
    page.locator(".search").fill("wearing")
    assert page.locator(".row:visible").count() >= 4
    page.locator(".search").fill("qqq")
    expect(page.locator(".none")).to_be_visible()
    page.locator(".search").press("Escape")
    expect(page.locator(".row:visible")).to_have_count(6)


def test_the_keyboard_is_enough(page: Page) -> None:
    page.locator(".search").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "le-Young"
    page.keyboard.press("End")
    settled(page)
    assert edited(page) != original(page)
    page.keyboard.press("Tab")  # the cross that sets it back
    assert page.evaluate("document.activeElement.className") == "clear"
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
    page.locator(".what").select_option(label="Smile")
    expect(page.locator(".le-compare")).to_contain_text("smiling")
    page.get_by_role("tab", name="Edit").click()
    expect(page.locator(".after")).to_be_visible()


def test_dark_mode_is_kept(page: Page, address: str) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.locator(".top .dark").click()
    dark = page.evaluate(colour)
    assert dark != light
    enter(page, address)
    assert page.evaluate(colour) == dark
    page.locator(".top .dark").click()
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
    for card in other.locator(".card:visible").all():
        box = card.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= other.evaluate("document.documentElement.clientWidth")
    other.locator("#le-Heavy_Makeup").scroll_into_view_if_needed()
    box = other.locator(".canvas").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 20  # the pictures stay in view beside the slider
    assert box["height"] < PHONE["height"] / 2
    assert other.watch.faults == []
    other.context.close()
