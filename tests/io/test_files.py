from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from latentedit.errors import LatentEditError
from latentedit.io.files import (
    atomic_path,
    check_writable,
    make_folder,
    read_json,
    sha256,
    temporary_beside,
    write_json,
)

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and limits of POSIX")


@given(old=st.binary(), new=st.binary(), keep_at=st.none() | st.integers(0, 20))
def test_the_file_is_the_old_or_the_new_one(old: bytes, new: bytes, keep_at: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.bin"
        path.write_bytes(old)
        try:
            with atomic_path(path) as temporary:
                temporary.write_bytes(new[:keep_at])
                assert path.read_bytes() == old
                if keep_at is not None:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        assert path.read_bytes() == (new if keep_at is None else old)
        assert os.listdir(folder) == ["file.bin"]


def test_a_failed_first_write_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "new") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_two_writers_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a") as first, atomic_path(tmp_path / "a") as second:
        first.write_text("1")
        second.write_text("2")
        assert first.read_text() == "1"
    assert (tmp_path / "a").read_text() == "1"


@posix
def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    script = (
        "import sys; from latentedit.io.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); temporary.with_name('.tmpX').write_text('its writer');"
        "    print(temporary, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, tmp_path / "a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        half = Path(writer.stdout.readline().decode().strip())
        write_json(tmp_path / "a", 1)
        assert half.read_text() == "half"  # its writer lives
        writer.kill()
    assert half.exists()
    write_json(tmp_path / "b", 2)
    assert half.exists()  # it is none of b's
    write_json(tmp_path / "a", 3)
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@posix
def test_what_was_left_by_others_stays(tmp_path: Path, abandon: Callable[[Path], Path]) -> None:
    paths = ours, elsewhere = tmp_path / "ours", tmp_path / "elsewhere"
    for path in paths:
        path.mkdir()
        (path / "part").write_text("half")
    names = abandon(elsewhere).name.split("-")
    names[-3] = "0" * 6  # another machine's
    stays = tmp_path / "-".join(names)
    next(tmp_path.glob(".elsewhere*")).rename(stays)
    strange = tmp_path / f"{abandon(ours).name}.bak"
    strange.mkdir()
    for path in paths:
        assert temporary_beside(path) != temporary_beside(path)
    assert sorted(tmp_path.iterdir()) == sorted([stays, strange])


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_follow_the_umask_whatever_the_writer_does(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "w.safetensors") as temporary:
            save_file({"a": np.zeros(3)}, temporary)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "w.safetensors").stat().st_mode) == 0o666 & ~umask


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="limits on file size")
@pytest.mark.parametrize("writer", ["safetensors", "numpy"])
def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path: Path, writer: str) -> None:
    import resource

    path, big = tmp_path / "big", np.zeros(100_000)
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as temporary:
            if writer == "numpy":
                temporary.write_bytes(big.tobytes())
            else:
                save_file({"a": big}, temporary)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(LatentEditError, match=r"cannot write .*big: .*too large") as caught:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["big"]


@pytest.mark.parametrize("length", [250, 300])
def test_a_name_too_long_for_the_disk_is_an_error_of_ours(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("x" * length)
    with pytest.raises(LatentEditError, match=r"cannot write .*too long"), atomic_path(path):
        pytest.fail("there is nowhere to write")


def test_unwritable_places_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(LatentEditError, match="does not exist, create it"):
        check_writable(tmp_path / "no" / "file")
    check_writable(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(LatentEditError, match="no permission"):
            check_writable(tmp_path / "file")
    finally:
        tmp_path.chmod(0o700)


def test_a_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept.json"
    write_json(path, 1)
    allowed = os.access

    def access(asked: str | Path, mode: int) -> bool:  # root may write what is read-only
        return asked != path and allowed(asked, mode)

    monkeypatch.setattr(os, "access", access)
    for write in (check_writable, lambda path: write_json(path, 2)):
        with pytest.raises(LatentEditError, match="it is read-only, give another name"):
            write(path)
    assert read_json(path) == 1


def test_make_folder_makes_parents_and_takes_what_is_there(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert make_folder(folder) == folder
    (tmp_path / "file").write_text("")
    for blocked in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(LatentEditError, match="cannot create folder"):
            make_folder(blocked)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_json_comes_back_as_written(value: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "value.json", value)
        assert read_json(Path(folder) / "value.json") == value


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["card.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"not json"])
def test_what_is_not_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(LatentEditError, match=r"card\.json is not valid JSON"):
        read_json(path)


def test_a_missing_json_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"cannot read .*card\.json: No such file"):
        read_json(tmp_path / "card.json")


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # the example of FIPS 180-2
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(bytes(3_000_000))
    assert sha256(path) == hashlib.sha256(bytes(3_000_000)).hexdigest()
