"""Read MobileStyleGAN's generator from OpenVINO IR files: a mapping and a synthesis network.

Belousov 2021 publishes these files in the wheel of the package ``random-face``. Each network is
walked from its result back to its input, and every layer on the way must do what `MobileStyleGAN`
does. So an IR that passes is that network; its shapes give the widths and the numbers of blocks and
mapping layers. Scales that the IR multiplies onto a style are folded into the modulation before
them. `ir` and `ir_files` say how the files are read; nothing in them is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from latentedit.checkpoints.accounting import Reading, account
from latentedit.checkpoints.accounting import Shape as Wanted
from latentedit.checkpoints.ir import Graph, attach, read_graph
from latentedit.checkpoints.ir_files import Pair, pairs
from latentedit.checkpoints.ir_walk import Array, MismatchError, State, walk_mapping, walk_synthesis
from latentedit.errors import LatentEditError
from latentedit.generators import latents
from latentedit.generators.mapped import MAPPING_GAIN
from latentedit.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from latentedit.generators.wavelets import SLOPE

NAME = "MobileStyleGAN, OpenVINO IR"

MEAN_OVER = 16_384
"""How many random z the mean of w is measured over; the files hold no mean."""

MEAN_STEP = 2.0**-10
"""The mean is rounded to this, so that small differences of sums do not change it."""

WANTED = "MobileStyleGAN's mapping [1, S] -> [1, S] or synthesis [1, S] -> [1, 3, R, R]"


def convert_ir(source: str | Path, *, space: Literal["z", "w"], truncation: float) -> Reading:
    """Read MobileStyleGAN's IR files for use in a space with a psi; see `read_ir`."""
    network = read_ir(source).in_space(space).truncated(truncation)
    notes = [f"the files have no mean of w; measured over {MEAN_OVER:,} random z"]
    return Reading(network, len(network.state_dict()) - 1, notes)


def read_ir(source: str | Path) -> MobileStyleGAN:
    """Read MobileStyleGAN's generator from its two IR files.

    Args:
        source: a wheel (or another zip) that holds both, a folder with both, or one of the two
            ``.xml`` files with the rest beside it.

    Returns:
        The network in eval mode, used in W, psi 0.7. Its mean of w is measured, see `mean_of_w`.

    Raises:
        LatentEditError: files are missing, hostile or damaged, or hold another network.
    """
    networks = _networks(source)
    for graph, pair in networks.values():
        attach(graph, pair.read_weights(), pair.weights_where)
    mapping = _matched(walk_mapping, *networks["mapping"])
    synthesis = _matched(walk_synthesis, *networks["synthesis"])
    state = {**mapping, **synthesis}
    config = _config(state, str(source))
    tensors = account(_tensors(state), _expected(config), f"{source} ({NAME})")
    with torch.random.fork_rng(devices=[]):  # keep the caller's random numbers
        network = MobileStyleGAN(config)
    dense = [
        (state[f"mapping.{n}.weight"], state[f"mapping.{n}.bias"]) for n in range(config.mapping)
    ]
    mean = mean_of_w(dense)
    if not np.abs(mean).max() < np.finfo(np.float32).max:
        raise LatentEditError(f"{source} ({NAME}): its w are not finite: fetch it again")
    tensors["mean"] = torch.from_numpy(mean.astype(np.float32))
    network.load_state_dict(tensors)
    return network.eval()


def mean_of_w(dense: list[tuple[Array, Array]]) -> NDArray[np.float64]:
    """The mean of w over `MEAN_OVER` random z, from the mapping's weights [S, S] and biases [S].

    It is the same on every computer: z come from one stream that numpy guarantees never to change,
    sums are float64, and the mean is rounded to `MEAN_STEP`, far more than sums may differ by.
    """
    stream = np.random.RandomState(0)
    total = np.zeros(len(dense[0][1]))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(MEAN_OVER // 1024):
            w = latents.normalize(stream.standard_normal((1024, len(total)))).astype(np.float64)
            for weight, bias in dense:
                w = w @ weight.astype(np.float64).T + bias
                w = np.where(w > 0, w, SLOPE * w) * MAPPING_GAIN
            total += w.sum(0)
    return np.round(total / MEAN_OVER / MEAN_STEP) * MEAN_STEP


def _networks(source: str | Path) -> dict[str, tuple[Graph, Pair]]:
    """Return the mapping and the synthesis network, told apart by shapes of inputs and outputs."""
    found = [(read_graph(pair.read(), pair.where), pair) for pair in pairs(source)]
    if Path(source).suffix.lower() == ".xml":  # the given one, and those of the other role
        role = _role(found[0][0])
        if role is None:
            raise LatentEditError(f"{source}: this IR is {found[0][0]}, not {WANTED}")
        found = found[:1] + [other for other in found[1:] if _role(other[0]) != role]
    networks = {}
    for role in ("mapping", "synthesis"):
        fitting = [(graph, pair) for graph, pair in found if _role(graph) == role]
        if len(fitting) != 1:
            names = "; ".join(str(graph) for graph, _ in found[:4])
            raise LatentEditError(
                f"{source} holds {len(fitting) or 'no'} {role} network{'s' * (len(fitting) > 1)} "
                f"of MobileStyleGAN: found {names}; give a folder with {WANTED}"
            )
        networks[role] = fitting[0]
    return networks


def _role(graph: Graph) -> str | None:
    match graph.inputs, graph.outputs:
        case [(_, style)], [(_, w)] if style == w:
            return "mapping"
        case [(_, _)], [(_, 3, height, width)] if height == width:
            return "synthesis"
    return None


def _config(state: Mapping[str, Array], what: str) -> MobileStyleGANConfig:
    blocks = sum(name.endswith(".enlarge.weight") for name in state)
    widths = [len(state[f"blocks.{n}.conv1.pointwise"]) for n in range(blocks)]
    try:
        return MobileStyleGANConfig(
            widths=(len(state["first.weight"]), *widths),
            mapping=sum(name.startswith("mapping.") for name in state) // 2,
            style=len(state["mapping.0.bias"]),
        )
    except LatentEditError as error:
        raise LatentEditError(f"{what}: {error}") from None


def _expected(config: MobileStyleGANConfig) -> dict[str, Wanted]:
    """Shapes of the weights: checked before a network of that size is built."""
    style, widths = config.style, config.widths
    shapes: dict[str, Wanted] = {}

    def add(prefix: str, **found: Wanted) -> None:
        shapes.update({f"{prefix}.{name}": shape for name, shape in found.items()})

    for n in range(config.mapping):
        add(f"mapping.{n}", weight=(style, style), bias=(style,))
    first, last = widths[0], widths[-1]
    add("first.modulation", weight=(first, style), bias=(first,))
    add("first", constant=(1, first, 4, 4), weight=(first, first, 3, 3))
    add("first", noise=(1, 1, 4, 4), bias=(first,))
    for n, (width, size) in enumerate(zip(widths[1:], config.sizes[1:], strict=True)):
        add(f"blocks.{n}.enlarge", weight=(widths[n], style), bias=(widths[n],))
        for conv, inputs in (("conv0", widths[n] // 4), ("conv1", width)):
            name = f"blocks.{n}.{conv}"
            add(f"{name}.modulation", weight=(inputs, style), bias=(inputs,))
            add(name, depthwise=(inputs, 1, 3, 3), pointwise=(width, inputs, 1, 1))
            add(name, noise=(1, 1, size, size), bias=(width,))
    add("to_image.modulation", weight=(last, style), bias=(last,))
    add("to_image", weight=(12, last, 1, 1), bias=(12,))
    return shapes


def _tensors(state: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    """Copy the values out of the file's memory, into the native byte order."""
    return {name: torch.from_numpy(value.astype(np.float32)) for name, value in state.items()}


def _matched(walk: Callable[[Graph], State], graph: Graph, pair: Pair) -> State:
    """Walk a graph; say in one line where it departs from MobileStyleGAN."""
    try:
        state = walk(graph)
        if any(value.dtype != np.float32 for value in state.values()):
            raise MismatchError("weights are not all of type f32")
        # Equal zeros may be stored once. But if all layers could share weights, a small file could
        # ask for any amount of memory.
        if sum(value.nbytes for value in state.values()) > 2**20 + 2 * _bytes_of_constants(graph):
            raise MismatchError("layers share their weights")
    except MismatchError as error:
        raise LatentEditError(f"{pair.where}: this IR is {graph}, not {WANTED}: {error}") from None
    return state


def _bytes_of_constants(graph: Graph) -> int:
    """Return the bytes of the constants in the .bin; a place that several share counts once."""
    constants = [layer.constant for layer in graph.layers if layer.constant is not None]
    return sum(size for _, size in {(constant.offset, constant.size) for constant in constants})
