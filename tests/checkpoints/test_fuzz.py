"""A short run of `scripts/fuzz_readers.py`; its full run and figures are in the documentation."""

from __future__ import annotations

import fuzz_readers
import numpy as np
import pytest


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    return fuzz_readers.samples(tmp_path_factory.mktemp("fuzz"))


def test_good_files_are_read(readers):
    for name, (reader, files) in readers.items():
        for path in files:
            assert reader(path) is not None, name


def test_mutations_are_read_or_refused_in_one_line(readers):
    refused = 0
    for name, (reader, files) in readers.items():
        row = fuzz_readers.fuzz(name, reader, files, 40, seed=1)
        assert row["crashes"] == [], name
        assert row["accepted"] + row["refused"] == 40
        assert row["slowest"] < fuzz_readers.LIMIT_SECONDS, name
        refused += row["refused"]
    assert refused > 100


def test_a_crash_is_seen(tmp_path):
    def reader(path):
        raise KeyError("no")

    (tmp_path / "a").write_bytes(bytes(100))
    row = fuzz_readers.fuzz("broken", reader, [tmp_path / "a"], 3, seed=0)
    assert len(row["crashes"]) == 3
    assert (tmp_path / "a").read_bytes() == bytes(100)  # the good file stays


def test_mutations_differ_from_the_file_and_follow_from_the_seed():
    data = bytes(range(256)) * 4
    made = [fuzz_readers.mutate(data, np.random.RandomState(seed)) for seed in range(50)]
    again = [fuzz_readers.mutate(data, np.random.RandomState(seed)) for seed in range(50)]
    assert made == again
    assert sum(each != data for each in made) > 40
