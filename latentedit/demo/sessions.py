"""Visitors of the page: who is here, their sessions, and when they are forgotten. No Gradio."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from latentedit.demo.session import Session
from latentedit.demo.sitters import Sitter
from latentedit.errors import LatentEditError

MAX_VISITORS = 100
IDLE_SECONDS = 30 * 60.0
"""Idle time after which a visitor is forgotten, photos included."""

GOODBYE_SECONDS = 20.0
"""The same after the page was closed. A page that reloads is back sooner and keeps its visitor."""

EVICTED_AFTER = 5 * 60.0
"""Idle time after which a visitor without a photo may be removed to make room for another one."""

MAX_PHOTO_BYTES = 500_000_000
"""Largest sum of the file sizes of all visitors' photos."""


@dataclass(eq=False)
class Visitor:
    """One page that somebody has open.

    Attributes:
        token: a secret that only this page knows.
        model: the name of the model that draws now.
        sessions: a session for each model that was used, so that going back finds the edit again.
        expires: when the visitor is forgotten, by the clock of `Visitors`.
        seen: when the page last asked for something.
        uploading: whether a photo of this visitor is being read.
        pages: how many pages show this visitor's session; a tab can be copied.
    """

    token: str
    model: str
    sessions: dict[str, Session]
    expires: float
    seen: float
    uploading: bool = False
    pages: int = 1

    @property
    def session(self) -> Session:
        """The session with the model that draws now."""
        return self.sessions[self.model]

    @session.setter
    def session(self, session: Session) -> None:
        self.sessions[self.model] = session

    @property
    def sitters(self) -> tuple[Sitter, ...]:
        """People in this visitor's photos; the one who is shown comes first."""
        shown = self.session.sitter
        all_here = [each for session in self._sessions for each in session.sitters.values()]
        return tuple(sorted(all_here, key=lambda sitter: sitter is not shown))

    @property
    def photo_bytes(self) -> int:
        """Size of this visitor's photo files together."""
        uploads = {id(sitter.upload): sitter.upload for sitter in self.sitters}
        asked = (session.upload for session in self._sessions)
        uploads |= {id(upload): upload for upload in asked if upload is not None}
        return sum(len(upload.data) for upload in uploads.values())

    @property
    def _sessions(self) -> tuple[Session, ...]:
        return tuple(self.sessions.values())  # a copy: another thread may add one


class Visitors:
    """All visitors who are here. Threads may use it at the same time.

    Args:
        new_session: makes the session of a new visitor.
        clock: returns the time in seconds.
        model: the name of the model that draws for new visitors.
    """

    def __init__(
        self,
        new_session: Callable[[], Session],
        clock: Callable[[], float] = time.monotonic,
        *,
        model: str = "",
    ) -> None:
        self._new_session = new_session
        self._model = model
        self._clock = clock
        self._lock = threading.RLock()
        self._here: dict[str, Visitor] = {}
        self._turn = 0

    def enter(self, token: str | None = None) -> tuple[Visitor, bool]:
        """Find a visitor who was here before, or let a new one in.

        Returns:
            The visitor, and whether they were here before.

        Raises:
            LatentEditError: there are too many visitors.
        """
        with self._lock:
            known = self.find(token)
            if known is not None:
                known.pages += 1
                return known, True
            if len(self._here) >= MAX_VISITORS:
                self._make_room()
            now = self._clock()
            visitor = Visitor(
                secrets.token_urlsafe(24),
                self._model,
                {self._model: self._new_session()},
                now + IDLE_SECONDS,
                now,
            )
            self._here[visitor.token] = visitor
            return visitor, False

    def find(self, token: str | None) -> Visitor | None:
        """Return a visitor and let them stay longer, or None if they were forgotten."""
        with self._lock:
            self.forget_idle()
            visitor = self._here.get(token) if token else None
            if visitor is not None:
                visitor.seen = self._clock()
                visitor.expires = visitor.seen + IDLE_SECONDS
            return visitor

    def leave(self, token: str) -> None:
        """Note that a page was closed or is loaded again.

        Its visitor is forgotten soon if no other page, such as a copied tab, shows the same.
        """
        with self._lock:
            visitor = self._here.get(token)
            if visitor is None:
                return
            visitor.pages = max(0, visitor.pages - 1)
            if not visitor.pages:
                visitor.expires = min(visitor.expires, self._clock() + GOODBYE_SECONDS)

    def forget_idle(self) -> None:
        """Forget all visitors whose time is over."""
        with self._lock:
            now = self._clock()
            for token in [t for t, visitor in self._here.items() if visitor.expires <= now]:
                del self._here[token]

    def check_room(self, visitor: Visitor, size: int) -> None:
        """Refuse a photo if all photos together would be too large.

        Raises:
            LatentEditError: they would be larger than `MAX_PHOTO_BYTES`.
        """
        with self._lock:
            others = sum(each.photo_bytes for each in self._here.values() if each is not visitor)
            if others + visitor.photo_bytes + size > MAX_PHOTO_BYTES:
                raise LatentEditError(
                    "too many photos are open here just now: try again in some minutes"
                )

    def next_work(self) -> Sitter | None:
        """Return a sitter whose photo is still being refined, or None; visitors take turns."""
        with self._lock:
            self.forget_idle()
            waiting = [
                sitter
                for visitor in self._here.values()
                for sitter in visitor.sitters[:1]
                if sitter.share < 1 and visitor.session.view.photo is not None
            ]
            if not waiting:
                return None
            self._turn += 1
            return waiting[self._turn % len(waiting)]

    def __len__(self) -> int:
        return len(self._here)

    def _make_room(self) -> None:
        now = self._clock()
        idle = [
            visitor
            for visitor in self._here.values()
            if now - visitor.seen > EVICTED_AFTER and not visitor.sitters
        ]
        if not idle:
            raise LatentEditError("too many people are here just now: try again in some minutes")
        del self._here[min(idle, key=lambda visitor: visitor.seen).token]
