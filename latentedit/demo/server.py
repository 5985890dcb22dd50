"""The page's server, which Gradio starts and shares; `routes` answers the requests."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from latentedit.demo.models import Studios, open_studio
from latentedit.demo.refining import Refiner
from latentedit.demo.routes import PREFIX, Desk
from latentedit.demo.sitters import MAX_BYTES
from latentedit.demo.web import LOCAL
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.io.files import reason
from latentedit.portrait.assessor import PortraitAssessor

MAX_BODY = MAX_BYTES + 100_000
"""Largest size of a request's body in bytes: a photo with some room."""

OPEN = ("/", "/gradio_api/startup-events")
"""Open paths outside `PREFIX`; Gradio itself asks for the second one when it starts."""


class Gate:
    """Refuses requests that the page never makes: large bodies, and all of Gradio's own routes.

    No file of a visitor is ever written to the server's disk, so nobody can ask for another's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if path not in OPEN and not path.startswith(PREFIX + "/"):
            await PlainTextResponse("not here", status_code=403)(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY:
            await PlainTextResponse("too large", status_code=413)(scope, receive, send)
            return
        left = MAX_BODY

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                return {"type": "http.disconnect"}
            return message

        await self.app(scope, counted, send)


def refining(desk: Desk) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Return a lifespan for Starlette: photos are refined from the server's start to its end."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        refiner = Refiner(desk.visitors, desk.turns, desk.studios.rehearsals)
        refiner.start()
        yield
        refiner.close()

    return lifespan


def _reach_directly(host: str) -> None:
    """Keep this process from asking a proxy for its own page, as Gradio does when it starts."""
    names = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""]
    names += [name for name in ("127.0.0.1", "localhost", host) if name not in names[0].split(",")]
    os.environ["no_proxy"] = ",".join(filter(None, dict.fromkeys(names)))


def _check_address(host: str, port: int | None) -> None:
    """Refuse an address that cannot be listened on, before Gradio tries one port after another.

    Raises:
        LatentEditError: the host is no address of this machine, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port or 0, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            if os.name == "posix":  # as the server does: a port that was just freed can be used
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        advice = "give another --port" if taken else "give an address of this machine as --host"
        raise LatentEditError(f"cannot listen on {host}: {reason(error)}; {advice}") from None


def serve(
    editor: FaceEditor,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    open_browser: bool = False,
    wait: bool = True,
    framed_by: Sequence[str] = (),
) -> gr.Blocks:
    """Serve the page.

    Args:
        editor: the first model, with classifier and boundaries. Visitors may choose other models
            of `models.known_choices`, which are loaded when they do.
        host: the address to listen on; by default only this machine can reach it.
        port: the port; by default the first free one from 7860.
        share: also open a public link through Gradio's servers.
        open_browser: show the page.
        wait: wait until Ctrl-C; otherwise return at once (`blocks.close()` ends the server).
        framed_by: other sites that may show the page in a frame, such as
            ``https://huggingface.co``; by default none.

    Raises:
        LatentEditError: the model has no classifier or no boundaries, or the port is taken.
    """
    os.environ.pop(
        "GRADIO_ALLOWED_PATHS", None
    )  # it would let visitors read folders of this machine
    _reach_directly(host)
    _check_address(host, port)
    assessor = PortraitAssessor.load()
    local = host in LOCAL and not share
    studios = Studios.beside(open_studio(editor, assessor))
    desk = Desk(studios, assessor, shared=not local, framed_by=framed_by)
    with gr.Blocks(title="latentedit", analytics_enabled=False) as blocks:
        pass
    try:
        blocks.launch(
            server_name=host,
            server_port=port,
            share=share,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            run_history=False,
            enable_monitoring=False,
            allowed_paths=[],
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            app_kwargs={
                "middleware": [Middleware(Gate)],
                "routes": desk.routes(),
                "lifespan": refining(desk),
            },
        )
    except OSError as error:
        raise LatentEditError(f"cannot listen on {host}: {error}; give another --port") from None
    except ValueError:  # Gradio raises it if its own page does not answer in time
        blocks.close()
        raise LatentEditError(
            f"the page does not answer on {host}: try again when this machine is less busy"
        ) from None
    if wait:
        print(f"The page is at {blocks.local_url}\nCtrl-C ends it.", flush=True)
        if blocks.share_url:
            print(f"Everyone can reach it at {blocks.share_url}", flush=True)
        blocks.block_thread()
    return blocks
