"""Time the demo as its users see it: one who moves sliders, then many at once.

    python scripts/bench_demo.py [--users 20] [--seconds 60] [--model NAME]

Starts `latentedit demo` as a process of its own, talks to it with gradio_client over the loopback
address, and prints milliseconds from request to reply: the whole way, and the part inside the
server's answer. Users do not pause between moves. Exits with 1 where any request failed.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from gradio_client import Client

ATTRIBUTES = ("Young", "Smiling", "No_Beard", "Eyeglasses", "Male", "Gray_Hair")


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
            median, p95 = np.percentile(values or [np.nan], (50, 95))
            parts.append(f"{name}: median {median:.0f} ms, p95 {p95:.0f} ms")
        return "   ".join(parts)


@contextmanager
def server(model: str | None) -> Iterator[str]:
    """Run the demo on a free port; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "latentedit", "demo", "--no-open-browser", "--port", str(port)]
    process = subprocess.Popen([*command, *(["--model", model] if model else [])])
    try:
        for _ in range(600):
            if process.poll() is not None:
                sys.exit("the demo did not start")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def use(client: Client, seed: int, timings: Timings, until: float, moves: int) -> None:
    """One user: a face, then slider moves that add up, until the time or the moves are over."""
    chance = random.Random(seed)
    steps: dict[str, float] = {}
    client.predict({"do": "face", "seed": seed}, api_name="/act")
    while moves and time.monotonic() < until:
        moves -= 1
        steps[chance.choice(ATTRIBUTES)] = round(chance.uniform(-2, 2), 2)
        start = time.perf_counter()
        try:
            reply = client.predict({"do": "move", "steps": steps}, api_name="/act")
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
    clients = [Client(address, verbose=False) for _ in range(users)]
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=use, args=(client, seed, timings[seed], until, -1))
        for seed, client in enumerate(clients)
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
        alone, client = Timings(), Client(address, verbose=False)
        use(client, 0, Timings(), time.monotonic() + 60, 10)  # warm up
        use(client, 0, alone, time.monotonic() + 300, options.moves)
        together = many(address, options.users, options.seconds)
    if options.json:
        rows = {"one user": vars(alone), f"{options.users} users": vars(together)}
        print(json.dumps(rows))
    else:
        print(alone.row("one user"))
        print(together.row(f"{options.users} users, {options.seconds:g} s"))
        for error in (*alone.errors, *together.errors)[:5]:
            print(error, file=sys.stderr)
    sys.exit(1 if alone.errors or together.errors else 0)


if __name__ == "__main__":
    main()
