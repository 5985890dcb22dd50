"""Opening weight files safely: PyTorch's `.pth`, safetensors, and pickles of networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentedit.checkpoints.ir import read_graph
from latentedit.checkpoints.ir_files import pairs
from latentedit.checkpoints.kinds import kind_of
from latentedit.checkpoints.objects import in_short, resolve
from latentedit.checkpoints.pickles import Call, Name, is_call, read_pickle, to_array
from latentedit.checkpoints.torch_files import MOST_OPCODES, TorchFile, mapped, names_of, open_torch
from latentedit.errors import LatentEditError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

NETWORK_NAMES = frozenset(
    {
        Name("tfutil", "Network"),
        Name("dnnlib.tflib.network", "Network"),
        Name("dnnlib.util", "EasyDict"),
        Name("config", "EasyDict"),
    }
)
"""Classes that the pickles of Karras et al. name; only their state is kept."""


def screen(path: str | Path) -> None:
    """Refuse a hostile or damaged weight file before anything large is imported or read.

    Needs no torch, little time and little memory; `convert` screens again by itself.

    Raises:
        LatentEditError: the file is hostile or damaged, or no weight file.
    """
    kind = kind_of(path)
    if kind == "pickle":
        open_pickle(path)
    elif kind in ("torch", "torch legacy"):
        screen_torch(path)
    elif kind == "ir":
        for pair in pairs(path):
            read_graph(pair.read(), pair.where)


@dataclass(frozen=True)
class PickledNetwork:
    """The parts of a pickled `tfutil.Network` that are needed.

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


def open_pickle(path: str | Path) -> list[PickledNetwork] | TorchFile:
    """Read a pickle as inert data: one `tfutil.Network`, a tuple of them, or PyTorch modules.

    Needs neither TensorFlow nor torch; see `pickles.read_pickle`.

    Returns:
        The `tfutil.Network` objects, or a `TorchFile` for anything of PyTorch.

    Raises:
        LatentEditError: the file is refused or damaged, or holds no networks.
    """
    what = str(path)
    with mapped(Path(path)) as file:
        value = read_pickle(file, names_of(NETWORK_NAMES), what, MOST_OPCODES)
    networks = list(value) if isinstance(value, tuple | list) else [value]
    if networks and all(is_call(network, "Network") for network in networks):
        return [_network(network.state, what) for network in networks]
    if isinstance(value, Call | dict):
        return TorchFile(what, value)
    raise LatentEditError(
        f"{what} holds no network: neither tfutil.Network objects of Karras et al. nor PyTorch's "
        f"modules, but a {type(value).__name__}"
    )


def load_network_pickle(path: str | Path) -> list[PickledNetwork]:
    """Read a TensorFlow pickle of one `tfutil.Network` or a tuple of them; see `open_pickle`.

    Raises:
        LatentEditError: the file is refused or damaged, or holds no such networks.
    """
    networks = open_pickle(path)
    if isinstance(networks, TorchFile):
        raise LatentEditError(f"{path} holds no tfutil.Network: give a pickle of Karras et al.")
    return networks


def _network(state: Any, what: str) -> PickledNetwork:
    if not isinstance(state, dict) or "variables" not in state or "components" in state:
        raise LatentEditError(
            f"{what} holds networks of another kind (StyleGAN?): convert it to PyTorch with its "
            "authors' tools first"
        )
    variables: dict[str, NDArray[Any]] = {}
    arrays: dict[int, NDArray[Any]] = {}  # variables may share one, which is read once
    pairs = state["variables"]
    for pair in pairs if isinstance(pairs, list | tuple) else [None]:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise LatentEditError(f"{what} has no list of named variables: give a whole network")
        if id(pair[1]) not in arrays:
            arrays[id(pair[1])] = to_array(pair[1], what)
        array = arrays[id(pair[1])]
        if array.dtype.kind != "f":
            raise LatentEditError(f"{what}: variable {pair[0][:60]!r} holds no floating point")
        variables[pair[0]] = array
    options = state.get("static_kwargs")
    options = options.items if isinstance(options, Call) else options
    return PickledNetwork(
        name=in_short(state.get("name"), 60),
        function=in_short(state.get("build_func_name", "G_paper"), 60),
        options=options if isinstance(options, dict) else {},
        variables=variables,
    )


def load_torch(path: str | Path) -> Any:
    """Load what a PyTorch file holds, on the CPU, without running anything in it.

    The file is read as inert data (see `pickles.read_pickle` and `torch_files`). Tensors are made
    from the bytes in the file (see `objects.resolve`); torch's own loader never sees it.

    Returns:
        See `objects.resolve`.

    Raises:
        LatentEditError: the file is refused or damaged.
    """
    with open_torch(path) as file:
        return resolve(file)


def screen_torch(path: str | Path) -> None:
    """Refuse a PyTorch file that is damaged, or names what no checkpoint needs; needs no torch.

    Raises:
        LatentEditError: see `torch_files.open_torch`.
    """
    with open_torch(path):
        pass


def load_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Load all tensors of a safetensors file, on the CPU.

    Raises:
        LatentEditError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise LatentEditError(f"{path} is a damaged safetensors file ({error})") from None
