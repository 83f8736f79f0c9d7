"""Elements found in the bases: tandem repeats and polyadenylation signals, by hand, by brute force and on chromosome 20."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ntviz import annotation, data
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference


def spans(found: annotation.Annotation) -> list[tuple[int, int]]:
    return list(zip(found.table["start"].tolist(), found.table["end"].tolist(), strict=True))


def brute_repeats(sequence: str, unit: int, length: int, copies: float) -> np.ndarray:
    """Bases in a stretch, tried from every start to every end, in which each base equals the one a unit before."""
    inside = np.zeros(len(sequence), dtype=bool)
    for size in range(1, unit + 1):
        for start in range(len(sequence)):
            end = start + size
            while end < len(sequence) and sequence[end] == sequence[end - size] != "N":
                end += 1
            if end - start >= max(length, copies * size) and "N" not in sequence[start:end]:
                inside[start:end] = True
    return inside


@pytest.mark.parametrize("seed", range(8))
def test_repeats_equal_brute_force(seed):
    draw = random.Random(seed)
    text = "".join(
        draw.choice(["A" * draw.randint(1, 9), "CAG" * draw.randint(1, 5), "TG" * draw.randint(1, 6), "N", draw.choice("ACGT")])
        for _ in range(30)
    )  # fmt: skip
    place, how = Interval("7", 1000, 1000 + len(text)), {"longest_unit": 4, "length": 8, "copies": 2.5}
    found = annotation.tandem_repeats(text, place, **how)
    assert (found.indicator(place, "tandem_repeat") == brute_repeats(text, 4, 8, 2.5)).all()
    # Read from the other strand, they lie at the same places.
    back = annotation.tandem_repeats(reverse_complement(text), replace(place, strand="-"), **how)
    assert spans(back) == spans(found)


def test_repeats_refuse_what_makes_no_sense():
    nothing = annotation.tandem_repeats("ACGTTGCAAC", Interval("1", 0, 10))
    assert (len(nothing), nothing.kinds) == (0, ("tandem_repeat",))
    for text, options, message in (
        ("ACGTA", {"copies": 1}, "2 copies at least; received longest_unit=6, length=12, copies=1"),
        ("ACGT", {}, "as long as its interval; received 4 bases"),
        ("acgta", {}, "upper-case A, C, G, T, N"),
    ):
        with pytest.raises(ValueError, match=message):
            annotation.tandem_repeats(text, Interval("1", 0, 5), **options)


@dataclass
class Genome:
    contigs: dict[str, str]

    def fetch(self, interval: Interval) -> SimpleNamespace:
        text = self.contigs[interval.chrom][interval.start : interval.end].ljust(len(interval), "N")
        return SimpleNamespace(sequence=reverse_complement(text) if interval.strand == "-" else text)


def transcripts(*rows: tuple[str, int, int, str]) -> annotation.Annotation:
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "strand"])
    return annotation.from_table(table, element="transcript")


def test_signals_by_hand_are_looked_for_in_the_transcript_alone():
    forward = "C" * 60 + "ATTAAA" + "G" * 5 + "AATAAA" + "C" * 8 + "AATAAA" + "G" * 15  # ends at 106
    genome = Genome({"1": forward + "T" * 80, "2": reverse_complement(forward), "3": "G" * 100})
    genes = transcripts(
        ("1", 0, 106, "+"), ("1", 20, 106, "+"), ("2", 0, 106, "-"), ("3", 0, 100, "+"), ("1", 0, 70, "+")
    )
    found = annotation.polya_signals(genes, genome)
    rows = found.table[["chrom", "start", "end", "strand"]].values.tolist()
    # AATAAA goes before ATTAAA, and the nearest to the end before others; two transcripts of one end have one.
    assert rows == [["1", 85, 91, "+"], ["2", 15, 21, "-"], ["1", 60, 66, "+"]]
    assert "3 of 4 ends of a transcript have AATAAA or ATTAAA in their last 50 bp" in found.note
    only = annotation.polya_signals(genes, genome, within=Interval("2", 0, 10))
    assert spans(only) == [(15, 21)]
    # A gene of 8 bp at each end of a contig: what is beyond it, or beyond the contig, is not its own.
    genome = Genome({"1": "AATAAACCAATAAAGG" + "C" * 30 + "TTTATTGG"})
    short = transcripts(("1", 14, 16, "+"), ("1", 46, 54, "-"))
    assert spans(annotation.polya_signals(short, genome)) == [(46, 52)]
    assert "1 of 2 ends" in annotation.polya_signals(short, genome).note
    # Of two that end together the longer has it.
    both = transcripts(("1", 14, 16, "+"), ("1", 2, 16, "+"))
    assert spans(annotation.polya_signals(both, genome)) == [(8, 14)]
    genes = transcripts(("3", 0, 20, "+"))
    found = annotation.polya_signals(genes, Genome({"3": "G" * 100}))
    assert len(found) == 0 and "polya_signal" in found.kinds
    with pytest.raises(ValueError, match="words of A, C, G and T"):
        annotation.polya_signals(genes, Genome({}), words=["AAUAAA"])
    peaks = annotation.from_table(pd.DataFrame({"chrom": ["1"], "start": [1], "end": [2]}), element="peak")
    with pytest.raises(ValueError, match="neither transcripts nor genes"):
        annotation.polya_signals(peaks, Genome({}))


def test_signals_of_chromosome_20_are_more_than_chance():
    reference, genes = Reference(data.bundle("chr20")), annotation.read(data.bundle("genes"))
    found = annotation.polya_signals(genes, reference)
    ends = len(genes.table[genes.table["element"] == "transcript"].drop_duplicates(["start", "end", "strand"]))
    share = len(found) / ends
    # The same search as far behind the ends, where there should be none.
    beyond = genes.table[genes.table["element"] == "transcript"].copy()
    shift = np.where(beyond["strand"] == "-", -2000, 2000)
    beyond[["start", "end"]] = beyond[["start", "end"]].to_numpy() + shift[:, None]
    control = annotation.polya_signals(annotation.from_table(beyond), reference)
    assert share > 0.6 and len(control) < 0.4 * len(found)
    for row in found.table.head(50).itertuples():
        text = reference.fetch(Interval(row.chrom, row.start, row.end, row.strand)).sequence
        assert text in ("AATAAA", "ATTAAA")
