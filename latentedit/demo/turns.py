"""Turns with the networks: one task at a time uses all cores; refining gives way to requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

Answer = TypeVar("Answer")


class Turns:
    """Gives one turn at a time, to whoever asks first. Spare work waits until nobody asks."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._in_order = CapacityLimiter(1)
        self._asking = 0
        self._calm = threading.Condition()

    async def answer(self, function: Callable[..., Answer], *args: object) -> Answer:
        """Run a function in a thread, in its turn; requests are answered in their order."""
        with self._asked():
            return await to_thread.run_sync(self._held, function, *args, limiter=self._in_order)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold a turn; a thread with much to do takes one for each piece of work."""
        with self._asked(), self._turn:
            yield

    @contextmanager
    def spare(self, patience: float = 2.0) -> Iterator[None]:
        """Hold a turn when nobody else asks for one.

        Args:
            patience: seconds after which the turn is taken in any case, as requests may never stop.
        """
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
