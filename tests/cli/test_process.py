"""The command line as a process of its own: what it loads, and outputs that take nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


def test_help_loads_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "scipy", "sklearn", "PIL", "safetensors", "rich")
    code = (
        "import sys; from latentedit.cli import main\n"
        "try: main(['--help'])\n"
        f"finally: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0
    assert "Commands:" in result.stdout
    assert result.stderr == "[]\n"


def test_the_installed_command() -> None:
    script = Path(sys.executable).with_name("latentedit")
    result = subprocess.run([script, "edti"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(
        r"latentedit: No such command 'edti'\..* See 'latentedit --help'\n", result.stderr
    )


def test_a_reader_that_leaves_early_is_no_error() -> None:
    script = Path(sys.executable).with_name("latentedit")
    with subprocess.Popen(
        [script, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert "Traceback" not in child.stderr.read()


def process(
    *words: object, shell: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, with redirections of the shell's."""
    line = " ".join((sys.executable, "-m", "latentedit", *map(str, words), shell))
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_output_that_is_full_is_one_line() -> None:
    full = process("models", "list", shell="> /dev/full")
    assert full.returncode == 2
    assert full.stderr.startswith("latentedit: cannot write the output: No space left")
    assert full.stderr.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="redirections of POSIX")
def test_a_closed_output_is_no_fault() -> None:
    closed = process("models", "list", shell=">&-")
    assert (closed.returncode, closed.stderr) == (0, "")


def test_names_that_the_terminal_cannot_show(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "é日.png"
    words = ("sample", "--seeds", 0, "--model", tiny_bundle, "-o", path)
    result = process(*words, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert "\\u65e5.png" in result.stdout
    assert path.is_file()
