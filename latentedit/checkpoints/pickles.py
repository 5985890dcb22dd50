"""Read pickles as data: nothing is imported, called or executed.

Python's own unpickler calls what the file names. This one does not: it walks the opcodes
(`pickletools.genops` only takes them apart) and builds inert values. A name becomes a `Name`, and
only if the caller's list allows it. A call becomes a `Call` that remembers what would have been
called; it keeps the state too. `to_array` then turns the few calls that describe numpy arrays into
arrays, and checks sizes against the bytes that are really there.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from latentedit.errors import LatentEditError

MAX_OPCODES = 60_000
"""Most opcodes that are read; the largest published checkpoint has about 8,000."""

MAX_DEPTH = 80
"""Deepest nesting of containers; state dictionaries have fewer than 10, whole networks 40."""

MAX_ENTRIES = 200_000
"""Most stack and memo entries at any time."""

MAX_BYTES = 256 * 2**20
"""Longest single value in bytes; the largest array of a published generator has 16 MiB."""

_LONGEST_LINE = 1000
_LONGEST_KEY = 16

MAX_TEXT = 17_000_000
"""Longest text in characters: protocol 2 keeps an array's bytes as text, 16 MiB at most."""


class Name(NamedTuple):
    """A module and a name in it; never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Call:
    """A call that the file asks for: of what, with what, and what to put into the result."""

    target: Name
    arguments: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    entries: list[Any] = field(default_factory=list)
    keywords: Any = None


@dataclass(eq=False, frozen=True)
class Persistent:
    """A reference to something outside the pickle (PyTorch's storages)."""

    key: Any


NUMPY_NAMES = frozenset(
    {Name("numpy", "ndarray"), Name("numpy", "dtype"), Name("_codecs", "encode")}
    | {
        Name(f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    }
)
"""All names that numpy writes for arrays and scalars, in any of its versions and any protocol."""


@dataclass(frozen=True)
class OpenNames:
    """Names that a checkpoint may use; objects of any class may lie beside its weights.

    No name is ever looked up. Dangerous names are refused all the same, so that nobody takes a
    hostile file for a good one.

    Attributes:
        functions: the functions that may be called. The class of an object need not be among them:
            its entries are kept as data.
    """

    functions: Collection[Name]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, Name) or name in self.functions:
            return isinstance(name, Name)
        if _is_random(name) or name in _ENTRY:
            return True
        parts = str(name).split(".")
        if any(part.startswith("__") and part not in ("__main__", "__builtin__") for part in parts):
            return False
        root = name.module.partition(".")[0]
        return root not in _PROGRAMS and (root not in _BUILTINS or name.name in _PLAIN_TYPES)

    def may_call(self, name: Name, arguments: tuple[Any, ...]) -> bool:
        """Whether a file may call `name`: it is one of the functions, or looks like a class."""
        if name in _ENTRY:  # members of enumerations, and methods, are written so
            return [type(each) for each in arguments] == [Name, str]
        last = name.name.rpartition(".")[2].lstrip("_")
        known = name in self.functions or name.name in _PLAIN_TYPES or _is_random(name)
        return known or last[:1].isupper()


def _is_random(name: Name) -> bool:
    """Whether the name belongs to numpy's random number generators."""
    return name.module.startswith("numpy.random") and "." not in name.name


_BUILTINS = ("builtins", "__builtin__")
_ENTRY = tuple(Name(module, "getattr") for module in _BUILTINS)
_PLAIN_TYPES = frozenset(
    {
        *("set", "frozenset", "complex", "bytearray", "slice", "range", "object", "dict", "list"),
        *("tuple", "int", "float", "str", "bool", "bytes", "type", "long", "unicode"),
    }
)
_PROGRAMS = frozenset(
    {
        *("os", "posix", "nt", "posixpath", "ntpath", "sys", "subprocess", "commands", "popen2"),
        *("pty", "shutil", "socket", "importlib", "imp", "runpy", "ctypes", "code", "codeop"),
        *("marshal", "webbrowser", "pip", "multiprocessing", "threading", "asyncio", "http"),
        *("urllib", "urllib2", "requests", "httpx", "ftplib", "smtplib", "telnetlib", "operator"),
        *("types", "inspect", "timeit", "pdb", "bdb", "profile", "cProfile", "trace", "pickle"),
        *("cPickle", "_pickle", "dill", "cloudpickle", "shelve", "signal", "platform", "pydoc"),
        *("doctest", "unittest", "ensurepip", "venv", "site", "zipimport", "tempfile", "glob"),
        *("io", "nturl2path", "idlelib"),
    }
)
"""Modules that start programs, touch files or the network, or run code: no checkpoint has them."""


def read_pickle(
    file: IO[bytes],
    names: Collection[Name] | OpenNames,
    what: str = "this file",
    max_opcodes: int = MAX_OPCODES,
) -> Any:
    """Read one pickle from where `file` stands.

    Args:
        file: a binary file that can seek, or an ``mmap``; it is left behind the pickle's end.
        names: the names that may occur; any other is refused.
        what: how messages call the file.
        max_opcodes: refuse longer pickles.

    Returns:
        None, bool, int, float, str, bytes, list (for a set too), tuple, dict, `Name`, `Call` and
        `Persistent`, nested. Keys of a dict are str or int; with `OpenNames` any plain value, or a
        tuple of plain values.

    Raises:
        LatentEditError: the file is damaged, has a name, opcode or key that no checkpoint needs, or
            has more or deeper values than a checkpoint.
    """
    reader = _Reader(names, what, max_opcodes)
    try:
        return reader.run(pickletools.genops(_Bounded(file, reader.refuse)))  # type: ignore[arg-type]
    except LatentEditError:
        raise
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError) as error:
        detail = str(error).split("\n")[0][:120] or type(error).__name__
        raise LatentEditError(f"{what} is a damaged pickle ({detail}): fetch it again") from None


class _Bounded:
    """A file that refuses to read very much at once, before any memory is set aside for it."""

    def __init__(self, file: IO[bytes], refuse: Callable[[str], NoReturn]) -> None:
        self._file = file
        self._refuse = refuse
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if size > MAX_BYTES:
            self._refuse(f"it announces a value of {size:,} bytes")
        return self._file.read(size)

    def readline(self) -> bytes:
        start = self._file.tell()
        text = self._file.read(_LONGEST_LINE)
        end = text.find(b"\n") + 1 or len(text)
        self._file.seek(start + end)
        return text[:end]


class _Reader:
    def __init__(self, names: Collection[Name] | OpenNames, what: str, max_opcodes: int) -> None:
        self.names = names
        self.max_opcodes = max_opcodes
        self.what = what
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.depths: dict[int, tuple[int, Any]] = {}  # by id; keeps the value alive

    def refuse(self, why: str, advice: str = "") -> NoReturn:
        raise LatentEditError(f"{self.what} is refused: {why}; nothing in it was run{advice}")

    def run(self, operations: Iterator[tuple[Any, Any, int | None]]) -> Any:
        for count, (opcode, argument, _) in enumerate(operations):
            if count >= self.max_opcodes:
                self.refuse(f"it has more than {self.max_opcodes:,} pickle operations")
            name = opcode.name
            if name == "STOP":
                break
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _LITERALS:
                self.literal(argument)
            elif (handler := _HANDLERS.get(name)) is not None:
                handler(self, argument)
            else:
                self.refuse(f"it uses the pickle operation {name}, which no checkpoint needs")
            if len(self.marks) > MAX_DEPTH:
                self.refuse(f"it nests deeper than {MAX_DEPTH}")
            if len(self.stack) > MAX_ENTRIES or len(self.memo) > MAX_ENTRIES:
                self.refuse("it holds more values than a checkpoint")
        (value,) = self.stack
        return value

    def nest(self, parent: Any, children: Iterable[Any]) -> None:
        """Note how deep `parent` is now that it holds `children`."""
        depth = 1 + max((self.depths.get(id(child), (0,))[0] for child in children), default=0)
        if depth > MAX_DEPTH:
            self.refuse(f"it nests deeper than {MAX_DEPTH}")
        if depth > self.depths.get(id(parent), (0,))[0]:
            self.depths[id(parent)] = (depth, parent)

    def check_protocol(self, protocol: int) -> None:
        if not 2 <= protocol <= 5:
            self.refuse(f"it claims pickle protocol {protocol}")

    def literal(self, argument: Any) -> None:
        if isinstance(argument, str) and len(argument) > MAX_TEXT:
            self.refuse(f"it holds a text of {len(argument):,} characters")
        if isinstance(argument, bytearray):
            argument = bytes(argument)
        self.stack.append(argument)

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise ValueError("stack underflow")
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def name(self, module: Any, name: Any) -> None:
        found = Name(str(module), str(name))
        if found not in self.names:
            self.refuse_name(found)
        self.stack.append(found)

    def refuse_name(self, name: Name) -> NoReturn:
        advice = ": where it holds a whole network, save its state_dict() instead"
        self.refuse(f"it asks for {str(name)[:80]!r}", advice)

    def call(self, arguments: Any) -> None:
        target = self.pop()
        if isinstance(self.names, OpenNames) and isinstance(target, Persistent):
            target = _class_of(target)
            if isinstance(target, Name) and target not in self.names:
                self.refuse_name(target)
        if not isinstance(target, Name):
            self.refuse("it calls something that is not a name")
        if not isinstance(arguments, tuple):
            raise ValueError("arguments are no tuple")
        if isinstance(self.names, OpenNames) and not self.names.may_call(target, arguments):
            self.refuse_name(target)
        self.stack.append(Call(target, arguments))
        self.nest(self.stack[-1], arguments)

    def build(self) -> None:
        state = self.pop()
        target = self.stack[-1]
        if not isinstance(target, Call):
            self.refuse(f"it sets the state of a {type(target).__name__}")
        target.state = state
        self.nest(target, (state,))

    def fill(self, items: list[Any]) -> None:
        owner = self.stack[-1]
        target = owner.items if isinstance(owner, Call) else owner
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("items for something that is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not self.is_key(key):
                self.refuse(f"it has a dictionary key of type {type(key).__name__}")
            target[key] = value
        self.nest(owner, items)

    def is_key(self, key: Any) -> bool:
        """Whether a dictionary may have this key; a deep tuple would take for ever to hash."""
        if type(key) in (str, int):
            return True
        if not isinstance(self.names, OpenNames):
            return False
        parts = key if type(key) is tuple else (key,)
        plain = (str, int, float, bool, bytes, Name, Call, type(None))
        return len(parts) <= _LONGEST_KEY and all(type(part) in plain for part in parts)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Call):  # an object of a subclass of list or deque
            target.entries.extend(items)
        elif isinstance(target, list):
            target.extend(items)
        else:
            raise ValueError("items for something that is no list")
        self.nest(target, items)

    def call_with_names(self) -> None:
        keywords, arguments = self.pop(), self.pop()
        self.call(arguments)
        self.stack[-1].keywords = keywords
        self.nest(self.stack[-1], (keywords,))

    def make_tuple(self, items: list[Any]) -> None:
        self.stack.append(tuple(items))
        self.nest(self.stack[-1], items)

    def pop_some(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def make_list(self) -> None:
        items = self.pop_mark()
        self.stack.append([])
        self.extend(items)

    def make_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self.fill(items)

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name that is no text")
        self.name(module, name)


def _class_of(reference: Persistent) -> Any:
    """Return the class of a module; old PyTorch files name it together with its source code."""
    parts = reference.key
    if isinstance(parts, tuple) and len(parts) > 1 and parts[0] == "module":
        return parts[1]
    return None


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}

_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}

_HANDLERS: dict[str, Any] = {
    "PROTO": lambda reader, protocol: reader.check_protocol(protocol),
    "FRAME": lambda reader, _: None,
    "MARK": lambda reader, _: reader.marks.append(len(reader.stack)),
    "EMPTY_LIST": lambda reader, _: reader.stack.append([]),
    "EMPTY_DICT": lambda reader, _: reader.stack.append({}),
    "EMPTY_TUPLE": lambda reader, _: reader.stack.append(()),
    "EMPTY_SET": lambda reader, _: reader.stack.append([]),
    "FROZENSET": lambda reader, _: reader.make_list(),
    "ADDITEMS": lambda reader, _: reader.extend(reader.pop_mark()),
    "POP": lambda reader, _: reader.pop(),
    "POP_MARK": lambda reader, _: reader.pop_mark(),
    "LIST": lambda reader, _: reader.make_list(),
    "DICT": lambda reader, _: reader.make_dict(),
    "TUPLE": lambda reader, _: reader.make_tuple(reader.pop_mark()),
    "TUPLE1": lambda reader, _: reader.make_tuple(reader.pop_some(1)),
    "TUPLE2": lambda reader, _: reader.make_tuple(reader.pop_some(2)),
    "TUPLE3": lambda reader, _: reader.make_tuple(reader.pop_some(3)),
    "APPEND": lambda reader, _: reader.extend([reader.pop()]),
    "APPENDS": lambda reader, _: reader.extend(reader.pop_mark()),
    "SETITEM": lambda reader, _: reader.fill([reader.pop(), reader.pop()][::-1]),
    "SETITEMS": lambda reader, _: reader.fill(reader.pop_mark()),
    "MEMOIZE": lambda reader, _: reader.remember(len(reader.memo)),
    "BINPUT": lambda reader, index: reader.remember(index),
    "LONG_BINPUT": lambda reader, index: reader.remember(index),
    "BINGET": lambda reader, index: reader.recall(index),
    "LONG_BINGET": lambda reader, index: reader.recall(index),
    "GLOBAL": lambda reader, text: reader.name(*text.split(" ", 1)),
    "STACK_GLOBAL": lambda reader, _: reader.stack_global(),
    "REDUCE": lambda reader, _: reader.call(reader.pop()),
    "NEWOBJ": lambda reader, _: reader.call(reader.pop()),
    "NEWOBJ_EX": lambda reader, _: reader.call_with_names(),
    "BUILD": lambda reader, _: reader.build(),
    "BINPERSID": lambda reader, _: reader.stack.append(Persistent(reader.pop())),
}


def is_call(value: Any, *names: str) -> bool:
    """Whether `value` is a `Call` of something whose last name is one of `names`."""
    return isinstance(value, Call) and value.target.name in names


def to_array(value: Any, what: str = "this file") -> NDArray[Any]:
    """Turn the inert description of a numpy array or scalar into the array.

    Returns:
        float or integer array; it shares the file's bytes and cannot be written to.

    Raises:
        LatentEditError: it is no array, or an array of objects, or its shape does not fit the bytes
            in the file.
    """
    try:
        return _to_array(value)
    except (ValueError, TypeError, IndexError, OverflowError, UnicodeError):
        raise LatentEditError(
            f"{what} is refused: it holds something in place of an array of numbers"
        ) from None


def _to_array(value: Any) -> NDArray[Any]:
    if isinstance(value, bool | int | float):
        return np.array(value, dtype=np.float64)
    if is_call(value, "_reconstruct"):
        _, shape, dtype, fortran, raw = value.state
        order = "F" if fortran else "C"
    elif is_call(value, "scalar"):
        (dtype, raw), shape, order = value.arguments, (), "C"
    elif is_call(value, "_frombuffer"):
        raw, dtype, shape, order = value.arguments
    else:
        raise TypeError
    raw, kind = to_bytes(raw), _to_dtype(dtype)
    if not all(type(size) is int and 0 <= size <= len(raw) for size in shape) or order not in "CF":
        raise ValueError
    return np.frombuffer(raw, kind).reshape(tuple(shape), order="F" if order == "F" else "C")


def to_bytes(value: Any) -> bytes:
    """Return bytes from any of the ways that pickles describe them.

    Raises:
        TypeError, ValueError: it describes something else.
    """
    if is_call(value, "encode"):  # how protocol 2 writes bytes
        text, encoding = value.arguments
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise TypeError
        return text.encode("latin-1")
    if isinstance(value, str):  # a byte string of Python 2
        return value.encode("latin-1")
    if not isinstance(value, bytes):
        raise TypeError
    return value


_DTYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


def _to_dtype(value: Any) -> np.dtype[Any]:
    if not is_call(value, "dtype"):
        raise TypeError
    code = value.arguments[0]
    code = code.decode("ascii") if isinstance(code, bytes) else code
    if code not in _DTYPES:
        raise TypeError
    swapped = isinstance(value.state, tuple) and value.state[1] in (">", b">")
    return np.dtype((">" if swapped else "<") + code)
