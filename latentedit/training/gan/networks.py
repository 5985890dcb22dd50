"""The generator of a run: a new one, or one with the shape that the run's folder describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from latentedit.errors import LatentEditError
from latentedit.generators.progressive import Generator, GeneratorConfig
from latentedit.generators.progressive_w import Growing, ProgressiveW, ProgressiveWConfig
from latentedit.io.weights import config_from_json
from latentedit.training.gan.teacher import Teacher
from latentedit.training.options import GeneratorOptions
from latentedit.training.runs import Run, read_generator_options

_BUILD: dict[str, Callable[[Mapping[str, Any]], Growing]] = {
    Generator.kind: lambda config: Generator(config_from_json(GeneratorConfig, config)),
    ProgressiveW.kind: lambda config: ProgressiveW(config_from_json(ProgressiveWConfig, config)),
}
"""How to build each kind of generator that is trained here."""


VALIDATION, PAIRS_FOLDER = "validation", "pairs_folder"
"""Entries of a run's options: how many faces are held out, and its teacher's folder of pairs."""


def new_generator(options: GeneratorOptions, teacher: Teacher | None) -> Growing:
    """Return an untrained generator: one in z, or a student of the teacher, in the teacher's w.

    The student has the teacher's mapping network, which is not trained.
    """
    if teacher is None:
        return Generator(options.generator)
    student = ProgressiveW(teacher.student_config(options))
    teacher.instruct(student)
    student.mapping.requires_grad_(False)
    return student


def generator_facts(generator: Growing, teacher: Teacher | None, validation: int) -> dict[str, Any]:
    """Return what a run's folder says about its generator, its teacher and the held-out faces."""
    facts: dict[str, Any] = {
        "generator": {"network": generator.kind, "config": asdict(generator.config)},
        VALIDATION: validation,
    }
    if teacher is not None:
        facts["teacher"] = {"name": teacher.name, "generator_hash": teacher.hash}
        facts[PAIRS_FOLDER] = str(teacher.folder)
        facts["terms"] = (
            f"Trained on pictures of {teacher.name}, whose terms apply: {teacher.terms}"
        )
    return facts


def generator_of(run: Run) -> Growing:
    """Return an untrained generator of the shape that a run's folder describes.

    Raises:
        LatentEditError: it is not a generator's run.
    """
    options = read_generator_options(run)
    entry = run.read_options().get("generator")
    if entry is None:  # a run begun before there were several kinds
        return Generator(options.generator)
    try:
        return _BUILD[entry["network"]](entry["config"])
    except (KeyError, TypeError, LatentEditError):
        raise LatentEditError(
            f"{run.options} describes no generator that can be built: give a complete run folder"
        ) from None
