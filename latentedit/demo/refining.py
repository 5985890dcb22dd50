"""The thread that looks longer at photos, a slice at a time, while nobody asks for anything."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator

from latentedit.demo.sessions import Visitors
from latentedit.demo.sitters import Sitter
from latentedit.demo.turns import Turns

PAUSE = 0.25
"""Seconds between looks whether there is something to do."""


class Refiner:
    """Refines visitors' photos until it is closed.

    Args:
        visitors: whose photos these are.
        turns: a slice of work takes a turn that nobody else wants.
        rehearsals: slices of work to do before any photo has come, see `Studio.rehearse`; they
            are taken out when they end, and others may be put in.
    """

    def __init__(
        self, visitors: Visitors, turns: Turns, rehearsals: deque[Iterator[None]] | None = None
    ) -> None:
        self._visitors = visitors
        self._turns = turns
        self._rehearsals = deque[Iterator[None]]() if rehearsals is None else rehearsals
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="refiner", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End after the slice that is being done."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _work(self) -> None:
        while not self._closed.is_set():
            sitter = self._visitors.next_work()
            if sitter is None:
                if not self._rehearse():
                    self._closed.wait(PAUSE)
                continue
            try:
                self._step(sitter)
            except Exception:  # what was found so far stays
                logging.getLogger(__name__).exception("a photo could not be refined")
                sitter.share = 1.0

    def _rehearse(self) -> bool:
        """Do a slice of the rehearsal, and tell whether there was one."""
        if not self._rehearsals:
            return False
        with self._turns.spare():
            try:
                next(self._rehearsals[0])
            except StopIteration:
                self._rehearsals.popleft()
            except Exception:  # the first visitor will wait longer, or be told
                logging.getLogger(__name__).exception("nothing could be rehearsed")
                self._rehearsals.popleft()
        return True

    def _step(self, sitter: Sitter) -> None:
        """Slices up to the next point where nothing big is kept in memory."""
        while not self._closed.is_set():
            with self._turns.spare():
                if next(sitter.working, True):
                    return
