"""Fetch bundles from the Hugging Face Hub and push them there; nothing happens unless asked for."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from latentedit.errors import LatentEditError
from latentedit.generators.onnx_files import external_files
from latentedit.io.files import reason, temporary_beside
from latentedit.pretrained.model_card import PICTURE

BUNDLE_FILES = ("*.safetensors", "*.onnx", "*.json", "README.md")
"""Files that are fetched from a repository: data and text, nothing that could run."""

Result = TypeVar("Result")


def download(name: str, **options: Any) -> Path:
    """Fetch a bundle into the Hub's own cache, or take it from there.

    Args:
        name: ``OWNER/NAME`` on the Hub.
        options: those of `huggingface_hub.snapshot_download`: revision, token, cache_dir,
            local_files_only, force_download.

    Returns:
        The folder of the bundle.

    Raises:
        LatentEditError: `huggingface_hub` is not installed, the Hub cannot be reached, there is no
            such repository or revision, or it holds no bundle.
    """
    hub = _hub()
    folder = _ask(name, lambda: hub.snapshot_download(name, allow_patterns=BUNDLE_FILES, **options))
    return _checked(Path(folder), name)


def download_file(name: str, file: str, **options: Any) -> Path:
    """Fetch one file, such as another project's checkpoint, into the Hub's cache.

    Raises:
        LatentEditError: see `download`, or there is no such file.
    """
    hub = _hub()
    return Path(_ask(name, lambda: hub.hf_hub_download(name, file, **options), file=file))


def pull(name: str, folder: str | Path, **options: Any) -> Path:
    """Fetch a bundle into a folder of its own, whole or not at all.

    Args:
        name: ``OWNER/NAME`` on the Hub.
        folder: made here; it must not exist.
        options: see `download`.

    Returns:
        The folder.

    Raises:
        LatentEditError: see `download`, or the folder exists or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise LatentEditError(f"{folder} exists: give another folder with -o")
    source = download(name, **options)
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(folder.absolute())
        try:
            temporary.mkdir()
            for path in source.iterdir():
                if path.is_file():
                    shutil.copyfile(path, temporary / path.name)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise LatentEditError(f"cannot write {folder}: {reason(error)}") from None
    return folder


def upload(
    folder: str | Path,
    name: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    create_pr: bool | None = None,
    commit_message: str = "Upload a latentedit bundle",
) -> str:
    """Push a bundle's folder to the Hub; the repository is made if it is missing.

    Args:
        folder: the bundle's.
        name: ``OWNER/NAME`` on the Hub.
        private: make the repository private.
        token: the token to log in with; by default that of ``hf auth login``.
        branch: the branch to push to.
        create_pr: open a pull request instead of pushing.
        commit_message: the commit's message.

    Returns:
        The commit's address.

    Raises:
        LatentEditError: see `download`, the push is not allowed, or an ONNX file has weights in
            other files.
    """
    _check_one_file(Path(folder) / "generator.onnx")
    api = _hub().HfApi(token=token)

    def push() -> str:
        api.create_repo(name, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=name,
            folder_path=str(folder),
            revision=branch,
            create_pr=create_pr,
            commit_message=commit_message,
            allow_patterns=[*BUNDLE_FILES, PICTURE],
        )
        return str(commit.commit_url)

    return _ask(name, push)


def _check_one_file(onnx: Path) -> None:
    """Refuse an ONNX generator with weights in further files: `download` would not fetch them."""
    if onnx.is_file() and (beside := external_files(onnx, onnx.read_bytes())):
        raise LatentEditError(
            f"{onnx} keeps weights in {beside[0]}, which the Hub's copy would lack: save the "
            "generator as one ONNX file (onnx.save), and convert that"
        )


def require() -> None:
    """Check early that the Hub's library is installed.

    Raises:
        LatentEditError: the library is not installed.
    """
    _hub()


def _checked(folder: Path, name: str) -> Path:
    if not (folder / "generator.json").is_file():
        raise LatentEditError(
            f"{name} on the Hub holds no bundle: name a checkpoint in it with --file, or look at "
            "its files"
        )
    return folder


def _hub() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise LatentEditError(
            "the Hub needs huggingface_hub: pip install 'latentedit[hub]'"
        ) from None


def _ask(name: str, request: Callable[[], Result], *, file: str | None = None) -> Result:
    """Make a request; any failure becomes one line with advice."""
    errors = importlib.import_module("huggingface_hub.errors")
    address = f"https://huggingface.co/{name}"
    try:
        return request()
    except errors.HFValidationError:
        raise LatentEditError(f"{name!r} is no name on the Hub: write OWNER/NAME") from None
    except errors.RevisionNotFoundError:
        raise LatentEditError(f"{name} has no such revision: see {address}") from None
    except errors.RepositoryNotFoundError:
        raise LatentEditError(
            f"no model {name} on the Hub, or it is private: check the name, or log in with "
            "'hf auth login'"
        ) from None
    except errors.RemoteEntryNotFoundError:
        raise LatentEditError(f"{name} has no file {file}: see {address}/tree/main") from None
    except (errors.HfHubHTTPError, errors.LocalTokenNotFoundError) as error:
        detail = " ".join(str(error).split())[:160]
        raise LatentEditError(f"the Hub refuses this for {name} ({detail}): log in") from None
    except (ConnectionError, errors.LocalEntryNotFoundError, errors.HTTPError):
        what = f"{file}, and convert it with 'latentedit convert'" if file else "its files"
        where = "" if file else " into a folder, and name that folder with --model"
        raise LatentEditError(
            f"cannot reach the Hugging Face Hub for {name}: where there is a connection, download "
            f"{what} from {address}/tree/main{where}"
        ) from None
