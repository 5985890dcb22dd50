"""Which faces come: at random, then half of them near the boundary; the same for one file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from latentedit.boundaries.choosing import BLOCK, NEAR, RANDOM, START, Answer, Chooser

DIM = 16
AT_RANDOM, CANDIDATES = range(100, 600), range(1000, 1400)


def sample(seeds: Sequence[int]) -> NDArray[np.float32]:
    rows = [np.random.RandomState(seed).standard_normal(DIM) for seed in seeds]
    return np.array(rows, np.float32)


def has(seed: int) -> bool:
    """One in about six."""
    return bool(sample([seed])[0, 0] > 1)


def new(*, active: bool = True) -> Chooser:
    return Chooser(sample, AT_RANDOM, CANDIDATES, active=active)


def answered(chooser: Chooser, count: int) -> list[Answer]:
    answers: list[Answer] = []
    for _ in range(count):
        face = chooser.upcoming(answers)[0]
        answers.append(Answer(face.seed, has(face.seed), face.chosen))
    return answers


@pytest.fixture(scope="module")
def hundred() -> list[Answer]:
    return answered(new(), 140)


def test_first_faces_are_random_then_every_other_one_is_near(hundred: list[Answer]) -> None:
    assert [answer.seed for answer in hundred[:START]] == list(AT_RANDOM[:START])
    later = hundred[START:]
    assert [answer.chosen for answer in later] == [RANDOM, NEAR] * (len(later) // 2)
    assert all(answer.seed in CANDIDATES for answer in later if answer.chosen == NEAR)
    assert len({answer.seed for answer in hundred}) == len(hundred)


def test_near_faces_lie_between_the_kinds(hundred: list[Answer]) -> None:
    along = {
        way: sample([answer.seed for answer in hundred[START:] if answer.chosen == way])[:, 0]
        for way in (RANDOM, NEAR)
    }
    assert along[NEAR].mean() > along[RANDOM].mean() + 0.3  # towards those that have it
    assert along[NEAR].std() < 0.8 * along[RANDOM].std()


def test_a_restart_goes_on_with_the_same_faces(hundred: list[Answer]) -> None:
    for count in (0, 7, START - 1, START, START + 3, 2 * START - 1, 2 * START):
        coming = [face.seed for face in new().upcoming(hundred[:count])]
        assert len(coming) > BLOCK
        assert coming == [answer.seed for answer in hundred[count : count + len(coming)]]


def test_the_last_block_does_not_wait_for_its_own_answers(hundred: list[Answer]) -> None:
    coming = new().upcoming(hundred[:START])
    other = [Answer(a.seed, not a.value, a.chosen) for a in hundred[START : START + 4]]
    assert new().upcoming([*hundred[:START], *other]) == coming[4:]


def test_candidates_prepared_before_change_nothing(hundred: list[Answer]) -> None:
    early = new()
    assert early.prepare()
    assert early.prepare()
    assert not early.prepare()  # 400 are all
    assert early.upcoming(hundred[:60]) == new().upcoming(hundred[:60])
    assert not new(active=False).prepare()


def test_without_both_kinds_and_without_active_all_is_random() -> None:
    none = [Answer(seed, False) for seed in AT_RANDOM[:80]]
    unsure = [Answer(a.seed, None if has(a.seed) else False) for a in none]
    for answers in (none, unsure):
        assert {face.chosen for face in new().upcoming(answers)} == {RANDOM}
    mixed = [Answer(seed, has(seed)) for seed in AT_RANDOM[:80]]
    assert {face.chosen for face in new().upcoming(mixed)} == {RANDOM, NEAR}
    passive = new(active=False).upcoming(mixed)
    assert [face.seed for face in passive] == list(AT_RANDOM[80:100])


@given(st.sets(st.sampled_from([*AT_RANDOM[:60], *CANDIDATES[:60]]), max_size=90))
def test_no_face_comes_twice_whatever_the_file_holds(seeds: set[int]) -> None:
    answers = [Answer(seed, seed % 3 == 0) for seed in sorted(seeds)]
    coming = [face.seed for face in new().upcoming(answers)]
    assert len(set(coming)) == len(coming) > 0
    assert not set(coming) & seeds


def test_faces_end_where_seeds_end() -> None:
    chooser = Chooser(sample, range(12), range(0), active=True)
    answers = [Answer(seed, seed == 3) for seed in range(12)]
    assert [face.seed for face in chooser.upcoming(answers[:11])] == [11]
    assert chooser.upcoming(answers) == []
