"""Time the demo as its users see it: one who moves sliders, then many at once.

    python scripts/bench_demo.py [--users 20] [--seconds 60] [--model NAME]

Starts `latentedit demo` as a process of its own, and drives it over the loopback address in two
ways. One is the page itself in Chromium, where Playwright and Debian's chromium are installed: from
a slider's move to the new picture, decoded. The other is the request that the page makes for it,
from sending to the whole reply, and the part of that inside the server's answer. Users do not pause
between moves. Exits with 1 where any request failed.
"""

from __future__ import annotations

import argparse
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

import httpx
import numpy as np

ATTRIBUTES = ("Young", "Smiling", "No_Beard", "Eyeglasses", "Male", "Gray_Hair")

WARM_UP = 10
"""Moves before the clock counts."""

SLIDE = """async ([name, share]) => {
  const slider = document.getElementById("le-" + name);
  const image = document.querySelector(".le-edited img");
  const changed = new Promise((done) => new MutationObserver((_, observer) => {
    observer.disconnect();
    done();
  }).observe(image, { attributes: true, attributeFilter: ["src"] }));
  slider.value = +slider.min + share * (slider.max - slider.min);
  const started = performance.now();
  slider.dispatchEvent(new Event("input"));
  await changed;
  await image.decode();
  return performance.now() - started;
}"""
"""On the page: move one slider to a share of its way; milliseconds until the picture is there."""


@dataclass
class Timings:
    """Milliseconds of each move, the whole way and inside the server, and what went wrong."""

    whole: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def row(self, title: str) -> str:
        """One line of figures."""
        parts = [f"{title:24} {len(self.whole):6} moves  {len(self.errors)} errors"]
        for name, values in (("whole way", self.whole), ("inside", self.inside)):
            if values:
                median, p95 = np.percentile(values, (50, 95))
                parts.append(f"{name}: median {median:.0f} ms, p95 {p95:.0f} ms")
        return "   ".join(parts)


@contextmanager
def server(model: str | None) -> Iterator[str]:
    """Run the demo on a free port; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "latentedit", "demo", "--no-open-browser", "--port", str(port)]
    command += ["--model", model] if model else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or "The page is at" not in process.stdout.readline():
            sys.exit("the demo did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


class Visitor:
    """Makes the page's requests, without a page."""

    def __init__(self, address: str, name: str) -> None:
        self.client = httpx.Client(base_url=address, timeout=60)
        self.session = f"bench-{name}"

    def act(self, request: dict[str, object]) -> dict[str, object]:
        """Send one request of `demo/assets/page.js`; return the reply."""
        body = {"data": [None, request], "session_hash": self.session}  # None: the session's place
        answer = self.client.post("/gradio_api/run/act", json=body)
        return answer.raise_for_status().json()["data"][1]


def use(visitor: Visitor, seed: int, timings: Timings, until: float, moves: int) -> None:
    """One user: a face, then slider moves that add up, until the time or the moves are over."""
    chance = random.Random(seed)
    steps: dict[str, float] = {}
    visitor.act({"do": "face", "seed": seed})
    while moves and time.monotonic() < until:
        moves -= 1
        steps[chance.choice(ATTRIBUTES)] = round(chance.uniform(-2, 2), 2)
        start = time.perf_counter()
        try:
            reply = visitor.act({"do": "move", "steps": steps})
        except Exception as error:  # whatever it is, it counts
            timings.errors.append(f"{type(error).__name__}: {error}")
            continue
        timings.whole.append((time.perf_counter() - start) * 1000)
        timings.inside.append(reply["milliseconds"])
        if "message" in reply or not reply["edited"].startswith("data:image/"):
            timings.errors.append(str(reply.get("message")))


def many(address: str, users: int, seconds: float) -> Timings:
    """That many users at once."""
    timings = [Timings() for _ in range(users)]
    visitors = [Visitor(address, f"{number} of {users}") for number in range(users)]
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=use, args=(visitor, seed, timings[seed], until, -1))
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


def in_chromium(address: str, moves: int) -> Timings | None:
    """One user of the page itself, or None where there is no Chromium or no Playwright."""
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
            move = [chance.choice(ATTRIBUTES), chance.uniform(0.1, 0.9)]
            milliseconds = page.evaluate(SLIDE, move)
            if number >= WARM_UP:
                timings.whole.append(milliseconds)
            page.locator("[data-busy]").wait_for(state="detached")
        browser.close()
    return timings


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=200, help="of the single user")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", help="a bundle's name or folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with server(options.model) as address:
        alone, visitor = Timings(), Visitor(address, "alone")
        use(visitor, 0, Timings(), time.monotonic() + 60, WARM_UP)
        use(visitor, 0, alone, time.monotonic() + 300, options.moves)
        rows = {
            "one user": alone,
            "one user, in Chromium": in_chromium(address, options.moves),
            f"{options.users} users, {options.seconds:g} s": many(
                address, options.users, options.seconds
            ),
        }
    measured = {title: timings for title, timings in rows.items() if timings is not None}
    errors = [error for timings in measured.values() for error in timings.errors]
    if options.json:
        print(json.dumps({title: vars(timings) for title, timings in measured.items()}))
    else:
        for title, timings in measured.items():
            print(timings.row(title))
        if len(measured) < len(rows):
            print(
                "not in a browser: that needs Debian's chromium and pip install 'latentedit[test]'"
            )
    for error in errors[:5]:
        print(error, file=sys.stderr)
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
