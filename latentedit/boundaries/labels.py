"""A user's own labels of seeds, as a .csv that grows by one answer at a time."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from latentedit.boundaries.choosing import NEAR, RANDOM, Answer
from latentedit.boundaries.fitting import held_out
from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path, check_writable

SEED = "seed"
"""Name of the .csv column with the seeds of faces."""

CHOSEN, GENERATOR = "chosen", "generator"
"""Names of the columns for how a face was chosen, and for the hash of its generator."""

HASH = re.compile(r"[0-9a-f]{16}")

_CELLS = {True: "1", False: "0", None: ""}
_VALUES = {cell: value for value, cell in _CELLS.items()}


class LabelFile:
    """Answers in a .csv file.

    Its columns are ``seed``, the attribute (1, 0, or nothing where nobody can tell), how the face
    was chosen, and the generator's hash. Each answer is written at once. If the program is killed
    meanwhile, the file is as it was before the answer, or as it is after it.

    Attributes:
        path: a ``.csv`` file.
        name: of the attribute.
        generator_hash: of the generator whose seeds are labelled.
        answers: in the order in which they were given.

    Raises:
        LatentEditError: the file cannot be written, or holds anything else than such answers.
    """

    def __init__(self, path: str | Path, name: str, generator_hash: str) -> None:
        self.path = Path(path)
        self.name = name
        self.generator_hash = generator_hash
        if self.path.suffix.lower() != ".csv":
            raise LatentEditError(f"cannot save labels as {path}: end its name in .csv")
        if name in (SEED, CHOSEN, GENERATOR):
            raise LatentEditError(f"an attribute cannot be called {name!r}: give another --name")
        check_writable(self.path)
        self.answers: tuple[Answer, ...] = self._read() if self.path.exists() else ()

    def count(self, value: bool | None) -> int:
        """How many answers are `value`: True for yes, False for no, or None."""
        return sum(answer.value is value for answer in self.answers)

    @property
    def labelled(self) -> int:
        """How many answers are yes or no."""
        return len(self.answers) - self.count(None)

    def add(self, answer: Answer) -> None:
        """Keep one more answer.

        Raises:
            LatentEditError: its seed has an answer already, or the file cannot be written.
        """
        if any(answer.seed == other.seed for other in self.answers):
            raise LatentEditError(f"seed {answer.seed} has an answer already")
        self._write((*self.answers, answer))

    def take_back(self) -> Answer | None:
        """Drop the last answer and return it; return None where there are no answers."""
        if not self.answers:
            return None
        last = self.answers[-1]
        self._write(self.answers[:-1])
        return last

    def _write(self, answers: tuple[Answer, ...]) -> None:
        with (
            atomic_path(self.path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow((SEED, self.name, CHOSEN, GENERATOR))
            writer.writerows(
                (answer.seed, _CELLS[answer.value], answer.chosen, self.generator_hash)
                for answer in answers
            )
        self.answers = answers

    def _read(self) -> tuple[Answer, ...]:
        advice = "give another file with -o"
        try:
            with open(self.path, newline="", encoding="utf-8-sig") as file:
                rows, lines = filled_rows(file)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise LatentEditError(f"cannot read {self.path}: {error}; {advice}") from None
        head, *rows = rows or [[]]
        if head[:1] != [SEED] or head[2:] != [CHOSEN, GENERATOR]:
            raise LatentEditError(
                f"{self.path} was not made by label-seeds: its first line is "
                f"{','.join(head)[:60]!r}; {advice}"
            )
        if head[1] != self.name:
            raise LatentEditError(
                f"{self.path} has labels of {head[1]!r}, not {self.name!r}: give --name "
                f"{head[1]}, or {advice}"
            )
        answers = []
        for line, row in zip(lines[1:], rows, strict=True):
            answers.append(self._answer(row, f"{self.path}, line {line}"))
        if len({answer.seed for answer in answers}) < len(answers):
            raise LatentEditError(f"{self.path} names a seed twice: keep one row for each")
        return tuple(answers)

    def _answer(self, row: list[str], place: str) -> Answer:
        if len(row) == 4 and row[3] != self.generator_hash and HASH.fullmatch(row[3]):
            raise LatentEditError(
                f"{place}: labels of seeds of generator {row[3]}, this model's is "
                f"{self.generator_hash}: give their --model, or another file with -o"
            )
        try:
            seed, cell, chosen, generator = row
            if chosen not in (RANDOM, NEAR) or generator != self.generator_hash:
                raise ValueError
            return Answer(int(seed), _VALUES[cell], chosen)
        except (ValueError, KeyError):
            raise LatentEditError(f"{place}: cannot read {','.join(row)!r}") from None


def filled_rows(lines: Iterable[str]) -> tuple[list[list[str]], list[int]]:
    """Read the rows of a .csv that are not empty.

    Returns:
        the rows' cells, and for each row the number of its last line, from 1.

    Raises:
        csv.Error: the text is no .csv.
    """
    reader = csv.reader(lines)
    numbered = [(row, reader.line_num) for row in reader if row]
    return [row for row, _ in numbered], [number for _, number in numbered]


def fitting_order(at_random: Sequence[bool]) -> list[int]:
    """Return row numbers in the order in which a fit should get the labels.

    A fit holds out the faces at the end. These should be faces as the model draws them, so the last
    ones that were shown at random go there. All others keep their order, in which both ways of
    choosing are mixed.

    Args:
        at_random: whether each face was shown at random, in the order of the answers.
    """
    rows = range(len(at_random))
    chance = [row for row in rows if at_random[row]]
    last = set(chance[max(0, len(chance) - held_out(len(rows))) :])
    return sorted(rows, key=lambda row: row in last)


def for_fitting(answers: Sequence[Answer]) -> list[Answer]:
    """The answers that say yes or no, in `fitting_order`."""
    said = [answer for answer in answers if answer.value is not None]
    return [said[row] for row in fitting_order([answer.chosen == RANDOM for answer in said])]
