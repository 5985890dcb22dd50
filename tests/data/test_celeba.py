from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_face
from PIL import Image
from safetensors.numpy import load_file

from latentedit.attributes import ATTRIBUTES
from latentedit.data.celeba import open_celeba, prepare_celeba
from latentedit.data.face_file import open_face_data
from latentedit.errors import LatentEditError


def picture(folder: Path, number: int) -> Path:
    return folder / "img_align_celeba" / f"{number:06d}.jpg"


def listing(folder: Path) -> Path:
    return folder / "list_attr_celeba.txt"


def edit_list(folder: Path, change: Callable[[list[str]], list[str] | None]) -> None:
    lines = listing(folder).read_text().splitlines()
    listing(folder).write_text("\n".join(change(lines) or lines) + "\n")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-600])


def darkest_rows(face: np.ndarray) -> np.ndarray:
    """Mean place of the two black eyes, as shares of the edge: x left, x right, y."""
    rows, columns = np.nonzero(face.max(-1) < 70)
    left = columns < len(face) / 2
    return (np.array([columns[left].mean(), columns[~left].mean(), rows.mean()]) + 0.5) / len(face)


@pytest.mark.parametrize(("size", "resolution"), [((178, 218), 128), ((89, 109), 64)])
def test_faces_are_cut_by_the_eyes_at_both_sizes(
    make_celeba: Callable[..., Path], tmp_path: Path, size: tuple[int, int], resolution: int
) -> None:
    folder = make_celeba(tmp_path / "celeba", count=3, size=size)
    report = prepare_celeba(folder, tmp_path / "faces")
    data = open_face_data(tmp_path / "faces")
    assert (report.written, report.resolution, report.skipped) == (3, resolution, ())
    assert data.images.shape == (3, resolution, resolution, 3)
    assert isinstance(data.images, np.memmap)
    for face in data.images:
        expected = [(69.5 - 19) / 140, (108.5 - 19) / 140, (111.5 - 40) / 140]
        assert darkest_rows(face) == pytest.approx(expected, abs=0.012)


def test_labels_and_names_are_the_lists(celeba_folder: Path, tmp_path: Path) -> None:
    prepare_celeba(celeba_folder, tmp_path / "faces", resolution=8)
    data = open_face_data(tmp_path / "faces")
    assert data.ids == tuple(f"{number:06d}.jpg" for number in range(1, 7))
    assert data.label_names == ATTRIBUTES
    lines = listing(celeba_folder).read_text().splitlines()[2:]
    for row, line in zip(data.labels, lines, strict=True):
        assert row.tolist() == [{"1": 1, "-1": 0}[value] for value in line.split()[1:]]
    assert data.source == "CelebA aligned crops, 000001.jpg to 000006.jpg"
    assert load_file(tmp_path / "faces")["images"].shape == (6, 8, 8, 3)


def test_pictures_come_in_the_order_of_the_list(celeba_folder: Path, tmp_path: Path) -> None:
    edit_list(celeba_folder, lambda lines: lines[:2] + lines[:1:-1])
    prepare_celeba(celeba_folder, tmp_path / "faces", resolution=8)
    data = open_face_data(tmp_path / "faces")
    assert data.ids[0] == "000006.jpg"
    assert np.array_equal(data.images[0], open_celeba(celeba_folder).read(0, 8))
    assert data.images[0].std() > 10
    assert not np.array_equal(data.images[0], data.images[1])


def test_the_layout_with_anno_and_img_folders(celeba_folder: Path) -> None:
    for sub, name in (("Anno", "list_attr_celeba.txt"), ("Img", "img_align_celeba")):
        (celeba_folder / sub).mkdir()
        (celeba_folder / name).rename(celeba_folder / sub / name)
    celeba = open_celeba(celeba_folder)
    assert len(celeba.names) == 6
    assert celeba.read(5).shape == (64, 64, 3)


def refused(folder: Path, output: Path, **options: object) -> str:
    """The one line that `prepare celeba` fails with; it must leave no file."""
    before = sorted(output.parent.iterdir())
    with pytest.raises(LatentEditError) as caught:
        prepare_celeba(folder, output, **options)
    assert sorted(output.parent.iterdir()) == before
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_folder_that_is_not_celeba_says_what_it_lacks(
    celeba_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "faces"
    assert "is not a folder" in refused(tmp_path / "none", output)
    (tmp_path / "empty").mkdir()
    assert "list_attr_celeba.txt is not in it" in refused(tmp_path / "empty", output)
    (celeba_folder / "img_align_celeba").rename(tmp_path / "away")
    assert "img_align_celeba/ is not in it" in refused(celeba_folder, output)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [lines[0], lines[1].replace("Male", "Mail"), *lines[2:]], "40 attributes"),
        (lambda lines: [lines[0], " ".join(lines[1].split()[::-1]), *lines[2:]], "40 attributes"),
        (lambda lines: lines[1:], "line 2 must name the 40 attributes"),
        (lambda lines: lines[:2], "line 2 must name the 40 attributes"),
        (lambda lines: ["7", *lines[1:]], "announces 7 faces and lists 6"),
        (lambda lines: lines[:-1], "announces 6 faces and lists 5"),
        (lambda lines: [*lines[:3], lines[3] + " 1", *lines[4:]], "line 4: expected a file name"),
        (lambda lines: [*lines[:3], lines[3][:-2] + " 2", *lines[4:]], "line 4: expected"),
        (lambda lines: [*lines[:4], lines[4].split()[0], *lines[5:]], "line 5: expected"),
    ],
)
def test_a_list_that_is_not_celebas_is_refused(
    celeba_folder: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], said: str
) -> None:
    edit_list(celeba_folder, change)
    assert said in refused(celeba_folder, tmp_path / "faces")


def test_a_table_that_never_ends_a_cell_is_refused(celeba_folder: Path, tmp_path: Path) -> None:
    path = listing(celeba_folder)
    rows = [line.split() for line in path.read_text().splitlines()[1:]]
    table = [",".join(["image_id", *rows[0]]), '"' + ",".join(rows[1]), "x" * 200_000]
    path.with_suffix(".csv").write_text("\n".join(table))
    path.unlink()
    assert "damaged" in refused(celeba_folder, tmp_path / "faces")


def test_a_list_in_another_encoding_is_refused(celeba_folder: Path, tmp_path: Path) -> None:
    listing(celeba_folder).write_bytes(b"\xff\xfe\x00")
    assert "cannot read" in refused(celeba_folder, tmp_path / "faces")


def test_all_bad_pictures_are_named_and_stop_it(celeba_folder: Path, tmp_path: Path) -> None:
    picture(celeba_folder, 2).unlink()
    cut_short(picture(celeba_folder, 4))
    Image.new("RGB", (100, 100)).save(picture(celeba_folder, 5))
    message = refused(celeba_folder, tmp_path / "faces")
    assert message.startswith("3 entries cannot be used: ")
    assert "000002.jpg does not exist" in message
    assert "000004.jpg is damaged or cut short" in message
    assert "000005.jpg is 100x100" in message
    assert message.endswith("leave them out with --skip-bad")


def test_many_bad_pictures_are_counted(celeba_folder: Path, tmp_path: Path) -> None:
    for path in (celeba_folder / "img_align_celeba").iterdir():
        path.unlink()
    message = refused(celeba_folder, tmp_path / "faces", resolution=8)
    assert message.startswith("6 entries cannot be used")
    assert "000005.jpg" in message
    assert "and 1 more" in message
    assert "no picture in" in refused(celeba_folder, tmp_path / "faces")
    assert "no face to write" in refused(
        celeba_folder, tmp_path / "faces", resolution=8, skip_bad=True
    )


def test_skip_bad_leaves_them_out_with_their_labels(celeba_folder: Path, tmp_path: Path) -> None:
    whole = open_celeba(celeba_folder)
    faces = [whole.read(index) for index in range(6)]
    picture(celeba_folder, 1).unlink()
    cut_short(picture(celeba_folder, 4))
    report = prepare_celeba(celeba_folder, tmp_path / "faces", skip_bad=True)
    assert report.written == 4
    assert [name in said for name, said in zip(("000001", "000004"), report.skipped, strict=True)]
    data = open_face_data(tmp_path / "faces")
    assert data.ids == ("000002.jpg", "000003.jpg", "000005.jpg", "000006.jpg")
    kept = [1, 2, 4, 5]
    assert np.array_equal(data.labels, whole.labels[kept])
    assert np.array_equal(data.images, np.stack([faces[index] for index in kept]))


def test_malformed_lines_are_left_out_by_name_and_zeros_are_not_known(
    celeba_folder: Path, tmp_path: Path
) -> None:
    def change(lines: list[str]) -> list[str]:
        fields = lines[4].split()
        return [*lines[:3], lines[3] + " 1", " ".join([fields[0], "0", *fields[2:]]), *lines[5:]]

    edit_list(celeba_folder, change)
    report = prepare_celeba(celeba_folder, tmp_path / "faces", skip_bad=True)
    assert report.written == 5
    (said,) = report.skipped
    assert "line 4: " in said
    data = open_face_data(tmp_path / "faces")
    assert data.ids[:2] == ("000001.jpg", "000003.jpg")
    assert data.labels[1, 0] == -1
    assert (data.labels[1, 1:] >= 0).all()


def test_progress_sees_every_picture(celeba_folder: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def progress(rows: Iterator[int], total: int) -> Iterator[int]:
        assert total == 6
        for row in rows:
            seen.append(row)
            yield row

    prepare_celeba(celeba_folder, tmp_path / "faces", resolution=8, progress=progress)
    assert seen == list(range(6))


def test_an_exception_on_the_way_leaves_no_file_and_keeps_the_old(
    celeba_folder: Path, tmp_path: Path
) -> None:
    def stopped(rows: Iterator[int], total: int) -> Iterator[int]:
        yield next(rows)
        raise KeyboardInterrupt

    output = tmp_path / "faces"
    with pytest.raises(KeyboardInterrupt):
        prepare_celeba(celeba_folder, output, progress=stopped)
    assert [path.name for path in tmp_path.iterdir()] == ["celeba"]
    prepare_celeba(celeba_folder, output, resolution=8)
    with pytest.raises(KeyboardInterrupt):
        prepare_celeba(celeba_folder, output, progress=stopped)
    assert open_face_data(output).resolution == 8


def test_an_unwritable_output_is_refused_before_the_work(
    celeba_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(LatentEditError, match="does not exist, create it"):
        prepare_celeba(
            celeba_folder,
            tmp_path / "no" / "faces",
            progress=lambda rows, total: pytest.fail("it began"),
        )


def test_a_killed_run_leaves_no_file_under_the_final_name(
    celeba_folder: Path, tmp_path: Path
) -> None:
    """The real command, killed at a picture that never ends."""
    folder, output = tmp_path / "out", tmp_path / "out" / "faces"
    folder.mkdir()
    script = (
        "import sys, time\n"
        "from latentedit.data import celeba\n"
        "def slowly(rows, total):\n"
        "    for row in rows:\n"
        "        print(row, flush=True)\n"
        "        if row == 3: time.sleep(600)\n"
        "        yield row\n"
        "celeba.prepare_celeba(sys.argv[1], sys.argv[2], progress=slowly)\n"
    )
    command = [sys.executable, "-c", script, str(celeba_folder), str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "3\n":
                break
        time.sleep(0.05)
        assert [path.name for path in folder.iterdir()] != []  # it was writing
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not output.exists()
    prepare_celeba(celeba_folder, output)
    assert len(open_face_data(output)) == 6


def test_the_drawn_faces_are_those_the_tests_take_them_for() -> None:
    drawn = np.array(draw_face(1))
    rows, columns = np.nonzero(drawn.max(-1) < 30)
    assert rows.mean() == pytest.approx(111, abs=0.6)
    assert sorted({int(column) for column in columns})[0] == pytest.approx(62, abs=1)
