"""Kinds of holds that can be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from planted_traces import NAMES

from latentedit.boundaries.model import Boundaries
from latentedit.evaluation.edits.modes import mode_holds, similar_holds


def boundaries(**parts: Any) -> Boundaries:
    normals = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [0.1, 0, 0.995]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Boundaries(NAMES, normals, np.zeros(3), "tiny", **parts)


def test_modes_say_what_is_held() -> None:
    known = boundaries(auto={"a": {"c": 0.4}})
    assert similar_holds(known, "a", 1) == {"b": 1.0}
    assert mode_holds(known, "a", "two") == {"b": 1.0, "c": 1.0}
    assert mode_holds(known, "a", "auto") == {"c": 0.4}
    assert mode_holds(known, "b", "auto") == mode_holds(known, "b", "none") == {}
    assert mode_holds(known, "a", "all") == {"b": 1.0, "c": 1.0}
