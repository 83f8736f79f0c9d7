"""What a score must be held against: labels permuted, labels without meaning that can be memorised, and fewer examples.

References
----------
Hewitt & Liang (2019) EMNLP, for control tasks and selectivity; ours gives a sequence the label that a hash of its first
bases says, so that only remembering which words bear which label can solve it. Ojala & Garriga (2010) JMLR 11:1833, for
permutation tests of classifiers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ntviz.genome.sequence import listed
from ntviz.probing import labels as door
from ntviz.probing import metrics
from ntviz.probing.estimators import Setting
from ntviz.probing.probes import fit

if TYPE_CHECKING:
    import pandas as pd

SHOTS = (1, 10)
"""Examples a class of the learning curve, before all of them."""


@dataclass(frozen=True, eq=False)
class Controls:
    """Controls of one probe, on one split; nan and None where one was not asked for or cannot be had.

    Attributes
    ----------
    permuted
        [permutation] the first metric after labels were permuted, within what is learned from and what is judged by; nan
        where it is not defined, such as the MCC of a constant guess.
    p
        (1 + permutations that do as well) / (1 + permutations); a constant guess counts as 0, which is chance.
    control
        The first metric on the control task.
    curve
        Columns [shots, score, sd, draws]: the mean over draws of `shots` examples a class, where it is defined.
    """

    permuted: np.ndarray
    p: float
    control: float
    curve: pd.DataFrame | None

    def selectivity(self, score: float) -> float:
        """The score less that on the control task: how much is owed to the labels' meaning, not to memory."""
        return score - self.control


def control_labels(
    sequences: Sequence[str], classes: int, *, shares: np.ndarray, k: int = 4, seed: int = 0
) -> np.ndarray:
    """A class for each sequence by a hash of its first k bases, int64 [sequence], in the given shares.

    The words are given classes at random, so that only memory can know them; the first bases are far from the middle, where
    sites stand.

    Examples
    --------
    >>> found = control_labels(["ACGTAA", "ACGTCC", "TTTTAA"], 2, shares=np.array([0.5, 0.5]))
    >>> bool(found[0] == found[1])
    True
    """
    edges = np.cumsum(np.asarray(shares, dtype=np.float64) / np.sum(shares))[: classes - 1]
    texts = listed(sequences)
    known: dict[str, int] = {}
    for word in {text[:k] for text in texts}:
        number = int.from_bytes(hashlib.blake2b(f"{seed}:{word}".encode(), digest_size=8).digest(), "big")
        known[word] = int(np.searchsorted(edges, number / 2**64, side="right"))
    return np.array([known[text[:k]] for text in texts], dtype=np.int64)


def controls(
    features: Mapping[Hashable, np.ndarray],
    labels: np.ndarray,
    setting: Setting,
    *,
    kind: str,
    classes: int,
    learned: np.ndarray,
    held: np.ndarray,
    score: float,
    meaningless: np.ndarray | None = None,
    permutations: int = 20,
    draws: int = 10,
    seed: int = 0,
) -> Controls:
    """The controls of a probe with the setting that it chose, which keeps their capacity the same, on the same split.

    Parameters
    ----------
    features, labels, kind, classes, setting
        As for `probe`, and what it chose.
    learned, held
        Indices of the examples to learn from and to judge by.
    score
        The probe's first metric on `held`.
    meaningless
        Labels of the control task for all examples, see `control_labels`; None for no control task.
    permutations, draws
        How often labels are permuted, and draws of the learning curve for each number of shots; 0 for none.
    """
    labels = door.checked(kind, labels, classes)
    if meaningless is not None:
        meaningless = door.checked(
            kind, meaningless, classes, n=len(labels), what="Labels of the control task"
        )
    learned, held = (np.flatnonzero(door.learned(part, len(labels))) for part in (learned, held))
    rng = np.random.default_rng(seed)
    metric = metrics.metric_names(kind)[0]

    def judged(given: np.ndarray, learned: np.ndarray, truth: np.ndarray) -> float:
        fitted = fit(features, given, learned, setting, kind=kind, classes=classes, seed=seed)
        return metrics.scores(kind, truth[held], fitted.predict(features[setting.features][held]))[metric]

    permuted = np.empty(permutations)
    for draw in range(permutations):
        shuffled = labels.copy()
        # On both sides: were the held-out labels kept, a rule of the wrong sign would still follow them.
        for part in (learned, held):
            shuffled[part] = labels[rng.permutation(part)]
        permuted[draw] = judged(shuffled, learned, shuffled)
    p = float("nan")
    if permutations and np.isfinite(score):
        p = (1 + int((np.nan_to_num(permuted) >= score).sum())) / (1 + permutations)
    by_class = kind in ("binary", "multiclass")
    control = float("nan")
    if meaningless is not None and by_class and len(np.unique(meaningless[learned])) > 1:
        control = judged(meaningless, learned, meaningless)
    curve = _curve(labels, learned, score, draws, rng, judged) if by_class and draws else None
    return Controls(permuted, p, control, curve)


def _curve(
    labels: np.ndarray, learned: np.ndarray, score: float, draws: int, rng: np.random.Generator, judged
) -> pd.DataFrame:
    import pandas as pd

    rows = []
    by_class = [learned[labels[learned] == c] for c in np.unique(labels[learned])]
    for shots in SHOTS:
        if min(map(len, by_class)) <= shots:
            continue
        drawn = (
            np.concatenate([rng.choice(members, shots, replace=False) for members in by_class])
            for _ in range(draws)
        )
        found = np.array([judged(labels, few, labels) for few in drawn])
        found = found[np.isfinite(found)]
        mean, sd = (found.mean() if len(found) else np.nan), (found.std(ddof=1) if len(found) > 1 else np.nan)
        rows.append({"shots": shots, "score": mean, "sd": sd, "draws": len(found)})
    rows.append({"shots": max(map(len, by_class)), "score": score, "sd": np.nan, "draws": 1})
    return pd.DataFrame(rows)
