"""The search for holds in a planted linear surrogate, and the choice among rendered candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.whitening import Whitening
from latentedit.editing.projection import discounted_direction
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.holds import (
    MOST_HOLDS,
    Candidate,
    HoldSearch,
    choose_holds,
    find_candidates,
)
from latentedit.evaluation.edits.surrogate import Surrogate
from latentedit.evaluation.edits.traces import Trace, Traces

COUNT = 12
ALIKE = np.ones(COUNT, np.float32)


def planted(seed: int = 2) -> tuple[Boundaries, HoldSearch]:
    """Logits are twice the distances to normals; normals 0 and 1 lean on each other."""
    random = np.random.RandomState(seed)
    normals = np.linalg.qr(random.standard_normal((COUNT, COUNT)))[0]
    normals[1] = 0.7 * normals[0] + np.sqrt(1 - 0.49) * normals[1]
    names = tuple(f"n{row}" for row in range(COUNT))
    known = Boundaries(names, normals, np.zeros(COUNT), "tiny")
    network = Surrogate(COUNT, COUNT, width=2).requires_grad_(False)
    for parameter in network.parameters():
        parameter.zero_()
    network.first.weight[2:] = 2 * torch.from_numpy(normals).float()
    z = random.standard_normal((800, COUNT)).astype(np.float32)
    logits = (2 * z @ normals.T).astype(np.float32)
    return known, HoldSearch(network, known, range(COUNT), ALIKE, z, logits)


def leakage(known: Boundaries, attribute: str, holds: Mapping[str, float]) -> float:
    """Of half the faces flipped, on other latents."""
    z = np.random.RandomState(9).standard_normal((4000, COUNT))
    own = known.index(attribute)
    moves = 2 * known.normals @ discounted_direction(known, attribute, holds).vector
    before = 2 * z @ known.normals.T
    step = np.median(np.abs(before[:, own])) / moves[own]
    side = np.where(before[:, own] > 0, -1, 1)[:, None]
    change = 1 / (1 + np.exp(-before - side * step * moves)) - 1 / (1 + np.exp(-before))
    return float(np.delete(np.abs(change).mean(0), own).mean())


def test_the_search_holds_what_is_entangled() -> None:
    known, search = planted()
    holds = search.holds("n0", reach=(2.5, 0.8))
    assert set(holds) == {"n1"}
    assert holds["n1"] > 0.8
    assert leakage(known, "n0", holds) < 0.4 * leakage(known, "n0", {})
    assert search.holds("n5", reach=(2.5, 0.8)) == {}


def test_a_short_reach_holds_less() -> None:
    _, search = planted()
    near, far = (search.holds("n0", reach).get("n1", 0.0) for reach in ((1.1, 1), (2.5, 1)))
    assert near < far
    free, (share, step) = search.flip("n0", {})[1], search.flip("n0", {"n1": near})
    assert share == 0.5
    assert step < 1.15 * free


def test_flips_are_predicted() -> None:
    _, search = planted()
    z = search._first.numpy()[:500, 2:] / 2
    share, step = search.flip("n3", {})
    assert share == 0.5
    assert step == pytest.approx(np.median(np.abs(z[:, 3])), abs=0.02)
    assert search.flip("n3", {}, share=0.2)[1] < step


def test_no_more_holds_than_a_reader_can_read() -> None:
    random = np.random.RandomState(0)
    normals = random.standard_normal((COUNT, COUNT)) + 1.5  # all lean on all
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    _, search = planted()
    known = Boundaries(search.boundaries.names, normals, np.zeros(COUNT), "tiny")
    search.surrogate.first.weight[2:] = torch.from_numpy(normals).float()
    z = random.standard_normal((400, COUNT)).astype(np.float32)
    logits = (z @ normals.T).astype(np.float32)
    lean = HoldSearch(search.surrogate, known, range(COUNT), ALIKE, z, logits)
    assert 0 < len(lean.holds("n0", reach=(2.5, 0.8))) <= MOST_HOLDS


def test_what_is_not_scored_can_be_held_but_not_moved() -> None:
    known, search = planted()
    blind = HoldSearch(
        search.surrogate,
        known,
        [None if name == "n1" else row for row, name in enumerate(known.names)],
        ALIKE,
        np.zeros((800, COUNT), np.float32),
        search._logits.numpy(),
    )
    assert "n1" in blind.holds("n0", reach=(2.5, 0.8))
    with pytest.raises(LatentEditError, match="does not score n1"):
        blind.flip("n1", {})


def test_steps_are_standard_deviations_where_boundaries_are_whitened() -> None:
    known, search = planted()
    eye = np.eye(COUNT)
    wide = Whitening(np.zeros(COUNT), eye, 9 * eye)  # latents vary by 3 in every direction
    whitened = replace(known, whitening=wide)
    z = 3 * np.random.RandomState(3).standard_normal((800, COUNT)).astype(np.float32)
    logits = (2 / 3 * z @ known.normals.T).astype(np.float32)
    with torch.no_grad():
        search.surrogate.first.weight[2:] /= 3
    stretched = HoldSearch(search.surrogate, whitened, range(COUNT), ALIKE, z, logits)
    found = stretched.holds("n0", reach=(2.5, 0.8))
    with torch.no_grad():
        search.surrogate.first.weight[2:] *= 3
    plain = HoldSearch(search.surrogate, known, range(COUNT), ALIKE, z / 3, logits)
    assert found == pytest.approx(plain.holds("n0", reach=(2.5, 0.8)), abs=0.002)


def test_candidates_are_different() -> None:
    _, search = planted()
    assert set(find_candidates(search, "n5")) == {"none"}
    found = find_candidates(search, "n0")
    assert found["none"].holds == {}
    assert found["near"].step > found["none"].step


def test_what_weighs_more_is_held_more() -> None:
    random = np.random.RandomState(1)
    normals = np.eye(COUNT)
    normals[0] = (0.4, 0.4, *(0.3,) * (COUNT - 2))  # leans on all others, which are alike
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    known, search = planted()
    known = Boundaries(known.names, normals, np.zeros(COUNT), "tiny")
    search.surrogate.first.weight[2:] = torch.from_numpy(normals).float()
    z = random.standard_normal((400, COUNT)).astype(np.float32)
    weights = np.where(np.array(known.names) == "n2", 20, 1).astype(np.float32)
    alike, heavy = (
        HoldSearch(
            search.surrogate, known, range(COUNT), given, z, (z @ normals.T).astype(np.float32)
        )
        for given in (ALIKE, weights)
    )
    moves = [
        known.normals[2] @ discounted_direction(known, "n0", found.holds("n0", (1.5, 0.4))).vector
        for found in (alike, heavy)
    ]
    assert abs(moves[1]) < 0.5 * abs(moves[0])


class Followed:
    """Stands for `Traces`: logits [N, M, 3] of each candidate, by its one hold's name."""

    def __init__(self, leaks: Mapping[str, float], strange: Sequence[str] = ()) -> None:
        self.leaks, self.strange = leaks, strange
        self.editor = SimpleNamespace(attributes=("a", "b", "c"))
        self.typical = SimpleNamespace(limit=1.0)  # all of `Typical` that is asked for

    def away(
        self, attribute: str, holds: Mapping[str, float], magnitudes: Sequence[float], seeds: range
    ) -> Trace:
        name = next(iter(holds), "none")
        start = np.random.RandomState(0).standard_normal((len(seeds), 1, 3)) / 2
        side = np.where(start[:, :, :1] > 0, -1, 1)
        steps = np.array(magnitudes)[None, :, None]
        moved = start + side * steps * np.array([1.0, self.leaks[name], 0.0])
        blank = np.zeros(moved.shape[:2], np.float32)
        broken = blank + 9 * (np.array(magnitudes) > 0) * (name in self.strange)
        arrays: list[Any] = [moved.astype(np.float32), blank, blank, blank, broken]
        return Trace("a", holds, np.array(magnitudes), *arrays)


def test_real_faces_decide() -> None:
    candidates = {
        "none": Candidate({}, 0.4),
        "near": Candidate({"b": 0.5}, 0.4),
        "far": Candidate({"c": 1.0}, 0.4),
    }
    seeds = range(100)

    def choose(leaks: Mapping[str, float], strange: Sequence[str] = ()) -> str:
        traces = cast(Traces, Followed(leaks, strange))
        return choose_holds(traces, candidates, "a", seeds).source

    leaks = {"none": 1.0, "b": 0.6, "c": 0.3}
    assert choose(leaks) == "far"
    assert choose({**leaks, "c": 0.8}) == "near"
    assert choose({**leaks, "b": 1.2, "c": 1.3}) == "none"
    assert choose(leaks, strange=["c"]) == "near"
    assert choose(leaks, strange=["c", "none"]) == "far"  # no worse than no holds
