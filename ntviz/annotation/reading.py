"""GTF, GFF3 and BED, plain or gzip, line by line: what can be read, and what cannot with its line number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ntviz.annotation import bigwig
from ntviz.annotation.completion import completed, stop_in_cds
from ntviz.annotation.elements import Annotation
from ntviz.annotation.formats import Bed, Gff3, Gtf, LineError, Row, sided
from ntviz.environment import lines_of, tell
from ntviz.genome import Interval, canonical_contig

_SUFFIXES = {
    ".gtf": "gtf", ".gff": "gff3", ".gff3": "gff3", ".bed": "bed",
    ".narrowpeak": "bed", ".broadpeak": "bed", ".gappedpeak": "bed",
}  # fmt: skip


class Broken(NamedTuple):
    """One line that is not a feature."""

    line: int
    reason: str
    text: str


def read(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    on_error: str = "collect",
    within: Interval | None = None,
    element: str | None = None,
    rename: Mapping[str, str] | None = None,
) -> Annotation:
    r"""Features of a file, with the lines that could not be read beside them.

    Parameters
    ----------
    path
        GTF, GFF3 or BED, plain or gzip, or bigBed (``ntviz[bigwig]``). A line of BED12 with a strand is a transcript; other
        BED, narrowPeak, broadPeak and gappedPeak are intervals.
    format
        ``"gtf"``, ``"gff3"`` or ``"bed"`` when the name of the file does not say.
    on_error
        ``"collect"`` puts broken lines into `Annotation.broken`; ``"raise"`` stops at the first.
    within
        Keep the features that overlap this interval only, which saves memory with a file of a whole genome.
    element
        Element of the intervals of a BED file; ``"region"`` when not given. The classes of ENCODE's cCREs are recognised.
    rename
        Other names for elements, by the names that they have without it; the rest keep theirs. `REGULATORY` gives
        those of ENCODE's cCREs and of Ensembl's Regulatory Build the names of the attention analysis.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the format is not known, the file is truncated, has no feature or none that can be read; with
        ``on_error="raise"`` at the first broken line, whose number the message gives.

    References
    ----------
    GTF 2.2 (Brent lab), GFF3 and the terms of the Sequence Ontology (Eilbeck et al. 2005), BED (UCSC). In GFF3 what has exons or
    CDS and lies in a gene is a transcript, whatever it is called. Exons that are missing are where CDS and UTRs are; transcripts
    and genes without lines are in `Annotation.features`. Where the CDS of a GTF ends, its stop codons, UTRs or program tell, and
    `Annotation.note` says so. UTR of GENCODE's GTF, which does not say of which end,
    becomes five_prime_utr or three_prime_utr by its side of the CDS of the same transcript.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "peaks.bed"
    >>> _ = file.write_text("chr20\t99\t200\tpeak1\nchr20\tten\t20\n")
    >>> peaks = read(file, element="open chromatin")
    >>> peaks.table[["chrom", "start", "end", "element", "name"]].values.tolist()
    [['chr20', 99, 200, 'open chromatin', 'peak1']]
    >>> peaks.note
    "1 of 2 lines of peaks.bed could not be read; the first, line 2: the start must be an integer and is 'ten'."
    """
    import pandas as pd

    path = Path(path)
    if on_error not in ("collect", "raise"):
        raise ValueError(
            f"on_error must be 'collect' or 'raise'; received {on_error!r}. Leave it out to collect."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"An annotation file must exist; received {path}, and there is none. Check the path."
        )
    parse = _parser(path, format, element)
    rows: list[Row] = []
    broken: list[Broken] = []
    features = 0
    comments, odd = "", 0
    wanted = _Wanted(within)
    # What follows from the parts of a gene needs all of them, wherever they are; a line of BED has its own.
    chosen = wanted if isinstance(parse, Bed) else wanted.contig
    lines = lines_of(path)
    if bigwig.kind_of(path):
        lines = enumerate(("\t".join(map(str, record)) for record in bigwig.records(path)), start=1)
    for number, line in lines:
        if line.startswith(("##FASTA", ">")):
            break
        if not line.strip() or line.startswith(("#", "track", "browser")):
            comments += line[:200] if not features else ""
            continue
        features += 1
        try:
            rows += [row for row in parse(line) if chosen(row)]
            if not odd and isinstance(parse, Gff3) and parse.odd:
                odd = number
        except LineError as fault:
            if on_error == "raise":
                raise ValueError(
                    f"Line {number} of {path.name} must be a feature, but {fault}: {line[:80]!r}. "
                    f"Correct the line, or read with on_error='collect' to go on without it."
                ) from None
            broken.append(Broken(number, str(fault), line[:200]))
    if not features:
        raise ValueError(
            f"{path.name} must hold at least one feature; it holds none. Check that it is the right file."
        )
    if len(broken) == features:
        raise ValueError(
            f"{path.name} must hold lines in the format that its name says, but none of {features:,} can be read; line "
            f"{broken[0].line}: {broken[0].reason}. Check the format; rename the file, or pass format=, when its name says another."
        )
    rows = list(parse.resolved(rows))
    # GTF's CDS ends before the stop codon, or should; that of GFF3, and the thick part of BED, ends with it.
    inside, note = (
        stop_in_cds(rows, f"{comments} {' '.join(parse.writers)}".lower(), path.name)
        if isinstance(parse, Gtf)
        else (True, "")
    )
    notes = [note] * bool(note)
    melted = sum(row.element in ("exon", "CDS") and not row.gene_id and not row.transcript for row in rows)
    if melted:
        notes.append(
            f"{melted:,} exons and CDS of {path.name} name no transcript, so no introns, splice sites or codons follow from them; "
            f"GFF3 names it in Parent, which is spelt so."
        )
    names = rename or {}
    tables = [
        pd.DataFrame(
            [
                row._replace(element=names[row.element]) if row.element in names else row
                for row in part
                if wanted(row)
            ],
            columns=list(Row._fields),
        )
        for part in completed(sided(rows))
    ]
    # Elements elsewhere in the file are known here too: that there are none of them is an answer.
    kinds = dict.fromkeys(
        side
        for kind in parse.kinds
        for side in (("five_prime_utr", "three_prime_utr") if kind == "UTR" else (names.get(kind, kind),))
    )
    if kinds.keys() & {"exon", "CDS"}:
        kinds |= dict.fromkeys(("exon", "transcript", "gene"))
    if isinstance(parse, Gff3) and parse.odd:
        notes.append(
            f"{parse.odd:,} lines of {path.name} have semicolons that are neither escaped nor between attributes, the first of "
            f"them line {odd}; they were kept as text."
        )
    found = Annotation(
        tables[0],
        inferred=tables[1],
        broken=pd.DataFrame(broken, columns=["line", "reason", "text"]),
        source=path.name,
        lines=features,
        kinds=list(kinds),
        stop_in_cds=inside,
        notes=notes,
        aliases={name: tuple(genes) for name, genes in parse.aliases.items()},
    )
    tell(found.note)
    return found


def _parser(path: Path, format: str | None, element: str | None) -> Gtf | Gff3 | Bed:  # noqa: A002
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".bgz")]
    kind = bigwig.kind_of(path)
    if kind == "bigWig":
        raise ValueError(
            f"An annotation must hold regions; {path.name} is bigWig, which holds numbers. Read it with annotation.read_signal."
        )
    known = "bed" if kind else format or _SUFFIXES.get(suffixes[-1] if suffixes else "")
    if known not in ("gtf", "gff3", "bed"):
        raise ValueError(
            f"An annotation must be GTF, GFF3 or BED; the name {path.name} says neither"
            f"{'' if format is None else f', and format={format!r} is none of them'}. Rename it, or pass format='gtf', 'gff3' or 'bed'."
        )
    if known != "bed" and format is None:
        known = _written_as(path) or known
    if known == "bed":
        return Bed(element, peaks="peak" in "".join(suffixes))
    if element is not None:
        raise ValueError(
            f"element is for BED files; {path.name} is {known.upper()}, whose lines say what they are. Leave it out."
        )
    return Gtf() if known == "gtf" else Gff3()


def _written_as(path: Path) -> str:
    """``"gtf"`` or ``"gff3"`` by the first attributes that tell, whatever the name says: a .gff may be GTF, as of AUGUSTUS."""
    for _, line in lines_of(path):
        fields = line.split("\t")
        if len(fields) == 9 and not line.startswith("#"):
            if re.match(r"\s*\w+\s+[\"']", fields[8]):
                return "gtf"
            if "=" in fields[8]:
                return "gff3"
    return ""


class _Wanted:
    """Whether a row overlaps an interval, or lies on its contig."""

    def __init__(self, within: Interval | None) -> None:
        self._within = within
        self._contig = canonical_contig(within.chrom) if within is not None else ""
        self._same: dict[str, bool] = {}

    def contig(self, row: Row) -> bool:
        if self._within is None:
            return True
        if row.chrom not in self._same:
            self._same[row.chrom] = canonical_contig(row.chrom) == self._contig
        return self._same[row.chrom]

    def __call__(self, row: Row) -> bool:
        return self._within is None or (
            self.contig(row) and row.start < self._within.end and row.end > self._within.start
        )
