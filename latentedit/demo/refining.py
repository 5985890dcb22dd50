"""The thread that looks longer at photos, a slice at a time, while nobody asks for anything."""

from __future__ import annotations

import logging
import threading

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
    """

    def __init__(self, visitors: Visitors, turns: Turns) -> None:
        self._visitors = visitors
        self._turns = turns
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
                self._closed.wait(PAUSE)
                continue
            try:
                self._step(sitter)
            except Exception:  # what was found so far stays
                logging.getLogger(__name__).exception("a photo could not be refined")
                sitter.share = 1.0

    def _step(self, sitter: Sitter) -> None:
        """Slices up to the next point where nothing big is kept in memory."""
        while not self._closed.is_set():
            with self._turns.spare():
                if next(sitter.working, True):
                    return
