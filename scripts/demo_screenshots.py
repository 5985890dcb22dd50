"""Draw the README's two pictures of the demo: a desktop's and a phone's.

    python scripts/demo_screenshots.py [--model NAME] [--seed N] [-o docs/images]

Needs Debian's chromium and `pip install 'latentedit[demo,test]'`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from latentedit import FaceEditor, defaults
from latentedit.demo.server import serve

EDIT = {"Young": 0.3, "Smiling": 0.15}
"""Sliders to move, and how far to the right, as a share of the way."""


def show(page: Page, address: str, seed: int) -> None:
    """Open the page, pick a face and move the sliders."""
    page.goto(address)
    expect(page.locator(".le-row")).to_have_count(40)
    page.locator(".le-seed input").fill(str(seed))
    page.locator(".le-seed input").press("Enter")
    for name, share in EDIT.items():
        slider = page.locator(f"#le-{name}")
        slider.evaluate(
            "(slider, share) => { slider.value = slider.max * share;"
            "  for (const name of ['input', 'change']) slider.dispatchEvent(new Event(name)); }",
            share,
        )
        expect(page.locator("[data-resting], [data-busy]")).to_have_count(0)
    page.evaluate("document.activeElement.blur()")


def main() -> None:
    """Serve, visit twice, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a bundle's name or folder")
    parser.add_argument("--seed", type=int, default=defaults.SEED)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no Chromium: apt-get install chromium")
    blocks = serve(FaceEditor.load(options.model), wait=False)
    address = f"http://127.0.0.1:{blocks.server_port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        desktop = browser.new_page(viewport={"width": 1240, "height": 880})
        show(desktop, address, options.seed)
        desktop.screenshot(path=options.output / "demo-desktop.png")
        phone = browser.new_page(
            viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True
        )
        show(phone, address, options.seed)
        phone.locator(".le-sliders").evaluate(
            "(card) => scrollTo(0, card.getBoundingClientRect().top + scrollY"
            " - document.querySelector('.le-pictures').offsetHeight)"
        )
        phone.wait_for_timeout(300)
        phone.screenshot(path=options.output / "demo-phone.png")
        browser.close()
    blocks.close()


if __name__ == "__main__":
    main()
