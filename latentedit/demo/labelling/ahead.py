"""Choose and draw the next faces while the user looks at the current one."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Condition, Thread

from latentedit.boundaries.choosing import Answer, Chooser, Face
from latentedit.demo.replies import Picture

DRAWN = 12
"""How many faces are drawn ahead."""

KEPT = 60
"""How many pictures stay in memory; the oldest are dropped first."""

PATIENCE = 300.0
"""Longest wait for a picture or a choice, in seconds."""


class Ahead:
    """One thread that chooses and draws faces; all methods only read its results.

    Args:
        chooser: chooses the faces that come next.
        draw: seed -> picture.
        answers: all answers so far.
    """

    def __init__(
        self, chooser: Chooser, draw: Callable[[int], Picture], answers: Sequence[Answer]
    ) -> None:
        self._chooser = chooser
        self._draw = draw
        self._answers = tuple(answers)
        self._faces: list[Face] | None = None
        self._pictures: OrderedDict[int, Picture] = OrderedDict()
        self._failed: set[int] = set()
        self._news = Condition()
        self._done: tuple[Answer, ...] | None = None  # the answers that the last choice used
        self._closed = False
        self._thread = Thread(target=self._work, name="draws ahead", daemon=True)
        self._thread.start()

    def told(self, answers: Sequence[Answer]) -> None:
        """Give the thread all answers up to now."""
        with self._news:
            if len(answers) < len(self._answers):
                self._faces = self._done = None  # an answer was taken back: choose again
            self._answers = tuple(answers)
            self._news.notify_all()

    def faces(self) -> list[Face]:
        """Return the faces that come next, in order; empty if no face is left."""
        with self._news:
            self._news.wait_for(lambda: bool(self._left()) or self._settled(), PATIENCE)
            return self._left()

    def picture(self, seed: int) -> Picture | None:
        """Return a face's picture; None if the face does not come next, or cannot be drawn."""

        def ready() -> bool:
            return seed in self._pictures or seed in self._failed or not self._comes(seed)

        with self._news:
            self._news.wait_for(ready, PATIENCE)
            return self._pictures.get(seed)

    def close(self) -> None:
        """End the thread after the picture that it is drawing."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._thread.join()

    def _left(self) -> list[Face]:
        given = {answer.seed for answer in self._answers}
        return [face for face in self._faces or () if face.seed not in given]

    def _comes(self, seed: int) -> bool:
        return self._faces is None or any(face.seed == seed for face in self._left())

    def _settled(self) -> bool:
        return self._closed or (self._faces is not None and self._done == self._answers)

    def _has_work(self) -> bool:
        return self._closed or self._answers != self._done

    def _work(self) -> None:
        while not self._closed:
            answers = self._answers
            if answers != self._done:
                faces = self._chooser.upcoming(answers)
                with self._news:
                    if (
                        self._answers[: len(answers)] == answers
                    ):  # no answer was taken back meanwhile
                        self._faces, self._done = faces, answers
                    self._news.notify_all()
                continue
            if not self._draw_one() and not self._chooser.prepare():
                with self._news:
                    self._news.wait_for(self._has_work, PATIENCE)

    def _draw_one(self) -> bool:
        """Draw the next face without a picture; return False if all have one."""
        with self._news:
            coming = [face.seed for face in self._left()][:DRAWN]
            lacking = [seed for seed in coming if seed not in {*self._pictures, *self._failed}]
        if not lacking:
            return False
        seed = lacking[0]
        try:
            picture = self._draw(seed)
        except Exception:  # the page tells the user; the reason is logged in the terminal
            logging.getLogger(__name__).exception("seed %d cannot be drawn", seed)
            picture = None
        with self._news:
            if picture is None:
                self._failed.add(seed)
            else:
                self._pictures[seed] = picture
            while len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
            self._news.notify_all()
        return True
