"""The README's commands, run as they are written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from conftest import exit_code
from PIL import Image

from latentedit.cli.main import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


pytestmark = pytest.mark.fast_form


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )


def test_bash_blocks_run_in_order_and_write_what_they_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first is the installed program; starting it anew takes 2 seconds, so the others are here.

    The test takes over 5 seconds: each command loads the shipped bundle and compiles its networks.
    """
    commands = [line for block in blocks("bash") for line in block.splitlines() if line]
    assert len(commands) >= 6
    monkeypatch.chdir(tmp_path)
    for number, line in enumerate(commands):
        words = shlex.split(line)
        assert words[0] == "latentedit"
        if number == 0:
            result = run(words, tmp_path)
            assert result.returncode == 0, f"{line}\n{result.stderr}"
        else:
            capsys.readouterr()
            assert exit_code(*words[1:]) == 0, line
        if words[1] == "label":
            assert set(json.loads(capsys.readouterr().out)[0]) >= {"file", "attributes"}
            continue
        output = tmp_path / (words[words.index("-o") + 1] if "-o" in words else "edit.png")
        with Image.open(output) as picture:
            picture.load()
            assert picture.width > (400 if words[1] == "edit" else 63)
            assert json.loads(picture.text["latentedit"])


def test_python_blocks_run(tmp_path: Path) -> None:
    photo, code = blocks("python")
    assert "PhotoEditor" in photo  # which needs ffhq1024: tests/test_ffhq1024.py
    checks = """
assert z.shape == older.shape == (16, 512) and older.dtype == z.dtype == "float32"
assert images.shape == (16, 128, 128, 3) and images.dtype == "uint8"
assert probs.shape == (16, 40) and probs.dtype == "float32"
"""
    result = run([sys.executable, "-c", code + checks], tmp_path)
    assert result.returncode == 0, result.stderr


def shell_commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("latentedit")]


@pytest.mark.parametrize("line", shell_commands())
def test_long_running_commands_name_options_that_exist(line: str) -> None:
    command = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    command.make_context("latentedit", words)  # parses, raises on what does not exist


def links(page: Path) -> list[str]:
    return re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8"))


def test_pictures_exist_and_links_lead_somewhere() -> None:
    assert len(links(ROOT / "README.md")) >= 6
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert [
        (page.name, target)
        for page in pages
        for target in links(page)
        if not (page.parent / target).exists()
    ] == []
