"""Visitors: who is here, what they did, and when they are forgotten. No Gradio."""

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
"""After which a visitor is forgotten, photos and all."""

GOODBYE_SECONDS = 20.0
"""The same after the page was closed; a page that is only loaded again is back before."""

EVICTED_AFTER = 5 * 60.0
"""Idle time after which a visitor without a photo makes room, where there are too many."""

MAX_PHOTO_BYTES = 500_000_000
"""Of all visitors' photos together, as files."""


@dataclass(eq=False)
class Visitor:
    """One page that somebody has open.

    Attributes:
        token: that only this page knows.
        model: that draws for them.
        sessions: one for each model that they used, so that going back finds the edit again.
        expires: when it is forgotten, by the clock of `Visitors`.
        seen: when it last asked for something.
        uploading: whether a photo of theirs is being read.
    """

    token: str
    model: str
    sessions: dict[str, Session]
    expires: float
    seen: float
    uploading: bool = False

    @property
    def session(self) -> Session:
        """With the model that draws now."""
        return self.sessions[self.model]

    @session.setter
    def session(self, session: Session) -> None:
        self.sessions[self.model] = session

    @property
    def sitters(self) -> tuple[Sitter, ...]:
        """People in their photos, the one who is shown first."""
        shown = self.session.sitter
        all_here = [each for session in self._sessions for each in session.sitters.values()]
        return tuple(sorted(all_here, key=lambda sitter: sitter is not shown))

    @property
    def photo_bytes(self) -> int:
        """Of their photos' files."""
        uploads = {id(sitter.upload): sitter.upload for sitter in self.sitters}
        asked = (session.upload for session in self._sessions)
        uploads |= {id(upload): upload for upload in asked if upload is not None}
        return sum(len(upload.data) for upload in uploads.values())

    @property
    def _sessions(self) -> tuple[Session, ...]:
        return tuple(self.sessions.values())  # another thread may add one meanwhile


class Visitors:
    """All who are here; safe from threads.

    Args:
        new_session: makes the session of somebody who just came.
        clock: seconds.
        model: that draws for them.
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
        """Find somebody who was here, or let somebody in.

        Returns:
            The visitor, and whether they were here before.

        Raises:
            LatentEditError: there are too many.
        """
        with self._lock:
            known = self.find(token)
            if known is not None:
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
        """Somebody who is here, and stays for a while; None where they were forgotten."""
        with self._lock:
            self.forget_idle()
            visitor = self._here.get(token) if token else None
            if visitor is not None:
                visitor.seen = self._clock()
                visitor.expires = visitor.seen + IDLE_SECONDS
            return visitor

    def leave(self, token: str) -> None:
        """Somebody's page was closed, or is loaded again."""
        with self._lock:
            visitor = self._here.get(token)
            if visitor is not None:
                visitor.expires = min(visitor.expires, self._clock() + GOODBYE_SECONDS)

    def forget_idle(self) -> None:
        """Forget all whose time is over."""
        with self._lock:
            now = self._clock()
            for token in [t for t, visitor in self._here.items() if visitor.expires <= now]:
                del self._here[token]

    def check_room(self, visitor: Visitor, size: int) -> None:
        """Refuse a photo where all photos together are too large.

        Raises:
            LatentEditError: they are.
        """
        with self._lock:
            others = sum(each.photo_bytes for each in self._here.values() if each is not visitor)
            if others + visitor.photo_bytes + size > MAX_PHOTO_BYTES:
                raise LatentEditError(
                    "too many photos are open here just now: try again in some minutes"
                )

    def next_work(self) -> Sitter | None:
        """Somebody whose photo is still looked at; all in turn."""
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
