"""Find the generator in a checkpoint, and whose layout its keys have; with a table for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from torch import Tensor

from latentedit.checkpoints import gan_zoo, interfacegan, stylegan2
from latentedit.checkpoints.accounting import Reading
from latentedit.checkpoints.objects import SavedModule, Settings, Skipped
from latentedit.checkpoints.others import name_others
from latentedit.errors import LatentEditError


class Options(NamedTuple):
    """What a reader gets besides the state dictionary.

    Attributes:
        space: the space that latents will be given in.
        truncation: psi.
        mean: the mean of W, if it is kept beside the state dictionary.
    """

    space: Literal["z", "w"] = "z"
    truncation: float = 1.0
    mean: Any = None


class Layout(NamedTuple):
    """How one project's code names a generator's tensors.

    Attributes:
        signature: a pattern for the end of a key that every such state dictionary has.
        name: returns what cards and messages call a state dictionary's layout, or None if it has
            another layout.
        read: maps a state dictionary onto a network.
    """

    signature: str
    name: Callable[[Mapping[str, Any]], str | None]
    read: Callable[[Mapping[str, Any], str, Options], Reading]


def _stylegan2(state: Mapping[str, Any], what: str, options: Options) -> Reading:
    return stylegan2.convert_stylegan2(
        state,
        what,
        mean=options.mean,
        space=options.space,
        truncation=options.truncation,
    )


LAYOUTS = (
    Layout(
        r"formatLayer\.(?:module\.)?weight",
        lambda state: gan_zoo.NAME if gan_zoo.recognise(state) else None,
        lambda state, what, _: gan_zoo.convert_gan_zoo(state, what),
    ),
    Layout(
        r"(?:output_\d+x\d+\.conv\.weight|layer[01]\.wscale\.bias|layer0\.weight)",
        lambda state: interfacegan.NAMES.get(interfacegan.recognise(state) or ""),
        lambda state, what, _: interfacegan.convert_interfacegan(state, what),
    ),
    Layout(
        r"(?:input\.input|synthesis\.early_layer\.const|synthesis\.b4\.const"
        r"|constant_input\.weight)",
        lambda state: stylegan2.NAMES.get(stylegan2.recognise(state) or ""),
        _stylegan2,
    ),
)

AVERAGES = (
    *("g_ema", "G_ema", "Gs", "generator_ema", "ema_generator", "netG_ema", "net_g_ema", "gen_ema"),
    *("params_ema", "generator_smooth", "avgG", "g_running", "model_ema", "ema_model", "ema"),
    *("ema_state_dict", "ema_params", "averaged"),
)
"""Names that training code gives the moving average of a generator, which is the one to use."""

PLAIN = (
    *("g", "G", "generator", "netG", "net_g", "gen", "decoder", "params", "state_dict"),
    *("model_state_dict", "model", "models", "net", "network", "module", "weights"),
)
"""Names that training code gives the generator itself, or a part that holds it."""

_DEEPEST = 4


class Found(NamedTuple):
    """A generator's state dictionary in a checkpoint.

    Attributes:
        state: tensors by key, without any prefix.
        layout: the layout of these keys.
        name: the layout's name, in words.
        unused: reason by name for everything beside the state dictionary.
        mean: the mean of W, if it is beside the state dictionary.
        module: the whole network, if the file holds it.
    """

    state: Mapping[str, Any]
    layout: Layout
    name: str
    unused: dict[str, str]
    mean: Any = None
    module: SavedModule | None = None


def find_network(value: Any, what: str) -> Found:
    """Find the generator in what a file holds (see `objects.resolve`).

    The names in `AVERAGES` are searched first, then those in `PLAIN`, then all others, so a moving
    average is preferred. The generator's keys may share a prefix: ``module.`` of data parallelism,
    ``generator.`` of Lightning, ``decoder.`` of encoders' checkpoints, or any other.

    Raises:
        LatentEditError: there is no generator: the message names what is there instead.
    """
    found = _find(value, (), 0)
    if found is None:
        raise LatentEditError(f"{what} {name_others(dict(_flat(value)), value)}")
    return found


def _entries(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, SavedModule):
        return value.state_dict()
    return value if isinstance(value, Mapping) else None


def _find(value: Any, above: tuple[Mapping[Any, Any], ...], depth: int) -> Found | None:
    entries = _entries(value)
    if entries is None or depth > _DEEPEST:
        return None
    if gan_zoo.recognise({str(key): each for key, each in entries.items()}):
        return Found(entries, LAYOUTS[0], gan_zoo.NAME, {})  # its reader finds the part
    state = {str(key): each for key, each in entries.items()}
    tensors = {key: each for key, each in state.items() if not isinstance(each, Mapping)}
    if (found := _behind_prefix(tensors, (entries, *above))) is not None:
        module = value if isinstance(value, SavedModule) else None
        rest = dict.fromkeys(state.keys() - tensors.keys(), "not part of the generator")
        return found._replace(unused={**found.unused, **rest}, module=module)
    for name in sorted(state, key=_rank):
        if not isinstance(state[name], Mapping | SavedModule):
            continue
        if (found := _find(state[name], (entries, *above), depth + 1)) is not None:
            beside = {
                key: _why_unused(each, name)
                for key, each in state.items()
                if key not in (name, "latent_avg")
            }
            return found._replace(unused={**beside, **found.unused})
    return None


def _rank(name: str) -> tuple[int, str]:
    """Return a sort key for the parts of a checkpoint: moving averages come first."""
    for place, known in enumerate((*AVERAGES, *PLAIN)):
        if name == known:
            return place, name
    averaged = re.search(r"ema|smooth|avg", name.lower()) is not None
    return (len(AVERAGES) if averaged else len(AVERAGES) + len(PLAIN)), name


def _why_unused(value: Any, taken: str) -> str:
    if isinstance(value, Skipped):
        return f"{value.name}, which is not read"
    if isinstance(value, Settings) and not isinstance(value, SavedModule):
        return f"options ({value.name.rpartition('.')[2]})"
    return f"the generator is taken from {taken}"


def _behind_prefix(
    tensors: Mapping[str, Any], above: tuple[Mapping[Any, Any], ...]
) -> Found | None:
    """Find the generator among tensors with dotted keys; all its keys begin with one prefix."""
    candidates: dict[str, Layout] = {}
    for layout in LAYOUTS:
        pattern = re.compile(rf"(?P<prefix>(?:.*\.)?){layout.signature}")
        for key in tensors:
            if (match := pattern.fullmatch(key)) is not None:
                candidates.setdefault(match["prefix"], layout)
    for prefix in sorted(candidates, key=lambda each: _rank_prefix(each)):
        state = {
            key.removeprefix(prefix): each
            for key, each in tensors.items()
            if key.startswith(prefix)
        }
        layout = candidates[prefix]
        if (name := layout.name(state)) is not None:
            beside = [key for key in tensors if not key.startswith(prefix)]
            mean = next((each["latent_avg"] for each in above if "latent_avg" in each), None)
            if "latent_avg" in beside:
                beside.remove("latent_avg")
            return Found(state, layout, name, _grouped(beside), mean)
    return None


def _rank_prefix(prefix: str) -> tuple[int, int, str]:
    parts = prefix.split(".")[:-1]
    ranks = [_rank(part)[0] for part in parts if part != "module"]
    return min(ranks, default=len(AVERAGES)), len(parts), prefix


def _grouped(keys: list[str]) -> dict[str, str]:
    """Return a reason for the keys beside the generator, one for each first part of the keys."""
    groups: dict[str, int] = {}
    for key in keys:
        first, dot, _ = key.partition(".")
        groups[first + dot] = groups.get(first + dot, 0) + 1
    return {
        name: "not part of the generator" if not name.endswith(".") else f"{count} other values"
        for name, count in groups.items()
    }


def _flat(value: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield all tensors of a checkpoint, at any depth, with dotted keys."""
    entries = _entries(value)
    if entries is None:
        if isinstance(value, Tensor):
            yield prefix.removesuffix("."), value
        return
    for key, each in entries.items() if depth <= _DEEPEST else ():
        yield from _flat(each, f"{prefix}{key}.", depth + 1)
