"""Motifs in a thousand windows, beside memelite's FIMO, and what naming motifs by TOMTOM takes, compiled and not.

    python benchmarks/motifs.py [--motifs 879] [--cold]

Scans 1,000 windows of 1 kb of chromosome 20 with the first matrices of the bundle at p of 1e-4, in turns with FIMO, and
prints seconds, matches and the ratio; then names shuffled matrices against all. With --cold, compiled code of earlier
runs is not used, and what compiling takes is printed too: it is a minute or two.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

import numpy as np

from ntviz import data, motifs
from ntviz.genome import Interval
from ntviz.genome.sequence import one_hot
from ntviz.motifs import Motif
from ntviz.motifs.names import compare
from ntviz.reference import Reference

REGION = Interval("20", 30_000_000, 31_000_000)
WINDOW = 1_000
LIMIT = 5.0  # s for 879 motifs, on a machine that does nothing else
ROUNDS = 3


def scanning(chosen: list[Motif]) -> None:
    """Ours and FIMO's, in turns; the best of each, and how far their matches agree."""
    from memelite import fimo

    bases = Reference(data.bundle("chr20")).fetch(REGION).sequence
    windows = [bases[start : start + WINDOW] for start in range(0, len(bases), WINDOW)]
    encoded = np.ascontiguousarray(np.stack([one_hot(window).T for window in windows]))
    pwms = {motif.id: np.ascontiguousarray(motif.probabilities.T) for motif in chosen}
    begin = time.perf_counter()
    fimo(pwms, encoded)
    first = time.perf_counter() - begin
    ours, theirs, busy = [], [], []
    for _ in range(ROUNDS):
        begin, used = time.perf_counter(), time.process_time()
        found = motifs.scan_many(windows, chosen)
        ours.append(time.perf_counter() - begin)
        busy.append(time.process_time() - used)
        begin = time.perf_counter()
        tables = fimo(pwms, encoded)
        theirs.append(time.perf_counter() - begin)
    places = set(zip(found["motif"], found["sequence"], found["start"], found["strand"], strict=True))
    others = {
        (row.motif_name, int(row.sequence_name), int(row.start), row.strand)
        for table in tables
        for row in table.itertuples()
    }
    print(f"{len(chosen):,} motifs, {len(windows):,} windows of {WINDOW:,} bp, p of at most 1e-4, both strands")
    limit = LIMIT * len(chosen) / 879
    print(
        f"ours {min(ours):.2f} s, {min(busy):.2f} s of one core ({len(found):,} matches; limit {limit:.1f} s: "
        f"{'kept' if min(ours) < limit else 'MISSED'}); FIMO {min(theirs):.2f} s ({len(others):,}), its first call {first:.1f} s"
    )
    print(
        f"ratio ours / FIMO {min(ours) / min(theirs):.2f}; matches of both {len(places & others) / len(places):.1%} of ours"
    )
    print(f"random bases would give {found.attrs['expected']:,.0f}; least q {found['q'].min():.2g}")


def naming(count: int) -> None:
    """The first comparison, the same again, and a hundred queries."""
    known = list(motifs.read(data.bundle("motifs")))
    rng = np.random.default_rng(0)
    queries = [rng.permutation(motif.probabilities) for motif in known[:count]]
    seconds = []
    for some in (queries[:1], queries[:1], queries):
        begin = time.perf_counter()
        compare(some, known)
        seconds.append(time.perf_counter() - begin)
    print(
        f"TOMTOM against {len(known):,}: first call {seconds[0]:.1f} s, again {seconds[1]:.3f} s; {len(queries)} queries "
        f"{seconds[2]:.2f} s, {1000 * seconds[2] / len(queries):.1f} ms each; first / again {seconds[0] / seconds[1]:,.0f}"
    )


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--motifs", type=int, default=879)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--cold", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.cold:
            os.environ["NUMBA_CACHE_DIR"] = folder
        scanning(list(motifs.read(data.bundle("motifs")))[: chosen.motifs])
        naming(chosen.queries)


if __name__ == "__main__":
    main()
