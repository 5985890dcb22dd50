"""Recipes and single settings become a run's options, or one line says why not."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentedit.errors import LatentEditError
from latentedit.training.options import GeneratorOptions
from latentedit.training.recipes import read_options

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))

VALUES = st.fixed_dictionaries(
    {},
    optional={
        "objective": st.sampled_from(["projected", "r1", "wgan-gp"]),
        "resolution": st.sampled_from([8, 64, 1024]),
        "total_kimg": st.floats(0, 1e6),
        "batch_size": st.integers(2, 4096),
        "stable_kimg": st.lists(st.floats(0, 1e4), min_size=1, max_size=4),
        "augment": st.booleans(),
        "bf16": st.booleans(),
    },
)


def wanted(values: dict[str, object]) -> GeneratorOptions:
    return GeneratorOptions(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    )


@given(VALUES)
def test_a_recipe_and_the_same_settings_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    recipe = tmp_path_factory.mktemp("recipes") / "recipe.toml"
    recipe.write_text("".join(f"{name} = {json.dumps(v)}\n" for name, v in values.items()))
    settings = [f"{name}={json.dumps(value)}" for name, value in values.items()]
    assert read_options(recipe) == read_options(None, settings) == wanted(values)


def test_settings_are_written_with_less_ado() -> None:
    options = read_options(None, ["objective=r1", "ema_kimg=5,2.5", "fade_kimg = 3", "seed=7"])
    assert (options.objective, options.seed) == ("r1", 7)
    assert (options.ema_kimg, options.fade_kimg) == ((5.0, 2.5), (3.0,))


def test_settings_come_before_the_recipe_and_that_before_the_rest(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("total_kimg = 5\nbatch_size = 4\n")
    begun = GeneratorOptions(total_kimg=1, batch_size=2, seed=3)
    options = read_options(recipe, ["batch_size=8"], begun)
    assert (options.total_kimg, options.batch_size, options.seed) == (5, 8, 3)
    assert isinstance(options.total_kimg, float)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("totl_kimg = 5", "no setting 'totl_kimg'; did you mean 'total_kimg'?"),
        ("zebra = 5", "no setting 'zebra'; known are objective"),
        ("[generator]\nresolution = 8", "no setting 'generator'"),
        ("total_kimg = 'five'", "total_kimg cannot be 'five': give a number"),
        ("total_kimg = true", "total_kimg cannot be True: give a number"),
        ("batch_size = 1.5", "batch_size cannot be 1.5: give a whole number"),
        ("batch_size = true", "batch_size cannot be True"),
        ("bf16 = 1", "bf16 cannot be 1: give true or false"),
        ("objective = 3", "objective cannot be 3: give text in quotes"),
        ("ema_kimg = 5", "ema_kimg cannot be 5: give numbers in brackets"),
        ("ema_kimg = ['a']", "give numbers in brackets"),
        ("total_kimg == 5", "is no TOML file"),
        ("seed = 1\nseed = 2", "is no TOML file"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_in_one_line(
    tmp_path: Path, text: str, words: str
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    with pytest.raises(LatentEditError) as caught:
        read_options(recipe)
    assert words in str(caught.value)
    assert str(recipe) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("total_kimg", "write it like total_kimg=200"),
        ("total-kimg=5", "did you mean 'total_kimg'"),
        ("total_kimg=many", "give a number"),
        ("bf16=yes", "give true or false"),
        ("ema_kimg=a,b", "give numbers in brackets"),
        ("=5", "no setting ''"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(setting: str, words: str) -> None:
    with pytest.raises(LatentEditError, match="--set") as caught:
        read_options(None, [setting])
    assert words in str(caught.value)


@given(st.text())
def test_any_text_is_a_setting_or_is_refused(text: str) -> None:
    said = "one line"
    try:
        size = read_options(None, [f"batch_size={text}"]).batch_size
    except LatentEditError as error:
        said, size = str(error), 0
    assert isinstance(size, int)
    assert len(said.splitlines()) == 1


def test_no_recipe_there(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match="cannot read the recipe"):
        read_options(tmp_path / "nowhere.toml")
    with pytest.raises(LatentEditError, match="cannot read the recipe"):
        read_options(tmp_path)


# ---- those that ship


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_that_ship_are_whole(recipe: Path) -> None:
    options = read_options(recipe)
    assert options.total_kimg >= options.schedule.kimg or options.start == options.resolution
    assert options.generator.resolution == options.resolution


def test_the_shipped_model_is_that_of_its_recipe() -> None:
    card = json.loads((ROOT / "pretrained" / "faces128" / "generator.json").read_text())
    options = asdict(read_options(ROOT / "recipes" / "faces128.toml"))
    assert card["options"]
    for field in fields(GeneratorOptions):
        if field.name in card["options"] and field.name != "save_kimg":
            value = card["options"][field.name]
            assert options[field.name] == (tuple(value) if isinstance(value, list) else value)
