"""One gene model in five dialects: the same elements and consequences from all, and those of bcftools csq."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntviz import annotation
from ntviz.annotation import Annotation
from ntviz.genome import Interval, Variant
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference
from ntviz.variants import consequences

STOPS = ("TAA", "TAG", "TGA")
SPACE = 700  # bp for each gene
TAIL = 3  # bp of the stop codon


@dataclass
class Model:
    """A gene of one transcript: exons along the genome, and the first and last spliced base of its CDS with the stop codon."""

    name: str
    strand: str
    exons: list[tuple[int, int]]
    first: int
    last: int
    phase: int
    partial: bool

    @property
    def bases(self) -> list[int]:
        along = [base for start, end in self.exons for base in range(start, end)]
        return along if self.strand == "+" else along[::-1]

    def pieces(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """Spliced bases as pieces (start, end, bases before the piece), along the genome."""
        found: list[tuple[int, int, int]] = []
        for number, base in enumerate(self.bases[first:last]):
            if found and base in (found[-1][0] - 1, found[-1][1]):
                start, end, before = found[-1]
                found[-1] = min(start, base), max(end, base + 1), before
            else:
                found.append((base, base + 1, number))
        return sorted(found)

    def phased(self, last: int) -> list[tuple[int, int, int]]:
        pieces = self.pieces(self.first, last)
        return [(start, end, (self.phase - before) % 3) for start, end, before in pieces]


SENSE = [codon for codon in consequences.CODE if codon not in STOPS]


def models(seed: int, *, partial: bool) -> tuple[list[Model], str]:
    """Genes on both strands, 5' incomplete if `partial`, and a contig on which their CDS ends with its only stop codon."""
    generator = random.Random(seed)
    letters = [generator.choice("ACGT") for _ in range(6 * SPACE + 2000)]
    made = []
    for number in range(6):
        at, exons = 1500 + number * SPACE, []
        for _ in range(generator.randrange(1, 5)):
            end = at + generator.randrange(12, 60)
            exons.append((at, end))
            at = end + generator.randrange(5, 60)
        total = sum(end - start for start, end in exons)
        before, behind = (0, 0) if partial else (generator.randrange(0, 5), generator.randrange(0, 5))
        phase = generator.randrange(3) if partial else 0
        last = total - behind
        last -= (last - before - phase) % 3
        model = Model(f"g{number}", generator.choice("+-"), exons, before, last, phase, partial)
        coding = model.bases[before:last]
        codons = [generator.choice(SENSE) for _ in range(len(coding) // 3)]
        codons[0], codons[-1] = codons[0] if partial else "ATG", generator.choice(STOPS)
        text = "".join(generator.choices("ACGT", k=phase)) + "".join(codons)
        for base, letter in zip(coding, text, strict=True):
            letters[base] = letter if model.strand == "+" else reverse_complement(letter)
        made.append(model)
    return made, "".join(letters)


def line(model: Model, kind: str, start: int, end: int, attributes: str, phase: int | str = ".") -> str:
    return f"c\tt\t{kind}\t{start + 1}\t{end}\t.\t{model.strand}\t{phase}\t{attributes}\n"


def gtf(genes: list[Model], *, inside: bool, stops: bool = True) -> str:
    text = ""
    for model in genes:
        names = f'gene_id "{model.name}"; transcript_id "{model.name}";'
        names += ' tag "cds_start_NF";' if model.partial else ""
        text += "".join(line(model, "exon", *exon, names) for exon in model.exons)
        for start, end, phase in model.phased(model.last - (0 if inside else TAIL)):
            text += line(model, "CDS", start, end, names, phase)
        for start, end, before in model.pieces(model.last - TAIL, model.last) if stops else ():
            text += line(model, "stop_codon", start, end, names, (3 - before) % 3)
    return text


def gff3(genes: list[Model], *, exons: bool) -> str:
    text = "##gff-version 3\n"
    for model in genes:
        name, whole = model.name, (model.exons[0][0], model.exons[-1][1])
        more = "biotype=protein_coding"
        text += line(model, "gene", *whole, f"ID=gene:{name};Name={name};gene_id={name};{more}")
        text += line(model, "mRNA", *whole, f"ID=transcript:{name};Parent=gene:{name};transcript_id={name};{more}")
        below = f"Parent=transcript:{name}"
        lacking = f";start_range=.,{whole[0] + 1}" if model.strand == "+" else f";end_range={whole[1]},."
        lacking *= model.partial
        for start, end, phase in model.phased(model.last):
            text += line(model, "CDS", start, end, f"ID=CDS:{name};{below}{lacking}", phase)
        if exons:
            text += "".join(line(model, "exon", *exon, below) for exon in model.exons)
            continue
        utrs = ("five_prime_UTR", 0, model.first), ("three_prime_UTR", model.last, len(model.bases))
        for kind, first, last in utrs:
            text += "".join(line(model, kind, *piece[:2], below) for piece in model.pieces(first, last))
    return text


def bed(genes: list[Model]) -> str:
    text = ""
    for model in genes:
        start, end = model.exons[0][0], model.exons[-1][1]
        thick = model.pieces(model.first, model.last)
        sizes = ",".join(str(b - a) for a, b in model.exons)
        starts = ",".join(str(a - start) for a, _ in model.exons)
        fields = (
            start,
            end,
            model.name,
            0,
            model.strand,
            thick[0][0],
            thick[-1][1],
            0,
            len(model.exons),
            sizes,
            starts,
        )
        text += "\t".join(map(str, ("c", *fields))) + "\n"
    return text


def written(folder: Path, seed: int, *, partial: bool) -> tuple[dict[str, Annotation], Reference, str, Path]:
    genes, letters = models(seed, partial=partial)
    (folder / "c.fa").write_text(f">c\n{letters}\n")
    texts = {f"{name}.gtf": gtf(genes, inside=name == "inside") for name in ("outside", "inside")}
    texts |= {f"{name}.gff3": gff3(genes, exons=name == "exons") for name in ("exons", "bare")}
    if not partial:  # BED has no phase
        texts["toy.bed"] = bed(genes)
    read = {}
    for name, text in texts.items():
        (folder / name).write_text(text)
        read[name] = annotation.read(folder / name)
        assert read[name].broken.empty
    return read, Reference(folder / "c.fa"), letters, folder / "exons.gff3"


def every_base(letters: str) -> list[Variant]:
    generator, places = random.Random(1), range(1490, len(letters) - 400)
    others = (generator.choice("ACGT".replace(letters[at], "")) for at in places)
    return [Variant("c", at + 1, letters[at], other) for at, other in zip(places, others, strict=True)]


KINDS = [
    "gene", "transcript", "exon", "intron", "splice_donor", "splice_acceptor", "promoter", "start_codon", "stop_codon",
    "five_prime_utr", "three_prime_utr",
]  # fmt: skip


@pytest.mark.parametrize(("seed", "partial"), [(0, False), (1, False), (0, True), (1, True)])
def test_five_dialects_of_one_gene_model(tmp_path, seed, partial):
    read, reference, letters, _ = written(tmp_path, seed, partial=partial)
    whole = Interval("c", 0, len(letters))
    elements = {
        name: {kind: one.indicator(whole, kind) if kind in one.kinds else None for kind in KINDS}
        | {"coding": one.indicator(whole, ["CDS", "stop_codon"]), "between": one.indicator(whole, "intergenic")}
        for name, one in read.items()
    }
    first = elements.pop("exons.gff3")
    assert all(bases.any() or kind.endswith(("utr", "codon")) for kind, bases in first.items())
    assert first["start_codon"].any() == (not partial)
    for name, other in elements.items():
        for kind, bases in first.items():
            # A file that states UTRs, of which there are none, has no such kind.
            found = other[kind] if other[kind] is not None else np.zeros(len(letters), dtype=bool)
            assert (found == bases).all(), (name, kind)
    changes = every_base(letters)
    tables = {name: consequences.consequence(changes, one, reference) for name, one in read.items()}
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, tables["exons.gff3"], obj=name)
    assert {"stop_lost", "missense", "synonymous", "splice_donor"} <= set(tables["exons.gff3"]["consequence"])
    assert ("start_lost" in set(tables["exons.gff3"]["consequence"])) == (not partial)


@pytest.mark.parametrize("inside", [False, True])
def test_bases_tell_where_a_cds_without_stop_codon_lines_ends(tmp_path, inside):
    read, reference, letters, _ = written(tmp_path, 7, partial=False)
    (tmp_path / "silent.gtf").write_text(gtf(models(7, partial=False)[0], inside=inside, stops=False))
    silent = annotation.read(tmp_path / "silent.gtf")
    assert "silent.gtf does not say whether its CDS holds the stop codon" in silent.note
    pd.testing.assert_frame_equal(
        consequences.consequence(every_base(letters), silent, reference),
        consequences.consequence(every_base(letters), read["exons.gff3"], reference),
    )


@pytest.mark.parametrize("partial", [False, True])
def test_consequences_are_those_of_bcftools(tmp_path, partial):
    read, reference, letters, gff = written(tmp_path, 11, partial=partial)
    changes = every_base(letters)
    head = (
        f"##fileformat=VCFv4.2\n##contig=<ID=c,length={len(letters)}>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    )
    records = (f"c\t{one.pos}\t.\t{one.ref}\t{one.alt}\t.\t.\t.\n" for one in changes)
    (tmp_path / "c.vcf").write_text(head + "".join(records))
    command = ["bcftools", "csq", "-l", "-f", tmp_path / "c.fa", "-g", gff, tmp_path / "c.vcf"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    theirs = {
        int(fields[1]): [entry.split("|") for entry in fields[7].removeprefix("BCSQ=").split(",")]
        for fields in (text.split("\t") for text in lines if not text.startswith("#"))
    }
    ours = consequences.consequence(changes, read["exons.gff3"], reference)
    proteins = {"missense", "synonymous", "stop_gained", "stop_lost", "start_lost"}
    compared = 0
    for change, row in zip(changes, ours.itertuples(), strict=True):
        entries = theirs[change.pos]
        terms = {term.replace("stop_retained", "synonymous") for entry in entries for term in entry[0].split("&")}
        if row.consequence in proteins or terms & proteins:
            compared += 1
            # Ours is the gravest, and theirs are all of a place.
            assert row.consequence in terms and (row.consequence in proteins or terms - proteins), (row, entries)
        if row.protein and row.consequence == "missense":
            number, letter = next(entry[5].split(">") for entry in entries if "missense" in entry[0])
            assert row.protein == f"{number[-1]}{number[:-1]}{letter[-1]}"
    assert compared > 300
