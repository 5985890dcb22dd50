from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from latentedit.errors import LatentEditError
from latentedit.training import state
from latentedit.training.state import (
    StateKeeper,
    load_network,
    load_state,
    read_progress,
    save_state,
)


class Training:
    """A network with a buffer, its average and two kinds of optimiser."""

    def __init__(self, seed: int, width: int = 3) -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Conv2d(2, width, 3), nn.BatchNorm2d(width))
        self.average = nn.Linear(2, 2)
        weights = [*self.network.parameters()]
        self.adam = torch.optim.Adam(weights, 0.01, betas=(0.0, 0.99))
        self.sgd = torch.optim.SGD(self.average.parameters(), 0.01, momentum=0.9)

    @property
    def parts(self) -> dict[str, dict[str, object]]:
        return {
            "networks": {"network": self.network, "average": self.average},
            "optimizers": {"network_optimizer": self.adam, "sgd": self.sgd},
        }

    def step(self) -> None:
        loss = self.network(torch.randn(4, 2, 5, 5)).square().sum()
        loss = loss + self.average(torch.randn(3, 2)).square().sum()
        for optimizer in (self.adam, self.sgd):
            optimizer.zero_grad()
        loss.backward()
        for optimizer in (self.adam, self.sgd):
            optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """Everything there is, by a way of its own."""
        found = {f"n{k}": v for k, v in self.network.state_dict().items()}
        found |= {f"a{k}": v for k, v in self.average.state_dict().items()}
        for name, optimizer in (("adam", self.adam), ("sgd", self.sgd)):
            for index, slots in enumerate(optimizer.state.values()):
                found |= {f"{name}{index}{k}": torch.as_tensor(v) for k, v in slots.items()}
        return {key: value.clone() for key, value in found.items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) for key, value in first.items()
    )


def test_training_goes_on_from_a_state_as_if_nothing_had_happened(tmp_path: Path) -> None:
    path, training = tmp_path / "state.safetensors", Training(seed=0)
    for _ in range(3):
        training.step()
    save_state(path, **training.parts, progress={"images": 12, "note": "ä"})
    for _ in range(3):
        training.step()
    expected, next_random = training.tensors(), torch.rand(1)

    other = Training(seed=99)
    other.step()
    assert load_state(path, **other.parts) == {"images": 12, "note": "ä"}
    for _ in range(3):
        other.step()
    assert len(expected) > 20
    assert equal(other.tensors(), expected)
    assert torch.equal(torch.rand(1), next_random)


def test_saving_changes_nothing(tmp_path: Path) -> None:
    training = Training(seed=0)
    training.step()
    before, rng = training.tensors(), torch.get_rng_state()
    save_state(tmp_path / "state", **training.parts, progress={})
    assert equal(training.tensors(), before)
    assert torch.equal(torch.get_rng_state(), rng)


def test_the_state_is_a_safetensors_file(tmp_path: Path) -> None:
    training = Training(seed=0)
    training.step()
    save_state(tmp_path / "state", **training.parts, progress={"images": 4})
    with safe_open(str(tmp_path / "state"), framework="np") as file:
        assert json.loads(file.metadata()["progress"]) == {"images": 4}
        keys = set(file.keys())
    assert {"rng.cpu", "network.0.weight", "average.bias"} <= keys
    assert {"network_optimizer.0.exp_avg_sq", "network_optimizer.0.step"} <= keys
    assert "network.1.running_var" in keys


def test_the_order_in_memory_does_not_matter(tmp_path: Path) -> None:
    training = Training(seed=0)
    training.network.to(memory_format=torch.channels_last)
    training.step()
    save_state(tmp_path / "state", **training.parts, progress={})
    plain, ordered = Training(seed=1), Training(seed=2)
    ordered.network.to(memory_format=torch.channels_last)
    for other in (plain, ordered):
        load_state(tmp_path / "state", **other.parts)
        assert equal(other.tensors(), training.tensors())
    assert ordered.network[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_hyperparameters_are_the_runs_not_the_states(tmp_path: Path) -> None:
    training = Training(seed=0)
    training.step()
    save_state(tmp_path / "state", **training.parts, progress={})
    other = Training(seed=1)
    other.adam.param_groups[0]["lr"] = 0.5
    load_state(tmp_path / "state", **other.parts)
    assert other.adam.param_groups[0]["lr"] == 0.5


def test_a_state_of_other_networks_is_refused(tmp_path: Path) -> None:
    path, training = tmp_path / "state", Training(seed=0)
    save_state(path, **training.parts, progress={})
    for call in (
        lambda: load_state(path, **Training(seed=0, width=4).parts),
        lambda: load_network(path, "network", Training(seed=0, width=4).network),
        lambda: load_network(path, "net", training.network),
    ):
        with pytest.raises(LatentEditError, match="was made with other options") as caught:
            call()
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 400 + len(str(path))


def test_one_network_can_be_taken_out(tmp_path: Path) -> None:
    path, training = tmp_path / "state", Training(seed=0)
    save_state(path, **training.parts, progress={"epoch": 3})
    rng = torch.get_rng_state()
    other = Training(seed=1)
    torch.set_rng_state(rng)
    assert load_network(path, "average", other.average) == {"epoch": 3}
    assert torch.equal(other.average.weight, training.average.weight)
    assert not torch.equal(other.network[0].weight, training.network[0].weight)
    assert torch.equal(torch.get_rng_state(), rng)


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    training = Training(seed=0)
    save_state(tmp_path / "whole", **training.parts, progress={})
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-1])
    (tmp_path / "text").write_text("no state")
    save_file({"a": torch.zeros(1)}, tmp_path / "weights")
    save_file({"a": torch.zeros(1)}, tmp_path / "json", metadata={"progress": "{"})
    for name in ("cut", "text", "weights", "json", "missing"):
        with pytest.raises(LatentEditError, match=f"{name} is not a training state"):
            read_progress(tmp_path / name)
        with pytest.raises(LatentEditError, match=f"{name} is not a training state"):
            load_state(tmp_path / name, **training.parts)


# --- kills ------------------------------------------------------------------------------------

forks = pytest.mark.skipif(sys.platform != "linux", reason="needs fork and SIGKILL")


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked process, which always ends by being killed; return its id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    return child


def killed(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write_half(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    save_file(tensors, path, metadata=metadata)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    die()


@forks
@pytest.mark.parametrize(
    ("place", "name", "accident"),
    [(state, "save_file", write_half), (os, "fsync", die), (os, "replace", die)],
    ids=["while writing", "before the sync", "before the rename"],
)
def test_a_kill_while_saving_keeps_the_state_before(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: object,
    name: str,
    accident: Callable[..., None],
) -> None:
    path, training = tmp_path / "state.safetensors", Training(seed=0)
    training.step()
    save_state(path, **training.parts, progress={"images": 1})
    expected = training.tensors()
    training.step()
    monkeypatch.setattr(place, name, accident)
    assert killed(in_child(lambda: save_state(path, **training.parts, progress={"images": 2})))
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 2  # the half file is there, under another name
    other = Training(seed=1)
    assert load_state(path, **other.parts) == {"images": 1}
    assert equal(other.tensors(), expected)


@forks
def test_a_kill_at_any_moment_leaves_one_whole_state(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    network = nn.Linear(100, 100)

    def save_for_ever() -> None:
        count = 0
        while True:
            count += 1
            nn.init.constant_(network.weight, count)
            nn.init.constant_(network.bias, count)
            save_state(path, networks={"n": network}, optimizers={}, progress={"images": count})

    saved = []
    for attempt in range(12):
        child = in_child(save_for_ever)
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.003 * 1.5**attempt)
        while attempt == 11 and time.monotonic() < deadline:  # once, surely after the first state
            if load_network(path, "n", network)["images"] > 1:
                break
        os.kill(child, signal.SIGKILL)
        assert killed(child)
        count = load_network(path, "n", network)["images"]
        assert (network.weight == count).all()
        assert (network.bias == count).all()
        saved.append(count)
    assert max(saved) > 1


def test_a_state_is_due_by_time_and_a_slow_one_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, took = [1000.0], [0.0]
    monkeypatch.setattr(state.time, "monotonic", lambda: now[0])

    def save(*_: object, **__: object) -> None:
        now[0] += took[0]

    monkeypatch.setattr(state, "save_state", save)
    keeper = StateKeeper(tmp_path / "state", networks={}, optimizers={})
    for seconds, after in ((0.0, 60.0), (0.5, 60.0), (6.0, 300.0)):
        took[0] = seconds
        keeper.save({})
        now[0] += after - 1
        assert not keeper.due
        now[0] += 1.5
        assert keeper.due
