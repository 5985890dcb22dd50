"""Where edits of drawn faces are found."""

from __future__ import annotations

import numpy as np
from drawn_faces import SIZE, draw

from latentedit.photos.masks import MaskFinder


def test_masks_lie_within_the_square_and_say_what_is_lost() -> None:
    before, after = draw().astype(np.float32), draw(shade=0.2).astype(np.float32)
    masks = MaskFinder(before, before).find(after)
    assert masks.changed.shape == masks.kept.shape == (SIZE, SIZE)
    assert masks.changed.min() == 0
    assert masks.changed.max() <= 1
    assert 0 <= masks.kept.min() <= masks.kept.max() <= 1
    for line in (masks.changed[0], masks.changed[-1], masks.changed[:, 0], masks.changed[:, -1]):
        assert line.max() == 0
    assert masks.lost < 0.05
    after = before.copy()
    after[200:, 100:156] += 80
    assert MaskFinder(before, before).find(after).lost > 0.1


def test_a_finder_is_the_same_after_it_was_used() -> None:
    before, after = draw().astype(np.float32), draw(mouth=0.05).astype(np.float32)
    finder = MaskFinder(before, before)
    first = finder.find(after)
    finder.find(draw(shade=0.3).astype(np.float32))
    second = finder.find(after)
    np.testing.assert_array_equal(first.changed, second.changed)
    np.testing.assert_array_equal(first.kept, second.kept)


def test_a_region_limits_the_change() -> None:
    before, after = draw().astype(np.float32), draw(mouth=0.05, shade=0.3).astype(np.float32)
    region = np.zeros((64, 64), np.float32)
    region[:32] = 1
    masks = MaskFinder(before, before).find(after, region)
    assert masks.changed[: SIZE // 2 - 8].max() > 0.5
    assert not masks.changed[SIZE // 2 + 8 :].any()
