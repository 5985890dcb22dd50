"""Draw the README's pictures of the demo, on a desktop and a phone, and record a drag.

    python scripts/demo_screenshots.py [--photo PHOTO] [--model NAME] [--seed N] [-o docs/images]

With `--photo` the pictures show edits of this photo; its terms must allow that. The script needs
Debian's chromium and `pip install 'latentedit[demo,test]'`.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from latentedit import FaceEditor
from latentedit.demo.server import serve

EDIT = {"Young": 0.5, "Smiling": 0.3}
"""Sliders to move, and how far to the right, as a share of the way."""

PHOTO_EDIT = {"Young": 0.45, "Smiling": -0.6}
"""The same for a photo; below 0 means to the left."""

DRAGGED = "Young"
FRAMES, FAR = 24, 0.9
"""Moves of the slider in the recording, and the farthest share of its way."""

WAIT = 1_800_000
"""Longest wait in milliseconds, for a busy machine."""

SLIDE = """(slider, [share, kinds]) => {
  slider.value = share > 0 ? slider.max * share : -slider.min * share;
  for (const kind of kinds) slider.dispatchEvent(new Event(kind));
}"""


def settled(page: Page) -> None:
    """Wait until nothing moves any more."""
    expect(page.locator("[data-resting], [data-busy]")).to_have_count(0)


def slide(page: Page, name: str, share: float, *, release: bool = True) -> None:
    """Move a slider to a share of its way."""
    kinds = ["input", "change"] if release else ["input"]
    page.locator(f"#le-{name}").evaluate(SLIDE, [share, kinds])
    settled(page)


def show(page: Page, address: str, options: argparse.Namespace) -> None:
    """Open the page, pick a face or add the photo, and move the sliders."""
    page.set_default_timeout(WAIT)
    page.goto(address)
    expect(page.locator(".row")).to_have_count(40)
    settled(page)
    if options.photo:
        page.locator(".choose").set_input_files(options.photo)
        expect(page.locator(".mine b")).not_to_be_empty()
        expect(page.locator("[data-looking]")).to_have_count(0)
    elif options.seed is not None:
        page.locator(".seed input").fill(str(options.seed))
        page.locator(".seed input").press("Enter")
    settled(page)
    for name, share in (PHOTO_EDIT if options.photo else EDIT).items():
        slide(page, name, share)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(1500)  # by then the labels are updated for this face
    settled(page)


def record(page: Page, path: Path) -> None:
    """Record a GIF of the page while one slider is dragged, let go, and dragged back."""
    frames, beats = [], []
    slide(page, DRAGGED, 0.0)
    for number in range(FRAMES + 1):
        share = 1 - abs(2 * number / FRAMES - 1)
        released = number in (0, FRAMES // 2, FRAMES)
        slide(page, DRAGGED, FAR * share, release=released)
        with Image.open(io.BytesIO(page.screenshot())) as shot:
            frames.append(shot.convert("RGB").resize((800, 800 * shot.height // shot.width)))
        beats.append(1200 if released else 110)
    palette = frames[FRAMES // 2].quantize(256)
    few = [frame.quantize(palette=palette) for frame in frames]
    few[0].save(path, save_all=True, append_images=few[1:], duration=beats, loop=0, optimize=True)


def main() -> None:
    """Serve the page, visit it on a desktop and on a phone, and save the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a bundle's name or folder")
    parser.add_argument("--seed", type=int, help="by default the page's first face")
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--record", action="store_true", help="record the drag too; takes a while")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no Chromium: apt-get install chromium")
    expect.set_options(timeout=WAIT)
    blocks = serve(FaceEditor.load(options.model), wait=False)
    address = f"http://127.0.0.1:{blocks.server_port}"
    tag = "-photo" if options.photo else ""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        desktop = browser.new_page(viewport={"width": 1440, "height": 900})
        show(desktop, address, options)
        desktop.screenshot(path=options.output / f"demo-desktop{tag}.png")
        if options.record:
            record(desktop, options.output / f"demo{tag}.gif")
        phone = browser.new_page(
            viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True
        )
        show(phone, address, options)
        phone.locator(".sliders").evaluate(
            "(card) => scrollTo(0, card.getBoundingClientRect().top + scrollY"
            " - document.querySelector('.canvas').offsetHeight - 8)"
        )
        phone.wait_for_timeout(300)
        phone.screenshot(path=options.output / f"demo-phone{tag}.png")
        browser.close()
    blocks.close()


if __name__ == "__main__":
    main()
