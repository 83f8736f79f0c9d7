"""Is a data set fit to judge by? Counts, balance, repeats and groups, and the leaks that seqleak's linter finds; each with a status.

References
----------
Tomar (2026) seqleak, rule set v1.2.1: copies, near copies and overlapping windows across the split, shortcuts by length, N,
composition and motifs, and negatives that were constructed. That fewer than 250 sequences are "unknown", not "pass", and the
limits of a single number for tracks and targets (0.6, 0.7): genomic-benchmarks-qc 1.0 (2026).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntviz import statistics
from ntviz.benchmark.task import Examples, Task
from ntviz.environment import need
from ntviz.genome.sequence import reverse_complement
from ntviz.probing.labels import BY_CLASS

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("pass", "unknown", "warning", "fail")
"""From the best to the worst."""
FEWEST = 250
WARNING, FAIL = 0.6, 0.7
NEAR = (0.3, 0.9)
"""Shares of its 21-mers from which a test sequence counts as near, and as all but equal, to a training one."""
_ANY = 1e-12
_OF = {"PASS": "pass", "WARN": "warning", "FAIL": "fail", "SKIP": "unknown"}
# They need what a task does not have: alignments, other data sets, distances, pairs; and case, which reading takes away.
_SKIPPED = (
    "overlap.homology", "overlap.pair", "reference", "position", "construction.genome_membership", "shortcut.case",
)  # fmt: skip
_COLUMNS = ("check", "part", "status", "value", "limit", "n", "note")
_Row = tuple[str, str, str, float, float, int, str]


@dataclass(frozen=True, eq=False)
class Checks:
    """What was found out about the task of a name; `table` has columns [check, part, status, value, limit, n, note], one row a check."""

    name: str
    table: pd.DataFrame

    @property
    def status(self) -> str:
        """The worst status."""
        return max(self.table["status"], key=STATUSES.index)

    def __repr__(self) -> str:
        counts = self.table["status"].value_counts()
        by_status = [f"{counts[status]} {status}" for status in reversed(STATUSES) if status in counts]
        return f"Checks({self.name}: {', '.join(by_status)})"


def check(task: Task) -> Checks:
    """All checks of a task; ImportError where seqleak is not installed.

    Counts against what is expected (where the task says), label balance, equal sequences and equal but for the strand within
    parts, contradicting labels, groups on both sides, N, lengths, and what seqleak's linter finds: copies and near copies
    across the split, shortcuts, constructed negatives.
    """
    import pandas as pd

    rows = [row for part, examples in task.parts.items() for row in _counted(task, part, examples)]
    if task.test is not None:
        both = np.intersect1d(task.train.groups.astype(str), task.test.groups.astype(str))
        rows.append(_row("groups on both sides", "all", len(both), note=", ".join(both[:3]), worse="fail"))
    low, high = task.lengths
    rows.append(_row("lengths", "all", high - low, note=f"{low:,} to {high:,} bp"))
    return Checks(task.name, pd.DataFrame([*rows, *_linted(task), *_told_apart(task)], columns=_COLUMNS))


def _row(check: str, part: str, number: int, n: int = 0, note: str = "", worse: str = "warning") -> _Row:
    """The row of a check that passes where its number is 0."""
    return check, part, worse if number else "pass", number, 0, n, note


def _counted(task: Task, part: str, examples: Examples) -> Iterator[_Row]:
    """Examples against what was published, the rarest class, N, and repeats."""
    n = len(examples)
    expected = task.facts.get("expected", {}).get(part)
    if expected is not None:
        status = "pass" if n == expected else "warning"
        yield "examples", part, status, n, expected, n, "as many as published"
    if task.kind in BY_CLASS:
        counts = np.bincount(examples.labels, minlength=len(task.classes))
        share, limit = counts.min() / max(1, n), 0.5 / len(task.classes)
        status = "fail" if not share else "warning" if share < limit else "pass"
        note = ", ".join(f"{name} {k:,}" for name, k in zip(task.classes, counts.tolist(), strict=True))
        yield "share of the rarest class", part, status, share, limit, n, note
    texts, labels = examples.sequences.tolist(), {}
    yield _row("sequences with N", part, sum("N" in text for text in texts), n)
    for text, label in zip(texts, examples.labels, strict=True):
        labels.setdefault(min(text, reverse_complement(text)), set()).add(label.tobytes())
    plain, torn = len(set(texts)), sum(len(of_text) > 1 for of_text in labels.values())
    note = "wrong where labels belong to a strand" if torn else ""
    yield _row("equal sequences", part, n - plain, n)
    yield _row("equal but for the strand", part, plain - len(labels), n)
    yield _row("equal with other labels, strands folded", part, torn, n, note)


def _linted(task: Task) -> list[_Row]:
    """What seqleak finds: any copy across the split fails; a near one is a warning, or fails where it is all but equal."""
    import pandas as pd

    need("seqleak.audit", "benchmark")
    from seqleak.audit import load_task, run_audit, thresholds

    limits = thresholds.load()
    limits["overlap.exact"].update(warn=_ANY, fail=_ANY, min_items=0)
    limits["overlap.near"].update(warn=_ANY, near=NEAR[0])
    # A rule with one limit of AUROC 0.6 and 0.7 has this MCC where classes are balanced.
    limits["shortcut.composition"].update(warn=2 * WARNING - 1, fail=2 * FAIL - 1)
    parts, labels = list(task.parts.values()), [examples.labels for examples in task.parts.values()]
    by_class = task.kind in BY_CLASS and len(np.unique(np.concatenate(labels))) > 1
    low, high = task.lengths
    skipped = [*_SKIPPED, "shortcut.anchored_motif" if low == high else "shortcut.position_motif"]
    if task.test is None:
        skipped += ["overlap", "construction.shuffle", "construction.segment"]
    if not by_class:
        labels = [part.reshape(len(part), -1).mean(axis=1) for part in labels]
    table = pd.DataFrame(
        {
            "id": np.concatenate([examples.ids.astype(str) for examples in parts]),
            "sequence": np.concatenate([examples.sequences for examples in parts]),
            "label": np.concatenate(labels),
            # Without a test part rules are judged by folds.
            "split": np.repeat([*task.parts] if task.test is not None else "test", list(map(len, parts))),
        }
    )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "task.parquet"
        table.to_parquet(path)
        given = load_task(data=[str(path)], task_type="classification" if by_class else "regression")
        report, items = run_audit(
            given, checks=None if by_class else ["overlap"], skip=skipped, thresholds=limits, quiet=True
        )
    part = "test" if task.test is not None else "all"
    rows: list[_Row] = []
    for name, found in report["checks"].items():
        if name == "baseline.lookup":
            continue
        few = name.startswith("shortcut") and len(table) < FEWEST and found["status"] == "PASS"
        status = "unknown" if few else _OF[found["status"]]
        value = np.nan if found["value"] is None else found["value"]
        limit = (found["threshold"] or {}).get("warn", 0)
        note = found["reason"].partition(";")[0] if status == "pass" else found["reason"]
        limit = 0 if limit == _ANY else limit
        rows.append((found["title"], part, status, value, limit, found["n"] or 0, note))
    if task.test is not None:
        equal = int((items["containment"] >= NEAR[1]).sum())
        title = f"Share {NEAR[1]:.0%} or more of their 21-mers with a training sequence"
        rows.append(_row(title, part, equal, len(task.test), worse="fail"))
    return rows


def _told_apart(task: Task) -> list[_Row]:
    """How far one number of a sequence tells tracks or targets, which the linter does not judge, on all examples."""
    if task.kind in BY_CLASS:
        return []
    name = "one number tells the label (AUROC)"
    if task.kind == "per_base":
        return [(name, "all", "unknown", np.nan, WARNING, 0, "labels are of bases")]
    need("seqleak.audit", "benchmark")
    from seqleak.audit.shortcuts import features

    texts = [text for examples in task.parts.values() for text in examples.sequences]
    labels = np.concatenate([examples.labels for examples in task.parts.values()])
    by_feature = {feature: separation(task.kind, labels, values) for feature, values in features(texts).items()}
    feature = max(by_feature, key=lambda feature: np.nan_to_num(by_feature[feature]))
    value = by_feature[feature]
    status = "unknown"
    if np.isfinite(value) and len(texts) >= FEWEST:
        status = "fail" if value > FAIL else "warning" if value > WARNING else "pass"
    return [(name, "all", status, value, WARNING, len(texts), feature)]


def separation(kind: str, labels: np.ndarray, values: np.ndarray) -> float:
    """How well one number tells tracks or targets, the best told of them: 0.5 nothing, 1 all; nan if undefined.

    The larger of AUROC and 1 - AUROC; for a regression (1 + |rank correlation|) / 2, on the same scale.
    """
    if kind == "multilabel":
        each = np.array([statistics.auroc(column, values) for column in labels.T])
        each = np.maximum(each, 1 - each)
    else:
        varying = [column for column in labels.T if np.ptp(column)]
        each = np.array([statistics.spearman(values, column) for column in varying])
        # Nothing is told by values that do not vary.
        each = (1 + np.abs(each if np.ptp(values) else np.zeros(len(varying)))) / 2
    return float(np.max(each[np.isfinite(each)], initial=0)) or float("nan")
