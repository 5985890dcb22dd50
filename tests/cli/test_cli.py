"""The command line on tiny models: what it writes, what it prints, and how it refuses."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from PIL import Image
from saved import read_recipe
from tiny_generators import mobilestylegan

from latentedit import defaults
from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries.model import Boundaries
from latentedit.boundaries.pool import Pool
from latentedit.editing.editor import FaceEditor
from latentedit.editing.projection import FIGHTING, discounted_direction
from latentedit.editing.strips import edit_strip
from latentedit.generators.latents import load_latents
from latentedit.io.images import open_image, read_metadata
from latentedit.pretrained.bundles import save_generator
from latentedit.training import pairs
from latentedit.training.gan import teacher

# ---- sample


def test_sample_writes_a_grid_and_latents(run: Run, tiny_bundle: Path) -> None:
    result = run(
        "sample",
        "--seeds",
        "0-4,9",
        "-o",
        "grid.png",
        "--save-latents",
        "z.npy",
        "--columns",
        3,
        "--model",
        tiny_bundle,
    )
    assert (result.code, result.out, result.err) == (0, "6 faces in grid.png\n", "")
    assert sorted(os.listdir()) == ["grid.png", "z.npy"]
    editor = FaceEditor.load(tiny_bundle, device="cpu")
    seeds = [0, 1, 2, 3, 4, 9]
    np.testing.assert_array_equal(load_latents("z.npy", 64), editor.sample(seeds))
    picture = open_image("grid.png")
    assert picture.shape == (2 * 16 + 2, 3 * 16 + 4, 3)
    np.testing.assert_array_equal(picture[18:, 36:], editor.render(editor.sample([9]))[0])
    origin = json.loads(read_metadata("grid.png")["latentedit"])["sample"]
    assert origin == {
        "model": "tiny", "generator_hash": editor.generator_hash, "space": "z", "seeds": seeds
    }  # fmt: skip


def test_sample_has_defaults(run: Run, tiny_bundle: Path) -> None:
    result = run("sample", "--model", tiny_bundle)
    assert result.out == "16 faces in samples.png\n"
    assert os.listdir() == ["samples.png"]


# ---- edit


def test_edit_draws_a_strip_whose_recipe_makes_it_again(run: Run, tiny_bundle: Path) -> None:
    words = (
        "edit",
        "--attr",
        "young",
        "--step",
        -3,
        "--attr",
        "Black Hair",
        "--step",
        1.5,
        "--seeds",
        "0-1,5",
        "--hold",
        "Male,Bald=0.5",
        "--frames",
        3,
        "--model",
        tiny_bundle,
    )
    result = run(*words)
    assert (result.code, result.out, result.err) == (0, "3 faces in edit.png\n", "")
    assert os.listdir() == ["edit.png"]
    recipe = read_recipe("edit.png")
    assert recipe.steps == {"Young": -3.0, "Black_Hair": 1.5}
    assert recipe.holds["Young"] == {"Male": 1.0, "Bald": 0.5}
    assert (recipe.seeds, recipe.frames, recipe.model) == ((0, 1, 5), 3, "tiny")
    editor = FaceEditor.load(tiny_bundle, device="cpu")
    strip = edit_strip(editor, editor.sample(recipe.seeds), recipe)
    np.testing.assert_array_equal(strip.draw(), open_image("edit.png"))
    before = Path("edit.png").read_bytes()
    run(*words, "-o", "again.png")
    assert Path("again.png").read_bytes() == before


def test_without_the_photographs_the_commands_say_how_to_get_them(run: Run) -> None:
    for words in (("sample", "--seeds", "0"), ("edit", "--attr", "Young", "--step", 1)):
        done = run(*words)
        assert done.code == 0
        assert "faces128" in done.out
        assert "latentedit models pull ffhq1024" in done.out


def test_edit_has_defaults(run: Run, tiny_bundle: Path) -> None:
    result = run("edit", "--attr", "Young", "--step", "-3", "--model", tiny_bundle)
    assert result.out == "1 face in edit.png\n"
    recipe = read_recipe("edit.png")
    assert (recipe.seeds, recipe.frames) == ((defaults.SEED,), defaults.FRAMES)
    assert recipe.steps == {"Young": -3.0}
    assert recipe.holds == {"Young": {"Male": 0.8, "Gray_Hair": 0.5}}  # those stored as auto


@pytest.mark.parametrize("step", [["--step", "-3"], ["--step=-3"], ["--step", "-3e0"]])
def test_negative_numbers_are_numbers(run: Run, tiny_bundle: Path, step: list[str]) -> None:
    assert run("edit", "--attr", "Young", *step, "--frames", 2, "--model", tiny_bundle).code == 0
    assert read_recipe("edit.png").steps == {"Young": -3.0}


def test_edit_json_is_pure_and_complete(run: Run, tiny_bundle: Path) -> None:
    result = run(
        "edit",
        "--attr",
        "Young",
        "--to",
        -2,
        "--force",
        "--seed",
        7,
        "--json",
        "-o",
        "o.png",
        "--model",
        tiny_bundle,
    )
    assert (result.code, result.err) == (0, "")
    summary = json.loads(result.out)
    assert summary["file"] == "o.png"
    assert summary["recipe"] == read_recipe("o.png").as_dict()
    assert summary["recipe"]["to"] == {"Young": -2.0}
    (face,) = summary["faces"]
    assert face["seed"] == 7
    assert face["attributes"]["Young"]["distance"][1] == pytest.approx(-2, abs=1e-3)
    assert set(face["attributes"]) == set(ATTRIBUTES)


def test_edits_stop_where_faces_break_unless_forced(run: Run, tiny_bundle: Path) -> None:
    options = ("--attr", "Young", "--seeds", "3-4", "--json", "--frames", 2, "--model", tiny_bundle)
    short = run("edit", *options, "--step", -5)
    assert json.loads(short.out)["recipe"]["steps"] == {"Young": -3}
    assert short.err == (
        "note: Young stops at the end of its safe range, -3 to +3; --force goes past\n"
    )
    forced = run("edit", *options, "--step", -5, "--force")
    assert (json.loads(forced.out)["recipe"]["steps"], forced.err) == ({"Young": -5}, "")
    far = run("edit", *options, "--to", -9)
    assert (
        json.loads(far.out)["recipe"] | {"to": {}, "steps": {"Young": [-3, -3]}}
        == (json.loads(far.out)["recipe"])
    )
    assert "for 2 of 2 faces" in far.err


def test_a_distance_is_reached_after_another_step_was_cut_short(
    run: Run, tiny_bundle: Path
) -> None:
    words = ("--attr", "Young", "--step", -9, "--attr", "Male", "--to", 6, "--hold", "none")
    done = run("edit", *words, "--seeds", 3, "--frames", 2, "--json", "--model", tiny_bundle)
    recipe = json.loads(done.out)["recipe"]
    assert recipe["steps"]["Young"] == -3
    assert "Male stops" in done.err
    cut = ("--attr", "Young", "--step", -3, *words[4:])
    same = run("edit", *cut, "--seeds", 3, "--frames", 2, "--json", "--model", tiny_bundle)
    assert json.loads(same.out)["recipe"] == recipe


def test_what_moves_is_not_held_and_that_is_said(run: Run, tiny_bundle: Path) -> None:
    options = ("--attr", "Young", "--step", 1, "--frames", 2, "--model", tiny_bundle)
    assert run("edit", *options, "--hold", "young=0.5,Male").err == (
        "note: Young moves, so it is not held\n"
    )
    assert run("edit", *options, "--hold", "auto").err == ""


def test_holds_that_leave_little_of_a_move_are_named(run: Run, tiny_bundle: Path) -> None:
    options = ("--attr", "Young", "--step", 1, "--frames", 2, "--model", tiny_bundle)
    boundaries = Boundaries.load(tiny_bundle / "boundaries.safetensors")
    gain = discounted_direction(boundaries, "Young", dict.fromkeys(boundaries.names, 1.0)).gain
    assert gain < FIGHTING
    said = run("edit", *options, "--hold", "all").err
    assert said.startswith(f"note: the holds leave {gain:.0%} of the move along Young, ")
    assert said.endswith(" takes most: hold less of it, or auto\n")


def test_latents_from_a_file_are_the_faces_of_their_seeds(run: Run, tiny_bundle: Path) -> None:
    options = ("--attr", "Young", "--step", -3, "--json", "--frames", 2, "--model", tiny_bundle)
    run("sample", "--seeds", "3-4", "--save-latents", "z.safetensors", "--model", tiny_bundle)
    by_seed = json.loads(run("edit", *options, "--seeds", "3-4").out)
    by_file = json.loads(run("edit", *options, "--latents", "z.safetensors").out)
    assert by_file["recipe"]["seeds"] is None
    assert [face["seed"] for face in by_file["faces"]] == [None, None]
    for one, other in zip(by_seed["faces"], by_file["faces"], strict=True):
        assert one["attributes"] == other["attributes"]


def test_a_jpeg_says_how_it_was_made_too(run: Run, tiny_bundle: Path) -> None:
    result = run(
        "edit", "--attr", "Young", "--step", 1, "-o", "e.jpg", "--model", tiny_bundle, "--json"
    )
    assert (result.code, result.err) == (0, "")
    done = json.loads(result.out)
    assert done["file"] == "e.jpg"
    with Image.open("e.jpg") as picture:
        assert picture.format == "JPEG"
    facts = json.loads(run("info", "e.jpg", "--json").out)
    assert facts["recipe"] == done["recipe"]
    assert facts["digital_source_type"].endswith("/trainedAlgorithmicMedia")


def test_an_older_picture_is_replaced(run: Run, tiny_bundle: Path) -> None:
    Path("edit.png").write_text("older")
    words = ("edit", "--attr", "Young", "--step", 1, "--model", tiny_bundle)
    for name in ("edit-2.png", "edit-3.png"):  # but not where nobody named it
        assert f"1 face in {name}" in run(*words).out
    assert Path("edit.png").read_text() == "older"
    run(*words, "-o", "edit.png")
    assert open_image("edit.png").ndim == 3


# ---- pool and boundaries


def test_each_attribute_may_have_its_own_step_or_distance(run: Run, tiny_bundle: Path) -> None:
    words = ["--attr", "Male", "--to", 1.5, "--attr=Young", "--step=-3", "--attr", "Bald"]
    assert run("edit", *words, "--to", -1, "--frames", 2, "--model", tiny_bundle).code == 0
    recipe = read_recipe("edit.png")
    assert (recipe.steps, recipe.to) == ({"Young": -3.0}, {"Male": 1.5, "Bald": -1.0})
    words = ["--step", 1, "--step", 2, "--attr", "Male", "--frames", 2, "--attr", "Young"]
    assert run("edit", *words, "--model", tiny_bundle).code == 0  # of one kind, in any order
    assert read_recipe("edit-2.png").steps == {"Male": 1.0, "Young": 2.0}


def test_pool_and_boundaries(run: Run, tiny_bundle: Path, abandon: Callable[[Path], Path]) -> None:
    build = ("pool", "build", "--model", tiny_bundle, "--n", 520, "-o", "pool")
    result = run(*build)
    assert result.code == 0
    said = result.out.splitlines()
    assert said[0] == "520 latents in pool"
    scores = Pool("pool").scores()
    bald = scores[:, list(Pool("pool").attributes).index("Bald")] > 0.5
    few = min(bald.mean(), 1 - bald.mean()) * 104 < 30  # of a fifth, which boundaries are tried on
    assert few == ("Bald" in "".join(said[1:]))
    assert result.err == ""  # no bar where nobody looks
    abandon(Path("pool/shard-00000.safetensors"))
    assert run(*build).code == 0
    assert sorted(os.listdir("pool")) == [
        "pool.json",
        "shard-00000.safetensors",
        "shard-00001.safetensors",
    ]

    result = run("boundaries", "fit", "--pool", "pool", "-o", "b.safetensors")
    assert result.code == 0
    assert result.out.endswith("40 boundaries in b.safetensors\n")
    card = json.loads(Path("b.json").read_text())
    assert card["commands"][0].startswith("latentedit")
    assert "520 latents" in card["data"]
    for name, figures in card["figures"].items():
        row = next(line for line in result.out.splitlines() if line.split()[:1] == [name])
        printed = [float(cell) for cell in row.split()[1:]]
        keys = ("samples", "train_accuracy", "accuracy", "f1", "roc_auc", "average_precision")
        del printed[5], printed[3]  # the slides'
        expected = [figures[key] for key in (*keys, "prevalence")]
        assert printed == pytest.approx(expected, abs=6e-4)

    for suffix in (".json", ".safetensors"):
        Path("b").with_suffix(suffix).replace(tiny_bundle / f"boundaries{suffix}")
    assert Boundaries.load(tiny_bundle / "boundaries.safetensors").names == ATTRIBUTES
    assert run("edit", "--attr", "Young", "--step", 1, "--model", tiny_bundle).code == 0


def settings(*pairs: str) -> tuple[str, ...]:
    """The words that change settings of a generator's run."""
    return tuple(word for pair in pairs for word in ("--set", pair))


def test_from_pictures_to_an_edit(run: Run, make_celeba: Callable[..., Path]) -> None:
    """The way from a data set to a model of one's own, on twelve drawn faces."""
    celeba = make_celeba(Path("celeba"), count=12)
    fast = ("--validation", 2, "--device", "cpu", "--data", "faces")
    small = ("resolution=8", "start=4", "fmap_max=8", "total_kimg=0.032", "batch_size=8")
    schedule = ("stable_kimg=0.008", "fade_kimg=0.008", "objective=r1")
    steps = [
        ("prepare", "celeba", celeba, "-o", "faces", "--resolution", 16),
        ("train", "classifier", *fast, "-o", "c", "--epochs", 1, "--batch-size", 5),
        ("train", "generator", *fast, "-o", "g", *settings(*small, *schedule)),
        ("bundle", "--generator", "g", "--classifier", "c", "-o", "mine"),
        ("sample", "--model", "mine", "--seeds", "0-1"),
        ("label", "samples.png", "--aligned", "--model", "mine", "--json"),
        # the default objective, looking through the classifier of a run, then of a bundle
        ("train", "generator", *fast, "-o", "g2", *settings(*small), "--classifier", "c"),
        ("train", "generator", *fast, "-o", "g3", *settings(*small), "--classifier", "mine"),
    ]
    for words in steps:
        result = run(*words)
        assert result.code == 0, f"{words}: {result.err}"
    assert "note: 8x8 has not faded in before 13 thousand images" in result.err
    assert "bundle in mine" in run(*steps[3]).out
    editor = FaceEditor.load("mine", device="cpu")
    assert editor.resolution == 8
    assert editor.attributes == ATTRIBUTES


def test_a_student_of_a_larger_model(
    run: Run, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "SHARD", 20)
    monkeypatch.setattr(teacher, "WHITENED_FROM", 100)
    save_generator("large", mobilestylegan(), {"terms": "For tests only."})
    Path("recipe.toml").write_text(
        "resolution = 8\nstart = 4\nfmap_max = 8\nbatch_size = 8\ntotal_kimg = 0.016\n"
        "stable_kimg = [0.004]\nfade_kimg = [0.004]\npairs = 40\npairs_size = 16\n"
    )
    train = ("train", "generator", "--teacher", "large", "--classifier", tiny_bundle, "-o", "run")
    train += ("--device", "cpu")
    begun = run(*train, "--validation", 16, "--pairs-folder", "p", "--recipe", "recipe.toml")
    assert begun.code == 0, begun.err
    assert sorted(os.listdir("p"))[:2] == ["00000.safetensors", "00001.safetensors"]
    # resumed without a recipe it keeps its settings, but for those that are given
    more = run(*train, "--resume", "--set=total_kimg=0.03")
    assert more.code == 0, more.err
    kept = json.loads(Path("run/options.json").read_text())
    assert (kept["options"]["total_kimg"], kept["options"]["resolution"]) == (0.03, 8)
    assert kept["teacher"]["name"] == "large"
    assert (kept["validation"], kept["pairs_folder"]) == (16, "p")
    assert not Path("run/pairs").exists()
    assert run("bundle", "--generator", "run", "-o", "small").code == 0
    assert run("sample", "--model", "small", "--seeds", "0-1").code == 0


# ---- help


@pytest.mark.parametrize("words", [(), ("pool",), ("boundaries",), ("train",), ("prepare",)])
def test_a_group_alone_shows_its_help(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.code == 2
    assert result.err.startswith("Usage: latentedit")
    assert "Commands:" in result.err


def commands() -> list[tuple[str, ...]]:
    import typer

    from latentedit.cli.main import app

    found: list[tuple[str, ...]] = []
    pending = [((), typer.main.get_command(app))]
    while pending:
        path, command = pending.pop()
        found.append(path)
        pending += [((*path, name), sub) for name, sub in getattr(command, "commands", {}).items()]
    return sorted(found)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help(run: Run, words: tuple[str, ...]) -> None:
    for flag in ("--help", "-h"):
        result = run(*words, flag)
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith("Usage: latentedit")


def test_version(run: Run) -> None:
    assert re.fullmatch(r"latentedit \d+\.\d+\.\d+\S*\n", run("--version").out)
