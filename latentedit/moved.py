"""Keep the old names of modules that moved into packages importable."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

HOMES = {
    "latentedit.adapters": ("latentedit.generators.adapters", "latentedit.generators.onnx"),
    "latentedit.editor": ("latentedit.editing.editor",),
    "latentedit.finder": ("latentedit.boundaries.finder", "latentedit.boundaries.fitting"),
    "latentedit.pool": ("latentedit.boundaries.pool",),
}
"""New homes of each old module; a name that the first home lacks is looked for in the next."""


class _Moved(MetaPathFinder, Loader):
    """Finds the old modules, which have no file; their names are looked up in the new homes."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in HOMES else None

    def exec_module(self, module: ModuleType) -> None:
        *others, last = HOMES[module.__name__]

        def find(name: str) -> object:
            homes = (home for home in map(import_module, others) if hasattr(home, name))
            return getattr(next(homes, None) or import_module(last), name)

        module.__dict__["__getattr__"] = find


def install() -> None:
    """Make the old names importable."""
    sys.meta_path.append(_Moved())
