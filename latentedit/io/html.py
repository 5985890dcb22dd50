"""Make HTML from Jinja2 templates; they lie in the folder ``assets`` of their package."""

from __future__ import annotations

import base64
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_FOLDER = "assets"


def render(package: str, name: str, **values: Any) -> str:
    """Fill in a template; all values are escaped.

    Args:
        package: dotted name of the package that has the template.
        name: name of the template's file.
        values: values of all names in the template; none may be missing.
    """
    return _environment(package).get_template(name).render(values)


def asset(package: str, name: str) -> str:
    """Return the text of a file in a package's folder ``assets``, unchanged."""
    return files(package).joinpath(_FOLDER, name).read_text(encoding="utf-8")


def data_uri(content: bytes, media_type: str = "image/png") -> str:
    """Return a data URI that holds a whole file, for ``src``."""
    return f"data:{media_type};base64," + base64.b64encode(content).decode("ascii")


@cache
def _environment(package: str) -> Environment:
    return Environment(
        loader=PackageLoader(package, _FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
