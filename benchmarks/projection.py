"""Seconds for maps of 1,000 windows by method, and for random labels dealt one at a time or all at once.

Run it from the repository: `python benchmarks/projection.py`. Vectors are frequencies of 4-mers in windows of chromosome
20; everything is timed in turns in one run. UMAP is compiled by its first call, which is timed by itself.

Predicted before, on two idle cores: PCA 0.1 s, t-SNE 6 s, UMAP 3 s and 15 s once for compiling; random labels at once 3
times as fast as one at a time, since the table of distances is read once. Measured: see the README.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from ntviz import annotation, data, embeddings
from ntviz.embeddings.separation import coded, distances
from ntviz.reference import Reference

ROUNDS, DEALS = 3, 200


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Print the times and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=1_000)
    arguments = parser.parse_args()
    found = embeddings.windows(
        annotation.read(data.bundle("genes")),
        Reference(data.bundle("chr20")),
        elements=("intergenic", "intron", "three_prime_utr", "CDS"),
        length=300,
        per_element=-(-arguments.windows // 4),
    )
    vectors = embeddings.kmer_frequencies(found.sequences, 4)
    print(f"{found}; {vectors.shape[1]} numbers each")
    print(f"umap compiling {seconds(lambda: embeddings.project(vectors[:50], method='umap')):7.2f} s, once")
    taken: dict[str, list[float]] = {method: [] for method in embeddings.METHODS}
    for _ in range(ROUNDS):
        for method in embeddings.METHODS:
            taken[method].append(seconds(lambda method=method: embeddings.project(vectors, method=method)))
    best = {method: min(each) for method, each in taken.items()}
    for method, each in best.items():
        print(f"{method:<14} {each:7.2f} s  {each / best['pca']:6.1f} times PCA")

    near = distances(embeddings.scaled(vectors), found.groups)
    names, labels = coded(found.labels, len(found))
    rng = np.random.default_rng(0)
    dealt = np.array([rng.permutation(labels) for _ in range(DEALS)])
    single, together = [], []
    for _ in range(ROUNDS):
        single.append(seconds(lambda: [near.silhouettes(one[None], len(names)) for one in dealt]))
        together.append(seconds(lambda: near.of("silhouette", dealt, len(names))))
    print(
        f"{DEALS} random labels: one at a time {min(single):.2f} s, at once {min(together):.2f} s, "
        f"{min(single) / min(together):.1f} times as fast"
    )


if __name__ == "__main__":
    main()
