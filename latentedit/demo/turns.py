"""Whose turn it is: networks answer one at a time, with all cores; refining gives way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

Answer = TypeVar("Answer")


class Turns:
    """One turn at a time, for whoever asks first; what is spare waits a while for nobody to ask."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._in_order = CapacityLimiter(1)
        self._asking = 0
        self._calm = threading.Condition()

    async def answer(self, function: Callable[..., Answer], *args: object) -> Answer:
        """Run a function in a thread, in a turn; requests are met in their order."""
        with self._asked():
            return await to_thread.run_sync(self._held, function, *args, limiter=self._in_order)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """A turn for a thread that has much to do: it takes one for each piece of work."""
        with self._asked(), self._turn:
            yield

    @contextmanager
    def spare(self, patience: float = 2.0) -> Iterator[None]:
        """A turn once nobody asks for one, or after so many seconds: somebody may always ask."""
        with self._calm:
            self._calm.wait_for(lambda: self._asking == 0, patience)
        with self._turn:
            yield

    def _held(self, function: Callable[..., Answer], *args: object) -> Answer:
        with self._turn:
            return function(*args)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        with self._calm:
            self._asking += 1
        try:
            yield
        finally:
            with self._calm:
                self._asking -= 1
                self._calm.notify_all()
