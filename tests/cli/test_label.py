"""`latentedit label`: many photos, of which some are anything else."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, draw_face
from PIL import Image
from portraits import draw_portrait

from latentedit.attributes import ATTRIBUTES, display_name

ONE = draw_portrait((300, 320), (150.0, 150.0), 60.0)
TWO = np.concatenate((ONE, draw_portrait((300, 320), (150.0, 150.0), 50.0)), axis=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos with faces, and five files without one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(ONE).save(folder / "a.png")
    Image.fromarray(TWO).save(folder / "two.png")
    Image.new("RGB", (200, 200), (128, 128, 128)).save(folder / "grey.png")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:1500])
    (folder / "page.jpg").write_text("<html>not found</html>")
    (folder / "notes.txt").write_text("not a photo")
    (folder / "film.mp4").write_bytes(b"x")
    return folder


def test_json_of_pictures_that_are_cut_to_the_face(
    run: Run, tiny_bundle: Path, face: Path, tmp_path: Path
) -> None:
    other = tmp_path / "square.png"
    draw_face(2, (64, 64)).save(other)
    result = run("label", face, other, "--aligned", "--json", "--model", tiny_bundle)
    assert (result.code, result.err) == (0, "")
    labels = json.loads(result.out)
    assert [entry["file"] for entry in labels] == [str(face), str(other)]
    for entry in labels:
        assert "faces" not in entry  # none was looked for
        assert list(entry["attributes"]) == list(ATTRIBUTES)
        assert all(0 <= value <= 1 for value in entry["attributes"].values())
    assert os.listdir() == []


def test_a_table_of_one_photo_has_all_attributes(
    run: Run, tiny_bundle: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "[bold]face.png"
    draw_face(1).save(odd)
    result = run("label", odd, "--aligned", "--model", tiny_bundle)
    assert result.code == 0
    assert "[bold]face.png" in result.out
    assert re.search(r"5 o'clock shadow +0\.\d\d", result.out)
    assert len(re.findall(r"\d\.\d\d", result.out)) == 40


def test_a_folder_is_done_whatever_is_in_it(run: Run, tiny_bundle: Path, folder: Path) -> None:
    result = run("label", folder, "--json", "--model", tiny_bundle)
    assert result.code == 1  # not every photo got an answer
    entries = {Path(entry["file"]).name: entry for entry in json.loads(result.out)}
    assert entries.keys() == {"a.png", "two.png", "grey.png", "cut.png", "page.jpg"}
    assert [entries[name]["faces"] for name in ("a.png", "two.png")] == [1, 2]
    for name in ("a.png", "two.png"):
        assert list(entries[name]["attributes"]) == list(ATTRIBUTES)
        assert "message" not in entries[name]
    lines = result.err.splitlines()
    assert len(lines) == 5
    for name, words in {
        "film.mp4": "videos",
        "notes.txt": "no pictures",
        "grey.png": "no face was found",
        "cut.png": "damaged or cut short",
        "page.jpg": "not an image",
    }.items():
        assert [name in line and words in line for line in lines].count(True) == 1
        if name in entries:
            assert (entries[name]["faces"], entries[name]["attributes"]) == (0, {})
            assert words in entries[name]["message"]


def test_the_largest_face_is_looked_at(run: Run, tiny_bundle: Path, folder: Path) -> None:
    words = ("--json", "--model", tiny_bundle)
    (two,) = json.loads(run("label", folder / "two.png", *words).out)
    right = folder / "right.png"
    Image.fromarray(TWO[:, 300:]).save(right)
    (one,), (small,) = (
        json.loads(run("label", path, *words).out) for path in (folder / "a.png", right)
    )
    far = max(abs(two["attributes"][n] - small["attributes"][n]) for n in ATTRIBUTES)
    near = max(abs(two["attributes"][n] - one["attributes"][n]) for n in ATTRIBUTES)
    assert near < far


def test_a_table_of_several_has_a_row_each(run: Run, tiny_bundle: Path, folder: Path) -> None:
    for number in range(6):
        shutil.copy(folder / "a.png", folder / f"{number:02}.png")
    result = run("label", folder, "--model", tiny_bundle, "--threshold", 0)
    rows = [line.split() for line in result.out.splitlines() if ".png" in line]
    assert [row[0] for row in rows] == [*(f"{n:02}.png" for n in range(6)), "a.png", "two.png"]
    assert [row[1] for row in rows] == [*["1"] * 7, "2"]
    assert "Of several faces in a photo the largest was looked at." in result.out
    words = " ".join(result.out.split())
    (first,) = json.loads(run("label", folder / "00.png", "--json", "--model", tiny_bundle).out)
    likely = max(ATTRIBUTES, key=lambda name: first["attributes"][name])
    assert f"00.png 1 {display_name(likely)}," in words  # the most probable comes first
    assert words.count("Wavy hair") == 8


def test_columns_are_chosen(run: Run, tiny_bundle: Path, folder: Path) -> None:
    photos = (folder / "a.png", folder / "two.png")
    chosen = ("--attributes", "wavy hair,Bald", "--model", tiny_bundle)
    entries = json.loads(run("label", *photos, *chosen, "--json").out)
    assert [list(entry["attributes"]) for entry in entries] == [["Wavy_Hair", "Bald"]] * 2
    out = run("label", *photos, *chosen).out
    for entry in entries:
        name = re.escape(Path(entry["file"]).name)
        shares = [f"{p:.2f}" for p in entry["attributes"].values()]
        assert re.search(rf"{name} +{entry['faces']} +{shares[0]} +{shares[1]}", out)
    every = run("label", *photos, "--attributes", ",".join(ATTRIBUTES), "--model", tiny_bundle)
    assert len(re.findall(r"\d\.\d\d", every.out)) == 80  # however wide the table gets
    result = run("label", *photos, "--attributes", "beauty", "--model", tiny_bundle)
    assert result.code == 2
    assert "unknown attribute" in result.err


def test_csv_has_a_row_for_every_photo(run: Run, tiny_bundle: Path, folder: Path) -> None:
    result = run("label", folder, "--csv", "--model", tiny_bundle)
    rows = {Path(row["file"]).name: row for row in csv.DictReader(io.StringIO(result.out))}
    assert rows.keys() == {"a.png", "two.png", "grey.png", "cut.png", "page.jpg"}
    assert list(rows["a.png"]) == ["file", "faces", "age", *ATTRIBUTES, "message"]
    assert (rows["two.png"]["faces"], rows["grey.png"]["faces"]) == ("2", "0")
    assert 0 <= float(rows["two.png"]["Young"]) <= 1
    assert rows["grey.png"]["Young"] == ""
    assert "no face" in rows["grey.png"]["message"]
    both = run("label", folder, "--csv", "--json", "--model", tiny_bundle)
    assert (both.code, both.out) == (2, "")


def test_nothing_to_label_is_an_error(
    run: Run, tiny_bundle: Path, folder: Path, tmp_path: Path
) -> None:
    def refuse(*photos: object) -> str:
        result = run("label", *photos, "--model", tiny_bundle)
        assert (result.code, result.out) == (2, "")
        assert all(line.startswith("latentedit: ") for line in result.err.splitlines())
        return result.err

    assert refuse(folder / "grey.png").count("no face was found") == 1
    assert refuse("missing.png").count("missing.png does not exist") == 1
    both = refuse(folder / "cut.png", folder / "notes.txt").splitlines()
    assert ["cut short" in both[0], "not an image" in both[1]] == [True, True]
    assert "nothing could be labelled" in both[2]
    (tmp_path / "empty").mkdir()
    assert "no photo in" in refuse(tmp_path / "empty")
    assert "Missing argument" in refuse()


def test_a_heic_photo_without_the_extra_is_named(
    run: Run, tiny_bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    for command in ("label", "assess"):
        words = ("--model", tiny_bundle) if command == "label" else ()
        result = run(command, folder, *words)
        assert result.code == 1
        (line,) = (line for line in result.err.splitlines() if "phone.heic" in line)
        assert "pip install 'latentedit[photos]'" in line
