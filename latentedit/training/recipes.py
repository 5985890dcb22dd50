"""Recipes: the settings of a generator's run, in one TOML file, and as single ``key=value``."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from latentedit.errors import LatentEditError
from latentedit.training.options import GeneratorOptions

_KINDS: dict[Any, str] = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "numbers in brackets, like [10, 20]",
}
"""What a setting of each type is called."""


def setting_types() -> dict[str, Any]:
    """Return the type of each setting, by its name."""
    hints = get_type_hints(GeneratorOptions)
    return {field.name: hints[field.name] for field in fields(GeneratorOptions)}


def read_options(
    recipe: Path | None,
    settings: Sequence[str] = (),
    otherwise: GeneratorOptions | None = None,
) -> GeneratorOptions:
    """Return the options of a run: those of a recipe, then single settings.

    Args:
        recipe: a TOML file of ``key = value``, see `GeneratorOptions`.
        settings: ``key=value``, each instead of the recipe's value. Values are written as in TOML;
            quotes around text and brackets around numbers may be left out.
        otherwise: values of all other settings; by default those of `GeneratorOptions`.

    Raises:
        LatentEditError: no such file, no TOML, an unknown key, or a value of another type.
    """
    values: dict[str, Any] = {}
    if recipe is not None:
        for key, value in _read_toml(recipe).items():
            values[key] = _checked(key, value, f"{recipe}: ")
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise LatentEditError(f"cannot read --set {setting!r}: write it like total_kimg=200")
        values[key.strip()] = _checked(key.strip(), _parsed(key.strip(), text.strip()), "--set ")
    return replace(otherwise or GeneratorOptions(), **values)


def _read_toml(recipe: Path) -> Mapping[str, Any]:
    try:
        with open(recipe, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise LatentEditError(f"cannot read the recipe {recipe}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LatentEditError(f"{recipe} is no TOML file: {error}") from None


def _parsed(key: str, text: str) -> Any:
    """Read a value as written after ``key=``; text that is no TOML stays text."""
    listed = _base(setting_types().get(key, str)) is tuple and not text.startswith("[")
    try:
        found = tomllib.loads(f"value = {f'[{text}]' if listed else text}")
    except tomllib.TOMLDecodeError:
        return text
    return found["value"] if len(found) == 1 else text  # text of several lines is no value


def _checked(key: str, value: Any, where: str) -> Any:
    """Return the value in the type that `GeneratorOptions` has for it.

    Raises:
        LatentEditError: an unknown key, or a value of another type.
    """
    known = setting_types()
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise LatentEditError(f"{where}there is no setting {key!r}; {advice}")
    kind = _base(known[key])
    if kind is tuple and _are_numbers(value):
        return tuple(float(each) for each in value)
    if kind is float and _is_number(value):
        return float(value)
    if kind in (str, int, bool) and type(value) is kind:
        return value
    raise LatentEditError(f"{where}{key} cannot be {value!r}: give {_KINDS[kind]}")


def _base(hint: Any) -> Any:
    """Return str, int, float, bool or tuple for a type hint, which may allow None too."""
    if isinstance(hint, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    return get_origin(hint) or hint


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))
