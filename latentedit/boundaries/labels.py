"""A user's own labels of seeds, as a .csv that grows by one answer at a time."""

from __future__ import annotations

from collections.abc import Sequence

from latentedit.boundaries.choosing import NEAR, Answer


def for_fitting(answers: Sequence[Answer]) -> list[Answer]:
    """The answers that say yes or no, those chosen at random last.

    A fit takes its held-out faces from the end, and they should be what the model draws.
    """
    said = [answer for answer in answers if answer.value is not None]
    return sorted(said, key=lambda answer: answer.chosen != NEAR)
