from __future__ import annotations

import json
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from latentedit.attributes import ATTRIBUTES
from latentedit.data.face_file import FaceData, Joined, create_face_data, open_face_data
from latentedit.errors import LatentEditError


def write(path: Path, count: int = 5, resolution: int = 4) -> FaceData:
    """A file of `count` faces of which face i has value i, with three labels."""
    with create_face_data(
        path, resolution=resolution, label_names=("a", "b", "c"), source="drawn"
    ) as writer:
        for index in range(count):
            face = np.full((resolution, resolution, 3), index, dtype=np.uint8)
            writer.append(face, [index % 2, -1, 1], f"{index}.jpg")
    return open_face_data(path)


names = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=9)


@settings(max_examples=25)
@given(st.integers(1, 4), st.sampled_from((1, 2, 5)), st.integers(0, 4), st.data())
def test_what_was_written_is_read_back(
    count: int, resolution: int, kinds: int, data: st.DataObject
) -> None:
    shape = (count, resolution, resolution, 3)
    images = data.draw(hnp.arrays(np.uint8, shape))
    labels = data.draw(hnp.arrays(np.int8, (count, kinds), elements=st.integers(-1, 1)))
    ids = data.draw(st.lists(names, min_size=count, max_size=count))
    label_names = tuple(f"label{kind}" for kind in range(kinds))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces"
        with create_face_data(
            path, resolution=resolution, label_names=label_names, source="söurce"
        ) as writer:
            for image, label, name in zip(images, labels, ids, strict=True):
                writer.append(image, label.tolist(), name)
            assert len(writer) == count
        read = open_face_data(path)
        assert np.array_equal(read.images, images)
        assert np.array_equal(read.labels, labels)
        assert read.ids == tuple(ids)
        assert read.label_names == label_names
        assert read.source == "söurce"
        assert (len(read), read.resolution) == (count, resolution)
        # any safetensors reader opens it too
        tensors = load_file(path)
        assert set(tensors) == {"images", "labels", "ids"}
        assert np.array_equal(tensors["images"], images)
        assert np.array_equal(tensors["labels"], labels)
        with safe_open(str(path), framework="pt") as file:
            assert file.metadata()["source"] == "söurce"
            assert file.get_tensor("images").shape == shape


def test_images_are_mapped_not_read(tmp_path: Path) -> None:
    path = tmp_path / "faces"
    data = write(path)
    assert isinstance(data.images, np.memmap)
    first_pixel = path.read_bytes().index(bytes([3]) * 48)
    with open(path, "rb+") as file:  # what changes in the file changes in the array
        file.seek(first_pixel)
        file.write(b"\xc8")
    assert data.images[3, 0, 0].tolist() == [200, 3, 3]
    with pytest.raises(ValueError, match="read-only"):
        data.images[0] = 1


def test_opening_costs_no_memory_for_the_pictures(tmp_path: Path) -> None:
    path = tmp_path / "faces"
    data = write(path, count=3, resolution=2)
    header_length = struct.unpack("<Q", path.read_bytes()[:8])[0]
    header = json.loads(path.read_bytes()[8 : 8 + header_length])
    count = 2**21  # 2 TiB of faces in a file with a hole
    size = count * 1024 * 1024
    header["images"] = {"dtype": "U8", "shape": [count, 1024, 1024, 1], "data_offsets": [0, size]}
    header["labels"] = {"dtype": "I8", "shape": [1, 0], "data_offsets": [size, size]}
    header["ids"] = {"dtype": "U8", "shape": [1, 1], "data_offsets": [size, size + 1]}
    text = json.dumps(header).encode().ljust(header_length)
    with open(path, "rb+") as file:
        file.seek(8)
        file.write(text)
        try:
            file.truncate(8 + header_length + size + 1)
        except OSError:
            pytest.skip("no room for a file with a hole")
    data = open_face_data(path)
    assert data.images.shape[0] == count
    assert data.images[count - 1, 1023, 1023].tolist() == [0]


def test_a_split_keeps_order_and_copies_nothing(tmp_path: Path) -> None:
    data = write(tmp_path / "faces")
    train, held_out = data.split(2)
    assert train.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert held_out.images[:, 0, 0, 0].tolist() == [3, 4]
    assert held_out.ids == ("3.jpg", "4.jpg")
    assert held_out.labels.tolist() == [[1, -1, 1], [0, -1, 1]]
    assert (held_out.label_names, held_out.source) == (data.label_names, data.source)
    assert np.shares_memory(train.images, data.images)
    assert np.shares_memory(held_out.images, data.images)


@pytest.mark.parametrize("validation", [0, -1, 5, 1000])
def test_a_split_must_leave_faces_on_both_sides(tmp_path: Path, validation: int) -> None:
    with pytest.raises(LatentEditError, match=f"hold out {validation} of 5 faces"):
        write(tmp_path / "faces").split(validation)


def test_an_interrupted_writer_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with create_face_data(
            tmp_path / "faces", resolution=4, label_names=(), source=""
        ) as writer:
            writer.append(np.zeros((4, 4, 3), np.uint8), [], "a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_names_that_are_no_utf8_are_kept_in_other_words(tmp_path: Path) -> None:
    with create_face_data(tmp_path / "faces", resolution=4, label_names=(), source="") as writer:
        writer.append(np.zeros((4, 4, 3), np.uint8), [], os.fsdecode(b"\xff.jpg"))
    assert open_face_data(tmp_path / "faces").ids == ("\\udcff.jpg",)


def test_a_file_without_faces_is_not_written(tmp_path: Path) -> None:
    def empty() -> None:
        with create_face_data(tmp_path / "faces", resolution=4, label_names=(), source=""):
            pass

    with pytest.raises(LatentEditError, match=r"no face to write to .*faces"):
        empty()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "face", [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))]
)
def test_a_face_of_another_shape_is_a_programming_error(tmp_path: Path, face: np.ndarray) -> None:
    def append() -> None:
        with create_face_data(
            tmp_path / "faces", resolution=4, label_names=(), source=""
        ) as writer:
            writer.append(face, [], "a")

    with pytest.raises(ValueError, match=r"expected uint8 \[4, 4, 3\]"):
        append()
    assert os.listdir(tmp_path) == []


def test_the_40_names_fit_the_header(face_file: Path) -> None:
    data = open_face_data(face_file)
    assert data.label_names == ATTRIBUTES
    assert data.labels.shape == (len(data), 40)
    assert data.ids[7] == "000007.jpg"


def test_what_is_no_training_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    contents = {
        "empty": b"",
        "short": b"1234",
        "text": b"these are no faces at all, only words" * 10,
        "cut": whole[:-1],
        "longer": whole + b"x",
        "header": struct.pack("<Q", 2**60) + whole[8:],
        "json": whole[:8] + b"[" + whole[9:],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    save_file({"images": np.zeros((2, 4, 4, 3), np.uint8)}, tmp_path / "others")
    for name in (*contents, "others"):
        with pytest.raises(LatentEditError) as caught:
            open_face_data(tmp_path / name)
        assert f"{name} is not a training file: make it with 'latentedit" in str(caught.value), name


def test_a_missing_file_or_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"none: .*prepare"):
        open_face_data(tmp_path / "none")
    with pytest.raises(LatentEditError, match=r"cannot read .*: Is a directory"):
        open_face_data(tmp_path)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 99))
def test_joined_faces_are_read_as_one_array(counts: list[int], seed: int) -> None:
    random = np.random.RandomState(seed)
    parts = [random.randint(0, 256, (count, 2, 2, 3)).astype(np.uint8) for count in counts]
    whole, joined = np.concatenate(parts), Joined(parts)
    assert len(joined) == len(whole)
    assert joined.shape == whole.shape
    rows = random.randint(0, len(whole), 7)
    assert np.array_equal(joined[rows], whole[rows])
    assert np.array_equal(Joined([joined, parts[0]])[rows], whole[rows])


def test_faces_of_other_sizes_are_not_joined() -> None:
    parts = [np.zeros((1, edge, edge, 3), np.uint8) for edge in (4, 8)]
    with pytest.raises(LatentEditError, match="4 and 8 pixels"):
        Joined(parts)
