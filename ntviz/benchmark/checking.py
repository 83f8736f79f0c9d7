"""Is a data set fit to judge by? Counts, balance, duplicates, homology across the split, and shortcuts; each with a status.

References
----------
Limits of single-feature AUROC (0.6, 0.7), and that fewer than 250 sequences are "unknown", not "pass": genomic-benchmarks-qc
1.0 (2026). Homology across splits by shared k-mers: see `homology`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.benchmark import homology, shortcuts
from ntviz.benchmark.task import Examples, Task
from ntviz.sequence import reverse_complement

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("pass", "unknown", "warning", "fail")
"""From the best to the worst."""
FEWEST = 250
WARNING, FAIL = 0.6, 0.7
NEAR = (0.3, 0.9)
"""Shares of 21-mers from which a held-out sequence counts as near, and as all but equal, to a training one."""


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
        told = ", ".join(f"{counts[status]} {status}" for status in reversed(STATUSES) if status in counts)
        return f"Checks({self.name}: {told})"


def check(task: Task) -> Checks:
    """All checks of a task.

    Counts against what is expected (where the task says), label balance, equal sequences and equal but for the strand within
    and across parts, contradicting labels, groups on both sides, near copies across the split, N, lengths, and how far length
    or composition alone tells the label.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for part, examples in task.parts.items():
        rows += _expected(task, part, examples)
        rows += _balance(task, part, examples)
        rows += _repeats(part, examples)
        rows.append(_share_of_n(part, examples))
    if task.test is not None:
        rows += _across(task.train, task.test)
    low, high = task.lengths
    rows.append(
        _row(
            "lengths",
            "all",
            "pass" if low == high else "warning",
            high - low,
            0,
            note=f"{low:,} to {high:,} bp",
        )
    )
    rows += _shortcuts(task)
    columns = ["check", "part", "status", "value", "limit", "n", "note"]
    return Checks(task.name, pd.DataFrame(rows, columns=columns))


def _row(
    check: str, part: str, status: str, value: float, limit: float, *, n: int = 0, note: str = ""
) -> dict[str, Any]:
    return {
        "check": check,
        "part": part,
        "status": status,
        "value": value,
        "limit": limit,
        "n": n,
        "note": note,
    }


def _expected(task: Task, part: str, examples: Examples) -> list[dict]:
    expected = task.facts.get("expected", {}).get(part)
    if expected is None:
        return []
    status = "pass" if len(examples) == expected else "warning"
    return [
        _row("examples", part, status, len(examples), expected, n=len(examples), note="as many as published")
    ]


def _balance(task: Task, part: str, examples: Examples) -> list[dict]:
    if task.kind not in ("binary", "multiclass"):
        return []
    counts = np.bincount(examples.labels, minlength=len(task.classes))
    rarest = int(counts.argmin())
    share = counts[rarest] / max(1, counts.sum())
    status = "fail" if counts[rarest] == 0 else "warning" if share < 0.5 / len(task.classes) else "pass"
    told = ", ".join(f"{name} {n:,}" for name, n in zip(task.classes, counts.tolist(), strict=True))
    return [
        _row(
            "share of the rarest class",
            part,
            status,
            share,
            0.5 / len(task.classes),
            n=len(examples),
            note=told,
        )
    ]


def canonical(sequence: str) -> str:
    """The lesser of a sequence and its reverse complement: equal for both strands."""
    return min(sequence, reverse_complement(sequence))


def _repeats(part: str, examples: Examples) -> list[dict]:
    plain, strands, labels = {}, {}, {}
    for row, text in enumerate(examples.sequences.tolist()):
        plain[text] = plain.get(text, 0) + 1
        key = canonical(text)
        strands[key] = strands.get(key, 0) + 1
        labels.setdefault(key, set()).add(examples.labels[row].tobytes())
    n = len(examples)
    same, turned = n - len(plain), len(plain) - len(strands)
    torn = sum(len(found) > 1 for found in labels.values())
    return [
        _row("equal sequences", part, "warning" if same else "pass", same, 0, n=n),
        _row("equal but for the strand", part, "warning" if turned else "pass", turned, 0, n=n),
        _row("equal with other labels, strands folded", part, "warning" if torn else "pass", torn, 0, n=n,
             note="wrong where labels belong to a strand" if torn else ""),
    ]  # fmt: skip


def _share_of_n(part: str, examples: Examples) -> dict:
    some = sum("N" in text for text in examples.sequences)
    return _row("sequences with N", part, "warning" if some else "pass", some, 0, n=len(examples))


def _across(train: Examples, test: Examples) -> list[dict]:
    known = {canonical(text) for text in train.sequences}
    equal = sum(canonical(text) in known for text in test.sequences)
    groups = np.intersect1d(train.groups.astype(str), test.groups.astype(str))
    rows = [
        _row("in training too, strands folded", "test", "fail" if equal else "pass", equal, 0, n=len(test)),
        _row("groups on both sides", "all", "fail" if len(groups) else "pass", len(groups), 0,
             note=", ".join(groups[:3].tolist())),
    ]  # fmt: skip
    best = nearest(train, test)
    known_best = best[np.isfinite(best)]
    for share, status in zip(NEAR, ("warning", "fail"), strict=True):
        n = int((known_best >= share).sum())
        rows.append(
            _row(
                f"share {share:.0%} or more of their 21-mers with a training sequence",
                "test",
                "unknown" if not len(known_best) else status if n else "pass",
                n,
                0,
                n=len(known_best),
                note="repeats of the genome share 21-mers, too" if n else "",
            )
        )
    return rows


def nearest(train: Examples, test: Examples) -> np.ndarray:
    """The largest share of 21-mers that each test sequence shares with one training sequence, float64 [test].

    Nan where a sequence has no 21-mer without N.
    """
    texts = test.sequences.tolist()
    rows, _, shares = homology.shared(texts, train.sequences.tolist())
    best = np.array([0.0 if len(homology.canonical_kmers(text)) else np.nan for text in texts])
    np.maximum.at(best, rows, shares)
    return best


def _shortcuts(task: Task) -> list[dict]:
    """On all examples: a shortcut that is there in training will be taken."""
    sequences = [text for examples in task.parts.values() for text in examples.sequences]
    name = "one number tells the label (AUROC)"
    if task.kind == "per_base":
        return [_row(name, "all", "unknown", np.nan, WARNING, note="labels are of bases")]
    labels = np.concatenate([examples.labels for examples in task.parts.values()])
    rows = []
    for feature, values in shortcuts.single_features(sequences).items():
        value = shortcuts.separation(task.kind, labels, values)
        if not np.isfinite(value) or len(sequences) < FEWEST:
            status = "unknown"
        else:
            status = "pass" if value <= WARNING else "warning" if value <= FAIL else "fail"
        rows.append(_row(name, "all", status, value, WARNING, n=len(sequences), note=feature))
    return sorted(rows, key=lambda row: -row["value"] if np.isfinite(row["value"]) else 0)
