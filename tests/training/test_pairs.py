"""Pairs are told by their numbers, survive a kill, and say whose they are."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_generators import mobilestylegan, progressive

from latentedit.errors import LatentEditError
from latentedit.inference.renderer import Renderer
from latentedit.training import pairs as module
from latentedit.training.pairs import Pairs, lay_out, render_pairs


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 10)


@pytest.fixture
def renderer() -> Renderer:
    return Renderer(mobilestylegan(), device="cpu")


@pytest.fixture
def pairs(renderer: Renderer, tmp_path: Path) -> Pairs:
    render_pairs(renderer, tmp_path / "pairs", 40, 32, quiet)
    return Pairs.read(tmp_path / "pairs", 40)


def test_a_picture_is_what_its_latents_draw(pairs: Pairs, renderer: Renderer) -> None:
    rows = np.arange(len(pairs))
    drawn = renderer.render(pairs.latents(rows).numpy(), 32).astype(int)
    kept = np.stack([pairs.picture(row) for row in rows])
    assert np.abs(kept - drawn).mean() < 6  # noise of a random net suffers most from JPEG


def test_about_half_are_mixed(pairs: Pairs) -> None:
    mixed = pairs.cuts < pairs.layers
    assert 0.25 < mixed.mean() < 0.75
    rows = pairs.latents(np.arange(len(pairs))).numpy()
    same = (rows == rows[:, :1]).all((1, 2))
    assert (same == ~mixed).all()


def test_a_killed_run_draws_only_what_is_missing(renderer: Renderer, tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    render_pairs(renderer, folder, 20, 32, quiet)
    kept = (folder / "00000.safetensors").stat().st_mtime_ns
    again = (folder / "00001.safetensors").read_bytes()
    (folder / "00001.safetensors").unlink()
    render_pairs(renderer, folder, 30, 32, quiet)
    assert (folder / "00000.safetensors").stat().st_mtime_ns == kept
    assert (folder / "00001.safetensors").read_bytes() == again
    assert len(Pairs.read(folder, 30)) == 30
    first = Pairs.read(folder, 20)  # as before the folder grew for another run
    assert len(first) == 20
    np.testing.assert_array_equal(first.first, Pairs.read(folder, 30).first[:20])


def test_pairs_of_another_size_or_generator_are_refused(renderer: Renderer, tmp_path: Path) -> None:
    render_pairs(renderer, tmp_path, 10, 32, quiet)
    with pytest.raises(LatentEditError, match="another"):
        render_pairs(renderer, tmp_path, 10, 16, quiet)
    with pytest.raises(LatentEditError, match="layers"):
        render_pairs(Renderer(progressive(), device="cpu"), tmp_path, 10, 16, quiet)
    with pytest.raises(LatentEditError, match="no pairs"):
        Pairs.read(tmp_path / "nowhere", 10)


def test_pairs_may_be_of_one_latent_each_and_nearer_to_the_mean(
    renderer: Renderer, tmp_path: Path
) -> None:
    render_pairs(renderer, tmp_path / "near", 10, 32, quiet, mixed=0, psi=(0.0, 0.1))
    render_pairs(renderer, tmp_path / "far", 10, 32, quiet, mixed=1, psi=(1.0, 1.0))
    near, far = (Pairs.read(tmp_path / name, 10) for name in ("near", "far"))
    mean = renderer.generator.mean.numpy()
    assert (near.cuts == near.layers).all()
    assert (far.cuts < far.layers).all()
    assert np.abs(near.first - mean).mean() < 0.2 * np.abs(far.first - mean).mean()
    with pytest.raises(LatentEditError, match="another"):
        render_pairs(renderer, tmp_path / "near", 10, 32, quiet)
    for impossible in ({"mixed": 1.5}, {"psi": (0.9, 0.2)}, {"psi": (0.2, 2.0)}):
        with pytest.raises(LatentEditError, match="from 0 to 1"):
            render_pairs(renderer, tmp_path / "none", 10, 32, quiet, **impossible)
    assert not (tmp_path / "none").exists()


def test_pairs_of_folders_begun_earlier_are_those_by_default(
    renderer: Renderer, tmp_path: Path
) -> None:
    render_pairs(renderer, tmp_path, 10, 32, quiet)
    facts = json.loads((tmp_path / module.FACTS).read_text())
    old = {key: facts[key] for key in ("generator_hash", "size", "layers")}
    (tmp_path / module.FACTS).write_text(json.dumps(old))
    render_pairs(renderer, tmp_path, 20, 32, quiet)
    assert len(Pairs.read(tmp_path, 20)) == 20
    with pytest.raises(LatentEditError, match="another"):
        render_pairs(renderer, tmp_path, 20, 32, quiet, mixed=0)


def test_a_damaged_file_is_named(renderer: Renderer, tmp_path: Path) -> None:
    render_pairs(renderer, tmp_path, 20, 32, quiet)
    (tmp_path / "00001.safetensors").write_bytes(b"cut short")
    with pytest.raises(LatentEditError, match=r"00001\.safetensors is damaged"):
        Pairs.read(tmp_path, 20)


def test_layers_above_the_cut_are_the_second_latents() -> None:
    one, two = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert lay_out(one, two, 2, 5)[:, 0].tolist() == [0, 0, 1, 1, 1]
    assert not lay_out(one, two, 5, 5).any()


def test_processes_share_the_files(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[range] = []
    draw = module._shard

    def counted(renderer: Renderer, numbers: range, *args: Any) -> Any:
        drawn.append(numbers)
        return draw(renderer, numbers, *args)

    monkeypatch.setattr(module, "_shard", counted)
    with ThreadPoolExecutor(2) as pool:
        for work in [pool.submit(render_pairs, renderer, tmp_path, 60, 32, quiet) for _ in "ab"]:
            work.result()
    assert sorted(numbers.start for numbers in drawn) == [0, 10, 20, 30, 40, 50]
    assert len(Pairs.read(tmp_path, 60)) == 60
