"""What the demo's server opens and what it keeps shut; the command and the script that start it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
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
from latentedit.demo.server import MAX_BODY, build, serve
from latentedit.demo.studio import Studio
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


def event(studio: Studio, name: str) -> Any:
    """What the server does for one of the page's requests."""
    return next(event.fn for event in build(studio).fns.values() if event.api_name == name)


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


def test_no_path_is_allowed_and_nothing_is_reported(running: Any) -> None:
    assert running.allowed_paths == []
    assert not running.analytics_enabled
    config = httpx.get(url(running, "/config")).json()
    assert {"/act", "/start"} == {
        "/" + entry["api_name"]
        for entry in config["dependencies"]
        if entry["api_visibility"] == "public"
    }


@pytest.mark.parametrize(
    "path",
    [
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
    join = url(running, "/gradio_api/queue/join")
    body = b'{"data": "' + b"a" * (MAX_BODY + 1) + b'"}'
    assert httpx.post(join, content=body).status_code == 413

    def without_a_length() -> Iterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    with suppress(httpx.HTTPError):  # it may hang up in the middle
        assert httpx.post(join, content=without_a_length()).status_code >= 400
    assert httpx.get(url(running)).status_code == 200


def test_each_client_has_a_session_of_its_own(running: Any) -> None:
    one, two = "one", "two"
    client = httpx.Client(base_url=url(running), timeout=60)

    def act(visitor: str, **request: Any) -> dict[str, Any]:
        body = {"data": [None, request], "session_hash": visitor}  # as the page sends it
        state, reply = client.post("/gradio_api/run/act", json=body).json()["data"]
        assert state is None  # it stays in the server
        return reply

    moved = act(one, do="move", steps={"Young": -2.0}, serial=7)
    assert (moved["serial"], moved["undo"]) == (7, True)
    assert act(two, do="undo")["view"]["steps"] == {}
    assert act(two, do="redo")["redo"] is False
    assert act(one, do="undo")["redo"] is True
    assert act(one, do="redo")["edited"] == moved["edited"]
    refused = act(one, do="open", data="Li4vLi4vZXRjL3Bhc3N3ZA==")  # ../../etc/passwd
    assert "neither a PNG" in refused["message"]
    assert act(one, do="undo")["view"]["steps"] == {}


def test_requests_are_answered_one_at_a_time_and_in_turn(
    editor: FaceEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Studio(editor)
    act = event(studio, "act")
    came, answered, running = [], [], []

    def slow(session: Any, request: dict[str, Any]) -> Any:
        running.append(request["serial"])
        time.sleep(0.01)
        answered.append(request["serial"])
        assert running == answered  # nobody else began meanwhile
        return session, {}

    async def visit(serial: int) -> None:
        came.append(serial)
        await act(studio.new_session(), {"do": "move", "serial": serial})

    async def everyone() -> None:
        await asyncio.gather(*(visit(serial) for serial in range(8)))

    monkeypatch.setattr(studio, "act", slow)
    asyncio.run(everyone())
    assert answered == came == list(range(8))


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


def test_a_fault_of_ours_is_a_message_and_changes_nothing(
    editor: FaceEditor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    studio = Studio(editor)
    session = studio.new_session()
    monkeypatch.setattr(studio, "act", lambda *_: 1 / 0)
    request = {"do": "move", "serial": 3}
    same, reply = asyncio.run(event(studio, "act")(session, request))
    assert same is session
    assert reply.pop("milliseconds") >= 0
    assert reply == {
        "message": "Something went wrong here, and nothing was changed.",
        "reply": True,
        "serial": 3,
    }
    assert "ZeroDivisionError" in caplog.text


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
    script = [sys.executable, ROOT / "scripts" / "bench_demo.py", "--model", tiny_bundle]
    options = ["--moves", "3", "--users", "2", "--seconds", "1", "--json"]
    result = subprocess.run([*script, *options], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout.splitlines()[-1])
    assert len(figures["one user"]["whole"]) == len(figures["one user"]["inside"]) == 3
    if shutil.which("chromium"):
        assert len(figures["one user, in Chromium"]["whole"]) == 3
    assert figures["2 users, 1 s"]["whole"]
    assert not figures["2 users, 1 s"]["errors"]


def test_the_script_is_the_command() -> None:
    command = [sys.executable, ROOT / "demo" / "app.py", "--help"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0
    assert "--share" in result.stdout
