"""The labelling page's routes: they send its files and faces, and keep answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from threading import Lock
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from latentedit.boundaries.choosing import Answer
from latentedit.boundaries.labels import LabelFile
from latentedit.demo.labelling.ahead import Ahead
from latentedit.demo.routes import is_own
from latentedit.demo.web import asked_json, send_asset, send_page
from latentedit.errors import LatentEditError

PREFIX = "/labels"

MAX_REQUEST = 1000
"""Largest size of a request's body in bytes."""

SAYS = {"yes": True, "no": False, "unsure": None}

ASSETS = {"labels.css": "text/css", "labels.js": "text/javascript"}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy: the page loads nothing from other hosts."""


class Desk:
    """Answers the page's requests.

    Args:
        file: the file that keeps the answers.
        ahead: gives the faces that come next.
        wanted: how many labels are enough.
        model: the model's name.
        command: the command that fits a boundary to the labels; the page shows it.
    """

    def __init__(
        self, file: LabelFile, ahead: Ahead, *, wanted: int, model: str, command: str
    ) -> None:
        self.file = file
        self.ahead = ahead
        self._about = {
            "name": file.name,
            "wanted": wanted,
            "model": model,
            "command": command,
            "file": str(file.path),
        }
        self._wanted = wanted
        self._one_at_a_time = Lock()

    def routes(self) -> list[Route]:
        """Return the routes for Starlette."""
        return [
            Route("/", self.page, methods=["GET", "HEAD"]),
            Route(f"{PREFIX}/face/{{seed:int}}", self.face, methods=["GET"]),
            Route(f"{PREFIX}/start", self._told(self.state), methods=["POST"]),
            Route(f"{PREFIX}/answer", self._told(self.answer), methods=["POST"]),
            Route(f"{PREFIX}/back", self._told(self.back), methods=["POST"]),
            Route(f"{PREFIX}/{{name}}", self.asset, methods=["GET"]),
        ]

    # ---- answers to the page

    def state(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return which faces come next, and how many labels there are."""
        yes, no = self.file.count(True), self.file.count(False)
        return {
            **self._about,
            "faces": [face.seed for face in self.ahead.faces()],
            "yes": yes,
            "no": no,
            "unsure": self.file.count(None),
            "enough": yes + no >= self._wanted,
            "both": min(yes, no) > 0,
        }

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Keep an answer to the face that comes next, and return the new state.

        Raises:
            LatentEditError: another face comes next, for example because two pages are open.
        """
        with self._one_at_a_time:
            faces = self.ahead.faces()
            if not faces or asked.get("seed") != faces[0].seed or asked.get("says") not in SAYS:
                raise LatentEditError(
                    "this face is not the next one, perhaps because another page is open"
                )
            self.file.add(Answer(faces[0].seed, SAYS[asked["says"]], faces[0].chosen))
            self.ahead.told(self.file.answers)
        return self.state({})

    def back(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take the last answer back, and show its face again."""
        with self._one_at_a_time:
            self.file.take_back()
            self.ahead.told(self.file.answers)
        return self.state({})

    # ---- files

    async def page(self, request: Request) -> Response:
        """Send the page itself."""
        return send_page(__package__, "labels.html", POLICY)

    async def asset(self, request: Request) -> Response:
        """Send a file that belongs to the page."""
        return send_asset(__package__, request.path_params["name"], ASSETS)

    async def face(self, request: Request) -> Response:
        """Send the picture of a face that comes next."""
        if not is_own(request):
            return Response("not here", status_code=403, media_type="text/plain")
        picture = await run_in_threadpool(self.ahead.picture, request.path_params["seed"])
        if picture is None:
            return Response("not here", status_code=404, media_type="text/plain")
        headers = {"cache-control": "no-store"}  # another model has other faces of these seeds
        return Response(picture.content, media_type=picture.type, headers=headers)

    # ---- shared steps

    def _told(
        self, act: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def told(request: Request) -> Response:
            if not is_own(request):
                return Response("not here", status_code=403, media_type="text/plain")
            length = request.headers.get("content-length", "")
            if not length.isdigit() or int(length) > MAX_REQUEST:
                return Response("too large", status_code=413, media_type="text/plain")
            try:
                found = await run_in_threadpool(act, asked_json(await request.body()))
            except LatentEditError as error:
                # status 200: browsers would report an error status on their consoles
                found = {**await run_in_threadpool(self.state, {}), "message": str(error)}
            return JSONResponse(found, headers={"cache-control": "no-store"})

        return told
