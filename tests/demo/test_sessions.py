"""Visitors come and go, photos are refined in slices, and whoever asks has the turn."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from latentedit.demo import sessions
from latentedit.demo.refining import Refiner
from latentedit.demo.session import Session, View
from latentedit.demo.sessions import GOODBYE_SECONDS, IDLE_SECONDS, MAX_VISITORS, Visitors
from latentedit.demo.turns import Turns
from latentedit.errors import LatentEditError


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def visitors(clock: Clock) -> Visitors:
    return Visitors(lambda: Session((View(0),)), clock)


def with_photo(share: float = 0.0, size: int = 1000, slices: int = 4) -> Any:
    """A sitter without networks."""
    done: list[int] = []
    sitter = SimpleNamespace(upload=SimpleNamespace(data=bytes(size)), share=share, done=done)

    def work() -> Any:
        for number in range(slices):
            done.append(number)
            yield number % 2 == 1
        sitter.share = 1.0

    sitter.working = work()
    return sitter


def test_a_token_leads_back_and_is_nobody_else_s(visitors: Visitors) -> None:
    one, known = visitors.enter()
    other, _ = visitors.enter("made up")
    assert not known
    assert one.token != other.token
    assert len(one.token) >= 32
    assert visitors.enter(one.token) == (one, True)
    assert visitors.find("made up") is None
    assert visitors.find(None) is None


def test_idle_visitors_are_forgotten(visitors: Visitors, clock: Clock) -> None:
    one, _ = visitors.enter()
    clock.now = IDLE_SECONDS - 1
    assert visitors.find(one.token) is one  # and stays
    clock.now += IDLE_SECONDS - 1
    assert visitors.find(one.token) is one
    clock.now += IDLE_SECONDS + 1
    assert visitors.find(one.token) is None
    assert len(visitors) == 0


def test_a_page_that_is_closed_is_forgotten_soon_and_one_that_reloads_is_not(
    visitors: Visitors, clock: Clock
) -> None:
    closed, reloaded = visitors.enter()[0], visitors.enter()[0]
    for visitor in (closed, reloaded):
        visitors.leave(visitor.token)
    visitors.leave("made up")
    clock.now = GOODBYE_SECONDS / 2
    assert visitors.enter(reloaded.token) == (reloaded, True)
    clock.now = GOODBYE_SECONDS + 1
    assert visitors.find(closed.token) is None
    assert visitors.find(reloaded.token) is reloaded


def test_a_copied_tab_stays_when_the_other_is_closed(visitors: Visitors, clock: Clock) -> None:
    visitor = visitors.enter()[0]
    visitors.enter(visitor.token)
    visitors.leave(visitor.token)
    clock.now = GOODBYE_SECONDS + 1
    assert visitors.find(visitor.token) is visitor
    visitors.leave(visitor.token)
    clock.now += GOODBYE_SECONDS + 1
    assert visitors.find(visitor.token) is None


def test_there_is_room_for_so_many(visitors: Visitors, clock: Clock) -> None:
    first = visitors.enter()[0]
    first.session = Session((View(0, photo=1),), sitters={1: with_photo()})
    for _ in range(MAX_VISITORS - 1):
        visitors.enter()
    with pytest.raises(LatentEditError, match="too many people"):
        visitors.enter()
    clock.now = sessions.EVICTED_AFTER + 1
    visitors.enter()  # somebody idle makes room, but nobody with a photo
    assert len(visitors) == MAX_VISITORS
    assert visitors.find(first.token) is first


def test_photos_together_are_bounded(visitors: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_PHOTO_BYTES", 2500)
    one, two = visitors.enter()[0], visitors.enter()[0]
    one.session = Session((View(0, photo=1),), sitters={1: with_photo()})
    visitors.check_room(two, 1000)
    with pytest.raises(LatentEditError, match="too many photos"):
        visitors.check_room(two, 2000)


def test_all_photos_are_refined_in_turn(visitors: Visitors) -> None:
    sitters = [with_photo(), with_photo(), with_photo(share=1.0)]
    for sitter in sitters:
        visitors.enter()[0].session = Session((View(0, photo=1),), sitters={1: sitter})
    away = visitors.enter()[0]
    away.session = Session((View(0),), sitters={1: with_photo()})  # looks at another face
    assert {id(visitors.next_work()) for _ in range(4)} == {id(each) for each in sitters[:2]}
    refiner = Refiner(visitors, Turns())
    refiner.start()
    until = time.monotonic() + 20
    while visitors.next_work() is not None and time.monotonic() < until:
        time.sleep(0.01)
    refiner.close()
    assert [each.done for each in sitters] == [[0, 1, 2, 3], [0, 1, 2, 3], []]


def test_photos_are_rehearsed_while_there_is_none(
    visitors: Visitors, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []

    def rehearse() -> Iterator[None]:
        for number in range(3):
            done.append(number)
            yield
        raise RuntimeError("of the last slice")

    sitter = with_photo()
    visitors.enter()[0].session = Session((View(0, photo=1),), sitters={1: sitter})
    refiner = Refiner(visitors, Turns(), deque([rehearse()]))
    refiner.start()
    until = time.monotonic() + 20
    while "rehearsed" not in caplog.text and time.monotonic() < until:
        time.sleep(0.01)
    refiner.close()
    assert (done, sitter.done) == ([0, 1, 2], [0, 1, 2, 3])
    assert "of the last slice" in caplog.text


def wait_for_askers(turns: Turns, count: int) -> None:
    until = time.monotonic() + 20
    while turns._asking < count and time.monotonic() < until:
        time.sleep(0.005)


def test_what_is_spare_waits_until_nobody_asks() -> None:
    turns, order = Turns(), []

    def slow(number: int) -> int:
        time.sleep(0.02)
        order.append(number)
        return number

    async def everyone() -> None:
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(turns.answer, slow, number)

    with turns.hold():
        asking = threading.Thread(target=anyio.run, args=(everyone,))
        asking.start()
        wait_for_askers(turns, 6)
    with turns.spare(20):
        order.append(-1)
    asking.join(20)
    assert order == [0, 1, 2, 3, 4, -1]


def test_what_is_spare_comes_at_last_however_many_ask() -> None:
    turns, over = Turns(), threading.Event()

    def ask() -> None:
        while not over.is_set():
            with turns.hold():
                time.sleep(0.005)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    wait_for_askers(turns, 2)
    started = time.monotonic()
    with turns.spare(0.1):
        waited = time.monotonic() - started
    over.set()
    for thread in asking:
        thread.join(20)
    assert 0.05 < waited < 10
