"""A teacher's faces as real ones, and a student's faces beside them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generator_runs import TINY
from tiny_generators import mobilestylegan
from typer.testing import CliRunner

from latentedit import defaults
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.cli.main import app
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.evaluation.generators import pictures
from latentedit.evaluation.generators.report import describe_faces
from latentedit.evaluation.generators.teaching import compare_pairs, draw_teachers_faces
from latentedit.generators.progressive import Generator
from latentedit.training import pairs
from latentedit.training.bundles import bundle_generator
from latentedit.training.gan import teacher as teaching
from latentedit.training.gan.adversarial import train_generator
from latentedit.training.gan.teacher import open_teacher

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def teacher(tiny_classifier: AttributeClassifier) -> FaceEditor:
    return FaceEditor(mobilestylegan(), tiny_classifier, name="teacher", device="cpu")


def test_the_faces_of_seeds_are_drawn_at_a_psi(teacher: FaceEditor) -> None:
    faces = draw_teachers_faces(teacher, range(5, 11), 16)
    assert faces.images.shape == (6, 16, 16, 3)
    assert len(faces.ids) == 6
    assert "seeds 5 to 10" in faces.source
    fewer = draw_teachers_faces(teacher, range(7, 9), 16)
    np.testing.assert_array_equal(fewer.images, faces.images[2:4])
    mean = draw_teachers_faces(teacher, range(4), 16, psi=0)
    assert (mean.images == mean.images[:1]).all()


def test_what_cannot_teach_is_refused(
    tiny_generator: Generator, tiny_classifier: AttributeClassifier, teacher: FaceEditor
) -> None:
    other = FaceEditor(tiny_generator, tiny_classifier, device="cpu")
    with pytest.raises(LatentEditError, match="no mapping network"):
        draw_teachers_faces(other, range(2), 16)
    with pytest.raises(LatentEditError, match="draws no faces of 64 pixels"):
        draw_teachers_faces(teacher, range(2), 64)


def test_pairs_are_compared_one_by_one(
    teacher: FaceEditor, tiny_classifier: AttributeClassifier
) -> None:
    pytest.importorskip("face_recognition_models", reason="pip install 'latentedit[evaluate]'")
    faces = describe_faces(draw_teachers_faces(teacher, range(4), 16).images, tiny_classifier)
    same = compare_pairs(faces.images, faces)
    assert (same["n"], same["one_person"]) == (4, 1)
    assert same["identity"] == pytest.approx(0, abs=1e-5)
    darker = compare_pairs((faces.images // 2).astype(np.uint8), faces)
    assert darker["psnr"] < 20 < same["psnr"]
    assert darker["identity"] > same["identity"]


def student_of(teacher: FaceEditor, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of a student that has hardly learnt anything."""
    monkeypatch.setattr(pairs, "SHARD", 20)
    monkeypatch.setattr(teaching, "WHITENED_FROM", 500)
    options = replace(TINY, pairs=20, pairs_size=32, total_kimg=0.008, save_kimg=0.008)
    known = open_teacher(
        "teacher", teacher.generator, {}, folder / "pairs", options, lambda done, total: None
    )
    train_generator(known.faces, folder / "run", options, validation=8, teacher=known)
    bundle_generator(folder / "run", folder / "student")
    return folder / "student"


def test_command(teacher: FaceEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchmetrics", "prdc", "dlib", "face_recognition_models"):
        pytest.importorskip(name, reason=f"{name} is missing: pip install 'latentedit[evaluate]'")
    monkeypatch.setattr(pictures, "detected", lambda images: images.mean((1, 2, 3)) > 100)
    student = student_of(teacher, tmp_path, monkeypatch)
    teacher.save_pretrained(tmp_path / "teacher")
    arguments = ["evaluate", "generator", "--model", str(student), "-n", "8", "--validation", "8"]
    arguments += ["--json", str(tmp_path / "report.json")]
    words = ["--teacher", str(tmp_path / "teacher"), "--card"]
    result = CliRunner().invoke(app, [*arguments, *words], catch_exceptions=False)
    assert result.exit_code == 0
    assert "8 faces beside the teacher's" in result.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["pairs"]["n"] == 8
    assert json.loads((student / "generator.json").read_text())["figures"] == report
    assert f"seeds {defaults.TEACHER_FIRST_SEED:,}" in report["data"]["source"]

    neither = CliRunner().invoke(app, arguments)
    assert isinstance(neither.exception, LatentEditError)
    assert "--teacher" in str(neither.exception)
    beside = CliRunner().invoke(app, [*arguments, *words, "--neighbours", "n.png"])
    assert "leave it out with --teacher" in str(beside.exception)
