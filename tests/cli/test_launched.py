"""Commands that a launcher starts in several processes: the same result, said once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import exit_code

from latentedit.boundaries.pool import Pool
from latentedit.cli.launched import has_work

COMMANDS = """
import sys
from pathlib import Path
from latentedit.boundaries.model import Boundaries
from latentedit.cli import main
from latentedit.editing.editor import FaceEditor
from latentedit.evaluation.edits.aging import SlowJudges, evaluate_age
from latentedit.io.files import write_json
from latentedit.io.launch import launch
from latentedit.pretrained.bundles import load_classifier, load_generator

folder, tiny = Path(sys.argv[1]), sys.argv[2]

def call(*words):
    try:
        main([str(word) for word in words])
    except SystemExit as ended:
        assert not ended.code, words

call("pool", "build", "--model", tiny, "-n", 600, "-o", folder / "pool")
call("boundaries", "measure", "--model", tiny, "--work", folder / "traces", "--typical", 60,
     "--attr", "Young", "--attr", "Male", "--faces", 8, "--hold-faces", 8,
     "--search-latents", 200)
editor = FaceEditor(
    load_generator(tiny)[0],
    load_classifier(tiny)[0],
    lambda images: (images.mean((1, 2, 3)) + 1) * 50,
    Boundaries.load(Path(tiny) / "boundaries.safetensors"),
)
plain = SlowJudges(independent=False, dlib=False)
report = evaluate_age(editor, folder / "ages", 210, judges=plain)
write_json(folder / f"ages-{launch().rank}.json", report)
"""

POOL = """
import sys, time
from latentedit.boundaries.pool import build_pool
from latentedit.editing.editor import FaceEditor
from latentedit.io.launch import launch

def stop(done, total):
    if launch().rank == 1:
        print("in the middle", flush=True)
        time.sleep(300)

editor = FaceEditor.load(sys.argv[2], device="cpu")
build_pool(editor, sys.argv[1], 40, first_seed=5, shard_size=10, on_progress=stop)
"""


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **more}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(folder: Path, tiny: Path, *launcher: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    (folder / "commands.py").write_text(COMMANDS)
    command = [sys.executable, *launcher, str(folder / "commands.py"), str(folder), str(tiny)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tiny_bundle: Path, tmp_path: Path) -> None:
    """Takes half a minute: four processes start, two of them the launcher's."""
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "again" / "tiny"))
    run(tmp_path / "one", tiny_bundle)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = run(tmp_path / "two", other, *launcher)
    for name in ("pool", "traces", "ages"):
        assert contents(tmp_path / "one" / name) == contents(tmp_path / "two" / name)
    for name in ("boundaries.safetensors", "effects.safetensors"):
        assert (tiny_bundle / name).read_bytes() == (other / name).read_bytes()
    reports = [
        json.loads((tmp_path / name).read_text())
        for name in ("one/ages-0.json", "two/ages-0.json", "two/ages-1.json")
    ]
    assert reports[0] == reports[1] == reports[2]
    assert done.stdout.count("600 latents in") == 1
    assert done.stdout.count("Young: safe from") == 1


def test_what_a_killed_process_was_at_another_makes(tiny_bundle: Path, tmp_path: Path) -> None:
    """Takes over five seconds: three processes load torch, two of them at once."""
    (tmp_path / "pool.py").write_text(POOL)
    words = [sys.executable, str(tmp_path / "pool.py")]

    def start(name: str, rank: int, world_size: int) -> subprocess.Popen[bytes]:
        launched = environment(RANK=str(rank), WORLD_SIZE=str(world_size))
        command = [*words, str(tmp_path / name), str(tiny_bundle)]
        return subprocess.Popen(command, env=launched, stdout=subprocess.PIPE)

    with start("pool", 1, 2) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in the middle\n"
        with start("pool", 0, 2) as first:
            while len(list((tmp_path / "pool").glob("shard-*"))) < 3:
                assert first.poll() is None
                time.sleep(0.05)
            assert first.poll() is None  # it waits for the other one's shard
            other.kill()
            assert first.wait(120) == 0
    with start("alone", 0, 1) as alone:
        assert alone.wait(120) == 0
    left = {f".shard-{n:05d}.safetensors.lock" for n in range(4)}  # a kill leaves an empty file
    found = {name: data for name, data in contents(tmp_path / "pool").items() if name not in left}
    assert found == contents(tmp_path / "alone")
    assert len(Pool(tmp_path / "pool").load()[0]) == 40


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is the second of three."""
    for name, value in {"RANK": "1", "WORLD_SIZE": "3", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("second")
def test_a_command_that_shares_nothing_runs_once(
    tmp_path: Path,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("sample", "--model", tiny_bundle, "--seeds", 0, "-o", tmp_path / "face.png")
    assert exit_code(*words) == 0
    assert not (tmp_path / "face.png").exists()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("RANK", "0")
    assert exit_code(*words) == 0
    assert (tmp_path / "face.png").exists()
    assert "other 2 have nothing to do" in capsys.readouterr().err


@pytest.mark.usefixtures("second")
def test_one_process_speaks_and_each_names_its_errors(
    tmp_path: Path,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build = ("pool", "build", "--model", tiny_bundle, "-n", 10, "-o", tmp_path / "pool")
    assert exit_code(*build) == 0
    assert capsys.readouterr() == ("", "")
    assert len(Pool(tmp_path / "pool").load()[0]) == 10  # with nobody else there, it does all
    assert exit_code("pool", "build", "--model", tmp_path, "-o", tmp_path / "p") == 2
    assert capsys.readouterr().err.startswith("latentedit, process 1: ")
    monkeypatch.setenv("RANK", "0")
    assert exit_code(*build) == 0
    assert capsys.readouterr().out.startswith("10 latents in")
    monkeypatch.setenv("RANK", "7")
    assert exit_code(*build) == 2
    assert "RANK=7" in capsys.readouterr().err


@pytest.mark.usefixtures("second")
def test_groups_and_their_commands() -> None:
    assert has_work(["train", "generator", "--resume"])
    assert has_work(["pool", "build"])
    assert not has_work(["pool", "--help"])
    assert not has_work(["train", "encoder", "--resume"])
    assert not has_work(["boundaries", "fit"])
    assert not has_work([])


def test_accelerate_that_started_one_process_is_named(capsys, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert has_work(["info", "me.png"])
    assert not capsys.readouterr().err
    assert has_work(["pool", "build"])
    assert "--multi_gpu" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "0")
    assert has_work(["pool", "build"])
    assert not capsys.readouterr().err
