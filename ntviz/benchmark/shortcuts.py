"""What a label can be told by without reading the sequence: length, composition; one number at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ntviz.embeddings import kmer_frequencies
from ntviz.probing.metrics import auroc
from ntviz.sequence import listed

BASES = "ACGT"


def single_features(sequences: Sequence[str]) -> dict[str, np.ndarray]:
    """Numbers of each sequence by name, float64 [sequence]: length, shares of N, GC, each base and pair, and CpG.

    "CpG ratio" is the observed number of CG over what the shares of C and G would make.

    Examples
    --------
    >>> found = single_features(["ACGT", "GGGG"])
    >>> found["GC"].tolist(), found["length, bp"].tolist()
    ([0.5, 1.0], [4.0, 4.0])
    """
    sequences = listed(sequences)
    length = np.array([len(text) for text in sequences], dtype=np.float64)
    n = np.array([text.count("N") for text in sequences], dtype=np.float64)
    single = kmer_frequencies(sequences, 1).astype(np.float64)
    pairs = kmer_frequencies(sequences, 2).astype(np.float64)
    expected = single[:, 1] * single[:, 2]
    ratio = np.divide(pairs[:, 6], expected, out=np.zeros_like(expected), where=expected > 0)
    found = {"length, bp": length, "share of N": n / np.maximum(length, 1), "GC": single[:, 1] + single[:, 2]}
    found["CpG ratio"] = ratio
    found |= {f"share of {base}": single[:, index] for index, base in enumerate(BASES)}
    return found | {
        f"share of {one}{other}": pairs[:, 4 * i + j]
        for i, one in enumerate(BASES)
        for j, other in enumerate(BASES)
    }


def separation(kind: str, labels: np.ndarray, values: np.ndarray) -> float:
    """How well one number tells labels: the larger of AUROC and 1 - AUROC, the worst over classes or tracks; nan if undefined.

    0.5 tells nothing, 1 tells all. For a regression it is (1 + |rank correlation|) / 2, on the same scale.
    """
    if kind in ("binary", "multiclass"):
        columns = [labels == c for c in (np.unique(labels)[1:] if kind == "binary" else np.unique(labels))]
    elif kind == "multilabel":
        columns = list(labels.T)
    else:
        from scipy.stats import rankdata

        ranks = rankdata(values)
        if not np.ptp(ranks):
            return 0.5
        found = [abs(np.corrcoef(ranks, rankdata(target))[0, 1]) for target in labels.T if np.ptp(target)]
        return (1 + max(found)) / 2 if found else float("nan")
    found = [auroc(column, values) for column in columns]
    known = [max(value, 1 - value) for value in found if np.isfinite(value)]
    return max(known) if known else float("nan")
