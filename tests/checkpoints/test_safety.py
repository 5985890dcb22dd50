"""Hostile files: nothing runs, each is refused in one line, fast and in little memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import checkpoint_writers as writers
import numpy as np
import pytest
import torch

from latentedit.checkpoints import convert
from latentedit.checkpoints.objects import in_short
from latentedit.checkpoints.pickles import NUMPY_NAMES, Name, read_pickle, to_array
from latentedit.checkpoints.tensors import load_torch
from latentedit.errors import LatentEditError

MARK = "the-pickle-ran"


class Reduce:
    """An object whose pickle asks for a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.parts = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.parts  # type: ignore[return-value]


def chain() -> Reduce:
    """getattr(getattr(builtins, "__import__")("os"), "system")(...)"""
    module = Reduce(__import__, "os")
    return Reduce(Reduce(getattr, module, "system"), f"touch {MARK}")  # type: ignore[arg-type]


def in_network(array: bytes) -> bytes:
    """A pickled network whose one variable is this pickled array."""
    body = array[11:-1]  # without protocol, frame and end
    return b"\x80\x04ctfutil\nNetwork\n)\x81}\x8c\x09variables]\x8c\x01a" + body + b"\x86asb."


def hostile_pickles() -> dict[str, bytes]:
    """Pickles that run code, or fill memory or time, in Python's own unpickler."""
    touch = f"touch {MARK}"
    code = f"open({MARK!r}, 'w')"
    call = Reduce(os.system, touch)
    head = b"\x80\x04"
    array = pickle.dumps(np.zeros(4, np.float32), protocol=4)
    network = b"ctfutil\nNetwork\n)\x81"
    return {
        "os.system": pickle.dumps(call, protocol=4),
        "os.system, protocol 0": pickle.dumps(call, protocol=0),
        "os.system, protocol 2": pickle.dumps(call, protocol=2),
        "builtins.eval": pickle.dumps(Reduce(eval, code)),
        "builtins.exec": pickle.dumps(Reduce(exec, code)),
        "subprocess": pickle.dumps(Reduce(subprocess.Popen, ["touch", MARK])),
        "nested reduces": pickle.dumps(Reduce(map, eval, [code])),
        "in a state": pickle.dumps({"variables": [("lod", call)]}),
        "in a network": head + network + pickle.dumps(call, protocol=2)[2:-1] + b"b.",
        "getattr chain": head
        + b"cbuiltins\ngetattr\ncbuiltins\n__import__\n\x8c\x02os\x85R\x8c\x06system\x86R"
        + b"\x8c"
        + bytes([len(touch)])
        + touch.encode()
        + b"\x85R.",
        "dotted name": head + b"\x8c\x05numpy\x8c\x12ndarray.__class__\x93.",
        "inst": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "obj": head + b"(cos\nsystem\n\x8c\x04true" + b"o.",
        "extension": head + b"\x82\x01.",
        "persistent": head + b"Pos.system\n.",
        "state of a class": head + b"ctfutil\nNetwork\n}\x8c\x03abcNsb.",
        "call of a call": head + b"ctfutil\nNetwork\n)R)R.",
        "huge bytes": head + b"\x8e" + (2**40).to_bytes(8, "little") + b"abc.",
        "huge text": head + b"X\xff\xff\xff\x7fabc.",
        "huge long": head + b"\x8b\xff\xff\xff\x7f" + b"\x01" * 99 + b".",
        "huge memo": head + b"Nr\xff\xff\xff\xff0N.",
        "huge array": in_network(array.replace(b"K\x04\x85", b"J\xff\xff\xff\x7f\x85", 1)),
        "array of objects": in_network(array.replace(b"\x8c\x02f4", b"\x8c\x02O8")),
        "deep lists": head + b"]" * 300_000 + b"a" * 299_999 + b".",
        "deep tuples": head + b")" + b"\x85" * 300_000 + b".",
        "deep marks": head + b"(" * 300_000 + b".",
        "many values": head + b"(" + b"N" * 3_000_000 + b"t.",
        "laughs": head + b")" + b"\x94h\x00h\x00\x86" * 50_000 + b".",
        "tuple keys": head + b"})" + b"2\x86" * 40 + b"Ns.",
        "stack underflow": head + b"R.",
        "cut": pickle.dumps(call)[:-9],
    }


LIMITED = """
    import json, resource, sys, time
    sys.path.insert(0, {tests!r})
    from latentedit.checkpoints.tensors import kind_of, load_network_pickle, screen_torch
    from latentedit.errors import LatentEditError
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    assert "torch" not in sys.modules
    results = {{}}
    for path in sys.argv[1:]:
        start = time.process_time()
        try:
            if kind_of(path).startswith("torch"):
                screen_torch(path)
                message = "accepted"
            else:
                load_network_pickle(path)
                message = "accepted"
        except LatentEditError as error:
            message = str(error)
        results[path] = (message, time.process_time() - start)
    status = open("/proc/self/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0])
    print(json.dumps([results, peak]))
"""


def in_limits(folder: Path, paths: list[Path]) -> dict[str, tuple[str, float]]:
    """Read files in a process of little memory; nothing may have run, and none be slow."""
    script = textwrap.dedent(LIMITED).format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, paths)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results, peak = json.loads(done.stdout)
    assert peak < 200 * 1024  # kB
    assert not list(folder.rglob(MARK))
    return {Path(path).name: tuple(result) for path, result in results.items()}


def test_hostile_pickles_are_refused_in_one_line(tmp_path):
    paths = []
    for name, data in hostile_pickles().items():
        paths.append(tmp_path / f"{name}.pkl")
        paths[-1].write_bytes(data)
    for name, (message, seconds) in in_limits(tmp_path, paths).items():
        assert message.startswith(str(tmp_path)), (name, message)
        assert "\n" not in message
        assert len(message) < 500
        assert seconds < 1, (name, seconds)


def archive(path: Path, data: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/version", "3\n")
    return path


def test_hostile_torch_files_are_refused_without_torch(tmp_path):
    legacy = io.BytesIO()
    torch.save({}, legacy, _use_new_zipfile_serialization=False)
    start = legacy.getvalue()[:14] + b"."  # the magic number
    paths = []
    for name, data in hostile_pickles().items():
        if name in ("huge memo", "huge array", "array of objects"):
            data = pickle.dumps(Reduce(os.system, f"touch {MARK}"))  # these are data to torch
        paths.append(archive(tmp_path / f"{name}.pth", data))
        paths.append(tmp_path / f"{name}.legacy.pth")
        paths[-1].write_bytes(start + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + data)
    zeros = pickle.dumps({"a": b"\0" * 2**26}, protocol=4)
    paths.append(archive(tmp_path / "bomb.pth", zeros, zipfile.ZIP_DEFLATED))
    del zeros
    for name, (message, seconds) in in_limits(tmp_path, paths).items():
        assert message != "accepted", name
        assert message.startswith(str(tmp_path)), (name, message)
        assert "\n" not in message
        assert seconds < 1, (name, seconds)


COMMAND = """
    import sys
    from latentedit.cli import main
    sys.argv = ["latentedit", "convert", sys.argv[1], "-o", "bundle"]
    try:
        main()
    finally:
        status = open("/proc/self/status").read()
        print(int(status.split("VmHWM:")[1].split()[0]), "torch" in sys.modules)
"""


@pytest.mark.parametrize("name", ["os.system", "huge array", "deep tuples"])
def test_the_command_refuses_before_it_imports_torch(tmp_path, name):
    path = tmp_path / "a.pkl"
    path.write_bytes(hostile_pickles()[name])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(COMMAND), str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"latentedit: {path} is refused")
    assert done.stderr.count("\n") == 1
    peak, torch_came = done.stdout.split()
    assert int(peak) < 200 * 1024  # kB
    assert torch_came == "False"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pkl"]


@pytest.mark.parametrize("kind", ["pkl", "pth"])
def test_convert_runs_nothing(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"a.{kind}"
    data = pickle.dumps({"layer0.weight": Reduce(os.system, f"touch {MARK}")}, protocol=2)
    if kind == "pkl":
        path.write_bytes(data)
    else:
        archive(path, data)
    words = r"asks for 'posix\.system'; nothing in it was run: .* save its state_dict\(\) instead"
    with pytest.raises(LatentEditError, match=words):
        convert(path)
    assert not (tmp_path / MARK).exists()


def test_the_source_inside_a_network_pickle_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables = writers.tensorflow_variables([4, 4], fused=False)
    writers.write_tensorflow(tmp_path / "a.pkl", variables)
    convert(tmp_path / "a.pkl")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]


@pytest.mark.parametrize("kind", ["pkl", "pth", "legacy", "pt"])
def test_damage_is_never_a_traceback(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "pkl":
        writers.write_tensorflow(path, writers.tensorflow_variables([2, 2], fused=True))
    elif kind == "pt":
        writers.write_rosinality(path, writers.rosinality_state([2, 2]), torch.zeros(16))
    else:
        state = writers.pggan_state("higan", [2, 2])
        torch.save(state, path, _use_new_zipfile_serialization=kind == "pth")
    whole = path.read_bytes()
    random = np.random.RandomState(0)
    messages = []
    for _ in range(80):
        data = bytearray(whole)
        for place in random.randint(0, min(len(data), 3000), size=random.randint(1, 4)):
            data[place] = random.randint(256)
        path.write_bytes(data)
        try:
            convert(path)
        except LatentEditError as error:
            messages.append(str(error))
    assert len(messages) > 5
    assert "\n" not in "".join(messages)


def test_a_key_of_shared_parts_is_named_in_short():
    key = ("x",)
    for _ in range(60):
        key = (key, key)  # written out, it would have 2 ** 60 letters
    assert len(in_short((key,), 50)) <= 50
    assert in_short("a name", 60) == "a name"


def test_parts_that_are_named_again_and_again_are_refused(tmp_path):
    value = {}
    for _ in range(5):
        value = {str(key): value for key in range(300)}
    torch.save(value, tmp_path / "shared.pt")
    with pytest.raises(LatentEditError, match="too often"):
        convert(tmp_path / "shared.pt")


def test_an_old_file_with_an_archive_s_end_is_damaged(tmp_path):
    torch.save({}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    path = tmp_path / "old.pt"
    path.write_bytes(path.read_bytes()[:20] + bytes(200) + b"PK\x05\x06" + b"\xff" * 16 + bytes(2))
    with pytest.raises(LatentEditError):
        convert(path)


def test_torch_sees_options_as_entries_only(tmp_path):
    writers.write_gan_zoo(tmp_path / "a.pth", writers.gan_zoo_state([4, 4]))
    before = set(torch.serialization.get_safe_globals())
    config = load_torch(tmp_path / "a.pth")["config"]
    assert type(config).__name__ == "Settings"
    assert config.get("lossCriterion", None) == "WGANGP"
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4", np.int64])
def test_arrays_survive(protocol, kind):
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    for value in (array, np.asfortranarray(array), array[0, 0, 3]):
        found = to_array(read_pickle(io.BytesIO(pickle.dumps(value, protocol)), NUMPY_NAMES))
        assert np.array_equal(found, value)


def test_plain_values_survive():
    value = {"a": [1, 2.5, None, True, "é", b"x"], "b": ({}, (), [[]]), 3: -(2**31), "c": 2**70}
    for protocol in (2, 3, 4, 5):
        names = {Name("_codecs", "encode")}
        data = pickle.dumps(value if protocol > 2 else {"a": [1, "x"]}, protocol)
        wanted = value if protocol > 2 else {"a": [1, "x"]}
        assert read_pickle(io.BytesIO(data), names) == wanted


@pytest.mark.parametrize(("content", "words"), [(None, "does not exist"), (b"", "is empty")])
def test_a_file_that_is_not_there_or_empty_is_named(tmp_path, content, words):
    path = tmp_path / "a.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LatentEditError, match=words):
        load_torch(path)
