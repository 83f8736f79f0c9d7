"""What a score must be held against: labels permuted, labels without meaning that can be memorised, and fewer examples.

References
----------
Hewitt & Liang (2019) EMNLP, for control tasks and selectivity; ours gives a sequence a label by a hash of its first bases, so that
only memory can solve it. Ojala & Garriga (2010) JMLR 11:1833, for permutation tests of classifiers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    """Controls of one probe, on one split; nan and None where one was not asked for or cannot be had."""

    # [permutation] the first metric after labels were permuted, within what is learned from and what is judged by; nan where it is not
    # defined, such as the MCC of a constant guess.
    permuted: np.ndarray
    p: float  # (1 + permutations that do as well) / (1 + permutations); a constant guess counts as 0, which is chance
    control: float  # the first metric on the control task
    curve: pd.DataFrame | None  # [shots, score, sd, draws]: means over draws of `shots` examples a class, where defined

    def selectivity(self, score: float) -> float:
        """The score less that on the control task: how much is owed to the labels' meaning, not to memory."""
        return score - self.control


def control_labels(
    sequences: Sequence[str], classes: int, *, shares: np.ndarray, k: int = 4, seed: int = 0
) -> np.ndarray:
    """A class for each sequence by a hash of its first k bases, which are far from sites; int64 [sequence], in the given shares.

    Examples
    --------
    >>> found = control_labels(["ACGTAA", "ACGTCC", "TTTTAA"], 2, shares=np.array([0.5, 0.5]))
    >>> bool(found[0] == found[1])
    True
    """
    words, which = np.unique([text[:k] for text in listed(sequences)], return_inverse=True)
    hashes = (hashlib.blake2b(f"{seed}:{word}".encode(), digest_size=8).digest() for word in words)
    at = [int.from_bytes(number, "big") / 2**64 for number in hashes]
    edges = np.cumsum(np.asarray(shares, dtype=np.float64) / np.sum(shares))[: classes - 1]
    return np.searchsorted(edges, at, side="right")[which]


def controls(
    features: Mapping[Hashable, np.ndarray], labels: Any, setting: Setting, *, kind: str, classes: int, learned: Any,
    held: Any, score: float, meaningless: Any = None, permutations: int = 20, draws: int = 10, seed: int = 0,
) -> Controls:  # fmt: skip
    """The controls of a probe with the setting that it chose, which keeps their capacity the same, on the same split.

    `learned`, `held`: indices of the examples to learn from and to judge by; `score`: the probe's first metric on `held`. `meaningless`:
    labels of the control task for all examples, see `control_labels`; None for no control task. `permutations` of labels, and `draws` of
    the learning curve for each number of shots; 0 for none.
    """
    labels = door.checked(kind, labels, classes)
    learned, held = (np.flatnonzero(door.learned(part, len(labels))) for part in (learned, held))
    rng = np.random.default_rng(seed)

    def judged(given: np.ndarray, rows: np.ndarray) -> float:
        fitted = fit(features, given, rows, setting, kind=kind, classes=classes, seed=seed)
        return metrics.first(kind, given[held], fitted.predict(features[setting.features][held]))

    permuted = np.empty(permutations)
    for draw in range(permutations):
        shuffled = labels.copy()
        # On both sides: were the held-out labels kept, a rule of the wrong sign would still follow them.
        for part in (learned, held):
            shuffled[part] = labels[rng.permutation(part)]
        permuted[draw] = judged(shuffled, learned)
    p = control = float("nan")
    if permutations and np.isfinite(score):
        p = (1 + int((np.nan_to_num(permuted) >= score).sum())) / (1 + permutations)
    by_class = kind in door.BY_CLASS
    if meaningless is not None and by_class:
        what = "Labels of the control task"
        meaningless = door.checked(kind, meaningless, classes, n=len(labels), what=what)
        if len(np.unique(meaningless[learned])) > 1:
            control = judged(meaningless, learned)
    if not by_class or not draws:
        return Controls(permuted, p, control, None)

    import pandas as pd

    members = [learned[labels[learned] == c] for c in np.unique(labels[learned])]
    rows = []
    for shots in (shots for shots in SHOTS if min(map(len, members)) > shots):
        drawn = (np.concatenate([rng.choice(m, shots, replace=False) for m in members]) for _ in range(draws))
        few = pd.Series([judged(labels, part) for part in drawn])
        rows.append((shots, few.mean(), few.std(), few.count()))
    rows.append((max(map(len, members)), score, np.nan, 1))
    return Controls(permuted, p, control, pd.DataFrame(rows, columns=["shots", "score", "sd", "draws"]))
