"""How good a generator is: every figure with its value for real faces beside it.

Four sets of faces, all at one resolution:

    samples    n faces from the generator, seeds 10,000,000 and up
    real       n training faces, drawn at random: what a perfect generator would score
    reference  the held-out faces, on which nothing was trained; both are compared with these
    halves     real and reference together, shuffled and cut in two, compared with each other
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from latentedit import defaults
from latentedit.classifiers.attributes import AttributeClassifier
from latentedit.errors import LatentEditError
from latentedit.evaluation.edits.traces import Track, no_bar
from latentedit.evaluation.generators import distribution, pictures
from latentedit.generators.base import SHARED_FRAME
from latentedit.inference import descriptors
from latentedit.inference.devices import place
from latentedit.io.images import UInt8Array, to_tensor
from latentedit.portrait.assessor import PortraitAssessor
from latentedit.pretrained.hashing import weights_hash

if TYPE_CHECKING:
    from latentedit.data.face_file import FaceData
    from latentedit.editing.editor import FaceEditor

RARE, FACTOR = 0.05, 2.0
"""Attributes more frequent than `RARE` must not differ by more than `FACTOR`."""

FEWEST = 8
_CHUNK = 256

SOURCES = {
    "frechet": "Heusel et al. 2017, eq. 6, on the named features",
    "kernel": "Binkowski et al. 2018, sec. 4, scale of the kernel from the reference",
    "precision": "Kynkaanniemi et al. 2019, 5 neighbours",
    "recall": "Kynkaanniemi et al. 2019, 5 neighbours",
    "density": "Naeem et al. 2020, 5 neighbours",
    "coverage": "Naeem et al. 2020, 5 neighbours",
    "sliced_wasserstein": "Karras et al. 2018, sec. 5, times 1000",
    "ms_ssim": "Wang et al. 2003, between pairs as in Odena et al. 2017; lower is more varied",
    "face_found": "dlib's frontal detector (King 2009) at 256 pixels, edge padded by 40",
    "clean_portraits": "the portrait network's six qualities, none of them poor",
    "attributes": "the bundle's classifier; thresholds matched to the held-out faces' labels",
}


@dataclass(frozen=True)
class FaceSet:
    """Faces and what two networks see in them.

    Attributes:
        images: uint8 [N, R, R, 3].
        features: float32 [N, D] by feature space, ``dlib`` and ``classifier``.
        scores: the classifier's probabilities, float32 [N, K].
    """

    images: UInt8Array
    features: dict[str, NDArray[np.float32]]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class RealFaces:
    """The real faces of an evaluation; they can be used for any number of generators.

    Attributes:
        reference: the held-out faces.
        training: n training faces.
        labels: of the reference, int8 [M, K] in the classifier's order; -1 not known.
        facts: what the report says of the data.
    """

    reference: FaceSet
    training: FaceSet
    labels: NDArray[np.int8]
    facts: dict[str, Any]


def check_extras() -> None:
    """Raise an error early, before an hour of rendering, if a part of the extra is missing.

    Raises:
        LatentEditError: naming the extra.
    """
    try:
        for name in ("torchmetrics.image", "prdc"):
            import_module(name)
    except ImportError:
        raise LatentEditError(
            "evaluating needs an extra: pip install 'latentedit[evaluate]'"
        ) from None
    pictures.load_detector()
    descriptors.describe(np.zeros((0, 16, 16, 3), np.uint8))


def describe_real_faces(
    data: FaceData,
    classifier: AttributeClassifier,
    n: int,
    *,
    validation: int = defaults.VALIDATION,
    resolution: int | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
    track: Track = no_bar,
) -> RealFaces:
    """Describe the held-out faces and n training faces.

    Args:
        data: a training file; its last `validation` faces are the held-out ones.
        classifier: the bundle's.
        n: training faces to describe, as many as there will be samples.
        resolution: the generator's edge; larger faces are reduced to it.
        seed: of the choice of training faces.

    Raises:
        LatentEditError: too few faces, or the extra ``evaluate`` is missing.
    """
    if n < FEWEST or validation < FEWEST:
        raise LatentEditError(f"at least {FEWEST} samples and validation faces are needed")
    training, held_out = data.split(validation)
    if len(training) < n:
        raise LatentEditError(
            f"only {len(training)} training faces to set beside {n} samples: lower --n"
        )
    edge = min(data.resolution, resolution or data.resolution)
    chosen = np.sort(np.random.RandomState(seed).permutation(len(training))[:n])
    reference, real = (
        describe_faces(
            shrink(images, edge, rows), classifier, device=device, track=track, title=title
        )
        for images, rows, title in (
            (held_out.images, None, "Held-out faces"),
            (training.images, chosen, "Training faces"),
        )
    )
    column = {name: held_out.labels[:, i] for i, name in enumerate(data.label_names)}
    unknown = np.full(len(held_out), -1, np.int8)
    labels = [column.get(name, unknown) for name in classifier.config.attributes]
    facts = {
        "source": data.source,
        "faces": len(data),
        "validation": validation,
        "resolution": data.resolution,
    }
    return RealFaces(reference, real, np.stack(labels, axis=1), facts)


def describe_faces(
    images: UInt8Array,
    classifier: AttributeClassifier,
    *,
    device: str | torch.device = "cpu",
    track: Track = no_bar,
    title: str = "Faces",
) -> FaceSet:
    """Describe uint8 [N, R, R, 3] faces by dlib's network and by the classifier, in float32."""
    rows = []
    for start in track(range(0, len(images), _CHUNK), -(-len(images) // _CHUNK), title):
        batch = images[start : start + _CHUNK]
        rows.append(
            (descriptors.describe(batch, device=str(device)), *_classify(batch, classifier, device))
        )
    faces, features, scores = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return FaceSet(np.asarray(images), {"dlib": faces, "classifier": features}, scores)


def evaluate_generator(
    editor: FaceEditor,
    classifier: AttributeClassifier,
    real: RealFaces,
    *,
    first_seed: int = defaults.EVALUATION_FIRST_SEED,
    seed: int = 0,
    track: Track = no_bar,
) -> tuple[dict[str, Any], FaceSet]:
    """Measure as many samples as there are training faces in `real`.

    Args:
        editor: the generator.
        classifier: the bundle's; its figures are too good for a generator that was trained with it.
        real: from `describe_real_faces`.
        first_seed: samples are the seeds from here on.
        seed: of patches, projections, subsets and halves.

    Returns:
        The report, plain data for JSON, and the samples. Each figure is a dictionary with
        ``samples`` and ``real``, and ``halves`` where that is measured. Figures on dlib's features
        decide which generator is better.

    Raises:
        LatentEditError: seeds out of range, or the extra ``evaluate`` is missing.
    """
    n, edge = len(real.training.images), real.training.images.shape[1]
    images = _render(editor, range(first_seed, first_seed + n), edge, track)
    samples = describe_faces(images, classifier, device=editor.device, track=track, title="Samples")
    halves = len(real.reference.images) + n
    report = {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "classifier_hash": weights_hash(classifier),
        "data": real.facts,
        "resolution": samples.images.shape[1],
        "n": n,
        "sizes": {
            "samples": n,
            "real": n,
            "reference": len(real.reference.images),
            "halves": [halves - halves // 2, halves // 2],
        },
        "seeds": {"first": first_seed, "last": first_seed + n - 1, "random": seed},
        "decides": "dlib",
        "spaces": compare_spaces(real, samples, seed),
        **_compare_pictures(real, samples, seed, track),
        "clean_portraits": _clean_portraits(real, samples, editor.device),
        "attributes": attribute_frequencies(
            classifier.config.attributes, samples.scores, real.reference.scores, real.labels
        ),
        "sources": SOURCES,
    }
    report["attributes_off"] = [name for name, row in report["attributes"].items() if row["off"]]
    return report, samples


def attribute_frequencies(
    names: Iterable[str],
    samples: NDArray[np.float32],
    held_out: NDArray[np.float32],
    labels: NDArray[np.int8],
) -> dict[str, dict[str, Any]]:
    """Count how often attributes are in samples and in held-out faces.

    A classifier that is cautious about an attribute finds it too rarely in both. So where labels
    are known, samples are counted above the threshold at which the classifier finds the attribute
    in held-out faces as often as the labels do.

    Args:
        names: K attributes.
        samples: probabilities [N, K].
        held_out: probabilities [M, K].
        labels: of the held-out faces, int8 [M, K]; 1 yes, 0 no, -1 not known.

    Returns:
        By name:

        - ``samples`` and ``held_out``: shares of faces with a probability above 0.5.
        - ``labels``: share of the labels that say yes; ``at_labels``: share of the samples above
          that threshold. Both are None if no label is known.
        - ``ratio``: ``at_labels`` divided by ``labels``; without labels, ``samples`` divided by
          ``held_out``; None for a division by 0.
        - ``off``: more than 5 % of the data have the attribute, and the ratio is above 2 or below
          one half.
    """
    rows: dict[str, dict[str, Any]] = {}
    columns = zip(names, samples.T, held_out.T, labels.T, strict=True)
    for name, ours, theirs, truths in columns:
        share, found = float((ours > 0.5).mean()), float((theirs > 0.5).mean())
        expected, counted, truth, at_labels = found, share, None, None
        if (known := truths >= 0).any():
            expected = truth = float(truths[known].mean())
            counted = at_labels = float((ours > np.quantile(theirs[known], 1 - truth)).mean())
        near = counted <= FACTOR * expected and expected <= FACTOR * counted
        rows[name] = {
            "samples": share,
            "held_out": found,
            "labels": truth,
            "at_labels": at_labels,
            "ratio": counted / expected if expected else None,
            "off": expected > RARE and not near,
        }
    return rows


def nearest_training_faces(
    samples: FaceSet,
    data: FaceData,
    classifier: AttributeClassifier,
    *,
    validation: int,
    count: int = 12,
    neighbours: int = 5,
    device: str | torch.device = "cpu",
    track: Track = no_bar,
) -> list[tuple[UInt8Array, list[str]]]:
    """Return the training faces nearest to some samples, to see whether the generator copies any.

    Nearest by the Euclidean distance of the classifier's features, among all training faces.

    Returns:
        For each sample uint8 [1 + neighbours, R, R, 3], the sample first, and captions: the
        neighbours' distances.
    """
    training, _ = data.split(validation)
    edge, found = samples.images.shape[1], []
    for start in track(
        range(0, len(training), _CHUNK), -(-len(training) // _CHUNK), "Looking for neighbours"
    ):
        batch = shrink(training.images[start : start + _CHUNK], edge)
        found.append(_classify(batch, classifier, device)[0])
    rows, distances = distribution.nearest(
        samples.features["classifier"][:count], np.concatenate(found), neighbours
    )
    strips = []
    for sample, near, apart in zip(samples.images, rows, distances, strict=False):
        faces = np.concatenate((sample[None], shrink(training.images, edge, near)))
        strips.append((faces, ["sample", *(f"{distance:.2f}" for distance in apart)]))
    return strips


def shrink(
    images: UInt8Array, edge: int, rows: Iterable[int] | NDArray[np.int64] | None = None
) -> UInt8Array:
    """Reduce uint8 [N, R, R, 3], or some rows, to [., edge, edge, 3] by averaging.

    Smaller pictures stay as they are. A memory map is read picture by picture.
    """
    chosen = range(len(images)) if rows is None else rows
    size = (min(edge, images.shape[1]),) * 2
    return np.stack(
        [np.array(Image.fromarray(images[i]).resize(size, Image.Resampling.BOX)) for i in chosen]
    )


def in_shared_frame(editor: FaceEditor, images: UInt8Array, edge: int) -> UInt8Array:
    """Cut the shared frame, in which real faces stand, out of samples, and reduce it to `edge`."""
    if editor.generator.frame != SHARED_FRAME:
        images = editor.judges.cut(images)
    return shrink(images, edge)


def _render(editor: FaceEditor, seeds: range, edge: int, track: Track) -> UInt8Array:
    batches = []
    step = editor.batch_size
    for start in track(range(0, len(seeds), step), -(-len(seeds) // step), "Rendering"):
        z = editor.sample(seeds[start : start + step])
        batches.append(in_shared_frame(editor, editor.render(z), edge))
    images = np.concatenate(batches)
    if images.shape[1] != edge:
        raise LatentEditError(
            f"the generator draws {images.shape[1]} pixels and the real faces have {edge}: "
            "look at them at the generator's resolution"
        )
    return images


def _classify(
    images: UInt8Array, classifier: AttributeClassifier, device: str | torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pooled features [N, C] and probabilities [N, K]."""
    device = torch.device(device)
    network = place(classifier, device).eval()
    features, scores = [], []
    with torch.inference_mode():
        for start in range(0, len(images), 64):
            pooled = network.pooled(to_tensor(images[start : start + 64], device))
            features.append(pooled.cpu().numpy())
            scores.append(torch.sigmoid(network.head(pooled)).cpu().numpy())
    return np.concatenate(features), np.concatenate(scores)


def compare_spaces(real: RealFaces, samples: FaceSet, seed: int) -> dict[str, Any]:
    """Fréchet and kernel distance, precision, recall, density and coverage by feature space."""
    return {name: _compare(real, samples, name, seed) for name in samples.features}


def _compare(real: RealFaces, samples: FaceSet, space: str, seed: int) -> dict[str, Any]:
    reference, training, ours = (
        faces.features[space] for faces in (real.reference, real.training, samples)
    )
    everyone = np.concatenate((reference, training))
    order = np.random.RandomState(seed).permutation(len(everyone))
    one, other = (everyone[half] for half in np.array_split(order, 2))
    frechet = {
        "samples": distribution.frechet_distance(reference, ours),
        "real": distribution.frechet_distance(reference, training),
        "halves": distribution.frechet_distance(one, other),
    }
    kernel = {
        "samples": distribution.kernel_distance(reference, ours, seed=seed),
        "real": distribution.kernel_distance(reference, training, seed=seed),
        "halves": distribution.kernel_distance(one, other, seed=seed),
    }
    for baseline in ("real", "halves"):
        frechet[f"times_{baseline}"] = frechet["samples"] / max(frechet[baseline], 1e-12)
    covered = distribution.coverage(reference, ours)
    covered_by_real = distribution.coverage(reference, training)
    return {
        "frechet": frechet,
        "kernel": kernel,
        **{
            name: {"samples": value, "real": covered_by_real[name]}
            for name, value in covered.items()
        },
    }


def _compare_pictures(real: RealFaces, samples: FaceSet, seed: int, track: Track) -> dict[str, Any]:
    reference, training, ours = (faces.images for faces in (real.reference, real.training, samples))
    sliced, alike = {}, {}
    sides = (("samples", ours), ("real", training))
    for index in track(range(len(sides)), len(sides), "Comparing pictures"):
        side, images = sides[index]
        sliced[side] = pictures.sliced_wasserstein(reference, images, seed=seed)
        # in random pairs: neighbours in a file may show one person
        alike[side] = pictures.ms_ssim(np.random.RandomState(seed).permutation(images))
    return {
        "sliced_wasserstein": {
            level: {side: sliced[side][level] for side, _ in sides} for level in sliced["real"]
        },
        "ms_ssim": {**alike, "scales": pictures.ms_ssim_scales(ours.shape[1])},
        "face_found": {
            "samples": _share_found(ours, track, "Finding faces in samples"),
            "real": _share_found(reference, track, "Finding faces in held-out faces"),
        },
    }


def _clean_portraits(
    real: RealFaces, samples: FaceSet, device: str | torch.device
) -> dict[str, float]:
    assessor = PortraitAssessor.load(device=str(device))
    return {
        "samples": assessor.clean_share(samples.images),
        "real": assessor.clean_share(real.reference.images),
    }


def _share_found(images: UInt8Array, track: Track, title: str) -> float:
    starts = track(range(0, len(images), _CHUNK), -(-len(images) // _CHUNK), title)
    found = [pictures.detected(images[start : start + _CHUNK]) for start in starts]
    return float(np.concatenate(found).mean())
