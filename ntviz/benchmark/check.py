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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import statistics
from ntviz.benchmark.task import Examples, Task
from ntviz.genome.sequence import reverse_complement

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("pass", "unknown", "warning", "fail")
"""From the best to the worst."""
FEWEST = 250
WARNING, FAIL = 0.6, 0.7
NEAR = (0.3, 0.9)
"""Shares of its 21-mers from which a test sequence counts as near, and as all but equal, to a training one."""
_CLASSES = ("binary", "multiclass")
_ANY = 1e-12
_OF = {"PASS": "pass", "WARN": "warning", "FAIL": "fail", "SKIP": "unknown"}
# They need what a task does not have: alignments, other data sets, distances, pairs; and case, which reading takes away.
_SKIPPED = (
    "overlap.homology", "overlap.pair", "reference", "position", "construction.genome_membership", "shortcut.case",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Checks:
    """What was found out about a task.

    Attributes
    ----------
    name
        Of the task.
    table
        Columns [check, part, status, value, limit, n, note], one row a check.
    """

    name: str
    table: pd.DataFrame

    @property
    def status(self) -> str:
        """The worst status."""
        return max(self.table["status"], key=STATUSES.index)

    def __repr__(self) -> str:
        counts = self.table["status"].value_counts()
        found = ", ".join(f"{counts[status]} {status}" for status in reversed(STATUSES) if status in counts)
        return f"Checks({self.name}: {found})"


def check(task: Task) -> Checks:
    """All checks of a task.

    Counts against what is expected (where the task says), label balance, equal sequences and equal but for the strand within
    parts, contradicting labels, groups on both sides, N, lengths, and what seqleak's linter finds: copies and near copies
    across the split, shortcuts, constructed negatives.

    Raises
    ------
    ImportError
        seqleak is not installed.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for part, examples in task.parts.items():
        rows += _counted(task, part, examples)
        rows += _repeats(part, examples)
    if task.test is not None:
        both = np.intersect1d(task.train.groups.astype(str), task.test.groups.astype(str))
        note = ", ".join(both[:3].tolist())
        rows.append(_row("groups on both sides", "all", _worse(len(both), "fail"), len(both), 0, note=note))
    low, high = task.lengths
    rows.append(_row("lengths", "all", _worse(high - low), high - low, 0, note=f"{low:,} to {high:,} bp"))
    columns = ["check", "part", "status", "value", "limit", "n", "note"]
    return Checks(task.name, pd.DataFrame([*rows, *_linted(task), *_told_apart(task)], columns=columns))


def _row(
    check: str, part: str, status: str, value: float, limit: float, *, n: int = 0, note: str = ""
) -> dict:
    return {"check": check, "part": part, "status": status, "value": value, "limit": limit, "n": n, "note": note}  # fmt: skip


def _worse(number: float, status: str = "warning") -> str:
    return status if number else "pass"


def _counted(task: Task, part: str, examples: Examples) -> list[dict]:
    """Examples against what was published, the rarest class, and N."""
    rows, n = [], len(examples)
    expected = task.facts.get("expected", {}).get(part)
    if expected is not None:
        rows.append(
            _row("examples", part, _worse(n != expected), n, expected, n=n, note="as many as published")
        )
    if task.kind in _CLASSES:
        counts = np.bincount(examples.labels, minlength=len(task.classes))
        share, limit = counts.min() / max(1, n), 0.5 / len(task.classes)
        status = "fail" if not share else _worse(share < limit)
        note = ", ".join(f"{name} {k:,}" for name, k in zip(task.classes, counts.tolist(), strict=True))
        rows.append(_row("share of the rarest class", part, status, share, limit, n=n, note=note))
    some = sum("N" in text for text in examples.sequences)
    return [*rows, _row("sequences with N", part, _worse(some), some, 0, n=n)]


def _repeats(part: str, examples: Examples) -> list[dict]:
    texts, labels = examples.sequences.tolist(), {}
    for text, label in zip(texts, examples.labels, strict=True):
        labels.setdefault(min(text, reverse_complement(text)), set()).add(label.tobytes())
    n, plain = len(texts), len(set(texts))
    torn = sum(len(found) > 1 for found in labels.values())
    note = "wrong where labels belong to a strand" if torn else ""
    return [
        _row("equal sequences", part, _worse(n - plain), n - plain, 0, n=n),
        _row("equal but for the strand", part, _worse(plain - len(labels)), plain - len(labels), 0, n=n),
        _row("equal with other labels, strands folded", part, _worse(torn), torn, 0, n=n, note=note),
    ]


def _linted(task: Task) -> list[dict]:
    """What seqleak finds: any copy across the split fails; a near one is a warning, or fails where it is all but equal."""
    import pandas as pd

    try:
        from seqleak.audit import load_task, run_audit, thresholds
    except ImportError as error:
        raise ImportError(
            "Checking a task needs seqleak. Install it: pip install 'ntviz[benchmark]'."
        ) from error
    limits = thresholds.load()
    limits["overlap.exact"].update(warn=_ANY, fail=_ANY, min_items=0)
    limits["overlap.near"].update(warn=_ANY, near=NEAR[0])
    # A rule with one limit of AUROC 0.6 and 0.7 has this MCC where classes are balanced.
    limits["shortcut.composition"].update(warn=2 * WARNING - 1, fail=2 * FAIL - 1)
    parts, labels = list(task.parts.values()), [examples.labels for examples in task.parts.values()]
    by_class = task.kind in _CLASSES and len(np.unique(np.concatenate(labels))) > 1
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
    rows = []
    for name, found in report["checks"].items():
        if name == "baseline.lookup":
            continue
        few = name.startswith("shortcut") and len(table) < FEWEST and found["status"] == "PASS"
        status = "unknown" if few else _OF[found["status"]]
        value = np.nan if found["value"] is None else found["value"]
        limit = (found["threshold"] or {}).get("warn", 0)
        note = found["reason"].partition(";")[0] if status == "pass" else found["reason"]
        rows.append(_row(found["title"], part, status, value, 0 if limit == _ANY else limit, n=found["n"] or 0, note=note))  # fmt: skip
    if task.test is not None:
        equal = int((items["containment"] >= NEAR[1]).sum())
        title = f"Share {NEAR[1]:.0%} or more of their 21-mers with a training sequence"
        rows.append(_row(title, part, _worse(equal, "fail"), equal, 0, n=len(task.test)))
    return rows


def _told_apart(task: Task) -> list[dict]:
    """How far one number of a sequence tells tracks or targets, which the linter does not judge, on all examples."""
    if task.kind in _CLASSES:
        return []
    name = "one number tells the label (AUROC)"
    if task.kind == "per_base":
        return [_row(name, "all", "unknown", np.nan, WARNING, note="labels are of bases")]
    from seqleak.audit.shortcuts import features

    texts = [text for examples in task.parts.values() for text in examples.sequences]
    labels = np.concatenate([examples.labels for examples in task.parts.values()])
    found = {feature: separation(task.kind, labels, values) for feature, values in features(texts).items()}
    feature = max(found, key=lambda feature: np.nan_to_num(found[feature]))
    value = found[feature]
    known = np.isfinite(value) and len(texts) >= FEWEST
    status = ("fail" if value > FAIL else _worse(value > WARNING)) if known else "unknown"
    return [_row(name, "all", status, value, WARNING, n=len(texts), note=feature)]


def separation(kind: str, labels: np.ndarray, values: np.ndarray) -> float:
    """How well one number tells tracks or targets, the best told of them: 0.5 nothing, 1 all; nan if undefined.

    The larger of AUROC and 1 - AUROC; for a regression (1 + |rank correlation|) / 2, on the same scale.
    """
    found = []
    for column in labels.T:
        if kind == "multilabel":
            value = statistics.auroc(column, values)
            found.append(max(value, 1 - value))
        elif np.ptp(column):
            found.append((1 + abs(statistics.spearman(values, column))) / 2 if np.ptp(values) else 0.5)
    known = [value for value in found if np.isfinite(value)]
    return max(known) if known else float("nan")
