"""The page's own routes in the server's Starlette app: what comes in is checked here.

Pictures, recipes and photos travel in bodies of requests and replies and never lie on the server's
disk. A page knows its session by a token that nobody else has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from anyio import CapacityLimiter, to_thread
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
"""Headers: whose page it is, and what a file is called, percent-encoded."""

REFUSED = "x-refused"
"""Header of replies that only say why there is no other."""

MAX_REQUEST = 200_000
"""Bytes of a request that brings no file."""

AT_ONCE = 3
"""Photos that are read, or put together for a download, at the same time."""

WAITING = 12
"""Photos that are read or wait for it; more are asked to come again, so that memory is bounded."""

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
"""What the page may load: nothing of other hosts. Its end says who may show it in a frame."""

GONE = "You were away for a while, so this page begins anew."

Answer = Callable[[Request], Awaitable[Response]]


class Desk:
    """Answers the page's requests.

    Args:
        studios: decide, each for one model; a visitor begins with the first.
        assessor: of the tab Portrait check.
        shared: whether others than this machine can reach the page.
        framed_by: origins of other sites that may show the page in a frame.

    Attributes:
        visitors: see `Visitors`.
        turns: see `Turns`.
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
        """For Starlette."""
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
        """The page itself, for whoever asks."""
        return send_page(__package__, "page.html", self._policy)

    async def asset(self, request: Request) -> Response:
        """A file that belongs to it."""
        return send_asset(__package__, request.path_params["name"], ASSETS)

    # ---- what it asks for

    async def start(self, request: Request) -> Response:
        """Begin, or go on where a page that is loaded again was."""
        await _body(request, MAX_REQUEST)
        visitor, known = self.visitors.enter(request.headers.get(TOKEN))
        return _packed({**await self._begun(visitor), "known": known})

    async def models(self, request: Request) -> Response:
        """The models that can be chosen, and those that can be got."""
        visitor = self._visitor(request)
        await _body(request, MAX_REQUEST)
        return _packed(await self._choices(visitor))

    async def model(self, request: Request) -> Response:
        """Go on with another model: where this visitor was with it, or anew."""
        visitor = self._visitor(request)
        name = str(asked_json(await _body(request, MAX_REQUEST)).get("name"))
        studio = await self._opened(name)
        visitor.sessions.setdefault(name, studio.new_session())
        visitor.model = name
        return _packed(await self._begun(visitor))

    async def act(self, request: Request) -> Response:
        """One of `Studio.act`'s acts."""
        visitor = self._visitor(request)
        asked = asked_json(await _body(request, MAX_REQUEST))
        return _packed(await self.turns.answer(self._act, visitor, asked))

    async def file(self, request: Request) -> Response:
        """A file that was dropped, pasted, chosen or taken: a photo, or something saved here."""
        visitor = self._visitor(request)
        if visitor.uploading:
            raise LatentEditError("another photo of yours is still being read: wait a moment")
        visitor.uploading = True
        try:
            with self._place():
                return _packed(await self._received(visitor, request))
        finally:
            visitor.uploading = False

    async def take(self, request: Request) -> Response:
        """A file to take home."""
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
        """The tab Compare, as HTML."""
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
        """The tab Portrait check, as HTML: of the photo that comes, or of the one that is here."""
        visitor = self._visitor(request)
        if self.assessor is None:
            raise LatentEditError("no portrait network is here")
        with self._place():
            name, photo = _name(request), await _body(request, MAX_BYTES)
            sitter = visitor.session.sitter
            if not photo and sitter is not None:
                name, photo = sitter.upload.name, sitter.upload.data
            convention = request.headers.get("x-for", defaults.CONVENTION)
            html = await self._heavily(check_photo, self.assessor, name, photo, convention)
        return Response(html, media_type="text/html")

    async def goodbye(self, request: Request) -> Response:
        """The page is closed, or loaded again."""
        token = (await _body(request, 1000)).decode("ascii", "replace")
        self.visitors.leave(token)
        return Response(status_code=204)

    # ---- how

    def studio_of(self, visitor: Visitor | None) -> Studio:
        """Of the model that draws for a visitor; for somebody who is not here, the first."""
        return self.studios.first if visitor is None else self.studios[visitor.model]

    def plain(self, request: Request, message: str) -> str:
        """A message to a visitor with attributes called as their sliders are."""
        return self.studio_of(self.visitors.find(request.headers.get(TOKEN))).plain(message)

    def _visitor(self, request: Request) -> Visitor:
        visitor = self.visitors.find(request.headers.get(TOKEN))
        if visitor is None:
            raise GoneError(GONE)
        return visitor

    async def _begun(self, visitor: Visitor) -> Reply:
        """All that a page needs to be drawn from its beginning."""
        reply = await self.turns.answer(self._act, visitor, {"do": "start"})
        here = {"token": visitor.token, "known": True, "shared": self.shared, "most": MAX_BYTES}
        return {**reply, **here, **await self._choices(visitor)}

    async def _choices(self, visitor: Visitor) -> Reply:
        choices = await to_thread.run_sync(self.studios.choices)
        model = visitor.model
        return {"models": [{**asdict(each), "drawing": each.name == model} for each in choices]}

    async def _opened(self, name: str) -> Studio:
        """The studio of a model; one is loaded at a time, beside the turns of all others.

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
        except Exception:  # the user's work stays; the reason is for the terminal
            logging.getLogger(__name__).exception("a request of the page failed")
            reply = {"message": "Something went wrong here, and nothing was changed."}
        return {**reply, "milliseconds": round((time.perf_counter() - started) * 1000, 1)}

    async def _received(self, visitor: Visitor, request: Request) -> Reply:
        data, name = await _body(request, MAX_BYTES), _name(request)
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
        """Name of the model that a file is for: the one that draws now, wherever that reads it."""
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
        session = studio.photo_edit(visitor.sessions[model], data)
        if session is not None:
            visitor.sessions[model] = session
            photo = session.wanted.photo if session.wanted is not None else ""
            which = f"the photo it was made of, {photo}" if photo else "the photo it was made of"
            return {
                "message": f"This is an edited photo. To go on with it, add {which}; "
                "or add this picture once more to edit it as it is.",
                "wants": True,
            }
        if studio.is_ours(data):
            return await self.turns.answer(self._changed, visitor, model, Studio.open, data)
        self.visitors.check_room(visitor, len(data))
        upload = await self._heavily(read_upload, name, data)
        return await self.turns.answer(self._changed, visitor, model, Studio.receive, upload)

    def _changed(
        self, visitor: Visitor, model: str, change: Callable[..., Any], *args: Any
    ) -> Reply:
        """Answer by a studio's method, and keep the session that comes of it."""
        studio, session = self.studios[model], visitor.sessions[model]
        visitor.sessions[model], reply = change(studio, session, *args)
        found: Reply = reply
        return found

    async def _heavily(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run something long in a thread beside the turns, few at a time."""
        return await to_thread.run_sync(function, *args, limiter=self._heavy)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of `WAITING` places for a photo in memory, before it is read.

        Raises:
            LatentEditError: all are taken.
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
    """The same answer, to pages of this server alone, with what goes wrong in plain words."""

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
            # no status of an error, which browsers would report on their consoles
            refused = {"message": desk.plain(request, str(error))}
            return JSONResponse(refused, headers={REFUSED: "1"})
        except Exception:  # the user's work stays; the reason is for the terminal
            logging.getLogger(__name__).exception("a request of the page failed")
            message = "Something went wrong here, and nothing was changed."
            return JSONResponse({"message": message}, status_code=500)

    return checked


def is_own(request: Request) -> bool:
    """Whether a request comes from a page of this server, as far as browsers tell."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:  # no script can set it, and tunnels leave it, unlike the host
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


class TooLongError(Exception):
    """A body has more bytes than are read."""


async def _body(request: Request, most: int) -> bytes:
    """A request's body; of one that is longer, nothing is kept.

    Raises:
        TooLongError: it is.
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


def _name(request: Request) -> str:
    name = unquote(request.headers.get(NAME, "photo"))
    return "".join(letter for letter in name if letter.isprintable())[:200] or "photo"


def _packed(reply: Reply) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(pack(reply), media_type="application/octet-stream", headers=headers)
