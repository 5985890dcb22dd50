"""The file of labels: whole after every answer, refused where it is another, read by the fit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from latentedit.boundaries.choosing import NEAR, Answer
from latentedit.boundaries.fitting import held_out
from latentedit.boundaries.labels import LabelFile, fitting_order, for_fitting
from latentedit.boundaries.samples import samples_of_csv
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError

HASH = "0123456789abcdef"
ANSWERS = (
    Answer(5, True),
    Answer(900, False, NEAR),
    Answer(6, None),
    Answer(901, True, NEAR),
    Answer(7, False),
)


@pytest.fixture(scope="module")
def editor(_bundle: Path) -> FaceEditor:
    return FaceEditor.load(_bundle)


def filled(path: Path, generator: str = HASH) -> LabelFile:
    file = LabelFile(path, "wink", generator)
    for answer in ANSWERS:
        file.add(answer)
    return file


def test_every_answer_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    file = LabelFile(path, "wink", HASH)
    assert not path.exists()
    for count, answer in enumerate(ANSWERS, start=1):
        file.add(answer)
        assert LabelFile(path, "wink", HASH).answers == ANSWERS[:count]
    assert (file.labelled, file.count(True), file.count(False), file.count(None)) == (4, 2, 2, 1)
    assert file.take_back() == ANSWERS[-1]
    assert LabelFile(path, "wink", HASH).answers == ANSWERS[:-1]
    with pytest.raises(LatentEditError, match="answer already"):
        file.add(Answer(5, False))
    assert os.listdir(tmp_path) == ["l.csv"]


def test_nothing_to_take_back(tmp_path: Path) -> None:
    assert LabelFile(tmp_path / "l.csv", "wink", HASH).take_back() is None


def test_a_kill_while_writing_loses_the_last_answer_alone(
    tmp_path: Path, abandon: Callable[[Path], Path]
) -> None:
    path = tmp_path / "l.csv"
    file = filled(path)
    whole = path.read_bytes()
    abandon(path)
    path.write_bytes(whole)
    again = LabelFile(path, "wink", HASH)
    assert again.answers == file.answers
    again.add(Answer(8, True))
    assert os.listdir(tmp_path) == ["l.csv"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed,wink\n1,1\n", "not made by label-seeds"),
        ("", "not made by label-seeds"),
        ("seed,grin,chosen,generator\n", "labels of 'grin'"),
        (f"seed,wink,chosen,generator\n1,1,random,{'f' * 16}\n", "of generator ffff"),
        (f"seed,wink,chosen,generator\n1,1,far,{HASH}\n", "line 2: cannot read"),
        (f"seed,wink,chosen,generator\n1,0.5,near,{HASH}\n", "line 2: cannot read"),
        (f"seed,wink,chosen,generator\n\n1,0.5,near,{HASH}\n", "line 3: cannot read"),
        (f"seed,wink,chosen,generator\n1,1,near,{HASH}\n1,1,near,{HASH}\n", "twice"),
    ],
)
def test_other_files_are_refused_and_stay(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "l.csv"
    path.write_text(text)
    with pytest.raises(LatentEditError, match=words):
        LabelFile(path, "wink", HASH)
    assert path.read_text() == text


def test_names_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"\.csv"):
        LabelFile(tmp_path / "l.txt", "wink", HASH)
    with pytest.raises(LatentEditError, match="--name"):
        LabelFile(tmp_path / "l.csv", "seed", HASH)


def test_the_fit_reads_it(tmp_path: Path, editor: FaceEditor) -> None:
    path = filled(tmp_path / "l.csv", editor.generator_hash).path
    samples = samples_of_csv(path, editor)
    assert samples.names == ("wink",)
    order = [answer.seed for answer in for_fitting(ANSWERS)]
    said = {answer.seed: answer.value for answer in ANSWERS}
    assert samples.scores[:, 0].tolist() == [said[seed] for seed in order]
    np.testing.assert_array_equal(samples.latents[:], editor.sample(order))
    assert "4 seeds" in samples.data
    assert "1 more without a label" in samples.data


def test_a_fit_holds_out_faces_at_random_and_learns_from_a_mixture() -> None:
    at_random = [True, False] * 50
    order = fitting_order(at_random)
    held = held_out(100)
    assert held == 30
    assert order[-held:] == list(range(40, 100, 2))
    assert order[:70] == [row for row in range(100) if row not in order[-held:]]
    assert fitting_order([True] * 20) == list(range(20))
    assert fitting_order([False] * 20) == list(range(20))
    few = fitting_order([False, True, False, False, False, False, False, False, False, False])
    assert few == [0, 2, 3, 4, 5, 6, 7, 8, 9, 1]


def test_labels_of_another_model_are_not_fitted(tmp_path: Path, editor: FaceEditor) -> None:
    path = filled(tmp_path / "l.csv").path
    with pytest.raises(LatentEditError, match=HASH):
        samples_of_csv(path, editor)


def test_a_user_s_own_columns_of_these_names_stay_attributes(
    tmp_path: Path, editor: FaceEditor
) -> None:
    path = tmp_path / "l.csv"
    path.write_text("seed,chosen,generator\n1,1,0\n2,0,1\n")
    samples = samples_of_csv(path, editor)
    assert samples.names == ("chosen", "generator")
    assert samples.scores.tolist() == [[1, 0], [0, 1]]


def test_rows_that_are_wrong_are_named_by_their_line(tmp_path: Path, editor: FaceEditor) -> None:
    path = filled(tmp_path / "l.csv", editor.generator_hash).path
    path.write_text(path.read_text() + f"8,maybe,near,{editor.generator_hash}\n")
    with pytest.raises(LatentEditError, match="line 7"):
        samples_of_csv(path, editor)
