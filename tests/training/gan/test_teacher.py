"""A student learns to draw what its teacher draws, of the teacher's own latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_runs import TINY, contents
from PIL import Image
from tiny_generators import mobilestylegan, progressive, stylegan2

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.generators.base import FaceGenerator
from latentedit.generators.progressive_w import ProgressiveW
from latentedit.io.images import to_tensor
from latentedit.io.resampling import resize
from latentedit.pretrained.bundles import load_generator
from latentedit.training import pairs as pairs_module
from latentedit.training.bundles import bundle_generator
from latentedit.training.gan import teacher as module
from latentedit.training.gan.adversarial import load_generator_run, train_generator
from latentedit.training.gan.meter import Report
from latentedit.training.gan.snapshots import load_snapshot
from latentedit.training.gan.teacher import Teacher, open_teacher
from latentedit.training.options import GeneratorOptions
from latentedit.training.pairs import Pairs
from latentedit.training.runs import Run

pytestmark = pytest.mark.usefixtures("one_thread")

TAUGHT = replace(
    TINY, pairs=40, pairs_size=32, snapshot_kimg=0.08, distil_features=0.1, adversarial_weight=0.1
)


def open_tiny(
    folder: Path, options: GeneratorOptions = TAUGHT, generator: FaceGenerator | None = None
) -> Teacher:
    card = {"terms": "For tests only."}
    return open_teacher(
        "tiny", generator or mobilestylegan(), card, folder, options, lambda done, total: None
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_module, "SHARD", 20)
    monkeypatch.setattr(module, "WHITENED_FROM", 500)


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    return open_tiny(tmp_path / "pairs")


def teach(
    teacher: Teacher, folder: Path, options: GeneratorOptions = TAUGHT, **changes: object
) -> ProgressiveW:
    return train_generator(
        teacher.faces, folder, options, **{"validation": 16, "teacher": teacher, **changes}
    )


def test_pictures_are_cut_out_and_stand_beside_their_latents(
    teacher: Teacher, tmp_path: Path
) -> None:
    pairs = Pairs.read(tmp_path / "pairs", 40)
    assert len(teacher.faces) == len(teacher.latents) == len(teacher.paired) == 40
    np.testing.assert_array_equal(teacher.latents, pairs.first)
    np.testing.assert_array_equal(teacher.paired, pairs.cuts == pairs.layers)
    for row in (0, 39):
        cut = teacher.generator.frame.cut(to_tensor(pairs.picture(row)[None]))
        wanted = resize(cut, 16)
        kept = to_tensor(np.array(teacher.faces.images[row : row + 1]))
        assert (kept - wanted).abs().max() < 0.01


def test_more_pairs_are_cut_where_more_are_drawn(teacher: Teacher, tmp_path: Path) -> None:
    more = open_tiny(tmp_path / "pairs", replace(TAUGHT, pairs=60))
    assert len(more.faces) == len(more.latents) == 60
    np.testing.assert_array_equal(more.faces.images[:40], teacher.faces.images)


def test_a_student_maps_as_its_teacher_and_sees_whitened_latents(
    teacher: Teacher, tmp_path: Path
) -> None:
    student = teach(teacher, tmp_path / "run", replace(TAUGHT, total_kimg=0.008))
    for name in ("w", "z"):
        there, here = teacher.generator.in_space(name), student.in_space(name)
        np.testing.assert_array_equal(there.sample(range(3)), here.sample(range(3)))
    with torch.inference_mode():
        w = student.map(torch.randn(2000, 16))
        assert student.whitened(w).var(0).mean() == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_a_run_leaves_what_others_leave_and_goes_on(
    teacher: Teacher, tmp_path: Path, tiny_classifier: AttributeClassifier, weight: float
) -> None:
    def stop(report: Report) -> None:
        if report.images >= 100:
            raise KeyboardInterrupt

    options = replace(TAUGHT, adversarial_weight=weight, total_kimg=0.16, batch_size=8)
    options = replace(options, matrix_learning_rate=0.01)
    with pytest.raises(KeyboardInterrupt):
        teach(teacher, tmp_path / "cut", options, classifier=tiny_classifier, on_step=stop)
    teach(teacher, tmp_path / "cut", options, classifier=tiny_classifier, resume=True)
    teach(teacher, tmp_path / "whole", options, classifier=tiny_classifier)
    (cut, _), (whole, _) = contents(tmp_path / "cut"), contents(tmp_path / "whole")
    assert [key for key in whole if not torch.equal(whole[key], cut[key])] == []
    assert any(key.startswith("objective.") for key in whole) == (weight > 0)

    loaded, _ = load_generator_run(tmp_path / "cut")
    assert isinstance(loaded, ProgressiveW)
    snapshot = load_snapshot(tmp_path / "cut", 160)
    assert snapshot.render(range(2)).shape == (2, 16, 16, 3)
    with Image.open(tmp_path / "cut" / "samples" / "000000160.png") as sheet:
        rows = 2 * -(-int(teacher.paired[-16:].sum()) // 12)
        assert sheet.size[1] == rows * 18 - 2

    bundle_generator(tmp_path / "cut", tmp_path / "bundle")
    bundled, card = load_generator(tmp_path / "bundle")
    assert isinstance(bundled, ProgressiveW)
    assert card["teacher"] == {"name": "tiny", "generator_hash": teacher.hash}
    assert card["terms"].endswith("For tests only.")


def test_discriminators_join_later(teacher: Teacher, tmp_path: Path) -> None:
    def stop(report: Report) -> None:
        if report.images >= 32:
            raise KeyboardInterrupt

    options = replace(TAUGHT, alone_kimg=0.04, frozen_kimg=0.016, save_kimg=0.02)
    options = replace(options, matrix_learning_rate=0.01)
    with pytest.raises(KeyboardInterrupt):  # before the discriminators have learnt anything
        teach(teacher, tmp_path / "cut", options, on_step=stop)
    teach(teacher, tmp_path / "cut", options, resume=True)
    teach(teacher, tmp_path / "whole", options)
    (cut, _), (whole, _) = contents(tmp_path / "cut"), contents(tmp_path / "whole")
    assert [key for key in whole if not torch.equal(whole[key], cut[key])] == []

    early = replace(options, total_kimg=0.008)
    teach(teacher, tmp_path / "early", early)
    first, _ = contents(tmp_path / "early")
    teach(teacher, tmp_path / "later", replace(options, total_kimg=0.032))
    later, _ = contents(tmp_path / "later")
    judges = [key for key in first if key.startswith("objective.")]
    assert all(torch.equal(first[key], later[key]) for key in judges)
    assert not all(torch.equal(first[key], whole[key]) for key in judges)


def test_averages_forget_a_new_blocks_first_weights(
    teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latentedit.training.gan.adversaries._YOUNG", 1e9)  # as late in a long run
    options = replace(TAUGHT, adversarial_weight=0, ema_kimg=(10,), total_kimg=0.2, decay_kimg=0)
    options = replace(options, stable_kimg=(0.04,), fade_kimg=(0.04,), learning_rate=0.01)
    teach(teacher, tmp_path / "run", options)
    state, _ = contents(tmp_path / "run")
    torch.manual_seed(options.seed)
    key = "painter.blocks.2.conv1.weight"
    first = ProgressiveW(teacher.student_config(options)).state_dict()[key]
    now, average = state[f"generator.{key}"], state[f"average_10000.{key}"]
    assert (average - now).norm() < 0.3 * (first - now).norm()


@pytest.mark.parametrize("matrices", [0, 0.01])
def test_a_student_comes_nearer_to_its_teacher(
    teacher: Teacher, tmp_path: Path, matrices: float
) -> None:
    options = replace(
        TAUGHT, start=8, stable_kimg=(1,), total_kimg=3, adversarial_weight=0, save_kimg=1
    )
    options = replace(options, learning_rate=0.005, matrix_learning_rate=matrices)
    teach(teacher, tmp_path / "run", replace(options, batch_size=16))
    records = Run(tmp_path / "run").read_log()
    assert [record["images"] for record in records][-1] >= 2900
    assert records[-1]["distil_pixels"] < 0.8 * records[0]["distil_pixels"]
    assert np.isfinite([records[-1]["pairs_l1"], records[-1]["pairs_psnr"]]).all()


def test_only_pairs_of_one_latent_are_asked_of_a_student(teacher: Teacher, tmp_path: Path) -> None:
    changed = replace(
        teacher, latents=np.where(teacher.paired[:, None], teacher.latents, np.float32(np.nan))
    )
    options = replace(TAUGHT, total_kimg=0.04)
    teach(changed, tmp_path / "run", options)
    assert np.isfinite(Run(tmp_path / "run").read_log() or [0]).all()
    (state, _) = contents(tmp_path / "run")
    assert all(torch.isfinite(v).all() for k, v in state.items() if k.startswith("generator."))


def test_what_cannot_teach_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="has no w to learn from"):
        open_tiny(tmp_path / "a", generator=progressive())
    with pytest.raises(LatentEditError, match="pairs_size"):
        open_tiny(tmp_path / "b", replace(TAUGHT, pairs_size=16))
    with pytest.raises(LatentEditError, match="two numbers"):
        open_tiny(tmp_path / "c", replace(TAUGHT, pairs_psi=(0.5,)))
    mixed = open_tiny(tmp_path / "d", replace(TAUGHT, pairs_mixed=1.0))
    with pytest.raises(LatentEditError, match="pairs_mixed"):
        teach(mixed, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pairs": 0}, "0 pairs"),
        ({"pairs_size": 15}, "set pairs_size to 1[0-9] or more"),
        ({"pairs_size": 2048}, "size 2048 cannot be drawn"),
    ],
)
def test_sizes_are_checked_before_anything_is_drawn(
    tmp_path: Path, changes: dict[str, int], said: str
) -> None:
    with pytest.raises(LatentEditError, match=said):
        open_tiny(tmp_path / "pairs", replace(TAUGHT, **changes))
    assert len(open_tiny(tmp_path / "pairs").faces) == 40


def test_a_damaged_file_is_named(teacher: Teacher, tmp_path: Path) -> None:
    (tmp_path / "pairs" / "00001.safetensors").write_bytes(b"half a file")
    with pytest.raises(LatentEditError, match=r"00001\.safetensors is damaged"):
        open_tiny(tmp_path / "pairs")


def test_bfloat16_is_a_wish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentedit.inference.renderer.computes_bfloat16", lambda device: False)
    assert len(open_tiny(tmp_path / "pairs", replace(TAUGHT, bf16=True)).faces) == 40


def test_another_teachers_weights_are_refused(teacher: Teacher, tmp_path: Path) -> None:
    teach(teacher, tmp_path / "run", replace(TAUGHT, total_kimg=0.008))
    changed = mobilestylegan()
    with torch.no_grad():
        changed.mean += 1
    other = open_tiny(tmp_path / "others", generator=changed)
    for changes in ({"init": [tmp_path / "run"]}, {"resume": True}):
        folder = tmp_path / ("run" if "resume" in changes else "second")
        with pytest.raises(LatentEditError, match="another teacher, tiny"):
            teach(other, folder, replace(TAUGHT, total_kimg=0.016), **changes)


def test_a_student_sees_no_other_faces(teacher: Teacher, tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="leave out --feature-data"):
        teach(teacher, tmp_path / "run", feature_data=teacher.faces)


def test_any_generator_with_a_mapping_network_teaches(tmp_path: Path) -> None:
    teacher = open_tiny(tmp_path / "pairs", replace(TAUGHT, pairs_size=16), generator=stylegan2())
    student = teach(teacher, tmp_path / "run", replace(TAUGHT, total_kimg=0.016))
    assert student.config.mapping == (12, 16, 16)
