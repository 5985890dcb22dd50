"""`latentedit doctor`: what it finds, and whether an edit would work."""

from __future__ import annotations

import builtins
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

from latentedit.cli import doctor
from latentedit.pretrained import bundles


@pytest.fixture(autouse=True)
def lacks(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What extras lack: the tests do not depend on what is installed beside them."""
    found: dict[str, list[str]] = {"": [], "fast": ["openvino>=2025.1"], "photos": []}
    monkeypatch.setattr(doctor, "lacking", lambda extra="": found[extra])
    monkeypatch.setattr(doctor, "known_extras", lambda: [name for name in found if name])
    monkeypatch.setattr(doctor, "installed_version", lambda name: "1.0")
    return found


def findings(run: Run, code: int = 0) -> dict[str, Any]:
    result = run("doctor", "--json")
    assert result.code == code, result.out
    assert result.err == ""
    found: dict[str, Any] = json.loads(result.out)
    assert found["edit_works"] == (code == 0)
    assert bool(found["problems"]) == (code != 0)
    return found


def test_an_installation_that_works(run: Run) -> None:
    found = findings(run)
    assert found["default"] == "faces128"
    assert "faces128" in [model["name"] for model in found["models"]]
    assert found["machine"]["cores"] >= 1
    assert isinstance(found["machine"]["bfloat16"], bool)
    assert found["cache"]["writable"]
    fast = found["extras"]["fast"]
    assert (fast["installed"], fast["missing"]) == (False, ["openvino>=2025.1"])
    assert fast["command"] == "pip install 'latentedit[fast]'"
    assert found["extras"]["photos"]["installed"]
    assert any("models pull ffhq1024" in line for line in found["advice"])


def test_the_same_in_words(run: Run) -> None:
    result = run("doctor")
    assert result.code == 0
    for words in ("faces128 (the default)", "pip install 'latentedit[fast]'", "threads", "Cache"):
        assert words in result.out


def test_it_asks_no_host(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a host was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    findings(run)


def test_without_torch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **options: Any) -> Any:
        if name.split(".")[0] == "torch":
            raise ImportError("libtorch.so: cannot open")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    found = findings(run, code=doctor.CANNOT_EDIT)
    assert "libtorch.so" in found["problems"][0]
    assert run("doctor").code == doctor.CANNOT_EDIT, "in words as well"


def test_a_package_that_is_too_old(run: Run, lacks: dict[str, list[str]]) -> None:
    lacks[""] = ["torch>=2.13 (2.1 is installed)"]
    assert "torch>=2.13" in findings(run, code=doctor.CANNOT_EDIT)["problems"][0]


def test_weights_that_are_damaged(
    run: Run, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path
) -> None:
    root = tiny_bundle.parent
    monkeypatch.setattr(bundles, "_ROOTS", (root,))
    monkeypatch.setattr(bundles, "EMBEDDED_BUNDLE", "tiny")
    assert findings(run)["default"] == "tiny"
    (tiny_bundle / "generator.safetensors").write_bytes(b"half of it")
    assert "checksum" in findings(run, code=doctor.CANNOT_EDIT)["problems"][0]
    for path in tiny_bundle.glob("boundaries.*"):
        path.unlink()
    assert any("boundaries" in line for line in findings(run, doctor.CANNOT_EDIT)["problems"])


def test_no_model_at_all(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundles, "_ROOTS", (tmp_path / "nothing",))
    found = findings(run, code=doctor.CANNOT_EDIT)
    assert found["models"] == []
    assert "models pull" in found["problems"][0]


def test_a_cache_that_cannot_be_made(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LATENTEDIT_HOME", str(tmp_path / "file" / "cache"))
    found = findings(run)
    assert not found["cache"]["writable"]
    assert any("LATENTEDIT_HOME" in line for line in found["advice"])


def test_where_pip_did_not_install_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: None)
    found = findings(run)
    assert found["extras"] == {}
    assert any("pip install -e ." in line for line in found["advice"])
