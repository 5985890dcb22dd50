"""Results of a comparison as plain data: figures by attribute and method, winners, tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentedit.attributes import display_name
from latentedit.evaluation.edits.aging import bootstrap_interval
from latentedit.evaluation.methods.base import Method
from latentedit.evaluation.methods.comparison import Comparison, Measured
from latentedit.evaluation.methods.registry import OURS
from latentedit.inference.descriptors import ONE_PERSON

COLUMNS: Mapping[str, str] = {
    "step": "step",
    "share": "flipped",
    "leakage": "leakage",
    "distance": "dlib distance",
    "within": "one person",
    "years": "years",
    "gender": "gender flips",
    "strange": "strange",
    "found": "face found",
    "judged": "judge's leakage",
    "agreed": "judge's flips",
    "seconds": "seconds",
}
"""Names of a row's figures, and their headings in tables."""


def build_report(
    comparison: Comparison,
    methods: Sequence[Method],
    rows: Mapping[str, tuple[float, Mapping[str, Measured]]],
) -> dict[str, Any]:
    """Return the results of a comparison as plain data.

    Returns:
        ``attributes``: by name ``share``, ``winner``, ``runner_up``, ``against`` (ours minus the
        best published: mean and 95 % bootstrap interval of the faces' paired differences) and
        ``methods``, see `_figures`; ``summary`` by method, see `_summary`; ``ours``, see
        `_standing`; and what was compared on what.
    """
    editor, plan = comparison.editor, comparison.plan
    attributes = {
        name: _attribute(comparison, methods, name, share, measured)
        for name, (share, measured) in rows.items()
    }
    return {
        "model": editor.name,
        "generator_hash": editor.generator_hash,
        "classifier_hash": editor.classifier_hash,
        "boundaries": comparison.material.boundaries.hash,
        "precision": editor.precision_name,
        "faces": plan.faces,
        "seeds": {"first": plan.seeds[0], "last": plan.seeds[-1]},
        "size": comparison.size,
        "reference": comparison.material.reference.name,
        "judges": ["classifier", *comparison.witnesses],
        "methods": {m.name: {"title": m.title, "source": m.source} for m in methods},
        "attributes": attributes,
        "summary": _summary(attributes, methods),
        "ours": _standing(attributes, methods),
    }


def _attribute(
    comparison: Comparison,
    methods: Sequence[Method],
    name: str,
    share: float,
    measured: Mapping[str, Measured],
) -> dict[str, Any]:
    figures = {method: _figures(comparison, name, done) for method, done in measured.items()}
    order = ranked(figures)
    published = [each for each in order if _is_published(methods, each)]
    row: dict[str, Any] = {
        "share": round(share, 4),
        "winner": order[0] if order else None,
        "runner_up": order[1] if len(order) > 1 else None,
        "methods": figures,
    }
    if OURS in order and published:
        ours, theirs = (_leakage(comparison, measured[each], name) for each in (OURS, published[0]))
        low, high = bootstrap_interval(ours - theirs)
        row["against"] = {
            "method": published[0],
            "difference": _rounded((ours - theirs).mean()),
            "interval": [_rounded(low), _rounded(high)],
        }
    return row


def _leakage(comparison: Comparison, done: Measured, attribute: str) -> NDArray[np.float64]:
    assert done.found is not None
    return comparison.leakage(done.found, done.seen["logits"], attribute)


def ranked(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the methods that reach the share; the one that leaks least comes first."""
    reached = [name for name, row in figures.items() if "leakage" in row]
    return sorted(reached, key=lambda name: figures[name]["leakage"])


def _is_published(methods: Sequence[Method], name: str) -> bool:
    return any(method.published for method in methods if method.name == name)


def _figures(comparison: Comparison, attribute: str, done: Measured) -> dict[str, Any]:
    """Return one row: ``why`` if the method cannot be used, ``most`` if it flips too few."""
    if done.found is None or done.search is None:
        return {"why": done.why}
    search = done.search
    row: dict[str, Any] = {
        "note": done.found.note,
        "seconds": round(done.seconds, 3),
        "frontier": {
            "steps": [round(step, 4) for step in search.steps],
            "shares": [_rounded(share) for share in search.shares],
            "leakage": [_rounded(leak) for leak in done.leaks],
        },
    }
    if search.step is None:
        return {**row, "most": _rounded(search.most)}
    seen, before = done.seen, comparison.before(done.found)
    row |= {
        "step": round(search.step, 3),
        "share": _rounded(search.shares[search.steps.index(search.step)]),
        "leakage": _rounded(comparison.leakage(done.found, seen["logits"], attribute).mean()),
        "strange": _rounded((seen["strangeness"] > comparison.limit).mean()),
    }
    if "descriptors" in seen:
        apart = np.linalg.norm(seen["descriptors"] - before["descriptors"], axis=1)
        row |= {"distance": _rounded(apart.mean()), "within": _rounded((apart < ONE_PERSON).mean())}
    if "years" in seen:
        change: NDArray[np.float32] = seen["years"] - before["years"]
        row["years"] = round(float(np.abs(change).mean()), 2)
    if "male" in seen:
        row["gender"] = _rounded((seen["male"] != before["male"]).mean())
    if "found" in seen:
        row["found"] = _rounded(seen["found"].mean())
    if comparison.judge is not None:
        row |= judged(before["judge"], seen["judge"], comparison.judge.attributes, attribute)
    return row


def judged(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    names: Sequence[str],
    attribute: str,
) -> dict[str, float]:
    """Return what the user's classifier says of an edit.

    Args:
        before: its probabilities of the unedited faces, [N, J].
        after: of the edited ones.
        names: of its outputs.
        attribute: the target.

    Returns:
        ``judged``, the mean absolute change of all outputs but the target; and, if it knows the
        target, ``agreed``, the share of faces in which the target crossed 0.5.
    """
    own = np.array([name == attribute for name in names])
    row: dict[str, float] = {}
    if not own.all():
        row["judged"] = _rounded(np.abs(after - before)[:, ~own].mean())
    if own.any():
        row["agreed"] = _rounded(((after > 0.5) != (before > 0.5))[:, own].mean())
    return row


def _summary(
    attributes: Mapping[str, Mapping[str, Any]], methods: Sequence[Method]
) -> dict[str, dict[str, Any]]:
    """Return, by method, how often it reaches the share and wins, and means of its figures.

    The means are over the attributes for which the method reaches the share. So a method that
    reaches only easy attributes would look good. For a fair comparison, ``ratio`` is its leakage
    divided by ours, and ``distance_ratio`` its dlib distance divided by ours. Both are means over
    the attributes that both methods reach.
    """
    found: dict[str, dict[str, Any]] = {}
    for method in methods:
        rows = {name: row["methods"].get(method.name, {}) for name, row in attributes.items()}
        reached = {name: row for name, row in rows.items() if "leakage" in row}
        found[method.name] = {
            "reached": len(reached),
            "wins": sum(row["winner"] == method.name for row in attributes.values()),
            **_ratios(attributes, reached),
            **{
                column: _rounded(np.mean([row[column] for row in reached.values()]))
                for column in COLUMNS
                if reached and all(column in row for row in reached.values())
            },
        }
        reasons = {row["why"] for row in rows.values() if "why" in row}
        if len(reasons) == 1 and all("why" in row for row in rows.values()):
            found[method.name]["why"] = reasons.pop()
    return found


def _ratios(
    attributes: Mapping[str, Mapping[str, Any]], reached: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return leakage and dlib's distance relative to ours over attributes that both reach."""
    ours = {name: attributes[name]["methods"].get(OURS, {}) for name in reached}
    both = [name for name in reached if "leakage" in ours[name]]
    means: dict[str, Any] = {"compared": len(both)}
    for key, column in (("ratio", "leakage"), ("distance_ratio", "distance")):
        values = [
            reached[name][column] / ours[name][column]
            for name in both
            if ours[name].get(column) and column in reached[name]
        ]
        means[key] = _rounded(np.mean(values)) if values else None
    return means


def _standing(
    attributes: Mapping[str, Mapping[str, Any]], methods: Sequence[Method]
) -> dict[str, Any] | None:
    """Compare ours with the best published method of each attribute; None without ours.

    ``leads`` names attributes where ours leaks less, ``loses`` those where it does not. ``sure``
    names those of both whose interval leaves 0 out. ``unreached`` names those where ours does
    not reach the share, and ``alone`` those where no published method does. ``less`` is the mean
    share by which ours leaks less.
    """
    if OURS not in {method.name for method in methods}:
        return None
    leads: list[str] = []
    loses: list[str] = []
    sure: list[str] = []
    unreached: list[str] = []
    alone: list[str] = []
    less: list[float] = []
    for name, row in attributes.items():
        if "leakage" not in row["methods"].get(OURS, {}):
            if row["winner"] is not None:
                unreached.append(name)
            continue
        if "against" not in row:
            alone.append(name)
            continue
        ours = row["methods"][OURS]["leakage"]
        theirs = row["methods"][row["against"]["method"]]["leakage"]
        (leads if ours < theirs else loses).append(name)
        if row["against"]["interval"][0] > 0 or row["against"]["interval"][1] < 0:
            sure.append(name)
        if theirs > 0:
            less.append(1 - ours / theirs)
    return {
        "leads": leads,
        "loses": loses,
        "sure": sure,
        "unreached": unreached,
        "alone": alone,
        "less": _rounded(np.mean(less)) if less else None,
    }


def table_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one flat row for each attribute and method."""
    rows = []
    for attribute, row in report["attributes"].items():
        for method, figures in row["methods"].items():
            flat = {column: figures.get(column) for column in COLUMNS}
            rows.append(
                {
                    "attribute": attribute,
                    "method": method,
                    **flat,
                    "winner": row["winner"] == method,
                    "note": figures.get("why") or _unreached(figures) or figures.get("note", ""),
                }
            )
    return rows


def _unreached(figures: Mapping[str, Any]) -> str:
    return f"flips {figures['most']:.0%} at most" if "most" in figures else ""


def to_csv(report: Mapping[str, Any]) -> str:
    """The rows of `table_rows` as CSV."""
    rows, text = table_rows(report), io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(report: Mapping[str, Any]) -> str:
    """Two tables: means by method, and leakage by attribute with the winner in bold."""
    titles = {name: row["title"] for name, row in report["methods"].items()}
    words = [
        f"{report['faces']} faces of {report['model']}, {len(report['attributes'])} attributes"
    ]
    lines = [", ".join(words), "", *_summary_lines(report), ""]
    head = ["attribute", "flipped", *titles.values(), "ours minus the best published"]
    lines += _line(head), _line(["---", *["---:"] * (len(head) - 1)])
    for name, row in report["attributes"].items():
        cells = [_leakage_cell(row, method) for method in titles]
        lines.append(_line([display_name(name), f"{row['share']:.0%}", *cells, _against(row)]))
    return "\n".join(lines) + "\n"


def summary_table(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and a row for each method: means over what it reaches."""
    summary = report["summary"]
    columns = [
        name for name in COLUMNS if name != "share" and any(name in row for row in summary.values())
    ]
    lines = []
    for name, row in summary.items():
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        cells = ["" if row.get(each) is None else number(each, row[each]) for each in columns]
        title = report["methods"][name]["title"]
        lines.append([title, str(row["reached"]), str(row["wins"]), ratio, *cells])
    heads = ["method", "reached", "wins", "leakage to ours"]
    return [*heads, *(COLUMNS[name] for name in columns)], lines


def _summary_lines(report: Mapping[str, Any]) -> list[str]:
    head, rows = summary_table(report)
    return [_line(head), _line(["---", *["---:"] * (len(head) - 1)]), *map(_line, rows)]


def number(column: str, value: float) -> str:
    """A figure as tables show it."""
    if column in ("share", "within", "gender", "strange", "found", "agreed"):
        return f"{value:.0%}"
    return f"{value:.4f}" if column in ("leakage", "judged") else f"{value:.2f}"


def _leakage_cell(row: Mapping[str, Any], method: str) -> str:
    figures = row["methods"].get(method, {})
    if "leakage" not in figures:
        return f"({figures['most']:.0%})" if "most" in figures else "-"
    text = f"{figures['leakage']:.4f}"
    return f"**{text}**" if row["winner"] == method else text


def _against(row: Mapping[str, Any]) -> str:
    if "against" not in row:
        return ""
    low, high = row["against"]["interval"]
    return f"{row['against']['difference']:+.4f} ({low:+.4f} to {high:+.4f})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def standing_in_words(report: Mapping[str, Any]) -> list[str]:
    """Say where ours leads, and where it loses."""
    ours = report["ours"]
    if ours is None:
        return []
    count = len(ours["leads"]) + len(ours["loses"])
    lines = []
    if count:
        lines.append(
            f"ours leaks less than the best published method in {len(ours['leads'])} of {count} "
            f"attributes, {ours['less']:.0%} less in the mean; the difference is sure in "
            f"{len(ours['sure'])}"
        )
    for key, text in (
        ("loses", "ours loses in"),
        ("unreached", "ours does not reach the share in"),
        ("alone", "no published method reaches the share in"),
    ):
        if ours[key]:
            lines.append(f"{text}: {', '.join(display_name(name) for name in ours[key])}")
    return lines


def _rounded(value: Any) -> float:
    return round(float(value), 4)
