from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.io.images import to_tensor
from latentedit.training import state
from latentedit.training.augment import flip
from latentedit.training.options import SupervisedOptions
from latentedit.training.runs import Run
from latentedit.training.state import read_progress
from latentedit.training.supervised import loop as supervised
from latentedit.training.supervised.age_task import AgeTask
from latentedit.training.supervised.attribute_task import AttributeTask
from latentedit.training.supervised.loop import LabelledFaces, fit, predict

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = SupervisedOptions(
    epochs=4, batch_size=8, learning_rate=0.02, ema_decay=0.9, device="cpu", bf16=False
)
CPU = torch.device("cpu")


class Brightness(nn.Module):
    """Guesses one number from the mean colour; batch norm gives it buffers too."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head, self.drop = nn.BatchNorm2d(3), nn.Linear(3, 1), nn.Dropout(0.1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(images).mean((2, 3))))


class Regression:
    """Squared error; the score is its negative."""

    def augment(self, images: Tensor, targets: Tensor) -> Tensor:
        return flip(images)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[:, 0] - targets).square().mean()

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        return {"score": -float(self.loss(outputs, targets))}


def faces(count: int, seed: int) -> LabelledFaces:
    random = np.random.RandomState(seed)
    shades = random.uniform(0, 1, count)
    images = (shades[:, None, None, None] * random.uniform(200, 255, (count, 8, 8, 3))).astype("u1")
    return LabelledFaces(images, torch.tensor(shades, dtype=torch.float32), "drawn shades")


TRAIN, VALIDATION = faces(50, 0), faces(16, 1)


def trained(folder: Path, options: SupervisedOptions = OPTIONS, **changes: object) -> nn.Module:
    torch.manual_seed(7)
    return fit(
        Brightness(),
        changes.pop("task", Regression()),
        changes.pop("train", TRAIN),
        VALIDATION,
        folder,
        options,
        network_options={"kind": "brightness"},
        **changes,
    )


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_it_learns_and_writes_everything_down(tmp_path: Path) -> None:
    calls: list[tuple[int, int, dict[str, float]]] = []
    network = trained(
        tmp_path / "run",
        replace(OPTIONS, epochs=8),
        command="train it",
        on_step=lambda *call: calls.append(call),
    )
    assert not network.training
    log = Run(tmp_path / "run").read_log()
    assert [record["epoch"] for record in log] == list(range(1, 9))
    assert log[-1]["score"] > log[0]["score"]
    assert log[-1]["score"] > -0.1  # the variance of the targets is 1/12
    assert log[-1]["loss"] < log[0]["loss"]
    outputs = predict(network, VALIDATION.images, CPU, bf16=False)
    assert Regression().metrics(outputs, VALIDATION.targets)["score"] == log[-1]["score"]
    assert [call[0] for call in calls] == list(range(1, 8 * 6 + 1))  # 6 whole batches of 50
    assert {call[1] for call in calls} == {48}
    assert calls[0][2] == {}
    assert calls[-1][2]["score"] == log[-2]["score"]
    saved = json.loads((tmp_path / "run" / "options.json").read_text())
    assert saved["options"]["epochs"] == 8
    assert saved["network"] == {"kind": "brightness"}
    assert saved["data"] == "drawn shades"


def test_a_seed_repeats_a_run_and_another_does_not(tmp_path: Path) -> None:
    first = state_of(trained(tmp_path / "a"))
    assert equal(state_of(trained(tmp_path / "b")), first)
    assert not equal(state_of(trained(tmp_path / "c", replace(OPTIONS, seed=1))), first)


@pytest.mark.parametrize("stopped_at", [0, 2, 3])
def test_a_run_stopped_in_an_epoch_ends_as_an_undisturbed_one(
    tmp_path: Path, stopped_at: int
) -> None:
    whole = state_of(trained(tmp_path / "whole"))

    def stop(step: int, total: int, figures: dict[str, float]) -> None:
        if step == stopped_at * 6 + 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", on_step=stop)
    resumed = trained(tmp_path / "cut", resume=stopped_at > 0)
    assert equal(state_of(resumed), whole)
    logs = [Run(tmp_path / name).read_log() for name in ("whole", "cut")]
    for record in (*logs[0], *logs[1]):
        del record["seconds"]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("stopped_at", [3, 6 + 1, 2 * 6 + 5])
def test_a_run_saved_by_time_goes_on_within_an_epoch(
    tmp_path: Path, stopped_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = state_of(trained(tmp_path / "whole"))
    monkeypatch.setattr(state, "SAVE_EVERY", 0)
    monkeypatch.setattr(state, "SAVE_SHARE", float("inf"))

    def stop(step: int, total: int, figures: dict[str, float]) -> None:
        if step == stopped_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", on_step=stop)
    saved = read_progress(Run(tmp_path / "cut").state)
    assert 6 * saved["epoch"] + saved["step"] == stopped_at
    steps: list[int] = []
    resumed = trained(
        tmp_path / "cut", resume=True, on_step=lambda step, total, figures: steps.append(step)
    )
    assert steps == list(range(stopped_at + 1, 4 * 6 + 1))
    assert equal(state_of(resumed), whole)
    logs = [Run(tmp_path / name).read_log() for name in ("whole", "cut")]
    for record in (*logs[0], *logs[1]):
        del record["seconds"]
    assert logs[0] == logs[1]


def test_a_finished_run_can_be_trained_on(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    trained(tmp_path / "run", replace(OPTIONS, epochs=6), resume=True)
    run = Run(tmp_path / "run")
    assert [record["epoch"] for record in run.read_log()] == [1, 2, 3, 4, 5, 6]
    assert run.read_options()["options"]["epochs"] == 6


class Worsening(Regression):
    """Scores that rise twice and then fall."""

    def __init__(self) -> None:
        self.scores = iter((1.0, 2.0, 1.5, 1.9, 1.0, 9.0, 9.0, 9.0))

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        return {"score": next(self.scores)}


def test_patience_ends_a_run_that_no_longer_improves(tmp_path: Path) -> None:
    trained(tmp_path / "a", replace(OPTIONS, epochs=8, patience=3), task=Worsening())
    assert len(Run(tmp_path / "a").read_log()) == 5
    trained(tmp_path / "b", replace(OPTIONS, epochs=8, patience=0), task=Worsening())
    assert len(Run(tmp_path / "b").read_log()) == 8


def test_patience_is_remembered_by_a_resumed_run(tmp_path: Path) -> None:
    task, options = Worsening(), replace(OPTIONS, epochs=8, patience=3)

    def stop(step: int, total: int, figures: dict[str, float]) -> None:
        if step == 4 * 6 + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", options, task=task, on_step=stop)
    trained(tmp_path / "run", options, task=task, resume=True)
    assert len(Run(tmp_path / "run").read_log()) == 5


def test_options_that_do_not_fit_the_state_do_not_replace_those_that_do(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    trained(run.folder)
    before = run.read_options(), run.state.read_bytes(), run.read_log()
    with pytest.raises(LatentEditError, match="made with other options"):
        fit(
            nn.Sequential(nn.Flatten(), nn.Linear(192, 1)),
            Regression(),
            TRAIN,
            VALIDATION,
            run.folder,
            OPTIONS,
            network_options={"kind": "another"},
            resume=True,
        )
    assert (run.read_options(), run.state.read_bytes(), run.read_log()) == before


def test_too_few_faces_for_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="7 faces do not fill a batch of 8: lower"):
        trained(tmp_path / "run", train=faces(7, 0))
    assert not (tmp_path / "run").exists()


def test_every_face_is_seen_once_an_epoch(tmp_path: Path) -> None:
    # face i is of shade i, and the augmentation is taken away
    count = 48
    shades = np.arange(count, dtype=np.uint8)[:, None, None, None]
    images = np.tile(shades, (1, 8, 8, 3))
    seen: list[int] = []

    class Watching(Regression):
        def augment(self, images: Tensor, targets: Tensor) -> Tensor:
            seen.extend(((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist())
            return images

    data = LabelledFaces(images, torch.zeros(count))
    trained(tmp_path / "run", replace(OPTIONS, epochs=2), train=data, task=Watching())
    first, second = seen[:count], seen[count:]
    assert sorted(first) == sorted(second) == list(range(count))
    assert first != second


def learning_rates(
    folder: Path, options: SupervisedOptions, monkeypatch: pytest.MonkeyPatch
) -> list[float]:
    rates: list[float] = []
    original = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *args: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return original(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    trained(folder, options)
    return rates


def test_the_rate_rises_to_its_peak_and_falls_as_a_cosine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = learning_rates(tmp_path, replace(OPTIONS, epochs=10, warmup=0.2), monkeypatch)
    assert len(rates) == 60
    peak = rates.index(max(rates))
    assert peak == 12
    assert rates[peak] == pytest.approx(0.02)
    assert rates[:peak] == pytest.approx([0.02 * step / 12 for step in range(12)])
    assert rates[12 + 24] == pytest.approx(0.01)
    assert rates[12:] == sorted(rates[12:], reverse=True)
    assert rates[-1] < 0.0002


def test_the_average_lags_and_soon_forgets_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks: list[tuple[float, float]] = []

    def step(self: torch.optim.AdamW) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data.fill_(len(tracks) + 1)

    def watch(done: int, total: int, figures: dict[str, float]) -> None:
        averaged = current.module.head.weight
        tracks.append((done, float(averaged.detach().mean())))

    current: nn.Module
    original = supervised.AveragedModel

    def averaged_model(*args: object, **kwargs: object) -> nn.Module:
        nonlocal current
        current = original(*args, **kwargs)
        return current

    monkeypatch.setattr(supervised, "AveragedModel", averaged_model)
    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    trained(tmp_path, replace(OPTIONS, epochs=10, ema_decay=0.9), on_step=watch)
    mean = 1.0  # the first step's weights, then decays 2/11, 3/12, ... up to 0.9
    for done, average in tracks:
        if done > 1:
            decay = min(0.9, done / (9 + done))
            mean = decay * mean + (1 - decay) * done
        assert average == pytest.approx(mean, rel=1e-5)


def test_predictions_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    network = trained(tmp_path / "run")
    network.train()
    whole = predict(network, VALIDATION.images, CPU, bf16=False)
    parts = predict(network, VALIDATION.images, CPU, batch_size=3, bf16=False)
    assert whole.shape == (16, 1)
    assert whole.dtype == torch.float32
    assert not network.training
    torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize("task", [AttributeTask(), AgeTask()])
def test_augmentation_keeps_faces_faces(task: AttributeTask | AgeTask) -> None:
    torch.manual_seed(0)
    images = to_tensor(TRAIN.images)
    changed = task.augment(images, torch.zeros(len(images), 2))
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)
    assert (changed - images).abs().mean() < 0.5
