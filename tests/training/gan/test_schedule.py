from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentedit.errors import LatentEditError
from latentedit.training.gan.schedule import Phase, Schedule


def growth(phase: Phase) -> float:
    """How far it has grown, in doublings: 3 at 8x8, 3.5 halfway through the fade to 16x16."""
    return math.log2(phase.resolution) - 1 + phase.alpha


lengths = st.lists(st.sampled_from((0.1, 0.5, 1.0, 2.0)), min_size=1, max_size=4).map(tuple)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    start = draw(st.sampled_from((4, 8, 16)))
    final = start * draw(st.sampled_from((1, 2, 4, 8)))
    return Schedule(start, final, draw(lengths), draw(lengths))


@given(schedules())
def test_it_says_when_it_has_grown(schedule: Schedule) -> None:
    images = round(1000 * schedule.kimg)
    assert schedule.at(images + 1) == Phase(schedule.final, 1.0)
    if schedule.final > schedule.start:
        assert schedule.at(images - 1).alpha < 1


@given(schedules())
def test_it_grows_from_start_to_final_without_a_jump_or_a_step_back(schedule: Schedule) -> None:
    end = int(1000 * sum(schedule.stable[-1:] * 4 + schedule.stable) * 2 + 40_000)
    phases = [schedule.at(images) for images in range(0, end, 25)]
    assert phases[0] == Phase(schedule.start, 1.0)
    assert phases[-1] == Phase(schedule.final, 1.0)
    assert {phase.resolution for phase in phases} <= {2**power for power in range(2, 9)}
    assert all(0 <= phase.alpha <= 1 for phase in phases)
    fastest = 25 / 1000 / min(schedule.fade)
    for before, after in pairwise(phases):
        assert 0 <= growth(after) - growth(before) <= fastest + 1e-9


def test_phases_begin_and_end_where_the_lists_say() -> None:
    schedule = Schedule(8, 32, stable=(1, 2), fade=(4, 8))
    expected = {
        0: (8, 1),
        999: (8, 1),
        1000: (16, 0),
        3000: (16, 0.5),
        4999: (16, 0.99975),
        5000: (16, 1),
        6999: (16, 1),
        7000: (32, 0),
        9000: (32, 0.25),
        15_000: (32, 1),
        10**9: (32, 1),
    }
    for images, (resolution, alpha) in expected.items():
        phase = schedule.at(images)
        assert (phase.resolution, phase.alpha) == (resolution, pytest.approx(alpha)), images


def test_the_last_length_repeats() -> None:
    short = Schedule(4, 64, stable=(1, 2), fade=(3,))
    full = Schedule(4, 64, stable=(1, 2, 2, 2), fade=(3, 3, 3, 3))
    assert [short.at(n) for n in range(0, 30_000, 250)] == [
        full.at(n) for n in range(0, 30_000, 250)
    ]


def test_a_fade_of_no_length_jumps() -> None:
    schedule = Schedule(8, 16, stable=(1,), fade=(0,))
    assert schedule.at(999) == Phase(8, 1.0)
    assert schedule.at(1000) == Phase(16, 1.0)


@pytest.mark.parametrize(
    ("start", "final"), [(16, 8), (2, 8), (0, 8), (12, 48), (8, 24), (8, 0), (-8, 8)]
)
def test_resolutions_that_cannot_be_grown_are_refused(start: int, final: int) -> None:
    with pytest.raises(LatentEditError, match=f"cannot grow from {start} to {final}"):
        Schedule(start, final, (1,), (1,))


@pytest.mark.parametrize("kimg", [(), (-1.0,), (1.0, -0.1), (math.nan,), (math.inf,)])
def test_lengths_that_are_none_are_refused(kimg: tuple[float, ...]) -> None:
    for stable, fade in ((kimg, (1.0,)), ((1.0,), kimg)):
        with pytest.raises(LatentEditError, match="thousands of images"):
            Schedule(8, 16, stable, fade)


@given(schedules(), st.integers(0, 30_000))
def test_the_newest_block_is_as_old_as_its_resolution(schedule: Schedule, images: int) -> None:
    phase = schedule.at(images)
    if phase.resolution == schedule.start:
        assert phase.age == math.inf
    else:
        began = images - phase.age
        assert schedule.at(math.ceil(began + 1e-6)).resolution == phase.resolution
        assert began < 1 or schedule.at(math.floor(began - 1e-6)).resolution < phase.resolution
