"""Opening weight files safely: PyTorch's `.pth`, safetensors and TensorFlow pickles."""

from __future__ import annotations

import mmap
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast

from latentedit.checkpoints.ir import read_graph
from latentedit.checkpoints.ir_files import is_ir, pairs
from latentedit.checkpoints.pickles import (
    NUMPY_NAMES,
    Call,
    Name,
    is_call,
    read_pickle,
    to_array,
)
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

Kind = Literal["torch", "torch legacy", "safetensors", "pickle", "onnx", "ir"]

NETWORK_NAMES = frozenset(
    {
        Name("tfutil", "Network"),
        Name("dnnlib.tflib.network", "Network"),
        Name("dnnlib.util", "EasyDict"),
        Name("config", "EasyDict"),
        Name("collections", "OrderedDict"),
    }
)
"""Classes that the pickles of Karras et al. name; only their state is kept."""

SETTINGS_NAMES = frozenset(
    {Name("argparse", "Namespace"), Name("models.utils.config", "BaseConfig")}
)
"""Classes of training options in PyTorch checkpoints; only their entries are kept."""

_STORAGES = (
    *("Float", "Double", "Half", "BFloat16", "Long", "Int"),
    *("Short", "Char", "Byte", "Bool", "Untyped", "Typed"),
)
TORCH_NAMES = (
    frozenset(
        {
            Name("collections", "OrderedDict"),
            Name("torch", "Size"),
            Name("torch", "device"),
            Name("torch._utils", "_rebuild_tensor"),
            Name("torch._utils", "_rebuild_tensor_v2"),
            Name("torch._utils", "_rebuild_parameter"),
            Name("torch.nn.parameter", "Parameter"),
            Name("_codecs", "encode"),
        }
        | {Name("torch", f"{kind}Storage") for kind in _STORAGES}
        | {Name("torch.storage", f"{kind}Storage") for kind in _STORAGES}
    )
    | SETTINGS_NAMES
)
"""What a state dictionary needs; a narrower list than that of ``torch.load(weights_only=True)``."""

_LEGACY_MAGIC = b"\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_LARGEST_PICKLE = 32 * 2**20
_MOST_TORCH_OPCODES = 120_000  # with both networks and both optimisers of a StyleGAN2: 55,000


class Settings:
    """Training options found in a checkpoint: entries only, whatever class the file names."""

    entries: Mapping[str, Any]

    def __init__(self, *_: Any) -> None:
        self.entries = {}

    def __setstate__(self, state: Any) -> None:
        self.entries = dict(state) if isinstance(state, dict) else {}

    def get(self, name: str, default: Any) -> Any:
        """An option's value, or `default` where the file does not say."""
        return getattr(self, "entries", {}).get(name, default)


def kind_of(path: str | Path) -> Kind:
    """Tell what a weight file is by its first bytes, whatever its name; of IR files see `is_ir`.

    Raises:
        LatentEditError: missing, or none of the kinds.
    """
    path = Path(path)
    if is_ir(path):
        return "ir"
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError as error:
        raise LatentEditError(f"cannot read {path}: {error.strerror}") from None
    if head[:4] == b"PK\x03\x04":
        return "torch"
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "torch legacy" if head[2:14] == _LEGACY_MAGIC else "pickle"
    if head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 2**27:
        return "safetensors"
    if path.suffix.lower() == ".onnx":
        return "onnx"
    raise LatentEditError(
        f"{path} is no weight file: give a PyTorch .pth, a TensorFlow .pkl, a .safetensors file "
        "or OpenVINO's .xml"
    )


def screen(path: str | Path) -> None:
    """Refuse a hostile or damaged weight file before anything large is imported or read.

    Needs no torch, little time and little memory; `convert` screens again by itself.

    Raises:
        LatentEditError: refused, damaged, or no weight file.
    """
    kind = kind_of(path)
    if kind == "pickle":
        load_network_pickle(path)
    elif kind in ("torch", "torch legacy"):
        screen_torch(path)
    elif kind == "ir":
        for pair in pairs(path):
            read_graph(pair.read(), pair.where)


@dataclass(frozen=True)
class PickledNetwork:
    """What a `tfutil.Network` pickle holds that matters.

    Attributes:
        name: such as G, D or Gs.
        function: the function that built it, such as ``G_paper``.
        options: the arguments of that function.
        variables: floating-point arrays by name.
    """

    name: str
    function: str
    options: Mapping[str, Any]
    variables: Mapping[str, NDArray[Any]]


def load_network_pickle(path: str | Path) -> list[PickledNetwork]:
    """Read a TensorFlow `tfutil.Network` pickle, one network or a tuple, as inert data.

    Needs neither TensorFlow nor torch; see `pickles.read_pickle`.

    Raises:
        LatentEditError: refused, damaged, or no such networks.
    """
    what = str(path)
    with _mapped(Path(path)) as file:
        value = read_pickle(file, NUMPY_NAMES | NETWORK_NAMES, what)
    networks = list(value) if isinstance(value, tuple | list) else [value]
    if not networks or not all(is_call(network, "Network") for network in networks):
        raise LatentEditError(f"{what} holds no tfutil.Network: give a pickle of Karras et al.")
    return [_network(network.state, what) for network in networks]


def _network(state: Any, what: str) -> PickledNetwork:
    if not isinstance(state, dict) or "variables" not in state or "components" in state:
        raise LatentEditError(
            f"{what} holds networks of another kind (StyleGAN?): convert it to PyTorch with its "
            "authors' tools first"
        )
    variables: dict[str, NDArray[Any]] = {}
    pairs = state["variables"]
    for pair in pairs if isinstance(pairs, list | tuple) else [None]:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise LatentEditError(f"{what} has no list of named variables: give a whole network")
        array = to_array(pair[1], what)
        if array.dtype.kind != "f":
            raise LatentEditError(f"{what}: variable {pair[0][:60]!r} holds no floating point")
        variables[pair[0]] = array
    options = state.get("static_kwargs")
    options = options.items if isinstance(options, Call) else options
    return PickledNetwork(
        name=str(state.get("name"))[:60],
        function=str(state.get("build_func_name", "G_paper"))[:60],
        options=options if isinstance(options, dict) else {},
        variables=variables,
    )


def load_torch(path: str | Path) -> dict[str, Any]:
    """Load a PyTorch checkpoint with ``torch.load(weights_only=True)``, on the CPU.

    Before torch sees it, the file is screened without torch: its pickles are read as inert data
    (see `pickles.read_pickle`) with the names of `TORCH_NAMES` only, and its archive may not hold
    compressed entries, so it cannot unfold into more memory than it has bytes.

    Returns:
        The dictionary in the file; option objects become `Settings`.

    Raises:
        LatentEditError: refused by the screening or by torch, or not a dictionary.
    """
    path = Path(path)
    screen_torch(path)

    import torch

    names = [(Settings, str(name)) for name in SETTINGS_NAMES]
    try:
        with torch.serialization.safe_globals(cast(Any, names)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on damaged files
        detail = " ".join(str(error).split())[:120]
        raise LatentEditError(f"{path} cannot be loaded by torch ({detail})") from None
    if not isinstance(value, dict):
        raise LatentEditError(f"{path} holds no state dictionary but a {type(value).__name__}")
    return value


def screen_torch(path: str | Path) -> None:
    """Refuse a PyTorch file that holds anything but tensors in plain containers.

    Needs no torch.

    Raises:
        LatentEditError: another name, compressed or oversized entries, or a damaged file.
    """
    path = Path(path)
    if kind_of(path) == "torch legacy":
        with _mapped(path) as file:
            for _ in range(5):  # magic, protocol, system, the object, the storages' keys
                read_pickle(file, TORCH_NAMES, str(path), _MOST_TORCH_OPCODES)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise LatentEditError(f"{path} is refused: its archive is compressed")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise LatentEditError(f"{path} is refused: its archive claims more than it holds")
            pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
            if len(pickles) != 1 or pickles[0].file_size > _LARGEST_PICKLE:
                raise LatentEditError(f"{path} is not a PyTorch checkpoint: it has no data.pkl")
            data = BytesIO(archive.read(pickles[0]))
            read_pickle(data, TORCH_NAMES, str(path), _MOST_TORCH_OPCODES)
    except LatentEditError:
        raise
    except Exception as error:  # zipfile raises many types on damaged files
        detail = " ".join(str(error).split())[:120]
        raise LatentEditError(f"{path} is damaged ({detail}): fetch it again") from None


def load_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Load all tensors of a safetensors file, on the CPU.

    Raises:
        LatentEditError: damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise LatentEditError(f"{path} is a damaged safetensors file ({error})") from None


@contextmanager
def _mapped(path: Path) -> Iterator[IO[bytes]]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        yield cast("IO[bytes]", view)
