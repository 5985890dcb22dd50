"""A visitor's minute with a photo of their own, in a real Chromium."""

from __future__ import annotations

import io
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_needs import CHROMIUM, give_up, lacking
from photo_models import draw_photo, write_bundle
from PIL import Image

if why := lacking(browser=True):
    give_up(why)

from playwright.sync_api import Browser, FilePayload, Page, expect

from latentedit.demo import sitters
from latentedit.demo.refining import Refiner
from latentedit.demo.server import serve
from latentedit.demo.sitters import Sitter
from latentedit.editing.editor import FaceEditor
from latentedit.photos.photograph import read_marks
from latentedit.pretrained import bundles

expect.set_options(timeout=60_000)  # machines are busy sometimes

DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module", autouse=True)
def _few_steps() -> Iterator[None]:
    """Refining is as long as a test can wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sitters, "REFINING_STEPS", 8)
        patch.setattr(sitters, "REDRAWN_AT", (4, 8))
        yield


@pytest.fixture(scope="module")
def address(_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a page whose first model takes photos; `plain`, which ships beside it, takes none."""
    folder = write_bundle(tmp_path_factory.mktemp("page") / "tiny")
    shipped = tmp_path_factory.mktemp("shipped")
    shutil.copytree(_bundle, shipped / "plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "_ROOTS", (shipped, *bundles._ROOTS))
        blocks = serve(FaceEditor.load(folder, device="cpu"), wait=False)
        yield f"http://127.0.0.1:{blocks.server_port}"
        blocks.close()


def visit(browser: Browser, address: str, size: dict[str, int], script: str = "") -> Page:
    """A page that fails where an error shows, or another host is asked for something."""
    context = browser.new_context(viewport=size, has_touch=size is PHONE)
    context.set_default_timeout(60_000)
    context.add_init_script(script)
    page = context.new_page()
    page.faults = []
    page.on("console", lambda said: said.type == "error" and page.faults.append(said.text))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    own = (address, "blob:", "data:")
    page.on("request", lambda each: each.url.startswith(own) or page.faults.append(each.url))
    page.goto(address)
    expect(page.locator(".row")).to_have_count(3)
    settled(page)
    return page


def settled(page: Page) -> None:
    expect(page.locator("[data-resting], [data-busy]")).to_have_count(0)


def file(faces: int = 1, name: str = "me.jpg") -> FilePayload:
    buffer = io.BytesIO()
    photo = draw_photo(faces) if faces else draw_photo()[:40, :60]
    Image.fromarray(photo).save(buffer, "JPEG", quality=92)
    return {"name": name, "mimeType": "image/jpeg", "buffer": buffer.getvalue()}


def add(page: Page, photo: FilePayload) -> None:
    page.locator(".choose").set_input_files(photo)
    settled(page)


def key(page: Page, where: str = ".after") -> str:
    return page.locator(where).get_attribute("data-key") or ""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_minute(browser: Browser, address: str, size: dict[str, int]) -> None:
    page = visit(browser, address, size)
    page.locator("button[data-way=photo]").click()
    expect(page.locator(".way .privacy")).to_contain_text("never written to disk")
    add(page, file())
    expect(page.locator(".mine")).to_contain_text("me.jpg")
    assert key(page) == key(page, ".before")
    page.locator("#le-Smiling").press("End")
    settled(page)
    smiling = key(page)
    assert smiling != key(page, ".before")
    expect(page.locator(".asked")).to_contain_text("smiling")
    page.locator("[data-do=face]").click()
    expect(page.locator(".canvas[data-zoomed]")).to_have_count(1)
    page.locator("[data-do=fit]").click()
    page.locator(".hold").dispatch_event("pointerdown")
    expect(page.locator(".before")).to_be_visible()
    page.locator(".hold").dispatch_event("pointerup")
    expect(page.locator(".before")).to_be_hidden()
    with page.expect_download() as download:
        page.locator(".save .main").click()
    assert download.value.suggested_filename == "me-edited.jpg"
    saved = download.value.path().read_bytes()
    with Image.open(io.BytesIO(saved)) as whole:
        assert whole.size == (300, 300)
    assert json.loads(read_marks(saved).recipe or "")["edits"][0]["steps"] == {"Smiling": 3.0}
    page.reload()
    expect(page.locator(".mine")).to_contain_text("me.jpg")
    assert page.locator("#le-Smiling").input_value() == "3"
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.faults == []
    page.context.close()


def test_refining_is_shown_and_sliders_are_live_meanwhile(
    browser: Browser, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, step = threading.Event(), Refiner._step

    def step_when_looked(refiner: Refiner, sitter: Sitter) -> None:
        if sitter.share > 0.5:
            looked.wait(60)
        step(refiner, sitter)

    monkeypatch.setattr(Refiner, "_step", step_when_looked)
    page = visit(browser, address, DESKTOP)
    add(page, file())
    expect(page.locator(".looking")).to_contain_text("Looking closer")
    page.locator("#le-Young").press("End")
    settled(page)
    first = key(page)
    looked.set()
    expect(page.locator("[data-looking]")).to_have_count(0)
    expect(page.locator(".looking")).to_be_hidden()
    expect(page.locator(".after")).not_to_have_attribute("data-key", first)
    assert page.locator("#le-Young").input_value() == "3"
    assert page.faults == []
    page.context.close()


def test_of_several_faces_one_is_clicked(browser: Browser, address: str) -> None:
    page = visit(browser, address, DESKTOP)
    add(page, file(2, "we.jpg"))
    outlines = page.locator(".outlines button")
    expect(outlines).to_have_count(2)
    expect(page.locator(".notice")).to_contain_text("Whose face")
    outlines.nth(1).click()
    expect(page.locator(".mine")).to_contain_text("face 2 of 2")
    expect(outlines).to_have_count(0)
    assert page.faults == []
    page.context.close()


def test_no_face_and_no_photo_are_said(browser: Browser, address: str) -> None:
    page = visit(browser, address, DESKTOP)
    before = key(page)
    add(page, file(0))
    expect(page.locator(".notice.bad")).to_contain_text("No face was found")
    add(page, {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"I am text"})
    expect(page.locator(".notice.bad")).to_contain_text("not an image")
    assert key(page) == before
    assert page.faults == []
    page.context.close()


def test_a_photo_is_dropped_and_pasted(browser: Browser, address: str) -> None:
    page = visit(browser, address, DESKTOP)
    for number, (kind, event) in enumerate((("drop", "DragEvent"), ("paste", "ClipboardEvent"))):
        page.evaluate(
            """async ([bytes, name, kind, event]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
                const init = { bubbles: true, dataTransfer: data, clipboardData: data };
                document.dispatchEvent(new window[event](kind, init));
            }""",
            [list(file()["buffer"]), f"{number}.jpg", kind, event],
        )
        expect(page.locator(".mine")).to_contain_text(f"{number}.jpg")
    assert page.faults == []
    page.context.close()


def test_two_visitors_have_photos_of_their_own(browser: Browser, address: str) -> None:
    one, two = visit(browser, address, DESKTOP), visit(browser, address, PHONE)
    add(one, file(name="one.jpg"))
    add(two, file(name="two.jpg"))
    two.locator("#le-Young").press("Home")
    settled(two)
    one.reload()
    expect(one.locator(".mine")).to_contain_text("one.jpg")
    assert one.locator("#le-Young").input_value() == "0"
    one.get_by_role("tab", name="Portrait check").click()
    expect(one.locator(".found h2")).to_contain_text("one.jpg")
    for page in (one, two):
        assert page.faults == []
        page.context.close()


# ---- models


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_another_model_is_chosen_from_the_keyboard(
    browser: Browser, address: str, size: dict[str, int]
) -> None:
    page = visit(browser, address, size)
    page.locator("#le-Young").press("End")
    settled(page)
    chip = page.locator(".model summary")
    expect(chip).to_contain_text("tiny")
    chip.press("Enter")
    listed = page.locator(".model li")
    expect(listed).to_have_count(4)  # ffhq1024, which was not pulled, is the last
    expect(listed.last.locator("code")).to_have_text("latentedit models pull ffhq1024")
    card = page.locator(".model .card").bounding_box()
    assert card is not None
    assert card["x"] >= 0
    assert card["x"] + card["width"] <= size["width"]
    expect(listed.locator("[aria-pressed=true]")).to_contain_text("tiny")
    page.locator("[data-name=plain] button").press("Enter")
    expect(page.locator(".row")).to_have_count(40)
    settled(page)
    expect(chip).to_be_focused()
    expect(chip).to_have_text("Model plain")
    expect(page.locator(".row[data-moved]")).to_have_count(0)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#compare option")).to_have_count(40)
    chip.press("Enter")
    page.locator("[data-name=tiny] button").press("Enter")
    expect(page.locator("#compare option")).to_have_count(3)
    page.get_by_role("tab", name="Edit").click()
    assert page.locator("#le-Young").input_value() == "3"
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.faults == []
    page.context.close()


def test_a_photo_finds_the_model_that_takes_it(browser: Browser, address: str) -> None:
    page = visit(browser, address, DESKTOP)
    page.locator(".model summary").click()
    page.locator("[data-name=plain] button").click()
    expect(page.locator(".row")).to_have_count(40)
    settled(page)
    page.locator("button[data-way=photo]").click()
    expect(page.locator(".lacking")).to_contain_text("tiny does")
    add(page, file(2, "we.jpg"))
    expect(page.locator(".notice")).to_contain_text("tiny draws now. Whose face")
    page.locator(".outlines button").first.click()
    expect(page.locator(".mine")).to_contain_text("we.jpg")
    expect(page.locator(".model summary")).to_contain_text("tiny")
    expect(page.locator(".row")).to_have_count(3)
    expect(page.locator(".lacking")).to_be_hidden()
    page.locator("#le-Smiling").press("End")
    settled(page)
    assert key(page) != key(page, ".before")
    assert page.faults == []
    page.context.close()


# ---- the camera

WATCHED = """if (navigator.mediaDevices) {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  window.tracks = [];
  navigator.mediaDevices.getUserMedia = async (wish) => {
    const stream = await ask(wish);
    window.tracks.push(...stream.getTracks());
    return stream;
  };
  const fetched = window.fetch.bind(window);
  window.fetch = (path, options) => {
    if (options.body instanceof Blob) window.still = options.body;
    return fetched(path, options);
  };
}"""
STILL = """async () => {
  const { width, height } = await createImageBitmap(window.still);
  return [window.still.type, width, height];
}"""
STATES = "window.tracks.map((track) => track.readyState)"


def wait_for_tracks(page: Page, states: list[str]) -> None:
    """Wait for the camera's tracks: a dialog that was closed tells it a moment later."""
    until = time.monotonic() + 20
    while (found := page.evaluate(STATES)) != states and time.monotonic() < until:
        page.wait_for_timeout(20)
    assert found == states


@pytest.fixture(scope="module")
def filmed(browser: Browser) -> Iterator[Browser]:
    """A browser with a camera, which sees no face."""
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    running = browser.browser_type.launch(executable_path=CHROMIUM, args=["--no-sandbox", *fake])
    yield running
    running.close()


def test_the_camera_takes_a_whole_picture_and_is_off_again(filmed: Browser, address: str) -> None:
    page = visit(filmed, address, DESKTOP, WATCHED)
    page.locator("button[data-way=photo]").click()
    button = page.get_by_role("button", name="Camera", exact=True)
    button.press("Enter")
    shutter = page.get_by_role("button", name="Take the photo")
    expect(shutter).to_be_enabled()
    expect(shutter).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    expect(button).to_be_focused()
    wait_for_tracks(page, ["ended"])
    assert page.evaluate("window.still") is None
    button.press("Enter")
    expect(shutter).to_be_focused()
    size = page.locator("video").evaluate("(video) => [video.videoWidth, video.videoHeight]")
    wait_for_tracks(page, ["ended", "live"])
    page.keyboard.press("Space")
    expect(page.locator(".notice.bad")).to_contain_text("No face was found")
    expect(button).to_be_focused()
    wait_for_tracks(page, ["ended", "ended"])
    assert page.evaluate(STILL) == ["image/jpeg", *size]
    assert page.faults == []
    page.context.close()


def test_a_camera_that_is_missing_is_said(browser: Browser, address: str) -> None:
    page = visit(browser, address, DESKTOP)
    page.locator("button[data-way=photo]").click()
    page.get_by_role("button", name="Camera", exact=True).click()
    expect(page.locator(".notice.bad")).to_contain_text("choose a photo")
    expect(page.locator("dialog")).to_be_hidden()
    page.context.close()
    gone = "Object.defineProperty(Navigator.prototype, 'mediaDevices', { value: undefined });"
    page = visit(browser, address, DESKTOP, gone)
    page.locator("button[data-way=photo]").click()
    expect(page.locator(".choose")).to_be_enabled()
    expect(page.locator(".shoot")).to_be_hidden()
    page.context.close()
