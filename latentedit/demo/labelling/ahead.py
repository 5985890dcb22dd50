"""Faces chosen and drawn while the user looks at another one."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Condition, Thread

from latentedit.boundaries.choosing import Answer, Chooser, Face
from latentedit.demo.replies import Picture

DRAWN = 12
"""Faces that are drawn ahead."""

KEPT = 60
"""Pictures in memory; the oldest go first."""

PATIENCE = 300.0
"""Seconds in which a picture or a choice must come."""


class Ahead:
    """One thread that chooses and draws; all else only looks at what it has done.

    Args:
        chooser: says which faces come.
        draw: seed -> picture.
        answers: all so far.
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
        self._done: tuple[Answer, ...] | None = None  # that the last choice was made by
        self._closed = False
        self._thread = Thread(target=self._work, name="draws ahead", daemon=True)
        self._thread.start()

    def told(self, answers: Sequence[Answer]) -> None:
        """Take the answers as they are now."""
        with self._news:
            if len(answers) < len(self._answers):
                self._faces = self._done = None  # they may lead elsewhere
            self._answers = tuple(answers)
            self._news.notify_all()

    def faces(self) -> list[Face]:
        """What comes next, in order; empty where no face is left."""
        with self._news:
            self._news.wait_for(lambda: bool(self._left()) or self._settled(), PATIENCE)
            return self._left()

    def picture(self, seed: int) -> Picture | None:
        """A face's picture, or None where it is not among those that come, or cannot be drawn."""

        def ready() -> bool:
            return seed in self._pictures or seed in self._failed or not self._comes(seed)

        with self._news:
            self._news.wait_for(ready, PATIENCE)
            return self._pictures.get(seed)

    def close(self) -> None:
        """End the thread, after the picture that it draws."""
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
                    if self._answers[: len(answers)] == answers:  # none was taken back meanwhile
                        self._faces, self._done = faces, answers
                    self._news.notify_all()
                continue
            if not self._draw_one() and not self._chooser.prepare():
                with self._news:
                    self._news.wait_for(self._has_work, PATIENCE)

    def _draw_one(self) -> bool:
        """Draw the first face that lacks its picture; False where all have theirs."""
        with self._news:
            coming = [face.seed for face in self._left()][:DRAWN]
            lacking = [seed for seed in coming if seed not in {*self._pictures, *self._failed}]
        if not lacking:
            return False
        seed = lacking[0]
        try:
            picture = self._draw(seed)
        except Exception:  # the page says so; the reason is for the terminal
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
