"""Discounted projection against its closed formula, its limits and its published special cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries.model import Boundaries
from latentedit.editing.projection import (
    FIGHTING,
    MIN_RESIDUAL,
    discounted_direction,
    discounted_projection,
    find_hindrance,
)
from latentedit.errors import LatentEditError

Array = NDArray[np.float64]


def unit(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def random_normals(seed: int, count: int, dim: int = 24) -> Array:
    """Unit rows that lean on each other, as attributes do."""
    random = np.random.RandomState(seed)
    return unit(random.standard_normal((count, dim)) + 0.5 * random.standard_normal(dim))


def make_boundaries(normals: Array) -> Boundaries:
    return Boundaries(
        names=ATTRIBUTES[: len(normals)],
        normals=normals,
        biases=np.zeros(len(normals)),
        generator_hash="tiny",
    )


def closed_formula(normal: Array, held: Array, discounts: Array) -> Array:
    """v = n - N^T (N N^T + L)^-1 N n, as it is written."""
    penalty = np.diag((1 - discounts) / discounts)
    return normal - held.T @ np.linalg.solve(held @ held.T + penalty, held @ normal)


seeds = st.integers(0, 2**16)
counts = st.integers(1, 8)
discounts_inside = st.floats(0.01, 0.99)
any_discount = st.one_of(st.just(0.0), st.just(1.0), discounts_inside)


@given(seed=seeds, discounts=st.lists(st.one_of(st.just(1.0), discounts_inside), max_size=8))
def test_is_the_closed_formula(seed: int, discounts: list[float]) -> None:
    rows = random_normals(seed, 1 + len(discounts))
    assume(np.linalg.cond(rows) < 1e3)
    found = discounted_projection(rows[0], rows[1:], np.array(discounts))
    wanted = closed_formula(rows[0], rows[1:], np.array(discounts)) if discounts else rows[0]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@given(seed=seeds, discounts=st.lists(any_discount, min_size=1, max_size=8))
def test_what_is_held_fully_does_not_move(seed: int, discounts: list[float]) -> None:
    rows = random_normals(seed, 1 + len(discounts))
    holds = dict(zip(ATTRIBUTES[1:], discounts, strict=False))
    direction = discounted_direction(make_boundaries(rows), ATTRIBUTES[0], holds)
    full = rows[1:][np.array(discounts) == 1]
    assert np.abs(full @ direction.vector).max(initial=0) <= 1e-12
    assert abs(np.linalg.norm(direction.vector) - 1) <= 1e-12
    assert 0 < direction.gain <= 1 + 1e-12
    assert direction.gain >= direction.residual - 1e-12


@given(seed=seeds, count=counts)
def test_without_discount_the_direction_is_the_normal(seed: int, count: int) -> None:
    rows = random_normals(seed, 1 + count)
    np.testing.assert_array_equal(
        discounted_projection(rows[0], rows[1:], np.zeros(count)), rows[0]
    )
    faint = discounted_projection(rows[0], rows[1:], np.full(count, 1e-9))
    np.testing.assert_allclose(faint, rows[0], atol=1e-7)


@given(seed=seeds, count=counts)
def test_a_discount_near_one_is_nearly_full(seed: int, count: int) -> None:
    rows = random_normals(seed, 1 + count)
    nearly = discounted_projection(rows[0], rows[1:], np.full(count, 1 - 1e-12))
    fully = discounted_projection(rows[0], rows[1:], np.ones(count))
    np.testing.assert_allclose(nearly, fully, atol=1e-7)


@given(seed=seeds, others=st.lists(any_discount, max_size=5))
def test_leakage_falls_as_the_discount_grows(seed: int, others: list[float]) -> None:
    rows = random_normals(seed, 2 + len(others))
    leaks = [
        abs(rows[1] @ discounted_projection(rows[0], rows[1:], np.array([discount, *others])))
        for discount in np.linspace(0, 1, 11)
    ]
    assert np.all(np.diff(leaks) <= 1e-12)
    assert leaks[-1] <= 1e-12


@given(seed=seeds, discount=st.floats(0, 1))
def test_one_hold_leaks_in_proportion(seed: int, discount: float) -> None:
    normal, held = random_normals(seed, 2)
    v = discounted_projection(normal, held[None], np.array([discount]))
    assert held @ v == pytest.approx((1 - discount) * (held @ normal), abs=1e-12)


@given(seed=seeds, discounts=st.lists(discounts_inside, min_size=1, max_size=6))
def test_is_the_minimiser(seed: int, discounts: list[float]) -> None:
    rows = random_normals(seed, 1 + len(discounts))
    weights = np.array(discounts) / (1 - np.array(discounts))

    def cost(v: Array) -> float:
        return float(np.sum((v - rows[0]) ** 2) + weights @ (rows[1:] @ v) ** 2)

    best = discounted_projection(rows[0], rows[1:], np.array(discounts))
    random = np.random.RandomState(seed)
    for size in (1e-3, 1e-1, 1):
        for _ in range(5):
            assert cost(best) <= cost(best + size * random.standard_normal(len(best)))


@given(seed=seeds, gap=st.sampled_from([0.0, 1e-16, 1e-13, 1e-10, 1e-7, 1e-4]))
def test_nearly_collinear_holds_stay_exact(seed: int, gap: float) -> None:
    normal, held, aside = random_normals(seed, 3)
    twins = unit(np.stack((held, held + gap * aside)))
    direction = discounted_direction(
        make_boundaries(np.vstack((normal, twins))),
        ATTRIBUTES[0],
        {ATTRIBUTES[1]: 1.0, ATTRIBUTES[2]: 1.0},
    )
    assert np.abs(twins @ direction.vector).max() <= 1e-12
    assert direction.residual <= 1


@given(seed=seeds, discount=st.floats(0.01, 1))
def test_a_duplicate_of_a_fully_held_boundary_changes_nothing(seed: int, discount: float) -> None:
    normal, held, other = random_normals(seed, 3)
    once = discounted_projection(normal, np.stack((held, other)), np.array([1.0, 0.5]))
    twice = discounted_projection(
        normal, np.stack((held, other, held)), np.array([1.0, 0.5, discount])
    )
    np.testing.assert_allclose(twice, once, atol=1e-12)


def test_soft_duplicates_add_their_weights() -> None:
    """Two copies at discount g weigh like one copy at the discount of twice the weight."""
    normal, held = random_normals(0, 2)
    twice = discounted_projection(normal, np.stack((held, held)), np.array([0.6, 0.6]))
    weight = 2 * 0.6 / 0.4
    once = discounted_projection(normal, held[None], np.array([weight / (1 + weight)]))
    np.testing.assert_allclose(twice, once, atol=1e-13)


def test_more_holds_than_dimensions() -> None:
    rows = random_normals(3, 9, dim=6)
    v = discounted_projection(rows[0], rows[1:], np.full(8, 0.7))
    np.testing.assert_allclose(v, closed_formula(rows[0], rows[1:], np.full(8, 0.7)), atol=1e-12)
    np.testing.assert_allclose(
        discounted_projection(rows[0], rows[1:], np.ones(8)), np.zeros(6), atol=1e-13
    )


@given(seed=seeds, discounts=st.lists(any_discount, min_size=2, max_size=6))
def test_order_of_holds_does_not_matter_to_the_last_bit(seed: int, discounts: list[float]) -> None:
    boundaries = make_boundaries(random_normals(seed, 1 + len(discounts)))
    holds = dict(zip(ATTRIBUTES[1:], discounts, strict=False))
    backwards = dict(reversed(list(holds.items())))
    one = discounted_direction(boundaries, ATTRIBUTES[0], holds)
    other = discounted_direction(boundaries, ATTRIBUTES[0], backwards)
    np.testing.assert_array_equal(one.vector, other.vector)


@given(seed=seeds)
def test_agrees_with_interfacegan_on_one_and_two_conditions(seed: int) -> None:
    """Its `project_boundary`: one condition by subtraction, two by a hand-solved 2x2 system."""
    primal, first, second = random_normals(seed, 3, dim=64)
    boundaries = make_boundaries(np.stack((primal, first, second)))

    new = primal - primal.dot(first) * first
    one = discounted_direction(boundaries, ATTRIBUTES[0], {ATTRIBUTES[1]: 1.0})
    np.testing.assert_allclose(one.vector, new / np.linalg.norm(new), atol=1e-12)

    first_cos, second_cos, cos = primal.dot(first), primal.dot(second), first.dot(second)
    alpha = (first_cos - second_cos * cos) / (1 - cos**2)
    beta = (second_cos - first_cos * cos) / (1 - cos**2)
    new = primal - alpha * first - beta * second
    two = discounted_direction(boundaries, ATTRIBUTES[0], {ATTRIBUTES[1]: 1.0, ATTRIBUTES[2]: 1.0})
    np.testing.assert_allclose(two.vector, new / np.linalg.norm(new), atol=1e-12)


def held_by_name(*names: str, discount: float = 1.0) -> dict[str, float]:
    return dict.fromkeys(names, discount)


def test_an_attribute_in_the_span_of_the_holds_names_what_to_release() -> None:
    random = np.random.RandomState(0)
    first, second, bystander = unit(random.standard_normal((3, 64)))
    moved = unit(first + second)
    # the bystander looks more like the moved attribute than either culprit does
    bystander = unit(moved + 0.4 * bystander)
    assert bystander @ moved > max(first @ moved, second @ moved)
    boundaries = make_boundaries(np.stack((moved, first, second, bystander)))
    names = boundaries.names
    with pytest.raises(LatentEditError, match=f"release ({names[1]}|{names[2]})$") as caught:
        discounted_direction(boundaries, names[0], held_by_name(*names[1:]))
    assert names[0] in str(caught.value)
    released = str(caught.value).split()[-1]
    holds = held_by_name(*(name for name in names[1:] if name != released))
    assert discounted_direction(boundaries, names[0], holds).residual > MIN_RESIDUAL


def test_twins_of_the_moved_attribute_must_all_be_released() -> None:
    moved, other = unit(np.random.RandomState(1).standard_normal((2, 16)))
    boundaries = make_boundaries(np.stack((moved, moved, -moved, other)))
    names = boundaries.names
    with pytest.raises(LatentEditError) as caught:
        discounted_direction(boundaries, names[0], held_by_name(*names[1:]))
    assert names[1] in str(caught.value)
    assert names[2] in str(caught.value)
    assert names[3] not in str(caught.value)


def test_a_nearly_full_hold_on_a_twin_is_refused_and_a_soft_one_is_not() -> None:
    moved = unit(np.random.RandomState(2).standard_normal((1, 16)))
    boundaries = make_boundaries(np.repeat(moved, 2, axis=0))
    first, second = boundaries.names
    with pytest.raises(LatentEditError, match=f"release {second}"):
        discounted_direction(boundaries, first, {second: 1 - 1e-9})
    soft = discounted_direction(boundaries, first, {second: 0.9})
    assert soft.residual == pytest.approx(0.1)
    np.testing.assert_allclose(soft.vector, moved[0], atol=1e-12)


def test_forty_held_attributes_leave_a_direction_in_512_dimensions() -> None:
    boundaries = make_boundaries(random_normals(0, 40, dim=512))
    direction = discounted_direction(boundaries, "Young", dict.fromkeys(ATTRIBUTES, 1.0))
    others = boundaries.normals[:-1]
    assert np.abs(others @ direction.vector).max() <= 1e-12
    assert direction.gain == pytest.approx(direction.residual)


def test_what_hinders_a_move_is_named() -> None:
    normals = np.eye(3, 8)
    normals[1, :2] = [-0.9, 0.19**0.5]
    boundaries = make_boundaries(normals)
    moved, twin, other = boundaries.names
    holds = {twin: 1.0, other: 1.0}
    gain = discounted_direction(boundaries, moved, holds).gain
    assert gain < FIGHTING
    assert find_hindrance(boundaries, moved, holds, holds) == (gain, twin)
    assert find_hindrance(boundaries, moved, holds, {other}) == (gain, other)
    assert find_hindrance(boundaries, moved, holds, {}) is None
    assert find_hindrance(boundaries, moved, {twin: 0.2}, {twin}) is None


@pytest.mark.parametrize("discount", [-0.1, 1.5, float("nan"), float("inf")])
def test_discounts_outside_0_to_1_are_refused(discount: float) -> None:
    boundaries = make_boundaries(random_normals(0, 2))
    with pytest.raises(LatentEditError, match="between 0 and 1"):
        discounted_direction(boundaries, ATTRIBUTES[0], {ATTRIBUTES[1]: discount})


def test_unknown_names_are_refused() -> None:
    boundaries = make_boundaries(random_normals(0, 2))
    with pytest.raises(LatentEditError, match="unknown attribute"):
        discounted_direction(boundaries, "Younng", {})
    with pytest.raises(LatentEditError, match="unknown attribute"):
        discounted_direction(boundaries, ATTRIBUTES[0], {"Nose": 1.0})
