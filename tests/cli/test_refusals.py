"""Bad input on the command line: one line that says what to do, exit code 2, nothing lost."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from conftest import Run
from PIL import Image
from rich.console import Console

from latentedit.boundaries.model import Boundaries
from latentedit.cli import progress
from latentedit.cli.main import app
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.io.locks import claimed
from latentedit.io.photo_files import named_photos


def snapshot(*folders: Path) -> dict[Path, bytes]:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files}


def refuse(run: Run, folder: Path, *words: object) -> str:
    """Run what must be refused; returns its one line after checking that nothing changed."""
    Path("edit.png").write_text("kept")
    Path("samples.png").write_text("kept")
    before = snapshot(Path.cwd(), folder)
    result = run(*words)
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("latentedit: ")
    assert "Traceback" not in result.err
    assert snapshot(Path.cwd(), folder) == before
    return result.err.removeprefix("latentedit: ").rstrip("\n")


YOUNG = ("--attr", "Young", "--step", "-3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--attr", "Yuong", "--step", "-3"), "did you mean 'Young'"),
        (("--attr", "", "--step", "-3"), "unknown attribute"),
        (("--attr", "Young", "--step", "nan"), "step of Young cannot be nan: give a number"),
        (("--attr", "Young", "--step", "inf"), "step of Young cannot be inf"),
        (("--attr", "Young", "--step", "-inf"), "step of Young cannot be -inf"),
        (("--attr", "Young", "--step", "1e9"), "from -1000 to 1000"),
        (("--attr", "Young", "--to", "nan"), "distance of Young cannot be nan"),
        (("--attr", "Young", "--step", "much"), "'--step'"),
        (("--attr", "Young"), "give each --attr its --step or --to"),
        (("--attr", "Young", "--step", "1", "--to", "1"), "right after its --attr"),
        (("--step", "1", "--attr", "Young", "--to", "1", "--attr", "Male"), "right after its"),
        (("--attr", "Young", "--attr", "Male", "--to", "1", "--step", "1"), "right after its"),
        (("--attr", "Young", "--step", "1", "--attr", "Male", "--to", "1", "--to", "2"), "right a"),
        (("--attr", "Young", "--step", "1", "--attr", "young", "--to", "2"), "has both a step and"),
        (("--attr", "Young", "--attr", "Male", "--step", "1"), "2 --attr and 1 --step"),
        (("--attr", "Young", "--to", "1", "--to", "2"), "1 --attr and 2 --to"),
        (("--attr", "Young", "--step", "1", "--attr", "Young", "--step", "2"), "named twice"),
        (("--attr", "Young", "--step", "1", "--attr", "young", "--step", "2"), "named twice"),
        (("--step", "1"), "nothing to edit: give --attr with --step"),
        ((*YOUNG, "--seeds", "1-"), "write them like 7 or 0-7,12"),
        ((*YOUNG, "--seeds", "a"), "write them like 7 or 0-7,12"),
        ((*YOUNG, "--seeds", ""), "write them like 7 or 0-7,12"),
        ((*YOUNG, "--seeds", "7-0"), "run backwards: write 0-7"),
        ((*YOUNG, "--seeds", "0-9999999999"), "out of range"),
        ((*YOUNG, "--seeds", "0-999"), "at most 285 faces"),
        ((*YOUNG, "--seed", "-1"), "write them like 7 or 0-7,12"),
        ((*YOUNG, "--seed", "1.5"), "write them like 7 or 0-7,12"),
        ((*YOUNG, "--seed", "1", "--latents", "z.npy"), "only one of --seeds and --latents"),
        ((*YOUNG, "--hold", "Mael"), "did you mean 'Male'"),
        ((*YOUNG, "--hold", "Male=much"), "NAME=DISCOUNT"),
        ((*YOUNG, "--hold", "Male=2"), "discount of Male cannot be 2.0"),
        ((*YOUNG, "--hold", ""), "cannot read hold"),
        ((*YOUNG, "--frames", "1"), "2 to 120 frames"),
        ((*YOUNG, "--frames", "1000000000"), "2 to 120 frames"),
        ((*YOUNG, "--bogus"), "--bogus"),
        ((*YOUNG, "-o", "missing/edit.png"), "folder missing does not exist, create it"),
        ((*YOUNG, "-o", "."), "end its name in .png"),
        ((*YOUNG, "-o", "edit"), "end its name in .png"),
        ((*YOUNG, "-o", "edit.txt"), "end its name in .png"),
        ((*YOUNG, "-o", "edit.tiff"), "end its name in .png"),
        ((*YOUNG, "-o", "edit.gif", "--frames", "1"), "2 to 120 frames"),
        ((*YOUNG, "-o", "z.npy", "--frames", "3"), "--frames is for pictures and films"),
        ((*YOUNG, "-o", "z.safetensors", "--face-only"), "--face-only is for pictures and films"),
        ((*YOUNG, "--face-only", "--frames", "3"), "--frames is for strips and films"),
        (("--recipe", "missing.json"), "missing.json does not exist"),
        (("--recipe", "."), "is a folder"),
        ((*YOUNG, "--recipe", "edit.json"), "--attr is for edits that are in no recipe"),
        (("--recipe", "edit.json", "--hold", "none"), "--hold is for edits that are in no recipe"),
        ((*YOUNG, "--latents", "missing.npy"), "does not exist"),
    ],
)
def test_bad_edits(run: Run, tiny_bundle: Path, words: tuple[str, ...], message: str) -> None:
    assert message in refuse(run, tiny_bundle, "edit", *words, "--model", tiny_bundle)


def test_a_folder_where_the_picture_should_go(run: Run, tiny_bundle: Path) -> None:
    Path("pictures.png").mkdir()
    line = refuse(run, tiny_bundle, "edit", *YOUNG, "-o", "pictures.png", "--model", tiny_bundle)
    assert "it is a folder, give a file name" in line


def test_a_file_where_the_folder_should_be(run: Run, tiny_bundle: Path) -> None:
    line = refuse(run, tiny_bundle, "edit", *YOUNG, "-o", "edit.png/x.png", "--model", tiny_bundle)
    assert line == "cannot write edit.png/x.png: edit.png is a file, give a folder"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_a_folder_that_takes_no_files_is_refused_before_any_work(
    run: Run, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaceEditor, "load", lambda *_: pytest.fail("it went to work"))
    words = ("edit", *YOUNG, "-o", "/proc/edit.png", "--model", tiny_bundle)
    assert "choose another" in refuse(run, tiny_bundle, *words)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 512), np.float32), "shape [N, 64], got [2, 512]"),
        (np.zeros((0, 64), np.float32), "shape [0, 64]"),
        (np.zeros((1, 1, 64), np.float32), "all zeros"),
        (np.ones((1, 2, 64), np.float32) * [[[1], [2]]], "latents of space w"),
        (np.full((1, 64), np.nan, np.float32), "NaN"),
        (np.full((1, 64), np.inf), "infinity"),
        (np.full((1, 64), "z"), "holds no numbers"),
        (np.array([{"pickle": 1}] * 64), "holds no latents"),
    ],
)
def test_bad_latents(run: Run, tiny_bundle: Path, array: np.ndarray, message: str) -> None:
    np.save("z.npy", array, allow_pickle=True)
    words = ("edit", *YOUNG, "--latents", "z.npy", "--model", tiny_bundle)
    line = refuse(run, tiny_bundle, *words)
    assert message in line
    assert line.startswith("z.npy")
    assert "'latentedit sample --save-latents' writes such" in line or "space w" in line


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"not latents", b"\x00" * 64])
@pytest.mark.parametrize("name", ["z.npy", "z.safetensors", "z"])
def test_files_that_are_no_latents(run: Run, tiny_bundle: Path, content: bytes, name: str) -> None:
    Path(name).write_bytes(content)
    words = ("edit", *YOUNG, "--latents", name, "--model", tiny_bundle)
    assert "holds no latents" in refuse(run, tiny_bundle, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seeds", "x"), "write them like 7 or 0-7,12"),
        (("--columns", "0"), "'--columns'"),
        (("--seeds", "0-999999"), "too many for one picture"),
        (("-o", "missing/s.png"), "does not exist, create it"),
        (("--save-latents", "z.txt"), ".npy or .safetensors"),
        (("--save-latents", "missing/z.npy"), "does not exist, create it"),
    ],
)
def test_bad_samples(run: Run, tiny_bundle: Path, words: tuple[str, ...], message: str) -> None:
    assert message in refuse(run, tiny_bundle, "sample", *words, "--model", tiny_bundle)


def change_config(bundle: Path, **entries: object) -> None:
    path = bundle / "generator.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "config": {**card["config"], **entries}}))


def test_models_that_cannot_be_used(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    def edit(model: object) -> str:
        return refuse(run, tiny_bundle, "edit", *YOUNG, "--model", model)

    assert "no model 'celeba65': give a bundle's folder, or one of: " in edit("celeba65")
    assert "generator.safetensors is missing" in edit(tmp_path)
    change_config(tiny_bundle, fmap_max=8)
    assert "does not fit its card" in edit(tiny_bundle)
    (tiny_bundle / "generator.json").write_text("{")
    assert "is not valid JSON" in edit(tiny_bundle)


def test_parts_that_do_not_belong_together(run: Run, tiny_bundle: Path) -> None:
    boundaries = Boundaries.load(tiny_bundle / "boundaries.safetensors")
    other = Boundaries(boundaries.names, boundaries.normals, boundaries.biases, "f" * 16)
    other.save(tiny_bundle / "boundaries.safetensors")
    line = refuse(run, tiny_bundle, "edit", *YOUNG, "--model", tiny_bundle)
    assert f"these boundaries belong to generator {'f' * 16}" in line
    run("sample", "--seeds", "0", "-o", tiny_bundle / "face.png", "--model", tiny_bundle)
    for suffix in (".json", ".safetensors"):
        (tiny_bundle / f"boundaries{suffix}").unlink()
    line = refuse(run, tiny_bundle, "edit", *YOUNG, "--model", tiny_bundle)
    assert "make them with 'latentedit pool build'" in line


def test_holds_that_leave_nothing(run: Run, tiny_bundle: Path) -> None:
    boundaries = Boundaries.load(tiny_bundle / "boundaries.safetensors")
    twins = boundaries.normals.copy()
    twins[boundaries.index("Bald")] = twins[boundaries.index("Young")]
    Boundaries(boundaries.names, twins, boundaries.biases, boundaries.generator_hash).save(
        tiny_bundle / "boundaries.safetensors"
    )
    words = ("edit", *YOUNG, "--hold", "Male,Bald", "--model", tiny_bundle)
    assert refuse(run, tiny_bundle, *words).endswith("release Bald")


def test_pools_and_boundaries_that_cannot_be(run: Run, tiny_bundle: Path, face: Path) -> None:
    def words(*more: object) -> str:
        return refuse(run, tiny_bundle, *more)

    model = ("--model", tiny_bundle)
    assert "'--n'" in words("pool", "build", "-o", "p", "-n", 0, *model)
    assert "Missing option" in words("pool", "build", *model)
    assert "no precision 'half'" in words("pool", "build", "-o", "p", "--precision", "half", *model)
    assert "cannot create folder" in words("pool", "build", "-o", "edit.png", "-n", 2, *model)
    fit = ("boundaries", "fit", "--pool")
    assert "is not a pool" in words(*fit, ".", "-o", "b.safetensors")
    assert "kept in a .safetensors file" in words(*fit, ".", "-o", "b.npy")
    assert "create it" in words(*fit, ".", "-o", "missing/b.safetensors")
    assert run("pool", "build", "-o", "p", "-n", 2, *model).code == 0
    assert "at least 500" in words(*fit, "p", "-o", "b.safetensors")
    other = ("pool", "build", "-o", "p", "-n", 2, "--first-seed", 3)
    assert "another pool (first_seed" in words(*other, *model)
    Path("p/shard-00000.safetensors").write_bytes(b"cut")
    assert "damaged: delete it" in words(*fit, "p", "-o", "b.safetensors")
    Path("p/shard-00000.safetensors").unlink()
    assert "unfinished" in words(*fit, "p", "-o", "b.safetensors")
    named = words(*fit, "p", "-o", "b.safetensors", "--name", "Hats")
    assert "--name is for the columns of a .npy" in named
    assert "leave out --model" in words(*fit, "p", "-o", "b.safetensors", *model)
    own = (*fit, "p", "-o", "b.safetensors", "--scores", "own.csv")
    assert "leave out --pool" in words(*own)


def test_folders_that_are_not_celeba_and_runs_that_are_none(run: Run, tiny_bundle: Path) -> None:
    line = refuse(run, tiny_bundle, "prepare", "celeba", tiny_bundle, "-o", "x.faces")
    assert "is not CelebA's folder" in line
    assert "nothing to bundle" in refuse(run, tiny_bundle, "bundle", "-o", "mine")
    generators = ("--psi", "1.2"), ("--snapshots", "1,2"), ("--ema-kimg", "5"), ("--blend", "run")
    for alone in generators:
        said = refuse(run, tiny_bundle, "bundle", "--classifier", "run", *alone, "-o", "mine")
        assert "are for a generator: give --generator" in said
    assert refuse(run, tiny_bundle, "bundle", "--generator", tiny_bundle, "-o", "mine")
    assert refuse(run, tiny_bundle, "bundle", "--classifier", "missing", "-o", "mine")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("edti",), "No such command 'edti'."),
        (("--bogus",), "--bogus"),
        (("pool", "bild"), "No such command 'bild'."),
        (("pool", "build"), "Missing option '-o' / '--output'. See 'latentedit pool build --help'"),
        (("boundaries", "fit"), "Missing option"),
        (("train", "generator", "--data", "d", "-o", "r", "--seed", "99999999999"), "'--seed'"),
        (("train", "classifier", "--data", "d", "-o", "r", "--seed", "99999999999"), "'--seed'"),
        (("prepare", "portraits", "d", "-o", "p", "--seed=-1"), "'--seed'"),
        (("prepare", "aligned", "d", "-o", "p", "--resolution", "99999999"), "'--resolution'"),
    ],
)
def test_usage_errors_point_to_the_help(
    run: Run, tiny_bundle: Path, words: tuple[str, ...], message: str
) -> None:
    line = refuse(run, tiny_bundle, *words)
    assert message in line
    assert re.search(r"[.?] See 'latentedit.* --help'$", line)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--total-kimg", "470"), "--total-kimg is a setting now: write --set total_kimg=470, or"),
        (("--ema-kimg=5,2",), "write --set ema_kimg=5,2, or put it in a --recipe"),
        (("--no-bf16",), "write --set bf16=false"),
        (("--augment", "--device", "cpu"), "write --set augment=true"),
        (("--clasifier", "c"), "no option '--clasifier': did you mean --classifier?"),
        (("word",), "no option 'word': leave it out"),
        (("--set", "totl_kimg=4"), "did you mean 'total_kimg'"),
        (("--recipe", "no.toml"), "cannot read the recipe no.toml"),
        (("--teacher", "x"), "give what to learn from: photographs by --data, or a --teacher"),
        (("--resume",), "nothing to resume"),
    ],
)
def test_settings_of_a_generators_run(
    run: Run, tiny_bundle: Path, words: tuple[str, ...], message: str
) -> None:
    train = ("train", "generator", "--data", "d", "-o", "r")
    assert message in refuse(run, tiny_bundle, *train, *words)


@pytest.mark.parametrize("sizes", ["nan", "inf", "128,", "large"])
def test_sizes_of_previews_are_numbers(run: Run, tiny_bundle: Path, sizes: str) -> None:
    train = ("train", "previews", "-o", "r", "--model", tiny_bundle, "--sizes", sizes)
    assert "cannot read --sizes" in refuse(run, tiny_bundle, *train)


def test_latents_of_a_photo_need_a_fitting_name(run: Run, tiny_bundle: Path) -> None:
    """It is refused before the photo is looked for."""
    words = ("invert", "no.jpg", "-o", "z.txt", "--model", tiny_bundle)
    assert ".npy or .safetensors" in refuse(run, tiny_bundle, *words)


def test_the_generators_training_has_few_options() -> None:
    command = typer.main.get_command(app).commands["train"].commands["generator"]  # type: ignore[attr-defined]
    assert len(command.params) <= 15


def test_ctrl_c_is_one_line(run: Run, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FaceEditor, "render", interrupt)
    result = run("sample", "--model", tiny_bundle)
    assert (result.code, result.out) == (130, "")
    assert result.err.strip() == "latentedit: stopped"
    assert os.listdir() == []


def test_bad_input_clears_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True))
    with progress.progress_bar() as bar:
        bar.add_task("Working", total=2, note="")
    assert not screen.getvalue().endswith("\x1b[2K")

    def refuse_halfway() -> None:
        with progress.progress_bar() as bar:
            bar.add_task("Working", total=2, note="")
            raise LatentEditError("bad")

    with pytest.raises(LatentEditError):
        refuse_halfway()
    assert screen.getvalue().endswith("\x1b[2K")


def test_a_crash_in_the_middle_leaves_the_older_file(
    run: Run, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("edit.png").write_text("kept")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    result = run("edit", *YOUNG, "-o", "edit.png", "--model", tiny_bundle)
    assert result.code == 2
    why = "No space left on device: make room, or choose another disk"
    assert result.err == f"latentedit: cannot write edit.png: {why}\n"
    assert os.listdir() == ["edit.png"]
    assert Path("edit.png").read_text() == "kept"


def test_a_file_that_may_not_be_read_is_one_line(
    run: Run, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("latentedit.io.cards.sha256", refused)  # root may read everything
    result = run("sample", "--seeds", 0, "--model", tiny_bundle)
    assert result.code == 2
    assert "cannot use" in result.err
    assert "Permission denied: choose another folder" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("name", ["b.safetensors", "labels.csv", "report"])
def test_a_report_takes_no_other_file_s_place(run: Run, name: str) -> None:
    Path(name).write_text("mine")
    words = ("boundaries", "fit", "--pool", "p", "-o", "b.safetensors", "--json", name)
    result = run(*words)
    assert result.code == 2
    assert "end the name of" in result.err
    assert Path(name).read_text() == "mine"


def test_a_report_takes_no_card_s_place_that_is_to_be(run: Run) -> None:
    words = ("boundaries", "fit", "--pool", "p", "-o", "b.safetensors", "--json", "b.json")
    result = run(*words)
    assert (result.code, "is the card of" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "classifier", "--data", "f", "-o", "r", "--learning-rate", "inf"), "finite"),
        (("train", "generator", "--data", "f", "-o", "r", "--minutes", "inf"), "finite"),
        (("label", "face.jpg", "--threshold", "0.5", "--json"), "--threshold"),
        (("models", "push", "a/b", "-o", "out", "--public"), "--public"),
        (("evaluate", "photos", ".", "--json", "report.txt"), "end the name of"),
        (("prepare", "faces", ".", "-o", "f.faces", "--contact-sheet", "s.txt"), "end its name in"),
    ],
)
def test_numbers_and_options_without_a_meaning(
    run: Run, tiny_bundle: Path, words: tuple[object, ...], message: str
) -> None:
    assert message in refuse(run, tiny_bundle, *words)


def test_edits_at_once_get_names_of_their_own(run: Run, tiny_bundle: Path) -> None:
    with claimed("edit.png"):
        assert run("edit", *YOUNG, "--model", tiny_bundle).code == 0
    assert not Path("edit.png").exists()
    assert Path("edit-2.png").is_file()


def test_a_folder_that_nobody_may_look_into_is_a_photo_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied(path: Path, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", denied)
    assert named_photos([Path("locked/b.jpg")]).files == [Path("locked/b.jpg")]


def test_faces_and_their_sheet_are_two_files(run: Run, make_celeba: Callable[..., Path]) -> None:
    folder = make_celeba(Path("celeba"))
    result = run("prepare", "faces", folder, "-o", "e.png", "--contact-sheet", "./e.png")
    assert (result.code, "give two names" in result.err) == (2, True)


def test_a_sheet_that_cannot_be_saved_is_refused_before_the_search(
    run: Run, tiny_bundle: Path
) -> None:
    words = ("directions", "pca", "--model", tiny_bundle, "-o", "d.safetensors", "--sheet", "d.txt")
    assert "end its name in" in refuse(run, tiny_bundle, *words)


@pytest.mark.parametrize("kind", ["classifier", "age"])
def test_a_dry_run_refuses_what_the_run_would(
    run: Run, make_celeba: Callable[..., Path], kind: str
) -> None:
    run("prepare", "celeba", make_celeba(Path("celeba")), "-o", "f.faces", "--resolution", 16)
    result = run("train", kind, "--data", "f.faces", "-o", "r", "--dry-run")
    assert result.code == 2
    assert ("lower --validation" if kind == "classifier" else "no ages") in result.err
    words = ("train", kind, "--data", "f.faces", "-o", "r", "--validation", 2)
    said = []
    for option in ((), ("--dry-run",)):
        result = run(*words, *option)
        assert result.code == 2
        said.append(result.err)
    assert said[0] == said[1]
    assert "fill a batch" in said[0] or "no ages" in said[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no recipe"),
        (b"latentedit", "holds no recipe"),
        (b"{", "damaged"),
        (b'{"a": NaN}', "damaged"),
        (b"\xff\xfe{}", "holds no recipe"),
        (b"[1]", "holds no recipe"),
        (b"{}", "not an edit recipe that this version can read"),
        (b'{"edits": []}', "not an edit recipe that this version can read"),
        (b'{"edits": [{"face": 0}]}', "not an edit recipe that this version can read"),
        (b'{"sample": {"seeds": [1]}}', "were not edited"),
        (b"GIF89a;", "carries no recipe"),
        (b"\0\0\0\x08ftypisom", "carries no recipe"),
        (b"\x89PNG\r\n\x1a\n", "holds no recipe"),
    ],
)
def test_what_no_recipe_is(run: Run, tiny_bundle: Path, content: bytes, message: str) -> None:
    Path("broken").write_bytes(content)
    words = ("edit", "--recipe", "broken", "--model", tiny_bundle)
    line = refuse(run, tiny_bundle, *words)
    assert line.startswith("broken")
    assert message in line


def test_pictures_of_others_carry_no_recipe(run: Run, tiny_bundle: Path) -> None:
    for name in ("plain.png", "plain.jpg", "plain.gif"):
        Image.new("RGB", (8, 8)).save(name)
        words = ("edit", "--recipe", name, "--model", tiny_bundle)
        assert f"{name} carries no recipe" in refuse(run, tiny_bundle, *words)


def test_a_recipe_of_another_generator_of_that_name(run: Run, tiny_bundle: Path) -> None:
    own = FaceEditor.load(tiny_bundle, device="cpu")
    recipe = own.recipe({"Young": 1.0}, seeds=[3]).as_dict()
    words = ("edit", "--recipe", "r.json", "--model", tiny_bundle)
    for changes, message in (
        ({"generator_hash": "f" * 16}, "another tiny"),
        ({"generator_hash": "f" * 16, "model": "other"}, "other"),
    ):
        Path("r.json").write_text(json.dumps(recipe | changes))
        line = refuse(run, tiny_bundle, *words)
        assert "f" * 8 in line
        assert "f" * 9 not in line
        assert own.generator_hash[:8] in line
        assert message in line
        assert "--model" in line
    Path("r.json").write_text(json.dumps(recipe | {"steps": {"Wink": 1.0}, "holds": {"Wink": {}}}))
    assert "Wink" in refuse(run, tiny_bundle, *words)


def test_a_recipe_of_latents_asks_for_them(run: Run, tiny_bundle: Path) -> None:
    own = FaceEditor.load(tiny_bundle, device="cpu")
    recipe = own.recipe({"Young": 1.0}, frames=2).as_dict()
    words = ("edit", "--recipe", "r.json", "--model", tiny_bundle)
    Path("r.json").write_text(json.dumps(recipe))
    assert "--latents" in refuse(run, tiny_bundle, *words)
    edit = {"face": 1, **recipe}
    Path("r.json").write_text(json.dumps({"photo": "me.jpg", "edits": [edit]}))
    assert "edits me.jpg: give it too" in refuse(run, tiny_bundle, *words)
    Path("r.json").write_text(json.dumps({"photo": "me.jpg", "edits": [edit, edit]}))
    assert "2 faces of a photo" in refuse(run, tiny_bundle, *words)


def test_inputs_are_not_written_over(run: Run, tiny_bundle: Path) -> None:
    model = ("--model", tiny_bundle)
    run("sample", "--seeds", "3", "--save-latents", "z.npy", "-o", "s.png", *model)
    words = ("edit", *YOUNG, "--latents", "z.npy", "-o", "z.npy", *model)
    assert "the file of latents itself" in refuse(run, tiny_bundle, *words)
    assert run(*words, "--force").code == 0
    assert run("edit", *YOUNG, "-o", "e.png", *model).code == 0
    words = ("edit", "--recipe", "e.png", "-o", "e.png", *model)
    assert "the recipe itself" in refuse(run, tiny_bundle, *words)
    assert run(*words, "--force").code == 0


def test_a_video_without_what_writes_it(
    run: Run, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(FaceEditor, "load", lambda *_: pytest.fail("it went to work"))
    words = ("edit", *YOUNG, "-o", "film.mp4", "--model", tiny_bundle)
    assert "pip install 'latentedit[demo]'" in refuse(run, tiny_bundle, *words)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anything")
@pytest.mark.parametrize("ending", ["png", "gif", "npy"])
def test_a_read_only_target(run: Run, tiny_bundle: Path, ending: str) -> None:
    target = Path(f"kept.{ending}")
    target.write_text("kept")
    target.chmod(0o444)
    words = ("edit", *YOUNG, "-o", target, "--model", tiny_bundle)
    assert "read-only" in refuse(run, tiny_bundle, *words)
