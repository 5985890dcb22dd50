"""Time the demo as its users see it: one with sliders, one with a photo, then many at once.

    python benchmarks/demo.py [--photo me.jpg] [--users 20] [--seconds 60] [--model NAME]

Starts `latentedit demo` as its own process, and uses it over the loopback address in two ways:

- The page itself in Chromium, if Playwright and Debian's chromium are installed. The time runs from
  a slider's move or release to the decoded picture.
- The requests that the page makes. The time runs from sending to the whole reply; the part inside
  the server is given too.

Users do not pause between moves. A photo is resized to 12 megapixels first. With a photo, every
fourth user has it, and opening and saving it are timed too. Exits with 1 if any request failed.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

ATTRIBUTES = ("Young", "Smiling", "No_Beard", "Eyeglasses", "Male", "Gray_Hair")

MEGAPIXELS = 12

WARM_UP = 10
"""Moves before the measurement starts."""

SLIDE = """async ([name, share]) => {
  const slider = document.getElementById("le-" + name);
  const image = document.querySelector(".after");
  const changed = new Promise((done) => new MutationObserver((_, observer) => {
    observer.disconnect();
    done();
  }).observe(image, { attributes: true, attributeFilter: ["src"] }));
  slider.value = +slider.min + share * (slider.max - slider.min);
  const started = performance.now();
  slider.dispatchEvent(new Event("%s"));
  await Promise.race([changed, new Promise((_, fail) => setTimeout(fail, 120000, "no picture"))]);
  await image.decode();
  return performance.now() - started;
}"""
"""Script for the page: move a slider to a share of its way; milliseconds until the picture."""

RELEASE = """async ([name, share]) => {
  const slider = document.getElementById("le-" + name);
  slider.value = +slider.min + share * (slider.max - slider.min);
  slider.dispatchEvent(new Event("input"));
  while (document.querySelector("[data-busy]")) await new Promise((done) => setTimeout(done, 5));
  const started = performance.now();
  slider.dispatchEvent(new Event("change"));
  while (document.querySelector("[data-resting], [data-busy]")) {
    await new Promise((done) => setTimeout(done, 5));
  }
  await document.querySelector(".after").decode();
  return performance.now() - started;
}"""
"""The same, from the release of a slider by a mouse to the full picture."""


@dataclass
class Timings:
    """Milliseconds of each move, in all and inside the server, and the errors."""

    whole: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def row(self, title: str) -> str:
        """Return one line of figures."""
        parts = [f"{title:34} {len(self.whole):6}  {len(self.errors)} errors"]
        for name, values in (("whole way", self.whole), ("inside", self.inside)):
            if values:
                median, p95 = np.percentile(values, (50, 95))
                parts.append(f"{name}: median {median:.0f} ms, p95 {p95:.0f} ms")
        return "   ".join(parts)


@contextmanager
def server(model: str | None) -> Iterator[tuple[str, int]]:
    """Run the demo on a free port; yield its address and the process's number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "latentedit", "demo", "--no-open-browser", "--port", str(port)]
    command += ["--model", model] if model else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or "The page is at" not in process.stdout.readline():
            sys.exit("the demo did not start")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(10)


def said(rows: dict[str, Timings | None], *, quiet: bool) -> dict[str, Timings | None]:
    """Print rows unless `quiet`; return them."""
    for title, timings in rows.items():
        if timings is not None and not quiet:
            print(timings.row(title), flush=True)
    return rows


class Visitor:
    """Makes the requests of the page, without a browser."""

    def __init__(self, address: str) -> None:
        self.client = httpx.Client(base_url=f"{address}/latentedit", timeout=300)
        self.client.headers["x-visitor"] = ""
        self.client.headers["x-visitor"] = self.post("start", b"{}")["token"]

    def post(self, path: str, body: bytes, **headers: str) -> dict[str, Any]:
        """Send a request of `demo/assets/page.js`; return the reply's JSON."""
        answer = self.client.post(f"/{path}", content=body, headers=headers).raise_for_status()
        if answer.headers["content-type"] == "application/json":
            raise RuntimeError(answer.json()["message"])
        length = int.from_bytes(answer.content[:4], "little")
        reply: dict[str, Any] = json.loads(answer.content[4 : 4 + length])
        return reply

    def act(self, **request: Any) -> dict[str, Any]:
        """Send one of the page's acts; return the reply."""
        return self.post("act", json.dumps(request).encode())

    def save(self) -> bytes:
        """Return the picture that a user saves, a JPEG file."""
        return self.client.post("/take", json={"what": "jpeg"}).raise_for_status().content


def use(
    visitor: Visitor, seed: int, timings: Timings, until: float, moves: int, *, preview: bool
) -> None:
    """Act as one user: move sliders, one after the other, until the time or the moves are over."""
    chance = random.Random(seed)
    steps: dict[str, float] = {}
    while moves and time.monotonic() < until:
        moves -= 1
        steps[chance.choice(ATTRIBUTES)] = round(chance.uniform(-2, 2), 2)
        start = time.perf_counter()
        try:
            reply = visitor.act(do="move", steps=steps, preview=preview)
        except Exception as error:  # every error counts
            timings.errors.append(f"{type(error).__name__}: {error}")
            continue
        timings.whole.append((time.perf_counter() - start) * 1000)
        timings.inside.append(reply["milliseconds"])
        if "message" in reply or not reply["edited"]["length"]:
            timings.errors.append(str(reply.get("message")))


def many(address: str, users: int, seconds: float, photo: bytes | None) -> Timings:
    """Time many users at once; every fourth has the photo, if there is one."""
    timings = [Timings() for _ in range(users)]
    visitors = [Visitor(address) for _ in range(users)]
    for number, visitor in enumerate(visitors):
        if photo is not None and number % 4 == 3:
            visitor.post("file", photo)
        else:
            visitor.act(do="face", seed=number)
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(
            target=use, args=(visitor, seed, timings[seed], until, -1), kwargs={"preview": True}
        )
        for seed, visitor in enumerate(visitors)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = Timings()
    for one in timings:
        together.whole += one.whole
        together.inside += one.inside
        together.errors += one.errors
    return together


def with_photo(address: str, photo: bytes) -> dict[str, Timings]:
    """Time one user's photo: the first look, moves while it is refined, refined, saved."""
    visitor = Visitor(address)
    rows = {
        name: Timings()
        for name in ("photo, first look", "photo, preview meanwhile", "photo, refined", "saved")
    }

    def clock(name: str, started: float) -> None:
        rows[name].whole.append((time.perf_counter() - started) * 1000)

    started = time.perf_counter()
    reply = visitor.post("file", photo)
    if "choose" in reply:
        reply = visitor.act(do="sitter", face=1)
    clock("photo, first look", started)
    use(visitor, 0, rows["photo, preview meanwhile"], time.monotonic() + 5, -1, preview=True)
    version = 0
    while (face := visitor.act(do="look", version=version)["face"])["done"] < 1:
        version = face["version"]
        time.sleep(0.5)
    clock("photo, refined", started)
    visitor.act(do="move", steps={"Smiling": 1.5})
    started = time.perf_counter()
    visitor.save()
    clock("saved", started)
    return rows


def in_chromium(address: str, moves: int, script: str) -> Timings | None:
    """Time one user of the page in Chromium; None without Chromium or Playwright."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None or find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    timings, chance = Timings(), random.Random(0)
    with sync_playwright() as playwright:
        # no sandbox: as root, in a container, Chromium has none
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: timings.errors.append(str(error)))
        page.goto(address)
        page.locator("#le-Young").wait_for()
        for number in range(WARM_UP + moves):
            share = chance.uniform(0.05, 0.3)  # not the middle, where sliders catch
            move = [chance.choice(ATTRIBUTES), chance.choice((share, 1 - share))]
            milliseconds = page.evaluate(script, move)
            if number >= WARM_UP:
                timings.whole.append(milliseconds)
            page.locator("[data-busy]").wait_for(state="detached")
        browser.close()
    return timings


def enlarged(path: Path) -> bytes:
    """Return a photo resized to `MEGAPIXELS`, as a JPEG."""
    with Image.open(path) as image:
        photo = image.convert("RGB")
    scale = (MEGAPIXELS * 1e6 / (photo.width * photo.height)) ** 0.5
    size = (round(photo.width * scale), round(photo.height * scale))
    buffer = io.BytesIO()
    photo.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def memory(process: int) -> float | None:
    """Return the most memory that a process has held, in GB; None if the system does not say."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(float(line.split()[1]) / 1e6 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=200, help="moves of the single user")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", help="a bundle's name or folder")
    parser.add_argument("--photo", type=Path, help="a photo with one face")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    photo = enlarged(options.photo) if options.photo else None
    with server(options.model) as (address, process):
        preview, full, visitor = Timings(), Timings(), Visitor(address)
        use(visitor, 0, Timings(), time.monotonic() + 60, WARM_UP, preview=True)
        use(visitor, 0, preview, time.monotonic() + 300, options.moves, preview=True)
        use(visitor, 0, full, time.monotonic() + 300, options.moves // 4 + 1, preview=False)
        quiet = options.json
        rows = said({"preview": preview, "full picture": full}, quiet=quiet)
        if photo is not None:
            rows |= said({**with_photo(address, photo)}, quiet=quiet)
        together = f"{options.users} users, {options.seconds:g} s"
        crowd = many(address, options.users, options.seconds, photo)
        rows |= said({together: crowd}, quiet=quiet)
        few = options.moves // 4 + 1
        seen = {
            "preview, in Chromium": in_chromium(address, options.moves, SLIDE % "input"),
            "full picture, in Chromium": in_chromium(address, few, RELEASE),
        }
        rows |= said({**seen}, quiet=quiet)
        held = memory(process)
    measured = {title: timings for title, timings in rows.items() if timings is not None}
    errors = [error for timings in measured.values() for error in timings.errors]
    if options.json:
        print(json.dumps({title: vars(timings) for title, timings in measured.items()}))
    else:
        if held is not None:
            print(f"memory at most: {held:.1f} GB")
        if len(measured) < len(rows):
            print(
                "not in a browser: that needs Debian's chromium and pip install 'latentedit[test]'"
            )
    for error in errors[:5]:
        print(error, file=sys.stderr)
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
