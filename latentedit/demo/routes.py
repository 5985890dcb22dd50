"""The page's own routes in the server's Starlette app; requests are checked here.

Pictures, recipes and photos travel in the bodies of requests and replies. They are never written to
the server's disk. Each page has a secret token, which names its session.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from anyio import CapacityLimiter, fail_after, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from latentedit import defaults
from latentedit.demo.comparison import draw
from latentedit.demo.models import Studios
from latentedit.demo.portrait_check import check_photo
from latentedit.demo.recipes import carried, made_with
from latentedit.demo.replies import Reply, pack
from latentedit.demo.sessions import Visitor, Visitors
from latentedit.demo.sitters import MAX_BYTES, read_upload
from latentedit.demo.studio import Studio
from latentedit.demo.takeaways import take
from latentedit.demo.turns import Turns
from latentedit.demo.web import asked_json, send_asset, send_page
from latentedit.errors import LatentEditError
from latentedit.portrait.assessor import PortraitAssessor

PREFIX = "/latentedit"
TOKEN, NAME = "x-visitor", "x-name"
"""Headers of requests: the page's token, and the percent-encoded name of a file."""

REFUSED = "x-refused"
"""Header of replies that only carry a message: the request was refused."""

MAX_REQUEST = 200_000
"""Largest size in bytes of a request without a file."""

AT_ONCE = 3
"""How many photos are read, or put together for a download, at the same time."""

UPLOAD_SECONDS = 180
"""How long a file may take to arrive; meanwhile it holds one of the places."""

WAITING = 12
"""How many photos may be read or wait for it; more are refused, so that memory is bounded."""

ASSETS = {
    "camera.js": "text/javascript",
    "models.js": "text/javascript",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "stage.js": "text/javascript",
    "tabs.js": "text/javascript",
}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; connect-src 'self'; media-src blob:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
"""Content security policy: the page loads nothing from other hosts.

The last directive says who may show it in a frame; `Desk` appends further origins to it.
"""

GONE = "You were away for a while, so this page begins anew."

Answer = Callable[[Request], Awaitable[Response]]


class Desk:
    """Answers the page's requests.

    Args:
        studios: give the answers, one studio for each model; a visitor begins with the first.
        assessor: judges photos on the tab Portrait check, or None.
        shared: whether other computers can reach the page.
        framed_by: origins of other sites that may show the page in a frame.

    Attributes:
        visitors: who is here, see `Visitors`.
        turns: the turns with the networks, see `Turns`.
    """

    def __init__(
        self,
        studios: Studios,
        assessor: PortraitAssessor | None,
        *,
        shared: bool = False,
        framed_by: Sequence[str] = (),
    ) -> None:
        self.studios = studios
        self.assessor = assessor
        self.shared = shared
        self._policy = " ".join((POLICY, *framed_by))
        first = studios.first
        self.visitors = Visitors(first.new_session, model=first.editor.name)
        self.turns = Turns()
        self._heavy = CapacityLimiter(AT_ONCE)
        self._loading = CapacityLimiter(1)
        self._waiting = 0

    def routes(self) -> list[Route]:
        """Return the routes for Starlette."""
        posts: dict[str, Answer] = {
            "start": self.start,
            "act": self.act,
            "models": self.models,
            "model": self.model,
            "file": self.file,
            "take": self.take,
            "compare": self.compare,
            "portrait": self.portrait,
            "goodbye": self.goodbye,
        }
        return [
            Route("/", self.page, methods=["GET", "HEAD"]),
            Route(f"{PREFIX}/{{name}}", self.asset, methods=["GET"]),
            *(
                Route(f"{PREFIX}/{name}", _checked(answer), methods=["POST"])
                for name, answer in posts.items()
            ),
        ]

    # ---- the page

    async def page(self, request: Request) -> Response:
        """Send the page itself."""
        return send_page(__package__, "page.html", self._policy)

    async def asset(self, request: Request) -> Response:
        """Send a file that belongs to the page."""
        return send_asset(__package__, request.path_params["name"], ASSETS)

    # ---- answers to requests

    async def start(self, request: Request) -> Response:
        """Begin; a page that was loaded again goes on where it was."""
        await _body(request, MAX_REQUEST)
        visitor, known = self.visitors.enter(request.headers.get(TOKEN))
        return _packed({**await self._begun(visitor), "known": known})

    async def models(self, request: Request) -> Response:
        """List the models that can be chosen, and those that can be pulled."""
        visitor = self._visitor(request)
        await _body(request, MAX_REQUEST)
        return _packed(await self._choices(visitor))

    async def model(self, request: Request) -> Response:
        """Change to another model; a visitor who used it before finds the edit again."""
        visitor = self._visitor(request)
        name = str(asked_json(await _body(request, MAX_REQUEST)).get("name"))
        studio = await self._opened(name)
        visitor.sessions.setdefault(name, studio.new_session())
        visitor.model = name
        return _packed(await self._begun(visitor))

    async def act(self, request: Request) -> Response:
        """Do one of the acts of `Studio.act`."""
        visitor = self._visitor(request)
        asked = asked_json(await _body(request, MAX_REQUEST))
        return _packed(await self.turns.answer(self._act, visitor, asked))

    async def file(self, request: Request) -> Response:
        """Open a file that was dropped, pasted, chosen or shot: a photo, or a file saved here."""
        visitor = self._visitor(request)
        with self._uploading(visitor):
            return _packed(await self._received(visitor, request))

    async def take(self, request: Request) -> Response:
        """Send a file to save, one of `takeaways.TYPES`."""
        visitor = self._visitor(request)
        asked = asked_json(await _body(request, MAX_REQUEST))
        what = str(asked.get("what"))
        shown = self.studio_of(visitor).shown(visitor.session, self.turns.hold)
        with self._place():
            made = await self._heavily(take, shown, what)
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{quote(made.name)}",
            "cache-control": "no-store",
        }
        return Response(made.content, media_type=made.type, headers=headers)

    async def compare(self, request: Request) -> Response:
        """Send the result of the tab Compare, as HTML."""
        visitor = self._visitor(request)
        asked = asked_json(await _body(request, MAX_REQUEST))
        session = visitor.session
        found = await self.turns.answer(
            self.studio_of(visitor).compare, session, asked.get("attribute"), asked.get("step")
        )
        sitter = session.sitter
        name = f"Seed {session.view.seed}" if sitter is None else sitter.upload.name
        return Response(draw(name, *found), media_type="text/html")

    async def portrait(self, request: Request) -> Response:
        """Send the result of the tab Portrait check, as HTML.

        It judges the photo in the request, or the visitor's own photo if the request has none.
        """
        visitor = self._visitor(request)
        if self.assessor is None:
            raise LatentEditError("no portrait network is here")
        with self._uploading(visitor):
            name, photo = _name(request), await _file(request)
            sitter = visitor.session.sitter
            if not photo and sitter is not None:
                name, photo = sitter.upload.name, sitter.upload.data
            convention = request.headers.get("x-for", defaults.CONVENTION)
            html = await self._heavily(check_photo, self.assessor, name, photo, convention)
        return Response(html, media_type="text/html")

    async def goodbye(self, request: Request) -> Response:
        """Note that the page was closed, or is loaded again."""
        token = (await _body(request, 1000)).decode("ascii", "replace")
        self.visitors.leave(token)
        return Response(status_code=204)

    # ---- shared steps

    def studio_of(self, visitor: Visitor | None) -> Studio:
        """Return the studio of a visitor's model; for None, the first studio."""
        return self.studios.first if visitor is None else self.studios[visitor.model]

    def plain(self, request: Request, message: str) -> str:
        """Return a message with attributes named as the visitor's sliders are."""
        return self.studio_of(self.visitors.find(request.headers.get(TOKEN))).plain(message)

    def _visitor(self, request: Request) -> Visitor:
        visitor = self.visitors.find(request.headers.get(TOKEN))
        if visitor is None:
            raise GoneError(GONE)
        return visitor

    async def _begun(self, visitor: Visitor) -> Reply:
        """Return all that a page needs to draw itself."""
        reply = await self.turns.answer(self._act, visitor, {"do": "start"})
        here = {"token": visitor.token, "known": True, "shared": self.shared, "most": MAX_BYTES}
        return {**reply, **here, **await self._choices(visitor)}

    async def _choices(self, visitor: Visitor) -> Reply:
        choices = await to_thread.run_sync(self.studios.choices)
        model = visitor.model
        return {"models": [{**asdict(each), "drawing": each.name == model} for each in choices]}

    async def _opened(self, name: str) -> Studio:
        """Return the studio of a model, loaded if needed.

        Only one model is loaded at a time. Other visitors keep their turns meanwhile.

        Raises:
            LatentEditError: see `Studios.open`.
        """
        if self.studios.is_open(name):
            return self.studios[name]
        return await to_thread.run_sync(self.studios.open, name, limiter=self._loading)

    def _act(self, visitor: Visitor, asked: dict[str, Any]) -> Reply:
        started = time.perf_counter()
        try:
            reply = self._changed(visitor, visitor.model, Studio.act, asked)
        except Exception:  # the session is unchanged; the reason is logged in the terminal
            logging.getLogger(__name__).exception("a request of the page failed")
            reply = {"message": "Something went wrong here, and nothing was changed."}
        return {**reply, "milliseconds": round((time.perf_counter() - started) * 1000, 1)}

    async def _received(self, visitor: Visitor, request: Request) -> Reply:
        data, name = await _file(request), _name(request)
        if not data:
            raise LatentEditError("this file is empty: choose another")
        model = await self._reader(visitor, data)
        if model == visitor.model:
            return await self._read(visitor, model, name, data)
        studio = await self._opened(model)
        before = visitor.sessions.setdefault(model, studio.new_session())
        start = await self.turns.answer(self._changed, visitor, model, Studio.act, {"do": "start"})
        try:
            reply = await self._read(visitor, model, name, data)
        except LatentEditError:
            visitor.sessions[model] = before
            raise
        visitor.model = model
        return {**start, **reply, **await self._choices(visitor), "switched": model}

    async def _reader(self, visitor: Visitor, data: bytes) -> str:
        """Return the name of the model that opens a file: the current one, if it can read it."""
        studio, values = self.studio_of(visitor), await self._heavily(carried, data)
        maker = made_with(values)
        wanted = visitor.session.wanted
        if maker is not None and not (wanted is not None and wanted.came_in(data)):
            if maker == studio.editor.generator_hash:
                return visitor.model
            return await self._heavily(self.studios.maker, maker) or visitor.model
        if studio.photos is not None or studio.is_ours(data):
            return visitor.model
        return await self._heavily(self.studios.for_photos) or visitor.model

    async def _read(self, visitor: Visitor, model: str, name: str, data: bytes) -> Reply:
        """Open a file with a model."""
        studio = self.studios[model]
        reply = await self.turns.answer(self._changed, visitor, model, Studio.want_photo, data)
        if reply:
            return reply
        if studio.is_ours(data):
            return await self.turns.answer(self._changed, visitor, model, Studio.open, data)
        self.visitors.check_room(visitor, len(data))
        upload = await self._heavily(read_upload, name, data)
        return await self.turns.answer(self._changed, visitor, model, Studio.receive, upload)

    def _changed(
        self, visitor: Visitor, model: str, change: Callable[..., Any], *args: Any
    ) -> Reply:
        """Call a studio's method with the session, keep the new session, and return the reply."""
        studio, session = self.studios[model], visitor.sessions[model]
        visitor.sessions[model], reply = change(studio, session, *args)
        found: Reply = reply
        return found

    async def _heavily(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run long work in a thread, without a turn; at most `AT_ONCE` at the same time."""
        return await to_thread.run_sync(function, *args, limiter=self._heavy)

    @contextmanager
    def _uploading(self, visitor: Visitor) -> Iterator[None]:
        """Hold a place for a photo that a visitor sends, one at a time.

        Raises:
            LatentEditError: another one is on its way, or all places are taken.
        """
        if visitor.uploading:
            raise LatentEditError("another photo of yours is still being read: wait a moment")
        visitor.uploading = True
        try:
            with self._place():
                yield
        finally:
            visitor.uploading = False

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Hold one of the `WAITING` places for photos in memory.

        Raises:
            LatentEditError: all places are taken.
        """
        if self._waiting >= WAITING:
            raise LatentEditError("many people are here just now: try again in a moment")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


class GoneError(LatentEditError):
    """The visitor is not here any more."""


def _checked(answer: Answer) -> Answer:
    """Wrap an answer: only pages of this server get it, and errors become plain messages."""

    async def checked(request: Request) -> Response:
        if not is_own(request):
            return Response("not here", status_code=403, media_type="text/plain")
        desk: Desk = answer.__self__  # type: ignore[attr-defined]
        try:
            return await answer(request)
        except GoneError as error:
            return JSONResponse({"message": str(error), "gone": True}, status_code=410)
        except TooLongError:
            return JSONResponse({"message": "This file is too large."}, status_code=413)
        except LatentEditError as error:
            # status 200: browsers would report an error status on their consoles
            refused = {"message": desk.plain(request, str(error))}
            return JSONResponse(refused, headers={REFUSED: "1"})
        except Exception:  # the session is unchanged; the reason is logged in the terminal
            logging.getLogger(__name__).exception("a request of the page failed")
            message = "Something went wrong here, and nothing was changed."
            return JSONResponse({"message": message}, status_code=500)

    return checked


def is_own(request: Request) -> bool:
    """Return whether a request comes from a page of this server, as far as browsers tell."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:  # scripts cannot set it, and tunnels keep it, unlike the host
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


class TooLongError(Exception):
    """A body has more bytes than are read."""


async def _body(request: Request, most: int) -> bytes:
    """Return a request's body.

    Raises:
        TooLongError: it has more than `most` bytes; nothing of it is kept.
    """
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > most:
        raise TooLongError
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise TooLongError
        parts.append(part)
    return b"".join(parts)


async def _file(request: Request) -> bytes:
    """Return the file in a request's body.

    Raises:
        TooLongError: it is larger than `MAX_BYTES`.
        LatentEditError: it did not arrive within `UPLOAD_SECONDS`.
    """
    try:
        with fail_after(UPLOAD_SECONDS):
            return await _body(request, MAX_BYTES)
    except TimeoutError:
        raise LatentEditError(
            f"the file did not arrive within {UPLOAD_SECONDS} seconds: send a smaller one"
        ) from None


def _name(request: Request) -> str:
    name = unquote(request.headers.get(NAME, "photo"))
    return "".join(letter for letter in name if letter.isprintable())[:200] or "photo"


def _packed(reply: Reply) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(pack(reply), media_type="application/octet-stream", headers=headers)
