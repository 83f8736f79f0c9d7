"""`haplotypes`: the sequences that a sample carries in a window, from the phased genotypes of a VCF."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntviz.genome import Interval, Variant
from ntviz.reference import Reference
from ntviz.variants.alleles import STATUSES, Allele, Change
from ntviz.variants.pairs import clash, edited, written
from ntviz.variants.plan import Contigs
from ntviz.variants.vcf import Record, VcfFile

if TYPE_CHECKING:
    import pandas as pd

PHASED = {
    "ok": "in the sequences",
    "no_genotype": "the genotype is missing, whole or in part",
    "ploidy": "another number of alleles than most genotypes of the window have",
    "beyond_window": "it reaches beyond the window",
    "unphased": "alleles that differ, without a phase (GT 0/1): which haplotype has which is not known",
    "other_phase_set": "phased, but not with most of the window's (another PS)",
    "overlap": "it replaces bases that a variant before it on the same haplotype replaces",
} | {name: STATUSES[name] for name in ("ref_mismatch", "contig_missing", "out_of_bounds", "n_in_window", "ambiguous_base", "symbolic", "same_as_ref", "malformed")}  # fmt: skip
"""What became of an alternative that a sample carries, and its meaning."""


@dataclass(frozen=True)
class Haplotypes:
    """The sequences that a sample carries in a window, on the forward strand, one a haplotype.

    `table` has one row an alternative that the sample carries or may carry: chrom, pos (1-based), ref, alt, id, genotype, phase_set,
    status (of `PHASED`), haplotypes (such as "1,2", from 1). What has another status than ok is in no sequence. `counts` are of
    these statuses, of records whose alternatives the sample does not have (absent), and of lines that cannot be read (malformed).
    """

    interval: Interval
    sample: str
    reference: str  # bases of the window
    sequences: tuple[str, ...]
    variants: tuple[tuple[Variant, ...], ...]  # of each haplotype, by position
    table: pd.DataFrame
    counts: dict[str, int]

    @property
    def pairs(self) -> list[tuple[Variant, Variant]]:
        """Every two variants of one haplotype, each once: for `variants.pairs`."""
        every = (pair for mine in self.variants for pair in combinations(mine, 2))
        return list(dict.fromkeys(every))

    @property
    def statement(self) -> str:
        """What became of the records, in words."""
        used = sum(map(len, self.variants))
        rest = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.counts.items() if name != "ok")
        return f"{self.sample}: {used:,} variants on {len(self.sequences)} haplotypes; left out: {rest or 'none'}"


class _Call(NamedTuple):
    """An alternative in a sample's genotype."""

    allele: Allele
    id: str
    genotype: str
    phase_set: str  # "." where none is given
    status: str
    on: tuple[int, ...]  # haplotypes, from 0
    ploidy: int
    change: Change


def haplotypes(path: str | Path, sample: str, interval: Interval | str, reference: Reference) -> Haplotypes:
    """The sequences of a sample in a window: phased genotypes (0|1), and those whose alleles are all the same (1/1).

    Phase holds within a phase set (PS; genotypes without one are one set): the set with most variants of the window is taken. Of
    two variants of one haplotype that replace the same bases the first in the file is. A VCF with an index is read by it, another
    from end to end. Any ploidy will do.

    `interval` may be text such as chr20:43,030,000-43,030,600 (1-based, both ends included).

    Raises
    ------
    ValueError, FileNotFoundError
        The file is no VCF (`vcf.VcfError`), has no such sample, or the window is not on the reference.
    """
    import pandas as pd

    place = Interval.from_str(interval) if isinstance(interval, str) else interval
    bases = reference.fetch(place).sequence
    contigs, counts = Contigs(reference, "skip"), Counter[str]()
    calls: list[_Call] = []
    with VcfFile(path) as file:
        samples = file.header.columns[9:]
        if sample not in samples:
            near = ", ".join(difflib.get_close_matches(sample, samples, 3, 0) or ["none"])
            raise ValueError(
                f"The sample must be one of the {len(samples):,} of {file.path.name}; received {sample!r}. Near to it: {near}."
            )
        column = 9 + samples.index(sample)
        for record in file.within(place):
            if record.problem:
                counts["malformed"] += 1
                continue
            mine = list(_calls(record, column, contigs, place))
            counts["absent"] += not mine
            calls += mine
    calls = _phased(calls)
    ploidy = max((call.ploidy for call in calls if call.status == "ok"), default=2)
    used = [[call for call in calls if call.status == "ok" and number in call.on] for number in range(ploidy)]
    counts.update(call.status for call in calls)
    rows = [(*call.allele, *call[1:5], ",".join(str(number + 1) for number in call.on)) for call in calls]
    table = pd.DataFrame(
        rows, columns=["chrom", "pos", "ref", "alt", "id", "genotype", "phase_set", "status", "haplotypes"]
    )
    return Haplotypes(
        place, sample, bases,
        tuple(edited(bases, place.start, [call.change for call in mine]) for mine in used),
        tuple(tuple(Variant(*call.allele) for call in sorted(mine, key=lambda call: call.change)) for mine in used),
        table, {name: count for name, count in counts.items() if count},
    )  # fmt: skip


def _calls(record: Record, column: int, contigs: Contigs, place: Interval) -> Iterator[_Call]:
    """What a sample has of a record's alternatives; nothing where all its alleles are the reference's."""
    fields = record.raw.split("\t")
    values = dict(zip(fields[8].split(":"), fields[column].split(":"), strict=False))
    genotype = values.get("GT", ".")
    alleles = re.split(r"[|/]", genotype.lstrip("|/"))
    known = all(one.isdigit() and int(one) <= len(record.alts) for one in alleles)
    numbers = sorted({int(one) for one in alleles if one.isdigit()} - {0}) if known else [1]
    for number in numbers if record.alts else ():
        allele = Allele(record.chrom, record.pos, record.ref, record.alts[number - 1])
        change = written(allele)
        _, status, _ = contigs.check(allele)
        if not known:
            status = "no_genotype"
        elif status == "ok" and not place.start <= change.start <= change.end <= place.end:
            status = "beyond_window"
        elif status == "ok" and "/" in genotype and len(set(alleles)) > 1:
            status = "unphased"
        on = tuple(at for at, one in enumerate(alleles) if one == str(number)) if known else ()
        yield _Call(allele, record.id, genotype, values.get("PS", "."), status, on, len(alleles), change)


def _phased(calls: list[_Call]) -> list[_Call]:
    """Calls with the statuses that follow from the others: their ploidy, phase set, and what is there before them."""
    good = [call for call in calls if call.status == "ok"]
    ploidy = Counter(call.ploidy for call in good).most_common(1)
    apart = [call for call in good if len(call.on) < call.ploidy]  # phase says nothing of what all haplotypes have
    phase = Counter(call.phase_set for call in apart).most_common(1)
    taken: dict[int, list[Change]] = {}
    result = []
    for call in calls:
        status = call.status
        if status == "ok" and call.ploidy != ploidy[0][0]:
            status = "ploidy"
        elif status == "ok" and len(call.on) < call.ploidy and call.phase_set != phase[0][0]:
            status = "other_phase_set"
        elif status == "ok":
            before = (other for number in call.on for other in taken.get(number, ()))
            if any(clash(*sorted((call.change, other))) for other in before):
                status = "overlap"
        for number in call.on if status == "ok" else ():
            taken.setdefault(number, []).append(call.change)
        result.append(call._replace(status=status))
    return result
