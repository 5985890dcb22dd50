"""How good portrait assessors are: figures by quality, and scores as pictures get worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn import metrics

from latentedit.classifiers.portrait import QUALITIES
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifiers.attributes import binary_figures
from latentedit.io.images import UInt8Array
from latentedit.portrait.assessor import TOO_BLURRED, UNSURE
from latentedit.portrait.degradations import UNSEEN, degrade

SLIDES: Mapping[str, float] = {
    "blur": 0.9735,
    "occlusion": 0.9550,
    "make-up": 0.9915,
    "illumination": 0.9895,
    "expression": 0.9815,
    "pose": 0.9845,
}
"""Accuracies of the Photo-aid slides on WFLW's flags. Their pictures and questions are not ours."""

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


def evaluate_flags(poor: NDArray[np.float32], flags: NDArray[np.int8]) -> dict[str, Any]:
    """Compare the probabilities that six qualities are poor with true flags.

    Args:
        poor: [N, 6] in [0, 1], columns as in `QUALITIES`; a column of NaN is left out.
        flags: int8 [N, 6]; 1 poor, 0 good, -1 not known.

    Returns:
        by quality: ``n``, ``poor`` (share), ``accuracy``, ``balanced_accuracy``, ``f1``,
        ``roc_auc``, ``ece`` and ``mse`` of the probability, ``majority`` (accuracy of always
        giving the commoner answer).

    Raises:
        LatentEditError: no flag is known.
    """
    rows = {}
    for name, p, y in zip(QUALITIES, poor.T, flags.T, strict=True):
        known = (y >= 0) & ~np.isnan(p)
        if not known.any():
            continue
        p, y = p[known].astype(np.float64), y[known]
        both = len(np.unique(y)) == 2
        rows[name] = {
            "n": len(y),
            "poor": float(np.mean(y)),
            **binary_figures(p, y),
            "roc_auc": float(metrics.roc_auc_score(y, p)) if both else None,
        }
    if not rows:
        raise LatentEditError("these portraits have no flags: nothing to compare with")
    return rows


def evaluate_doubt(good: NDArray[np.float32], flags: NDArray[np.int8]) -> dict[str, Any]:
    """Check that `cannot tell` is the verdict where a guess would be right less often.

    Args:
        good: scores [N, 6] in [0, 1], columns as in `QUALITIES`.
        flags: int8 [N, 6]; 1 poor, 0 good, -1 not known.

    Returns:
        by quality: ``unsure``, the portraits whose score is inside `UNSURE`; and, for the qualities
        in `TOO_BLURRED`, ``blurred``, the portraits whose score of blur is below the value there.
        Both have their ``share`` of the portraits with a known flag. They also say how often
        "good if score > 0.5" is right: ``right`` among these portraits, ``elsewhere`` among the
        others (None if there are none).
    """
    blur = good[:, QUALITIES.index("blur")]
    report = {}
    for name, score, flag in zip(QUALITIES, good.T, flags.T, strict=True):
        doubts = {"unsure": (score >= UNSURE[0]) & (score <= UNSURE[1])}
        if name in TOO_BLURRED:
            doubts["blurred"] = blur < TOO_BLURRED[name]
        known, right = flag >= 0, (score < 0.5) == (flag == 1)
        report[name] = {
            kind: {
                "share": _mean(doubted[known]),
                "right": _mean(right[known & doubted]),
                "elsewhere": _mean(right[known & ~doubted]),
            }
            for kind, doubted in doubts.items()
        }
    return report


def compare_with_baselines(
    ours: Mapping[str, Any], baselines: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Set one network's figures beside those of six baselines and the slides' accuracies."""
    return {
        name: {
            "ours": row,
            "baseline": baselines.get(name),
            "slides_accuracy": SLIDES[name],
            "better": _is_better(row, baselines[name]) if name in baselines else None,
        }
        for name, row in ours.items()
    }


def _is_better(row: Mapping[str, Any], baseline: Mapping[str, Any]) -> bool:
    """Whether a row is above the baseline's in every figure that both have."""
    figures = ("accuracy", "balanced_accuracy", "f1", "roc_auc")
    pairs = [(row[figure], baseline[figure]) for figure in figures]
    return all(ours > theirs for ours, theirs in pairs if None not in (ours, theirs))


def order_under_degradation(
    scores: Callable[[UInt8Array], NDArray[np.float32]],
    portraits: UInt8Array,
    *,
    seed: int = 0,
    track: Callable[[Iterator[int], int], Iterator[int]] = lambda rows, total: rows,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Measure how well scores fall as portraits get worse, in ways that training did not use.

    Args:
        scores: portraits uint8 [N, S, S, 3] -> probability that each quality is good [N, 6].
        portraits: good ones, uint8 [N, S, S, 3].
        seed: of the degradations; each portrait has its own seed, the same at every strength.
        track: wraps the iterator over portraits (a progress bar).

    Returns:
        by quality and kind of degradation: ``spearman``, the rank correlation (Spearman 1904) of
        the strength and one minus the score over all N x 5 pictures; ``by_portrait``, the same
        over the five pictures of each portrait, averaged over portraits; and ``mean_scores`` at
        the five `STRENGTHS`. The kind ``all`` takes all kinds of a quality together.
    """
    tasks = [(quality, kind) for quality, kinds in UNSEEN.items() for kind in kinds]
    rows: dict[tuple[str, str], list[NDArray[np.float32]]] = {task: [] for task in tasks}
    for row in track(iter(range(len(portraits))), len(portraits)):
        for quality, kind in tasks:
            spoilt = [
                degrade(portraits[row], quality, kind, s, np.random.RandomState([seed, row]))
                for s in STRENGTHS
            ]
            rows[quality, kind].append(scores(np.stack(spoilt))[:, QUALITIES.index(quality)])
    report: dict[str, dict[str, dict[str, Any]]] = {}
    for quality, kinds in UNSEEN.items():
        found = {kind: np.stack(rows[quality, kind]) for kind in kinds}  # [N, 5] each
        report[quality] = {kind: _order(values) for kind, values in found.items()}
        report[quality]["all"] = _order(np.concatenate(list(found.values())))
    return report


def _order(scores: NDArray[np.float32]) -> dict[str, Any]:
    """Figures of scores [N, 5], a column for each of `STRENGTHS`."""
    each = [_rank_correlation(np.array(STRENGTHS), -row) for row in scores]
    everywhere = np.broadcast_to(STRENGTHS, scores.shape).ravel()
    return {
        "spearman": _rank_correlation(everywhere, -scores.ravel()),
        "by_portrait": float(np.mean(each)),
        "mean_scores": [round(float(value), 4) for value in scores.mean(0)],
    }


def _mean(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return Spearman's rank correlation; 0 where `b` is constant."""
    if len(np.unique(b)) == 1:
        return 0.0
    return float(spearmanr(a, b).statistic)


def portrait_rows(compared: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return table rows: quality, share of poor ones, ours/baseline by figure, slides' accuracy."""
    rows = []
    for name, row in compared.items():
        cells = []
        for figure in ("accuracy", "balanced_accuracy", "f1", "roc_auc", "ece"):
            sides = [row["ours"], row["baseline"]]
            texts = [f"{s[figure]:.3f}" if s and s[figure] is not None else "-" for s in sides]
            cells.append("/".join(texts))
        rows.append((name, f"{row['ours']['poor']:.2f}", *cells, f"{row['slides_accuracy']:.4f}"))
    return rows
