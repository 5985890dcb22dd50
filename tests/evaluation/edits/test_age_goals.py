"""Which step along Young comes closest to what it should reach."""

from __future__ import annotations

import pytest

from latentedit.evaluation.edits.age_goals import SHARES, best, missed, shortfall, trace_frontier


def test_the_shortest_step_that_reaches_all_is_taken() -> None:
    def point(years: float, within: float, male: float) -> dict[str, object]:
        kept = {"Male": male, "Smiling": 0.92, "Eyeglasses": 0.96}
        means = {"built_in": {"signed": years + 3}, "independent": {"signed": years}}
        person = {"within": {"same": within, "strangers": 0.01}}
        return {"years": means, "person": person, "kept": kept}

    assert missed(point(20, 0.65, 0.96)) == []
    assert missed(point(18.5, 0.5, 0.85)) == [
        *("years built_in", "years independent", "person within", "kept Male")
    ]
    points = [point(10, 0.95, 0.97), point(20, 0.65, 0.96), point(22, 0.61, 0.95)]
    assert best(points) == 1


def test_else_the_step_that_is_least_short_of_it() -> None:
    def frontier(*rows: tuple[float, float]) -> list[dict[str, object]]:
        return [  # without dlib there is no person to speak of
            {"years": {"built_in": {"signed": years}}, "kept": {"Male": male}}
            for years, male in rows
        ]

    assert shortfall(frontier((11, 0.95))[0]) == pytest.approx(0.5)
    assert shortfall(frontier((33, 0.475))[0]) == pytest.approx(0.5)  # more than all is no credit
    assert best(frontier((11, 0.95), (20, 0.85), (24, 0.6))) == 1
    assert best(frontier((5, 0.95), (15, 0.85), (25, 0.8))) == 2


def test_the_frontier_is_finer_around_its_best_point() -> None:
    frontier = trace_frontier(
        lambda share: {"share": share, "kept": {"Male": 0.95 * (1 - abs(share - 0.51))}}
    )
    shares = [point["share"] for point in frontier]
    assert len(shares) == len(SHARES) + 2
    assert shares[2] == pytest.approx(0.475)  # between 0.55 and 0.4
    assert shares[3] == pytest.approx(0.5125)  # between 0.475 and 0.55
    assert best(frontier) == 3


def test_where_all_goals_are_reached_a_shorter_step_is_tried() -> None:
    frontier = trace_frontier(
        lambda share: {"share": share, "kept": {"Male": 0.95 if share > 0.46 else 0.9}}
    )
    shares = [point["share"] for point in frontier]
    assert shares[:4] == pytest.approx([0.25, 0.4, 0.4375, 0.475])
    assert frontier[best(frontier)]["share"] == pytest.approx(0.475)
