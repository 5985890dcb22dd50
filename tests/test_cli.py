"""The command line on tiny models: what it writes, what it prints, and how it refuses."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_face
from PIL import Image
from rich.console import Console

from latentedit import defaults
from latentedit.attributes import ATTRIBUTES
from latentedit.boundaries import Boundaries
from latentedit.cli import main, progress
from latentedit.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.images import open_image, read_metadata
from latentedit.latents import load_latents
from latentedit.strips import edit_strip, read_recipe


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line in this process, inside an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*words: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return Result(int(stopped.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def face(tmp_path: Path) -> Path:
    path = tmp_path / "face.jpg"
    draw_face(1).save(path)
    return path


def snapshot(*folders: Path) -> dict[Path, bytes]:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files}


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
        "model": "tiny", "generator_hash": editor.generator_hash, "seeds": seeds
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
        "note: Young goes only as far as faces hold together, -3 to +3; --force goes past\n"
    )
    forced = run("edit", *options, "--step", -5, "--force")
    assert (json.loads(forced.out)["recipe"]["steps"], forced.err) == ({"Young": -5}, "")
    far = run("edit", *options, "--to", -9)
    assert (
        json.loads(far.out)["recipe"] | {"to": {}, "steps": {"Young": [-3, -3]}}
        == (json.loads(far.out)["recipe"])
    )
    assert "for 2 of 2 faces" in far.err


def test_what_moves_is_not_held_and_that_is_said(run: Run, tiny_bundle: Path) -> None:
    options = ("--attr", "Young", "--step", 1, "--frames", 2, "--model", tiny_bundle)
    assert run("edit", *options, "--hold", "young=0.5,Male").err == (
        "note: Young moves, so it is not held\n"
    )
    assert run("edit", *options, "--hold", "all").err == ""


def test_latents_from_a_file_are_the_faces_of_their_seeds(run: Run, tiny_bundle: Path) -> None:
    options = ("--attr", "Young", "--step", -3, "--json", "--frames", 2, "--model", tiny_bundle)
    run("sample", "--seeds", "3-4", "--save-latents", "z.safetensors", "--model", tiny_bundle)
    by_seed = json.loads(run("edit", *options, "--seeds", "3-4").out)
    by_file = json.loads(run("edit", *options, "--latents", "z.safetensors").out)
    assert by_file["recipe"]["seeds"] is None
    assert [face["seed"] for face in by_file["faces"]] == [None, None]
    for one, other in zip(by_seed["faces"], by_file["faces"], strict=True):
        assert one["attributes"] == other["attributes"]


def test_a_jpeg_is_written_with_a_note(run: Run, tiny_bundle: Path) -> None:
    result = run(
        "edit", "--attr", "Young", "--step", 1, "-o", "e.jpg", "--model", tiny_bundle, "--json"
    )
    assert result.code == 0
    assert json.loads(result.out)["file"] == "e.jpg"
    assert result.err == "note: .jpg keeps no recipe; a .png does\n"
    with Image.open("e.jpg") as picture:
        assert picture.format == "JPEG"


def test_an_older_picture_is_replaced(run: Run, tiny_bundle: Path) -> None:
    Path("edit.png").write_text("older")
    run("edit", "--attr", "Young", "--step", 1, "--model", tiny_bundle)
    assert open_image("edit.png").ndim == 3


# ---- label


def test_label_prints_json(run: Run, tiny_bundle: Path, face: Path, tmp_path: Path) -> None:
    other = tmp_path / "square.png"
    draw_face(2, (64, 64)).save(other)
    result = run("label", face, other, "--json", "--model", tiny_bundle)
    assert (result.code, result.err) == (0, "")
    labels = json.loads(result.out)
    assert [entry["file"] for entry in labels] == [str(face), str(other)]
    for entry in labels:
        assert list(entry["attributes"]) == list(ATTRIBUTES)
        assert all(0 <= value <= 1 for value in entry["attributes"].values())
    assert os.listdir() == []


def test_label_prints_a_table(run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    odd = tmp_path / "[bold]face.png"
    draw_face(1).save(odd)
    result = run("label", odd, "--model", tiny_bundle)
    assert result.code == 0
    assert "[bold]face.png" in result.out
    assert re.search(r"5 o'clock shadow +0\.\d\d", result.out)
    assert len(re.findall(r"\d\.\d\d", result.out)) == 40


# ---- pool and boundaries


def test_each_attribute_may_have_its_own_step_or_distance(run: Run, tiny_bundle: Path) -> None:
    words = ["--attr", "Male", "--to", 1.5, "--attr=Young", "--step=-3", "--attr", "Bald"]
    assert run("edit", *words, "--to", -1, "--frames", 2, "--model", tiny_bundle).code == 0
    recipe = read_recipe("edit.png")
    assert (recipe.steps, recipe.to) == ({"Young": -3.0}, {"Male": 1.5, "Bald": -1.0})
    words = ["--step", 1, "--step", 2, "--attr", "Male", "--frames", 2, "--attr", "Young"]
    assert run("edit", *words, "--model", tiny_bundle).code == 0  # of one kind, in any order
    assert read_recipe("edit.png").steps == {"Male": 1.0, "Young": 2.0}


def test_pool_and_boundaries(run: Run, tiny_bundle: Path, abandon: Callable[[Path], Path]) -> None:
    build = ("pool", "build", "--model", tiny_bundle, "--n", 520, "-o", "pool")
    result = run(*build)
    assert (result.code, result.out) == (0, "520 latents in pool\n")
    assert result.err == ""  # no bar where nobody looks
    abandon(Path("pool/shard-00000.safetensors"))
    assert run(*build).code == 0
    assert sorted(os.listdir("pool")) == ["pool.json", "shard-00000.safetensors"]

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


def test_from_pictures_to_an_edit(run: Run, make_celeba: Callable[..., Path]) -> None:
    """The way from a data set to a model of one's own, on twelve drawn faces."""
    celeba = make_celeba(Path("celeba"), count=12)
    fast = ("--validation", 2, "--device", "cpu", "--data", "faces")
    small = ("--resolution", 8, "--start", 4, "--fmap-max", 8, "--total-kimg", 0.032)
    schedule = ("--stable-kimg", "0.008", "--fade-kimg", "0.008", "--objective", "r1")
    steps = [
        ("prepare", "celeba", celeba, "-o", "faces", "--resolution", 16),
        ("train", "classifier", *fast, "-o", "c", "--epochs", 1, "--batch-size", 5),
        ("train", "generator", *fast, "-o", "g", *small, *schedule, "--batch-size", 8),
        ("bundle", "--generator", "g", "--classifier", "c", "-o", "mine"),
        ("sample", "--model", "mine", "--seeds", "0-1"),
        ("label", "samples.png", "--model", "mine", "--json"),
        # the default objective, looking through the classifier of a run, then of a bundle
        ("train", "generator", *fast, "-o", "g2", *small, "--batch-size", 8, "--classifier", "c"),
        (
            "train",
            "generator",
            *fast,
            "-o",
            "g3",
            *small,
            "--batch-size",
            8,
            "--classifier",
            "mine",
        ),
    ]
    for words in steps:
        result = run(*words)
        assert result.code == 0, f"{words}: {result.err}"
    assert "note: 8x8 has not faded in before 13 thousand images" in result.err
    assert "bundle in mine" in run(*steps[3]).out
    editor = FaceEditor.load("mine", device="cpu")
    assert editor.resolution == 8
    assert editor.attributes == ATTRIBUTES


# ---- bad input: one line that says what to do, exit code 2, nothing lost


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
        ((*YOUNG, "--seed", "-1"), "out of range"),
        ((*YOUNG, "--seed", "1.5"), "'--seed'"),
        ((*YOUNG, "--seed", "1", "--seeds", "2"), "only one of --seed, --seeds and --latents"),
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
        (np.zeros((0, 64), np.float32), "shape [N, 64]"),
        (np.zeros((1, 1, 64), np.float32), "shape [N, 64]"),
        (np.full((1, 64), np.nan, np.float32), "NaN"),
        (np.full((1, 64), np.inf), "infinity"),
        (np.full((1, 64), "z"), "must be numbers"),
        (np.array([{"pickle": 1}] * 64), "holds no latents"),
    ],
)
def test_bad_latents(run: Run, tiny_bundle: Path, array: np.ndarray, message: str) -> None:
    np.save("z.npy", array, allow_pickle=True)
    words = ("edit", *YOUNG, "--latents", "z.npy", "--model", tiny_bundle)
    line = refuse(run, tiny_bundle, *words)
    assert message in line
    assert line.startswith("z.npy")
    assert ".npy of shape" in line or "'latentedit sample --save-latents' writes such" in line


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


def test_pictures_that_cannot_be_labelled(run: Run, tiny_bundle: Path, face: Path) -> None:
    def label(*images: object) -> str:
        return refuse(run, tiny_bundle, "label", *images, "--model", tiny_bundle, "--json")

    truncated = Path("truncated.jpg")
    truncated.write_bytes(face.read_bytes()[:1500])
    assert "truncated.jpg is damaged or cut short" in label(face, truncated)
    Path("text.png").write_text("not a picture")
    assert "use PNG or JPEG" in label("text.png")
    assert "missing.png does not exist" in label("missing.png")
    assert "is a folder" in label(".")
    assert "Missing argument" in label()


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
    assert "another pool (size 2, not 3)" in words("pool", "build", "-o", "p", "-n", 3, *model)
    Path("p/shard-00000.safetensors").write_bytes(b"cut")
    assert "damaged: delete it" in words(*fit, "p", "-o", "b.safetensors")
    Path("p/shard-00000.safetensors").unlink()
    assert "unfinished" in words(*fit, "p", "-o", "b.safetensors")
    named = words(*fit, "p", "-o", "b.safetensors", "--name", "Hats")
    assert "--name is for the columns of a .npy" in named


def test_folders_that_are_not_celeba_and_runs_that_are_none(run: Run, tiny_bundle: Path) -> None:
    line = refuse(run, tiny_bundle, "prepare", "celeba", tiny_bundle, "-o", "x.faces")
    assert "is not CelebA's folder" in line
    assert "nothing to bundle" in refuse(run, tiny_bundle, "bundle", "-o", "mine")
    for alone in (("--psi", "1.2"), ("--snapshots", "1,2"), ("--ema-kimg", "5")):
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
    ],
)
def test_usage_errors_point_to_the_help(
    run: Run, tiny_bundle: Path, words: tuple[str, ...], message: str
) -> None:
    line = refuse(run, tiny_bundle, *words)
    assert message in line
    assert re.search(r"[.?] See 'latentedit.* --help'$", line)


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
    result = run("edit", *YOUNG, "--model", tiny_bundle)
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

    monkeypatch.setattr("latentedit.cards.sha256", refused)  # root may read everything
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


def test_faces_and_their_sheet_are_two_files(run: Run, make_celeba: Callable[..., Path]) -> None:
    folder = make_celeba(Path("celeba"))
    result = run("prepare", "faces", folder, "-o", "e.png", "--contact-sheet", "./e.png")
    assert (result.code, "give two names" in result.err) == (2, True)


@pytest.mark.parametrize("kind", ["classifier", "age"])
def test_a_dry_run_refuses_what_the_run_would(
    run: Run, make_celeba: Callable[..., Path], kind: str
) -> None:
    run("prepare", "celeba", make_celeba(Path("celeba")), "-o", "f.faces", "--resolution", 16)
    result = run("train", kind, "--data", "f.faces", "-o", "r", "--dry-run")
    assert (result.code, "lower --validation" in result.err) == (2, True)
