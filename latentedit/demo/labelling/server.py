"""The labelling page's server: Starlette and uvicorn, which come with the extra ``demo``."""

from __future__ import annotations

import socket
import threading
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from latentedit import defaults
from latentedit.boundaries.choosing import Chooser
from latentedit.boundaries.labels import LabelFile
from latentedit.boundaries.whitening import Whitening
from latentedit.demo.labelling.ahead import Ahead
from latentedit.demo.labelling.routes import Desk
from latentedit.demo.replies import Picture, picture_of
from latentedit.demo.web import LOCAL
from latentedit.errors import LatentEditError
from latentedit.inference.networks import FaceNetworks
from latentedit.io.files import reason

PORTS = range(7870, 7890)
"""Ports that are tried in turn if the user names none."""


class Labelled(FaceNetworks, Protocol):
    """A model whose faces can be labelled, such as a `FaceEditor`."""

    @property
    def resolution(self) -> int: ...


@dataclass
class Serving:
    """A page that is served until `close`."""

    port: int
    _server: uvicorn.Server
    _thread: threading.Thread
    _ahead: Ahead

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join()
        self._ahead.close()


def open_desk(
    editor: Labelled,
    file: LabelFile,
    command: str,
    *,
    wanted: int = defaults.LABELS,
    whitening: Whitening | None = None,
    active: bool = True,
    size: int | None = None,
) -> Desk:
    """Return the `Desk` that answers the page.

    Args:
        editor: the model, which samples and draws faces.
        file: the file that keeps the answers.
        command: the command that fits a boundary to the labels.
        wanted: how many labels are enough.
        whitening: coordinates that faces are chosen in; None for z.
        active: whether a quick fit chooses faces, see `Chooser`.
        size: edge of the pictures in pixels, see `picture_size`.
    """
    first, most = defaults.LABELS_FIRST_SEED, defaults.LABELS_MOST
    chooser = Chooser(
        editor.sample,
        range(first, first + most),
        range(first + most, first + most + defaults.LABELS_CANDIDATES),
        whitening=whitening,
        active=active,
    )
    edge = picture_size(editor, size)

    def draw(seed: int) -> Picture:
        return picture_of(editor.render(editor.sample([seed]), edge)[0])

    ahead = Ahead(chooser, draw, file.answers)
    return Desk(file, ahead, wanted=wanted, model=editor.name, command=command)


def picture_size(editor: Labelled, size: int | None) -> int:
    """Return the edge of the pictures in pixels.

    It is the size asked for. By default it is the model's own, at most `defaults.LABELS_SIZE`.

    Raises:
        LatentEditError: the size is larger than the model's pictures.
    """
    if size is not None and size > editor.resolution:
        raise LatentEditError(
            f"{editor.name} draws {editor.resolution} pixels: give --size {editor.resolution} "
            "or less"
        )
    return size or min(defaults.LABELS_SIZE, editor.resolution)


def start(desk: Desk, *, host: str = "127.0.0.1", port: int | None = None) -> Serving:
    """Serve the page from a thread.

    Raises:
        LatentEditError: the port is taken, or the host is no address of this machine.
    """
    try:
        listening = _listen(host, port)
    except LatentEditError:
        desk.ahead.close()
        raise
    hosts = [*LOCAL, "[::1]"] if host in LOCAL else ["*"]  # against DNS rebinding by other sites
    app = Starlette(
        routes=desk.routes(),
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
    )
    config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    return Serving(listening.getsockname()[1], server, thread, desk.ahead)


def serve(
    desk: Desk, *, host: str = "127.0.0.1", port: int | None = None, open_browser: bool = True
) -> None:
    """Serve the page until Ctrl-C, then print how many labels there are.

    Raises:
        LatentEditError: the port is taken, or the host is no address of this machine.
    """
    file = desk.file
    serving = start(desk, host=host, port=port)
    shown = "127.0.0.1" if host in ("0.0.0.0", *LOCAL[:2]) else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{serving.port}"
    print(f"The page is at {address}\nCtrl-C ends it.", flush=True)
    if open_browser:
        webbrowser.open(address)
    with suppress(KeyboardInterrupt):
        while True:
            threading.Event().wait(3600)
    with suppress(KeyboardInterrupt):  # a second Ctrl-C: do not wait for the last drawing
        serving.close()
    print(
        f"{file.labelled} labels in {file.path}: {file.count(True)} yes, {file.count(False)} no, "
        f"{file.count(None)} could not be told"
    )


def _listen(host: str, port: int | None) -> socket.socket:
    for tried in PORTS if port is None else (port,):
        try:
            return socket.create_server(
                (host, tried), family=socket.AF_INET6 if ":" in host else socket.AF_INET
            )
        except OSError as error:
            last = error
            if port is not None:
                break
    raise LatentEditError(
        f"cannot listen on {host}: {reason(last)}; give another --port or --host"
    ) from None
