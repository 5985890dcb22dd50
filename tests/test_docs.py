"""The pages' commands and Python, run as they are written."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from conftest import PULLED, exit_code
from PIL import Image
from portraits import draw_portrait

from latentedit.cli.main import app
from latentedit.pretrained.cache import HOME_VARIABLE

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

pytestmark = pytest.mark.fast_form


def blocks(page: Path, language: str) -> list[str]:
    """What stands between fences of a language; `sh` takes too long, or needs the user's files."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, **variables}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "bash")], ids=lambda p: p.stem
)
def test_bash_blocks_run_in_order_and_write_what_they_name(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first is the installed program; starting it anew takes 2 seconds, so the others are here.

    The test takes over 5 seconds: each command loads the shipped bundle and compiles its networks.
    """
    commands = [line for block in blocks(page, "bash") for line in block.splitlines() if line]
    assert len(commands) >= 4
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


PYTHON = sorted({block for page in PAGES for block in blocks(page, "python")})
OF_PHOTOS = [block for block in PYTHON if "PhotoEditor" in block]


@pytest.mark.parametrize("code", [block for block in PYTHON if block not in OF_PHOTOS])
def test_python_blocks_run(code: str, tmp_path: Path) -> None:
    Image.fromarray(draw_portrait()).save(tmp_path / "photo.jpg")
    result = run([sys.executable, "-c", code], tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("code", OF_PHOTOS)
def test_python_blocks_of_photos_run(code: str, tmp_path: Path) -> None:
    """Over 5 seconds: ffhq1024 and the networks for photos are loaded. It refines for a second."""
    if PULLED is None:
        why = "ffhq1024 is not here: latentedit models pull ffhq1024"
        pytest.fail(why, pytrace=False) if os.environ.get("CI") else pytest.skip(why)
    Image.fromarray(draw_portrait((400, 300), (200.0, 150.0), 60.0)).save(tmp_path / "me.jpg")
    sooner = 'import latentedit\nlatentedit.PhotoEditor.open.__kwdefaults__["seconds"] = 1\n'
    checks = "\nassert smiling.shape == (300, 400, 3) and smiling.dtype == 'uint8'\n"
    home = {HOME_VARIABLE: str(PULLED.parents[1])}
    result = run([sys.executable, "-c", sooner + code + checks], tmp_path, **home)
    assert result.returncode == 0, result.stderr


def test_readme_s_python_says_true_shapes(tmp_path: Path) -> None:
    code, _ = blocks(README, "python")
    checks = """
assert z.shape == older.shape == (16, 512) and older.dtype == z.dtype == "float32"
assert images.shape == (16, 128, 128, 3) and images.dtype == "uint8"
assert probs.shape == (16, 40) and probs.dtype == "float32"
"""
    result = run([sys.executable, "-c", code + checks], tmp_path)
    assert result.returncode == 0, result.stderr


def shell_commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return sorted({line for line in joined.splitlines() if line.startswith("latentedit")})


@pytest.mark.parametrize("line", shell_commands())
def test_long_running_commands_name_options_that_exist(line: str) -> None:
    command = typer.main.get_command(app)
    words = shlex.split(line, comments=True)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    command.make_context("latentedit", words)  # parses, raises on what does not exist


def links(page: Path) -> list[str]:
    return re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8"))


def test_pictures_exist_and_links_lead_somewhere() -> None:
    assert len(links(README)) >= 6
    assert [
        (page.name, target)
        for page in PAGES
        for target in links(page)
        if not (page.parent / target).exists()
    ] == []


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120


def test_every_command_and_option_is_documented() -> None:
    """`python scripts/document_commands.py` writes the page anew."""
    spec = importlib.util.spec_from_file_location(
        "document_commands", ROOT / "scripts" / "document_commands.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page()
