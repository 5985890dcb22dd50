"""`latentedit label-seeds`: what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from conftest import Run
from page_needs import give_up, lacking

if why := lacking(browser=False):
    give_up(why)

START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored in the background
from latentedit.cli import main
main()
"""
LABELS = ("label-seeds", "--name", "wink", "-o", "l.csv", "--no-open-browser")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed,wink\n1,1\n", "not made by label-seeds"),
        ("seed,grin,chosen,generator\n", "labels of 'grin'"),
        ("seed,wink,chosen,generator\n1,1,random,ffffffffffffffff\n", "generator ffffffffffffffff"),
    ],
)
def test_other_files_are_one_line(run: Run, tiny_bundle: Path, text: str, words: str) -> None:
    Path("l.csv").write_text(text)
    result = run(*LABELS, "--model", tiny_bundle)
    assert (result.code, result.out) == (2, "")
    assert words in result.err
    assert result.err.count("\n") == 1
    assert Path("l.csv").read_text() == text
    assert os.listdir() == ["l.csv"]


def test_options_that_cannot_be(run: Run, tiny_bundle: Path) -> None:
    for more, words in {
        ("--n", 20): "500",
        ("--name", "no/name"): "no attribute's name",
        ("--name", "seed"): "--name",
        ("-o", "l.npy"): ".csv",
        ("-o", "none/l.csv"): "does not exist",
        ("--size", 17): "--size 16",
        ("--host", "192.0.2.1"): "cannot listen",
    }.items():
        result = run(*LABELS, "--model", tiny_bundle, *more)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result.err
        assert words in result.err
    assert os.listdir() == []


def test_without_the_extra_it_is_named(
    run: Run, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "latentedit.demo.labelling.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run(*LABELS, "--model", tiny_bundle)
    assert result.code == 2
    assert "pip install 'latentedit[demo]'" in result.err


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_page_that_is_ended_keeps_every_answer(
    tiny_bundle: Path, tmp_path: Path, end: signal.Signals
) -> None:
    """Over 5 seconds: the program is started."""
    words = [sys.executable, "-c", START, *LABELS, "--model", str(tiny_bundle)]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            process.kill()  # else it is waited for
        assert found is not None
        assert "Ctrl-C" in process.stdout.readline()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def post(what: str, asked: dict[str, object]) -> dict[str, list[int]]:
            body = json.dumps(asked).encode()
            with opener.open(f"{found[0]}/labels/{what}", body, timeout=30) as reply:
                return dict(json.load(reply))

        faces = post("start", {})["faces"]
        for seed, says in zip(faces, ("yes", "no", "unsure"), strict=False):
            post("answer", {"seed": seed, "says": says})
        process.send_signal(end)
        try:
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
    rows = (tmp_path / "l.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["wink", "1", "0", ""]
    if end == signal.SIGINT:
        assert (process.returncode, err) == (0, "")
        assert out == "2 labels in l.csv: 1 yes, 1 no, 1 could not be told\n"
        assert sorted(os.listdir(tmp_path)) == ["l.csv", "tiny"]
