"""Read other projects' weights safely.

`convert(path)` recognises a checkpoint by its keys, accounts for every one of them, and maps it
onto a network of this package; `ConvertedGenerator.save` writes that as a bundle. Importing this
package costs nothing: torch is loaded by the first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentedit.checkpoints.conversion import ConvertedGenerator, convert

__all__ = ["ConvertedGenerator", "convert"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from latentedit.checkpoints import conversion

        return getattr(conversion, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
