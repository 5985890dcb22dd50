"""The generator of a run: made anew, and built again from what the run's folder says of it."""

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
"""By the kinds that are trained here."""


def new_generator(options: GeneratorOptions, teacher: Teacher | None) -> Growing:
    """An untrained generator: used in z, or a teacher's student, used in its w.

    The student's mapping network is the teacher's and wants no gradient.
    """
    if teacher is None:
        return Generator(options.generator)
    student = ProgressiveW(teacher.student_config(options))
    teacher.instruct(student)
    student.mapping.requires_grad_(False)
    return student


def generator_facts(generator: Growing, teacher: Teacher | None) -> dict[str, Any]:
    """What a run's folder says of its generator, and whom it learns from."""
    facts: dict[str, Any] = {
        "generator": {"network": generator.kind, "config": asdict(generator.config)}
    }
    if teacher is not None:
        facts["teacher"] = {"name": teacher.name, "generator_hash": teacher.hash}
        facts["terms"] = (
            f"Trained on pictures of {teacher.name}, whose terms apply: {teacher.terms}"
        )
    return facts


def generator_of(run: Run) -> Growing:
    """An untrained generator of a run's shape.

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
            f"{run.options} describes no generator that can be built: take the whole run's folder"
        ) from None
