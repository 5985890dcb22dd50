"""A generator's run: what it leaves, its rates and averages, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_runs import TINY, contents, refused, train
from PIL import Image
from torch import Tensor

from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.data.face_file import FaceData
from latentedit.errors import LatentEditError
from latentedit.training import state
from latentedit.training.gan import adversarial
from latentedit.training.gan.adversarial import load_generator_run
from latentedit.training.gan.losses import Inputs, NonSaturatingR1
from latentedit.training.gan.meter import Report
from latentedit.training.gan.objectives import build_objective
from latentedit.training.options import OBJECTIVES, GeneratorOptions
from latentedit.training.runs import Run, read_generator_options

pytestmark = pytest.mark.usefixtures("one_thread")


def stop_after(images: int) -> Callable[[Report], None]:
    def stop(report: Report) -> None:
        if report.images >= images:
            raise KeyboardInterrupt

    return stop


def needs(name: str, classifier: AttributeClassifier) -> AttributeClassifier | None:
    return classifier if name == "projected" else None


# --- a whole run ------------------------------------------------------------------------------


def test_a_run_leaves_state_samples_options_and_log(data: FaceData, tmp_path: Path) -> None:
    reports: list[Report] = []
    options = replace(TINY, batch_size=32, total_kimg=1.024, save_kimg=0.512, fade_kimg=(0.4,))
    network = train(data, tmp_path / "run", options, command="train it", on_step=reports.append)
    assert not network.training
    assert network.config == options.generator

    assert [report.images for report in reports] == list(range(32, 1025, 32))
    assert {report.total for report in reports} == {1024}
    resolutions = [report.phase.resolution for report in reports]
    assert resolutions == sorted(resolutions)
    assert set(resolutions) == {8, 16}
    assert any(0 < report.phase.alpha < 1 for report in reports)

    loaded, progress = load_generator_run(tmp_path / "run")
    assert progress["images"] == 1024
    assert not loaded.training
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)

    sheets = sorted((tmp_path / "run" / "samples").iterdir())
    assert [sheet.name for sheet in sheets] == ["000000512.png", "000001024.png"]
    with Image.open(sheets[-1]) as sheet:
        assert sheet.size == (12 * 18 - 2, 4 * 18 - 2)

    (record,) = Run(tmp_path / "run").read_log()
    assert record["images"] == 1024
    assert record["resolution"] == 16
    assert record["images_per_second"] > 0
    figures = ("real", "fake", "discriminator_loss", "generator_loss", "r1")
    assert all(np.isfinite(record[name]) for name in figures)

    assert read_generator_options(Run(tmp_path / "run")) == options
    saved = Run(tmp_path / "run").read_options()
    assert saved["data"] == "drawn discs; the last 40 held out"
    assert "train it" in str(saved)


def test_a_seed_repeats_a_run_and_another_does_not(data: FaceData, tmp_path: Path) -> None:
    short = replace(TINY, total_kimg=0.04)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(data, tmp_path / name, replace(short, seed=seed))
    (first, _), (second, _), (third, _) = (contents(tmp_path / name) for name in "abc")
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert not torch.equal(first["generator.to_rgb.1.weight"], third["generator.to_rgb.1.weight"])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_run_stopped_in_a_fade_ends_as_an_undisturbed_one(
    data: FaceData, tmp_path: Path, objective: str, tiny_classifier: AttributeClassifier
) -> None:
    options = replace(TINY, objective=objective)
    classifier = needs(objective, tiny_classifier)
    train(data, tmp_path / "whole", options, classifier=classifier)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut", options, classifier=classifier, on_step=stop_after(100))
    _, saved = contents(tmp_path / "cut")
    assert saved["images"] == 80
    assert 0 < options.schedule.at(80).alpha < 1
    torch.manual_seed(12345)
    train(data, tmp_path / "cut", options, classifier=classifier, resume=True)
    (whole, progress), (cut, progress_after) = (
        contents(tmp_path / name) for name in ("whole", "cut")
    )
    assert progress == progress_after
    assert progress["images"] == 160
    assert whole.keys() == cut.keys()
    for part in (
        "generator.",
        "average_50.",
        "generator_optimizer.",
        "rng.cpu",
        "objective.pixel.",
    ):
        assert any(key.startswith(part) for key in whole), part
    different = [key for key, value in whole.items() if not torch.equal(value, cut[key])]
    assert different == []


def test_a_run_saved_by_time_ends_as_an_undisturbed_one(
    data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(data, tmp_path / "whole")
    monkeypatch.setattr(state, "SAVE_EVERY", 0)
    monkeypatch.setattr(state, "SAVE_SHARE", float("inf"))
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut", on_step=stop_after(24))
    _, saved = contents(tmp_path / "cut")
    assert saved["images"] == 24  # save_kimg says 40
    assert not (tmp_path / "cut" / "samples").exists()
    torch.manual_seed(12345)
    train(data, tmp_path / "cut", resume=True)
    (whole, progress), (cut, progress_after) = (
        contents(tmp_path / name) for name in ("whole", "cut")
    )
    assert progress == progress_after
    assert [key for key, value in whole.items() if not torch.equal(value, cut[key])] == []


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_weight_that_is_shown_learns(
    data: FaceData, tmp_path: Path, objective: str, tiny_classifier: AttributeClassifier
) -> None:
    classifier = needs(objective, tiny_classifier)
    options = replace(TINY, objective=objective, total_kimg=0.008, save_kimg=0.008)
    train(data, tmp_path / "a", options, classifier=classifier)
    train(data, tmp_path / "b", replace(options, total_kimg=0.04), classifier=classifier)
    (before, _), (after, _) = (contents(tmp_path / name) for name in "ab")
    fixed = (
        "mix_channels",
        "mix_scales",
        "_optimizer",
        "rng",
        "sliced",
        "blocks.2",
        "_rgb",
        "_u",
        "_v",
    )
    for key, value in before.items():
        # a head's last bias stands still while all scores lie within the hinge's margins
        still = key.startswith("objective.projected.heads") and value.numel() == 1
        if not still and not any(part in key for part in fixed):
            assert not torch.equal(value, after[key]), key
    for key, value in before.items():  # the random projections, and blocks above 8x8
        if "mix_" in key or key.startswith(("generator.blocks.2", "objective.pixel.blocks.2")):
            assert torch.equal(value, after[key]), key


class Steps:
    """Replaces Adam's step: weights become the number of the step; keeps the rates."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fill: bool) -> None:
        self.rates: list[list[float]] = []
        original = torch.optim.Adam.step

        def step(optimizer: torch.optim.Adam) -> None:
            self.rates.append([group["lr"] for group in optimizer.param_groups])
            if not fill:
                original(optimizer)
                return
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    weight.data.fill_((len(self.rates) + 1) // 2 / 10)

        monkeypatch.setattr(torch.optim.Adam, "step", step)


def test_the_rate_falls_to_zero_at_the_end(
    data: FaceData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_classifier: AttributeClassifier,
) -> None:
    steps = Steps(monkeypatch, fill=False)
    options = replace(
        TINY,
        objective="projected",
        total_kimg=0.12,
        decay_kimg=0.08,
        learning_rate=0.004,
        discriminator_learning_rate=0.002,
        projected_learning_rate=0.001,
    )
    train(data, tmp_path / "run", options, classifier=tiny_classifier)
    falling = [1.0] * 5 + [1 - 0.1 * step for step in range(10)]
    discriminators, generator = steps.rates[::2], steps.rates[1::2]
    assert [rates[0] for rates in generator] == pytest.approx([0.004 * rate for rate in falling])
    assert [rates[0] for rates in discriminators] == pytest.approx([0.002 * r for r in falling])
    assert [rates[1] for rates in discriminators] == pytest.approx([0.001 * r for r in falling])


@pytest.mark.parametrize("images", [4, 1000])
def test_the_average_has_the_half_life_it_says(
    data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    Steps(monkeypatch, fill=True)
    train(data, tmp_path / "run", replace(TINY, ema_kimg=(images / 1000,)))
    mean = torch.zeros(())
    for step in range(1, 21):
        half_life = min(images, 0.05 * 8 * step)  # shorter while little was seen
        mean = mean * 0.5 ** (8 / half_life) + step / 10 * (1 - 0.5 ** (8 / half_life))
    tensors, _ = contents(tmp_path / "run")
    assert (tensors["generator.blocks.0.conv.weight"] == 2).all()
    average = tensors[f"average_{images}.blocks.0.conv.weight"]
    assert average.flatten().tolist() == pytest.approx([float(mean)] * average.numel(), rel=1e-5)
    assert float(mean) < 1.99


def test_real_faces_fade_in_their_detail_as_the_networks_do(
    data: FaceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    class Watching(NonSaturatingR1):
        def discriminator_loss(self, real: Inputs, fake: Inputs, alpha: float, step: int):
            seen.append((real.images.clone(), fake.images.clone()))
            return super().discriminator_loss(real, fake, alpha, step)

    def build(options: GeneratorOptions, *parts: object) -> Watching:
        return Watching(build_objective(options, None).networks["pixel"])

    monkeypatch.setattr(adversarial, "build_objective", build)
    reports: list[Report] = []
    train(data, tmp_path / "run", on_step=reports.append)

    def halved(x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).mean((-1, -3))

    def doubled(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    faces = torch.tensor(data.images[:200]).permute(0, 3, 1, 2) / 127.5 - 1
    faces = torch.cat((faces, faces.flip(-1)))
    for (real, fake), report in zip(seen, reports, strict=True):
        resolution, alpha = report.phase.resolution, report.phase.alpha
        assert real.shape == fake.shape == (8, 3, resolution, resolution)
        shown = faces if resolution == 16 else halved(faces)
        shown = alpha * shown + (1 - alpha) * doubled(halved(shown))
        for face in real:
            assert (shown - face).abs().amax((1, 2, 3)).min() < 1e-5
    assert {report.phase.alpha for report in reports} >= {0.5, 1.0}


# --- bad input --------------------------------------------------------------------------------


def test_a_run_is_not_begun_twice(data: FaceData, tmp_path: Path) -> None:
    short = replace(TINY, total_kimg=0.04)
    train(data, tmp_path / "run", short)
    assert "add --resume" in refused(data, tmp_path / "run", short)


def test_losses_that_explode_stop_the_run_with_advice(data: FaceData, tmp_path: Path) -> None:
    wild = replace(TINY, objective="wgan-gp", learning_rate=1e30)
    message = refused(data, tmp_path / "run", wild)
    assert "no longer finite after" in message
    assert "lower learning_rate" in message
    assert not Run(tmp_path / "run").state.exists()


def test_what_is_no_generators_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="is not a training run"):
        load_generator_run(tmp_path)
    (tmp_path / "options.json").write_text('{"options": {"epochs": 3}}')
    with pytest.raises(LatentEditError, match="is not a generator's run"):
        load_generator_run(tmp_path)
    (tmp_path / "options.json").write_text('{"options": {"objective": "r1", "later": 3}}')
    with pytest.raises(LatentEditError, match="does not know, such as later: update"):
        load_generator_run(tmp_path)
    (tmp_path / "options.json").write_text('{"options": {}}')
    with pytest.raises(LatentEditError, match="is not a training state"):
        load_generator_run(tmp_path)


def test_a_run_stops_in_time_and_goes_on(data: FaceData, tmp_path: Path) -> None:
    """At every step the time is over, so it takes as many starts as there are steps."""
    whole = train(data, tmp_path / "whole", replace(TINY, total_kimg=0.024))
    for start in range(3):
        seen: list[Report] = []
        network = train(
            data,
            tmp_path / "run",
            replace(TINY, total_kimg=0.024),
            resume=start > 0,
            minutes=0,
            on_step=seen.append,
        )
        assert [report.images for report in seen] == [8 * (start + 1)]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])
    assert load_generator_run(tmp_path / "run")[1]["images"] == 24


# --- the defaults -----------------------------------------------------------------------------


def test_the_default_schedule_reaches_its_resolution_before_the_rate_falls() -> None:
    options = GeneratorOptions()
    schedule = options.schedule
    phases = [schedule.at(images) for images in range(0, int(options.total_kimg * 1000), 500)]
    assert phases[0].resolution == options.start
    assert all(a.resolution <= b.resolution for a, b in pairwise(phases))
    falls_from = int((options.total_kimg - options.decay_kimg) * 1000)
    assert schedule.at(falls_from).resolution == options.resolution
    assert schedule.at(falls_from).alpha == 1
