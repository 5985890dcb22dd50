"""Turn inert descriptions into values: tensors, arrays, containers, and entries of objects.

`pickles.read_pickle` gives calls of functions and classes by name. Here the few that stand for
numbers become numbers. Everything else becomes a dictionary of entries, or only a name. Nothing is
looked up, imported or called. So nothing can run code: neither a whole network that somebody
pickled, nor NVIDIA's snapshots, which hold source code (``torch_utils.persistence``).
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from latentedit.checkpoints.pickles import Call, Name, Persistent, is_call, to_array
from latentedit.checkpoints.torch_files import MOST_OPCODES, Storage, TorchFile
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from torch import Tensor

_MOST_KEYS = 100_000
_MOST_SUBSCRIPTS = 16


class Skipped(NamedTuple):
    """A value that is not read; `name` is what the file calls it."""

    name: str


class Settings:
    """An object found in a checkpoint: only its entries, whatever class the file names."""

    def __init__(self, name: str, entries: Mapping[str, Any]) -> None:
        self.name = name
        self.entries = dict(entries)

    def get(self, name: str, default: Any) -> Any:
        """Return an entry's value, or `default` if the file has no such entry."""
        return self.entries.get(name, default)


class SavedModule(Settings):
    """A whole ``torch.nn.Module`` found in a file: parameters, buffers and plain entries."""

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors that the module's own ``state_dict`` would have given.

        Raises:
            LatentEditError: the file holds more tensors than any network has.
        """
        state: dict[str, Any] = {}
        self._collect("", state, 0)
        return state

    def _collect(self, prefix: str, state: dict[str, Any], depth: int) -> None:
        transient = self.get("_non_persistent_buffers_set", [])
        transient = transient if isinstance(transient, list | tuple) else []
        for part in ("_parameters", "_buffers"):
            for name, value in self._part(part):
                if value is not None and name not in transient:
                    state[f"{prefix}{name}"] = value
        for name, child in self._part("_modules"):
            if len(state) > _MOST_KEYS or depth > 40:
                raise LatentEditError("this file holds more tensors than any network has")
            if isinstance(child, SavedModule):
                child._collect(f"{prefix}{name}.", state, depth + 1)

    def _part(self, name: str) -> list[tuple[str, Any]]:
        found = self.get(name, {})
        return [(str(k), v) for k, v in found.items()] if isinstance(found, Mapping) else []

    def module(self, *path: str) -> SavedModule | None:
        """Return the module at a path inside this one, or None."""
        here: Any = self
        for name in path:
            here = dict(here._part("_modules")).get(name)
            if not isinstance(here, SavedModule):
                return None
        return here


def resolve(file: TorchFile) -> Any:
    """Turn what a file holds into values.

    Returns:
        None, bool, int, float, str, bytes, list, tuple, dict (keys: str or int), tensors on the
        CPU, numpy arrays, `Settings`, `SavedModule` and `Skipped`, nested.

    Raises:
        LatentEditError: the file is damaged, or a tensor is larger than its storage.
    """
    try:
        value = _Resolver(file).value(file.value)
    except (ValueError, TypeError, RuntimeError, IndexError, OverflowError, MemoryError) as error:
        detail = " ".join(str(error).split())[:120]
        raise LatentEditError(f"{file.what} is damaged ({detail}): fetch it again") from None
    _check_paths(value, file.what)
    return value


def _check_paths(value: Any, what: str) -> None:
    """Refuse values that can be reached in more ways than a file has values.

    A small file can name the same part again and again, level by level. Whoever walks through it
    would never come to an end.

    Raises:
        LatentEditError: there are more than `MOST_OPCODES` ways.
    """
    waiting, ways = [value], 0
    while waiting:
        each = waiting.pop()
        each = each.entries if isinstance(each, Settings) else each
        inside = each.values() if isinstance(each, Mapping) else each
        if isinstance(inside, list | tuple) or isinstance(each, Mapping):
            ways += len(inside)
            if ways > MOST_OPCODES:
                raise LatentEditError(f"{what} is refused: it names the same parts too often")
            waiting += inside


class _Resolver:
    def __init__(self, file: TorchFile) -> None:
        self.file = file
        self.done: dict[int, tuple[Any, Any]] = {}  # by id; keeps the description alive
        self.open: set[int] = set()
        self.storages: dict[Any, Tensor] = {}

    def value(self, inert: Any) -> Any:
        if inert is None or isinstance(inert, bool | int | float | str | bytes):
            return inert
        if isinstance(inert, Name):
            return Skipped(str(inert))
        if id(inert) in self.done:
            return self.done[id(inert)][1]
        if id(inert) in self.open:
            return Skipped("what holds it")
        self.open.add(id(inert))
        found = self.made(inert)
        self.open.discard(id(inert))
        self.done[id(inert)] = (inert, found)
        return found

    def made(self, inert: Any) -> Any:
        if isinstance(inert, dict):
            return self.entries(inert)
        if isinstance(inert, list):
            return [self.value(each) for each in inert]
        if isinstance(inert, tuple):
            return tuple(self.value(each) for each in inert)
        if isinstance(inert, Persistent):
            return Skipped("a storage")
        assert isinstance(inert, Call)
        return self.called(inert)

    def entries(self, inert: Mapping[Any, Any]) -> dict[Any, Any]:
        return {
            key if type(key) in (str, int) else _key(key): self.value(each)
            for key, each in inert.items()
        }

    def called(self, call: Call) -> Any:
        name = call.target.name
        if call.target.module == "torch._utils" and name.startswith("_rebuild_parameter"):
            return self.value(call.arguments[0])
        if call.target in _TENSORS:
            return self.tensor(*call.arguments[:4])
        if name in ("Parameter", "Buffer") and call.target.module.startswith("torch."):
            return self.value(call.arguments[0]) if call.arguments else Skipped(str(call.target))
        if is_call(call, "_reconstruct", "scalar", "_frombuffer"):
            return self.array(call)
        if name == "_reconstruct_persistent_obj":
            return self.persistent(call)
        if call.items and call.state is None:
            return self.entries(call.items)
        if name in ("OrderedDict", "defaultdict", "Counter", "EasyDict", "dict"):
            return self.dictionary(call)
        return self.thing(str(call.target), call.state)

    def thing(self, name: str, state: Any) -> Any:
        """Return an object as a `SavedModule` or `Settings`; as `Skipped` if it has no entries."""
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            # a dictionary or None, and then __slots__
            state = {**(state[0] if isinstance(state[0], dict) else {}), **state[1]}
        if isinstance(state, Call):
            state = state.items
        if not isinstance(state, dict):
            return Skipped(name)
        kind = SavedModule if {"_parameters", "_modules"} <= set(map(str, state)) else Settings
        return kind(name, {str(key): each for key, each in self.entries(state).items()})

    def persistent(self, call: Call) -> Any:
        """Return an object of NVIDIA's ``persistent_class``; its source code is never read."""
        meta = call.arguments[0] if call.arguments else None
        meta = meta.items if isinstance(meta, Call) else meta
        if not isinstance(meta, dict):
            return Skipped(str(call.target))
        return self.thing(str(meta.get("class_name"))[:80], meta.get("state"))

    def dictionary(self, call: Call) -> dict[Any, Any]:
        """Return a dictionary from pairs, as Python 2 wrote ordered ones, or from a dictionary."""
        first = call.arguments[0] if call.arguments else None
        if isinstance(first, dict):
            return self.entries(first)
        pairs = first if isinstance(first, list) else []
        found = {p[0]: p[1] for p in pairs if isinstance(p, list | tuple) and len(p) == 2}
        return self.entries({**found, **call.items})

    def array(self, call: Call) -> Any:
        try:
            array = to_array(call)
        except LatentEditError:
            return Skipped("an array of objects, or empty")
        return array[()]

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
        import torch

        flat = self.flat(storage)
        numbers = [offset, *size, *stride]
        if len(size) != len(stride) or len(size) > _MOST_SUBSCRIPTS:
            raise ValueError("a tensor without a shape")
        if not all(type(number) is int and 0 <= number < 2**40 for number in numbers):
            raise ValueError("a tensor of no possible shape")
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if all(size) and last >= len(flat):
            raise ValueError("a tensor is larger than its storage")
        return torch.as_strided(flat, size, stride, offset if all(size) else 0)

    def flat(self, reference: Any) -> Tensor:
        """Return a storage as a tensor of one axis; a storage that tensors share is read once."""
        key = reference.key[2] if isinstance(reference, Persistent) else _same(reference)
        if key not in self.storages:
            self.storages[key] = _to_tensor(self.file.storage(reference))
        return self.storages[key]


_TENSORS = {Name("torch._utils", name) for name in ("_rebuild_tensor", "_rebuild_tensor_v2")}


def _same(reference: Any) -> int:
    """Return the identity of a storage's bytes, which several references may share."""
    held = reference.arguments[0] if isinstance(reference, Call) and reference.arguments else None
    return id(reference if held is None else held)


def _to_tensor(storage: Storage) -> Tensor:
    import torch

    dtype = torch.uint8 if storage.dtype == "raw" else getattr(torch, storage.dtype)
    if not len(storage.data):
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(storage.data), dtype=dtype)


def _key(key: Any) -> str:
    return str(key.target) if isinstance(key, Call) else in_short(key)


def in_short(value: Any, most: int = 80) -> str:
    """Describe a value of a file in a few letters; nested values that share parts may be huge."""
    return _SHORT.repr(value)[:most] if not isinstance(value, str) else value[:most]


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
