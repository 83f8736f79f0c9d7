"""Scoring 1,000 substitutions against the obvious way on the same model, a 6,000-bp saturation, a calibration: readings, seconds.

Run it from the repository: `python benchmarks/variants.py`. The obvious way is what tools do today: for each variant one
forward pass of batch 1 with the reference and one with the alternative, the token masked, on one strand. Both ways give
the same numbers, which is checked. Times come from one process, in turns. `--model` takes any name or directory.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from ntviz import data, models, variants
from ntviz.genome import Interval
from ntviz.reference import Reference
from ntviz.variants import backgrounds
from ntviz.variants.alleles import Allele
from ntviz.variants.calibration import draw

DENSE = Interval("20", 42_984_150, 42_984_484)  # the promoter of HNF4A: 334 bp, 1,002 substitutions


def dense(reference: Reference, count: int) -> list[Allele]:
    """The first substitutions of a promoter, as in a saturation experiment."""
    bases = reference.fetch(DENSE).sequence
    every = [
        Allele("20", DENSE.start + at + 1, base, other)
        for at, base in enumerate(bases)
        for other in "ACGT"
        if other != base
    ]
    return every[:count]


def scattered(reference: Reference, count: int) -> list[Allele]:
    """Substitutions all over the chromosome, away from N, which the obvious way cannot read around."""
    alleles, _ = backgrounds.draw(reference, per_class=count // len(backgrounds.CLASSES) + 10, seed=0)
    reach = 6_000
    clear = [
        allele
        for allele in alleles
        if "N" not in reference.fetch(Interval("20", allele.pos - reach, allele.pos + reach)).sequence
    ]
    return clear[:count]


def obvious(model: models.DNAModel, reference: Reference, alleles: list[Allele]) -> np.ndarray:
    """Two forward passes of batch 1 an allele."""
    k = model.tokenize("A").vocabulary.k
    tokens = (min(model.max_bp, 6_000) // k - 1) // 2 * 2 + 1
    found = []
    for allele in alleles:
        at = allele.pos - 1
        start = at // k * k - tokens // 2 * k
        window = reference.fetch(Interval(allele.chrom, start, start + tokens * k)).sequence
        place = at - start
        scores = []
        for base in (allele.ref, allele.alt):
            one = model.tokenize(window[:place] + base + window[place + 1 :])
            masked = one.ids.copy()
            token = one.token_at(place)
            masked[token] = model.mask_id
            logits = model.forward(replace(one, ids=masked)).logits[0, token].astype(np.float64)
            top = logits.max()
            scores.append(logits[one.ids[token]] - top - np.log(np.exp(logits - top).sum()))
        found.append(scores[1] - scores[0])
    return np.array(found)


def compare(name: str, model: models.DNAModel, reference: Reference, alleles: list[Allele], plain: int) -> None:
    """One line each for one strand and both; the obvious way on every so many of them."""
    some = alleles[:: max(1, len(alleles) // plain)]
    begin = time.perf_counter()
    expected = obvious(model, reference, some)
    slow = (time.perf_counter() - begin) / len(some) * len(alleles)
    for both in (False, True):
        scorer = variants.Scorer(model, reference, variants.Options(("llr",), both_strands=both))
        begin = time.perf_counter()
        scored = scorer.score(alleles)
        fast = time.perf_counter() - begin
        if not both:
            ours = dict(zip(alleles, scored.values[:, 0], strict=True))
            np.testing.assert_allclose([ours[allele] for allele in some], expected, atol=1e-3)
        sequences, calls = 2 * len(alleles) * (1 + both), scorer.reader.forwards
        print(
            f"{name:<10} {'both strands' if both else 'one strand':<13} {scorer.reader.sequences:>6,} sequences of "
            f"{sequences:,} ({sequences / scorer.reader.sequences:.1f} times fewer), {calls} forward calls of {sequences:,} "
            f"({sequences / calls:.0f} times fewer), {fast:.1f} s of {slow * (1 + both):.1f} s "
            f"({slow * (1 + both) / fast:.1f} times as fast)"
        )


def calibrate(model: models.DNAModel, reference: Reference, per_context: int, alleles: int = 1_500) -> None:
    """One line: readings of a calibration, and its time from that of its first substitutions."""
    drawn, _, tokens = draw(reference, model.tokenize("A").vocabulary.k, per_context, 0)
    scorer = variants.Scorer(model, reference, variants.Options(("llr", "base_llr")))
    begin = time.perf_counter()
    scorer.score(drawn[:alleles])
    seconds = (time.perf_counter() - begin) * len(drawn) / alleles
    readings = 2 * len(np.unique(tokens))
    print(
        f"calibration of {per_context} sites a context: {len(drawn):,} substitutions, {readings:,} sequences of {4 * len(drawn):,} "
        f"({4 * len(drawn) / readings:.1f} times fewer), about {seconds / 60:.1f} minutes"
    )


def main() -> None:
    """Print the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ntviz-mini")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--plain", type=int, default=250, help="variants timed the obvious way")
    parser.add_argument("--saturation", type=int, default=6_000, help="bp")
    parser.add_argument("--calibration", type=int, default=100, help="sites of each context")
    arguments = parser.parse_args()
    model = models.load(arguments.model)
    reference = Reference(data.local("chr20"))
    obvious(model, reference, dense(reference, 3))
    for name, alleles in (
        ("promoter", dense(reference, arguments.count)),
        ("scattered", scattered(reference, arguments.count)),
    ):
        compare(name, model, reference, alleles, arguments.plain)
    calibrate(model, reference, arguments.calibration)
    start = DENSE.start // 6 * 6
    place = Interval("20", start, start + arguments.saturation)
    begin = time.perf_counter()
    found = variants.saturation(model, reference, place, what=None)
    seconds = time.perf_counter() - begin
    tokens = arguments.saturation / 6
    print(
        f"saturation {arguments.saturation:,} bp: {found.forwards:,} sequences, {found.forwards / tokens / 2:.2f} a token and "
        f"strand, {seconds:.1f} s, {3 * arguments.saturation / seconds:,.0f} substitutions a second"
    )


if __name__ == "__main__":
    main()
