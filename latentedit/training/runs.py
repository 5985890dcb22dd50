"""A run folder: resolved options, a JSON-lines log, the state to resume from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from latentedit.errors import LatentEditError
from latentedit.io.files import atomic_path, make_folder, read_json, write_json
from latentedit.io.locks import hold
from latentedit.io.weights import Config, config_from_json
from latentedit.training.options import GeneratorOptions


class Run:
    """The files of one training run.

    Attributes:
        folder: the run's folder.
        state: ``state.safetensors``, everything needed to resume.
        log: ``log.jsonl``, one JSON object a line.
        options: ``options.json``, the resolved options and the command.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.state = self.folder / "state.safetensors"
        self.log = self.folder / "log.jsonl"
        self.options = self.folder / "options.json"
        self._lock: BaseFileLock | None = None

    def check(self, resume: bool) -> None:
        """Refuse to overwrite a run, or to resume where there is none.

        Raises:
            LatentEditError: the run exists and `resume` is false, or the other way round.
        """
        if resume and not self.state.exists():
            raise LatentEditError(f"nothing to resume in {self.folder}: leave out --resume")
        if not resume and self.state.exists():
            raise LatentEditError(
                f"{self.folder} holds a run already: add --resume or choose another folder"
            )

    def begin(
        self,
        options: Mapping[str, Any],
        *,
        data: str,
        command: str,
        resume: bool,
        network: Mapping[str, Any] | None = None,
        before: Mapping[str, Any] | None = None,
        device: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Create the folder and save the resolved options, the data's source and the command.

        When resuming, call it after the state has been loaded: options that do not fit the state
        must not replace those that do.

        Args:
            before: origin of the weights that the run starts from, see `origin`; a resumed run
                keeps the one it began with.
            device: name of the device that computes; a resumed run lists all its devices.
            facts: further entries of ``options.json``.

        Raises:
            LatentEditError: see `check` and `hold`, the folder cannot be written, or a resumed run
                began with another generator.
        """
        self.check(resume)
        self.hold()
        if resume:
            begun = self.read_options()
            whose = (facts or {}).get("generator_hash")
            if begun.get("generator_hash") != whose:
                raise LatentEditError(
                    f"{self.folder} belongs to generator {begun.get('generator_hash')}, this one "
                    f"is {whose}: give the model that it began with"
                )
            before, commands = begun.get("before"), begun["commands"]
            commands = commands if command in commands else [*commands, command]
            devices = begun.get("devices", ["not noted"])
            # cards name all data that a run learned from
            known = begun["data"]
            data = known if data in known else f"{known}; then {data}"
        else:
            commands, devices = [command], []
        entries = {**(facts or {}), "commands": commands, "data": data, "options": dict(options)}
        if device is not None:
            entries["devices"] = devices if device in devices else [*devices, device]
        if before is not None:
            entries["before"] = dict(before)
        if network is not None:
            entries["network"] = dict(network)
        write_json(self.options, entries)
        if not resume:
            self.log.unlink(missing_ok=True)

    def hold(self) -> None:
        """Keep other processes from training in this folder, until this one ends or is killed.

        The folder is made if it is missing.

        Raises:
            LatentEditError: another process trains in it, or it cannot be written.
        """
        make_folder(self.folder)
        self._lock = hold(self.folder / ".lock")
        if self._lock is None:
            raise LatentEditError(
                f"another process trains in {self.folder}: let it finish, end it, or choose "
                "another folder"
            )

    def write_log(self, record: Mapping[str, Any]) -> None:
        """Append one record."""
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def read_log(self) -> list[dict[str, Any]]:
        """Return all whole records; a line cut short by a kill is ignored."""
        if not self.log.exists():
            return []
        records = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return records

    def rewind_log(self, key: str, last: float) -> None:
        """Drop records beyond the resumed state: those whose `key` exceeds `last`.

        Raises:
            LatentEditError: see `hold`.
        """
        self.hold()
        kept = [record for record in self.read_log() if record.get(key, 0) <= last]
        with atomic_path(self.log) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept))

    def read_options(self) -> dict[str, Any]:
        """Return the saved options.

        Raises:
            LatentEditError: this is not a run folder.
        """
        if not self.options.exists():
            raise LatentEditError(f"{self.folder} is not a training run: options.json is missing")
        return dict(read_json(self.options))

    def origin(self) -> dict[str, Any]:
        """Return where the run's weights come from, for cards: data, commands, options.

        A run that started from other weights has their origin under ``before``.

        Raises:
            LatentEditError: this is not a run folder.
        """
        return select_origin(self.read_options())

    def hours(self, until: float = float("inf")) -> float:
        """Return the hours of a generator's run, with those of the weights it started from.

        Args:
            until: number of images seen in the run at which counting ends.
        """
        seconds, images = 0.0, 0
        for record in self.read_log():
            if record["images"] > until:
                break
            seconds += (record["images"] - images) / max(record["images_per_second"], 0.05)
            images = record["images"]
        before = self.read_options().get("before", {})
        return round(seconds / 3600 + before.get("hours", 0.0), 2)


def select_origin(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a card, or of a run's options, that say where weights come from."""
    names = ["data", "commands", "options", "devices", "images_seen", "hours", "before"]
    names += ["teacher", "terms", "blended_with"]
    return {name: entries[name] for name in names if name in entries}


def read_network(run: Run, config_type: type[Config], what: str) -> Config:
    """Return the shape of a run's network.

    Raises:
        LatentEditError: it is not a run of `what`.
    """
    try:
        return config_from_json(config_type, run.read_options()["network"])
    except (KeyError, TypeError):
        raise LatentEditError(f"{run.folder} is not a run of {what}") from None


def read_generator_options(run: Run) -> GeneratorOptions:
    """Return the options a generator's run was started with.

    Raises:
        LatentEditError: it is not a generator's run, or one of a newer version.
    """
    try:
        options = run.read_options()["options"]
        newer = set(options) - {field.name for field in fields(GeneratorOptions)}
        if newer and "objective" in options:
            raise LatentEditError(
                f"{run.folder} has settings that this version does not know, such as "
                f"{min(newer)}: update latentedit"
            )
        return config_from_json(GeneratorOptions, options)
    except (TypeError, KeyError):
        raise LatentEditError(f"{run.folder} is not a generator's run") from None


def choose_average(run: Run, ema_kimg: float | None) -> float:
    """Return `ema_kimg`, or the first half-life of a generator's run where it is None.

    Raises:
        LatentEditError: it is not a generator's run, or keeps no such average.
    """
    kept = read_generator_options(run).ema_kimg
    if ema_kimg is None:
        return kept[0]
    if ema_kimg not in kept:
        raise LatentEditError(
            f"{run.folder} keeps no average over {ema_kimg:g} kimg: choose from "
            f"{', '.join(f'{kimg:g}' for kimg in kept)}"
        )
    return ema_kimg
