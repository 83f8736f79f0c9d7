"""How long ntviz.Reference, which reads by pyfaidx, takes beside pysam's FastaFile, on the bundled chromosome 20.

    python benchmarks/reference.py [--repeats 5]

Both read the same bgzip file in turn in one process and make clean upper-case bases of it, so the ratio holds on a busy
machine too. The bases are compared before the clock starts; the exit code is 1 above the goals.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable

import pysam

from ntviz import data
from ntviz.genome import Interval
from ntviz.genome.sequence import clean
from ntviz.reference import Reference

GOALS = {"whole chromosome": 1.5}  # of pysam's time; windows are to be as fast, within what a busy machine shows
WINDOWS = 1.25


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> int:
    """Print a line for each way to read; 0 when every ratio is within its goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="timed passes of each (default 5)")
    arguments = parser.parse_args()
    path = data.bundle("chr20")
    ours, theirs = Reference(path), pysam.FastaFile(str(path))
    (length,) = ours.contigs.values()
    generator = random.Random(0)
    cases = {
        f"{width:,} bp, {what}": [Interval("20", start, start + width) for start in starts]
        for width in (1_000, 6_000)
        for what, starts in {
            "random": [generator.randrange(1_000_000, length - 1_000_000) for _ in range(500)],
            "overlapping by half": range(30_000_000, 30_000_000 + 250 * width, width // 2),
        }.items()
    } | {"whole chromosome": [Interval("20", 0, length)]}
    missed = 0
    print(f"{'':<28} {'ntviz ms':>9} {'pysam ms':>9} {'ratio':>6}   a window, median of {arguments.repeats}")
    for what, intervals in cases.items():

        def by_ntviz(intervals: list[Interval] = intervals) -> list[str]:
            return [ours.fetch(interval).sequence for interval in intervals]

        def by_pysam(intervals: list[Interval] = intervals) -> list[str]:
            read = (theirs.fetch("20", interval.start, interval.end) for interval in intervals)
            return [clean(letters, typed=False).sequence for letters in read]

        if by_ntviz() != by_pysam():
            raise SystemExit(f"The bases differ from pysam's in {what!r}: the comparison would mean nothing.")
        pairs = [(seconds(by_ntviz), seconds(by_pysam)) for _ in range(arguments.repeats)]
        mine, other = (statistics.median(times) / len(intervals) * 1e3 for times in zip(*pairs, strict=True))
        missed += mine / other > GOALS.get(what, float("inf"))
        print(f"{what:<28} {mine:9.3f} {other:9.3f} {mine / other:6.2f}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
