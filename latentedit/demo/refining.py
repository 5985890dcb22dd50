"""The thread that refines photos, one slice at a time, while no visitor waits for an answer."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator

from latentedit.demo.sessions import Visitors
from latentedit.demo.sitters import Sitter
from latentedit.demo.turns import Turns

PAUSE = 0.25
"""Seconds to wait before looking for work again."""


class Refiner:
    """Refines visitors' photos until it is closed.

    Args:
        visitors: the visitors whose photos are refined.
        turns: a slice of work takes a spare turn, see `Turns.spare`.
        rehearsals: work to do while there are no photos, see `Studio.rehearse`. A rehearsal is
            taken out when it ends; others may be put in at any time.
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
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread after the slice that is being done."""
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
            except Exception:  # the visitor keeps the latents found so far
                logging.getLogger(__name__).exception("a photo could not be refined")
                sitter.share = 1.0

    def _rehearse(self) -> bool:
        """Do one slice of a rehearsal; return whether there was one."""
        if not self._rehearsals:
            return False
        with self._turns.spare():
            try:
                next(self._rehearsals[0])
            except StopIteration:
                self._rehearsals.popleft()
            except Exception:  # the first photo takes longer then, or shows the error
                logging.getLogger(__name__).exception("nothing could be rehearsed")
                self._rehearsals.popleft()
        return True

    def _step(self, sitter: Sitter) -> None:
        """Do slices until one leaves nothing big in memory."""
        while not self._closed.is_set():
            with self._turns.spare():
                if next(sitter.working, True):
                    return
