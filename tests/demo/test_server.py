"""What the demo's server opens and what it keeps shut; the command and the script that start it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from page_needs import give_up, lacking

if why := lacking(browser=False):
    give_up(why)

import httpx

from latentedit.cli import main
from latentedit.demo import server
from latentedit.demo.server import MAX_BODY, serve
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def editor(_bundle: Path) -> FaceEditor:
    return FaceEditor.load(_bundle, device="cpu")


@pytest.fixture(scope="module")
def running(editor: FaceEditor) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ALLOWED_PATHS", "/")
        patch.setenv("GRADIO_SHARE", "True")
        patch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
        patch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody there
        patch.setenv("no_proxy", "example.org")
        blocks = serve(editor, wait=False)
    yield blocks
    blocks.close()


def url(running: Any, path: str = "") -> str:
    return f"http://127.0.0.1:{running.server_port}{path}"


def test_only_this_machine_can_reach_it(running: Any) -> None:
    assert (running.server_name, running.share_url) == ("127.0.0.1", None)
    assert httpx.get(url(running)).status_code == 200
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection(("127.0.0.2", running.server_port), 2),
    ):
        pass


def test_gradio_s_own_routes_are_shut(running: Any) -> None:
    assert running.allowed_paths == []
    assert not running.analytics_enabled
    for path in ("/config", "/gradio_api/info", "/gradio_api/queue/join", "/theme.css", "/docs"):
        assert httpx.get(url(running, path)).status_code == 403
        assert httpx.post(url(running, path)).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/latentedit/../../../../etc/passwd",
        "/latentedit/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file%3D/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1/",
        "/gradio_api/stream/a/b/c/playlist.m3u8",
        "/gradio_api//file=/etc/passwd",
        "//gradio_api/file=/etc/passwd",
        "/gradio_api/../gradio_api/file=/etc/passwd",
        "/static/../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2f..%2fetc/passwd",
        "/custom_component/%2e%2e/%2e%2e/etc/passwd",
    ],
)
def test_no_file_of_the_machine_can_be_read(running: Any, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.server_port), 5) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert int(answer.split()[1]) in (403, 404)
    assert b"root:" not in answer


def test_nothing_can_be_left_on_the_machine(running: Any) -> None:
    files = {"files": ("face.png", b"text")}
    for path in ("/gradio_api/upload", "/gradio_api/upload?upload_id=1", "/upload"):
        assert httpx.post(url(running, path), files=files).status_code in (403, 405)
    answer = httpx.post(url(running, "/gradio_api/component_server"), json={})
    assert answer.status_code == 403


def test_large_bodies_are_refused(running: Any) -> None:
    act = url(running, "/latentedit/act")
    body = b"a" * (MAX_BODY + 1)
    assert httpx.post(act, content=body).status_code == 413

    def without_a_length() -> Iterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    with suppress(httpx.HTTPError):  # it may hang up in the middle
        assert httpx.post(act, content=without_a_length()).status_code >= 400
    assert httpx.get(url(running)).status_code == 200


def test_a_visitor_gets_answers(running: Any) -> None:
    client = httpx.Client(base_url=url(running), timeout=60)
    started = unpacked(client.post("/latentedit/start", content=b"{}").content)
    headers = {"x-visitor": started["token"]}
    move = {"do": "move", "steps": {"Young": -2.0}}
    reply = unpacked(client.post("/latentedit/act", json=move, headers=headers).content)
    assert reply["undo"]
    assert not started["shared"]


def unpacked(content: bytes) -> dict[str, Any]:
    """The JSON of a reply."""
    values: dict[str, Any] = json.loads(content[4 : 4 + int.from_bytes(content[:4], "little")])
    return values


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_an_address_of_others_is_refused_at_once(editor: FaceEditor, host: str) -> None:
    with pytest.raises(LatentEditError, match="give an address of this machine as --host"):
        serve(editor, host=host, wait=False)


def test_a_taken_port_is_an_error_of_ours(running: Any, editor: FaceEditor) -> None:
    with pytest.raises(LatentEditError, match="--port"):
        serve(editor, port=running.server_port, wait=False)


def test_a_page_that_does_not_answer_is_an_error_of_ours(
    editor: FaceEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradio.networking.url_ok", lambda _: False)
    with pytest.raises(LatentEditError, match="does not answer"):
        serve(editor, wait=False)


# ---- the command


def test_the_command_hands_its_options_on(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda editor, **options: calls.append((editor, options)))
    model = ["--model", str(tiny_bundle)]
    for words in ([], ["--host", "0.0.0.0", "--port", "8001", "--share", "--no-open-browser"]):
        with pytest.raises(SystemExit) as stopped:
            main(["demo", *model, *words])
        assert stopped.value.code == 0
    (editor, plain), (_, chosen) = calls
    assert editor.name == "tiny"
    assert plain == {"host": "127.0.0.1", "port": None, "share": False, "open_browser": True}
    assert chosen == {"host": "0.0.0.0", "port": 8001, "share": True, "open_browser": False}


def test_without_gradio_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "latentedit.demo.server")
    with pytest.raises(SystemExit) as stopped:
        main(["demo"])
    assert stopped.value.code == 2
    assert "pip install 'latentedit[demo]'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_benchmark_prints_its_figures(tiny_bundle: Path) -> None:
    script = [sys.executable, ROOT / "benchmarks" / "demo.py", "--model", tiny_bundle]
    options = ["--moves", "3", "--users", "2", "--seconds", "1", "--json"]
    result = subprocess.run([*script, *options], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout.splitlines()[-1])
    assert len(figures["preview"]["whole"]) == len(figures["preview"]["inside"]) == 3
    if shutil.which("chromium"):
        assert len(figures["preview, in Chromium"]["whole"]) == 3
    assert figures["2 users, 1 s"]["whole"]
    assert not figures["2 users, 1 s"]["errors"]


def test_the_script_is_the_command() -> None:
    command = [sys.executable, ROOT / "demo" / "app.py", "--help"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0
    assert "--share" in result.stdout
