"""Preview heads learn from the generator alone, and a run goes on where it was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_generators import mobilestylegan, stylegan2

from latentedit.errors import LatentEditError
from latentedit.io.files import make_folder, write_json
from latentedit.training import previews, state
from latentedit.training.options import PreviewOptions
from latentedit.training.previews import load_previews_run, train_previews
from latentedit.training.runs import Run

TINY = PreviewOptions(
    sizes=(16,), pictures=60, validation=10, steps=40, batch_size=8, save_steps=20, bf16=False
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("previews") / "run"
    train_previews(mobilestylegan(), folder, TINY)
    return folder


def test_heads_come_closer_to_the_whole_picture_made_smaller(run: Path) -> None:
    first, last = Run(run).read_log()
    assert (first["step"], last["step"]) == (20, 40)
    assert last["validation_16"] > first["validation_16"]


def test_a_run_gives_its_heads_back(run: Path) -> None:
    generator = mobilestylegan()
    heads = load_previews_run(run)
    z = torch.from_numpy(generator.sample([3]))
    with torch.inference_mode():
        drawn = generator.with_heads(heads)(z, 16)
    assert drawn.shape == (1, 3, 16, 16)
    assert not torch.equal(drawn, generator(z, 16))


def test_a_killed_run_goes_on_with_the_same_pictures(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def killed(*_: object) -> float:
        raise KeyboardInterrupt

    half = replace(TINY, steps=20)
    train_previews(mobilestylegan(), folder, half)
    monkeypatch.setattr(previews, "_example", killed)  # nothing is rendered again
    train_previews(mobilestylegan(), folder, TINY, resume=True)
    assert [record["step"] for record in Run(folder).read_log()] == [20, 40]


def test_pictures_of_other_sizes_are_not_learned_from(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_folder(folder / "pictures")
    write_json(folder / "pictures" / previews.FACTS, {"generator_hash": "0", "sizes": [8]})
    with pytest.raises(LatentEditError, match="choose another run"):
        train_previews(mobilestylegan(), folder, TINY)


def test_a_run_saved_by_time_ends_as_one_that_was_not_killed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def kill(what: str, done: int, total: int, note: str) -> None:
        if what == "Steps" and done == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(state, "SAVE_EVERY", 0)
        patch.setattr(state, "SAVE_SHARE", float("inf"))
        with pytest.raises(KeyboardInterrupt):
            train_previews(mobilestylegan(), folder, TINY, on_progress=kill)
    assert state.read_progress(Run(folder).state)["step"] == 7
    train_previews(mobilestylegan(), folder, TINY, resume=True)
    whole, resumed = load_previews_run(run), load_previews_run(folder)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_what_cannot_draw_previews_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="cannot draw previews"):
        train_previews(stylegan2(), tmp_path / "run", TINY)
    with pytest.raises(LatentEditError, match="no preview of 64 pixels"):
        train_previews(mobilestylegan(), tmp_path / "run", replace(TINY, sizes=(64,)))
    with pytest.raises(LatentEditError, match="leave none to learn from"):
        train_previews(mobilestylegan(), tmp_path / "run", replace(TINY, validation=60))
    with pytest.raises(LatentEditError, match="not a"):
        load_previews_run(tmp_path)
