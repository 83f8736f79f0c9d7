"""`read`: GTF, GFF3 and BED to an Annotation, and what such a file leaves to be inferred."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntviz.annotation.elements import Annotation, overlapping
from ntviz.annotation.formats import PARTS, Bed, Gff3, Gtf, LineError, Lines, Row, says_nothing
from ntviz.annotation.signal import binary_kind, binary_records
from ntviz.annotation.transcripts import KEY, merge, merge_groups, turned
from ntviz.environment import lines_of, tell
from ntviz.genome import Interval, canonical_contig

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = {
    ".gtf": "gtf", ".gff": "gff3", ".gff3": "gff3", ".bed": "bed",
    ".narrowpeak": "bed", ".broadpeak": "bed", ".gappedpeak": "bed",
}  # fmt: skip
# Programs whose GTF keeps the stop codon in the CDS, by what column 2 or a comment calls them; SQANTI3 writes PacBio.
_STOP_IN_CDS = ("augustus", "gffread", "agat", "orfanage", "sqanti", "pacbio", "transdecoder")


def read(
    path: str | Path, *, format: str | None = None, on_error: str = "collect",  # noqa: A002
    within: Interval | None = None, element: str | None = None, rename: Mapping[str, str] | None = None,
) -> Annotation:  # fmt: skip
    r"""Features of a file, with the lines that could not be read beside them.

    Parameters
    ----------
    path
        GTF, GFF3 or BED, plain or gzip, or bigBed (``ntviz[bigwig]``). A line of BED12 with a strand is a transcript; other BED,
        narrowPeak, broadPeak and gappedPeak are intervals.
    format
        ``"gtf"``, ``"gff3"`` or ``"bed"`` when the name of the file does not say.
    on_error
        ``"collect"`` puts broken lines into `Annotation.broken`; ``"raise"`` stops at the first.
    within
        Keep the features that overlap this interval only, which saves memory with a file of a whole genome.
    element
        Element of the intervals of a BED file; ``"region"``, or the class of one of ENCODE's cCREs, when not given.
    rename
        Other names for elements, such as `REGULATORY`; the rest keep theirs.

    References
    ----------
    GTF 2.2 (Brent lab), GFF3 and the terms of the Sequence Ontology (Eilbeck et al. 2005), BED (UCSC). In GFF3 what has exons or
    CDS and lies in a gene is a transcript, whatever it is called. Exons that are missing are where CDS and UTRs are; transcripts
    and genes without lines are in `Annotation.features`. Where the CDS of a GTF ends, its stop codons, UTRs or program tell, and
    `Annotation.note` says so. UTR of GENCODE's GTF gets its side of the CDS.

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
        raise ValueError(f"on_error must be 'collect' or 'raise'; received {on_error!r}. Leave it out to collect.")
    if not path.is_file():
        raise FileNotFoundError(f"An annotation file must exist; received {path}, and there is none. Check the path.")
    parse = _parser(path, format, element)
    rows: list[Row] = []
    broken: list[tuple[int, str, str]] = []
    features, first_odd, comments = 0, 0, ""
    # What follows from the parts of a gene needs all of them, so those of its contig are kept.
    contig, same = canonical_contig(within.chrom) if within else "", {}
    lines = lines_of(path)
    if binary_kind(path):
        lines = enumerate(("\t".join(map(str, record)) for record in binary_records(path)), start=1)
    for number, line in lines:
        if line.startswith(("##FASTA", ">")):
            break
        if says_nothing(line):
            comments += line[:200] if not features else ""
            continue
        features += 1
        try:
            for row in parse(line):
                if row.chrom not in same:
                    same[row.chrom] = within is None or canonical_contig(row.chrom) == contig
                if same[row.chrom]:
                    rows.append(row)
            first_odd = first_odd or number * bool(parse.odd)
        except LineError as fault:
            if on_error == "raise":
                raise ValueError(
                    f"Line {number} of {path.name} must be a feature, but {fault}: {line[:80]!r}. "
                    f"Correct the line, or read with on_error='collect' to go on without it."
                ) from None
            broken.append((number, str(fault), line[:200]))
    if not features:
        raise ValueError(f"{path.name} must hold at least one feature; it holds none. Check that it is the right file.")
    if len(broken) == features:
        raise ValueError(
            f"{path.name} must hold lines in the format that its name says, but none of {features:,} can be read; line "
            f"{broken[0][0]}: {broken[0][1]}. Check the format; rename the file, or pass format=, when its name says another."
        )
    numbers = {"start": np.int64, "end": np.int64, "phase": np.int64}
    table = pd.DataFrame(list(parse.resolved(rows)), columns=list(Row._fields)).astype(numbers)
    # GTF's CDS ends before the stop codon, or should; that of GFF3, and the thick part of BED, ends with it.
    inside, notes = True, []
    if isinstance(parse, Gtf):
        inside, note = _stop_in_cds(table, f"{comments} {' '.join(parse.writers)}".lower(), path.name)
        notes = [note] if note else []
    lone = table["element"].isin(["exon", "CDS"]) & (table["gene_id"] == "") & (table["transcript"] == "")
    if lone.any():
        notes.append(
            f"{lone.sum():,} exons and CDS of {path.name} name no transcript, so no introns, splice sites or codons follow from "
            f"them; GFF3 names it in Parent, which is spelt so."
        )
    if parse.odd:
        notes.append(
            f"{parse.odd:,} lines of {path.name} have semicolons that are neither escaped nor between attributes, the first of "
            f"them line {first_odd}; they were kept as text."
        )
    names = dict(rename or {})
    table, inferred = (
        part.assign(element=[names.get(kind, kind) for kind in part["element"]])
        for part in (part if within is None else part[overlapping(part, within)] for part in _completed(_sided(table)))
    )
    # Elements elsewhere in the file are known here too: that there are none of them is an answer.
    kinds: dict[str, None] = {}
    for kind in parse.kinds:
        sides = ("five_prime_utr", "three_prime_utr") if kind == "UTR" else (names.get(kind, kind),)
        kinds |= dict.fromkeys(sides)
    if kinds.keys() & {"exon", "CDS"}:
        kinds |= dict.fromkeys(("exon", "transcript", "gene"))
    aliases = {name: tuple(genes) for name, genes in parse.aliases.items()}
    found = Annotation(
        table, inferred=inferred, broken=pd.DataFrame(broken, columns=["line", "reason", "text"]), source=path.name,
        lines=features, kinds=list(kinds), stop_in_cds=inside, notes=notes, aliases=aliases,
    )  # fmt: skip
    tell(found.note)
    return found


def _parser(path: Path, format: str | None, element: str | None) -> Lines:  # noqa: A002
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".bgz")]
    kind = binary_kind(path)
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
    if known == "bed":
        return Bed(element, peaks="peak" in "".join(suffixes))
    # The first attributes tell, whatever the name says: a .gff may be GTF, as of AUGUSTUS.
    for _, line in lines_of(path) if format is None else ():
        fields = line.split("\t")
        if len(fields) == 9 and not line.startswith("#"):
            quoted = re.match(r"\s*\w+\s+[\"']", fields[8])
            if quoted or "=" in fields[8]:
                known = "gtf" if quoted else "gff3"
                break
    if element is not None:
        raise ValueError(f"element is for BED files; {path.name} is {known.upper()}, whose lines say what they are. Leave it out.")  # fmt: skip
    return Gtf() if known == "gtf" else Gff3()


def _keys(table: pd.DataFrame) -> pd.MultiIndex:
    import pandas as pd

    return pd.MultiIndex.from_frame(table[KEY])


def _sided(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in which each UTR is that of an end; one without CDS in its transcript stays UTR."""
    coding = table[table["element"] == "CDS"].groupby(["chrom", "transcript"])["start"].min()
    utrs = table[(table["element"] == "UTR") & (table["strand"] != ".")]
    utrs = utrs.join(coding.rename("coding"), on=["chrom", "transcript"], how="inner")
    left = utrs["start"] < utrs["coding"]
    table.loc[utrs.index, "element"] = np.where(left == (utrs["strand"] == "+"), "five_prime_utr", "three_prime_utr")
    return table


def _completed(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows and exons that follow from CDS, UTRs and codons; and transcripts and genes that follow. `origin` says from what."""
    import pandas as pd

    table = _apart(table)
    wholes = table[table["element"] == "transcript"]
    parts = table[table["element"].isin(PARTS) & (table["transcript"] != "")]
    keys = _keys(parts)
    has = {kind: keys.isin(keys[parts["element"] == kind]) for kind in ("exon", "CDS")}
    plain = parts.assign(name="", phase=-1, incomplete="")
    exons = merge_groups(plain[has["CDS"] & ~has["exon"]], KEY)
    exons = exons.assign(element="exon", origin="from CDS and UTR")
    transcripts = plain[(has["exon"] | has["CDS"]) & ~keys.isin(_keys(wholes))]
    ends = transcripts.groupby(KEY, sort=False).agg(start=("start", "min"), end=("end", "max"))
    transcripts = transcripts.drop_duplicates(KEY).assign(element="transcript", origin="from exons")
    transcripts = transcripts.assign(start=ends["start"].to_numpy(), end=ends["end"].to_numpy())
    stated = table[table["element"] == "gene"].set_index(["chrom", "gene_id"]).index
    genes = pd.concat([wholes, transcripts])
    genes = genes[(genes["gene_id"] != "") & ~genes.set_index(["chrom", "gene_id"]).index.isin(stated)]
    genes = merge_groups(genes, ["chrom", "strand", "gene_id"])
    genes = genes.assign(element="gene", transcript="", name="", origin="from transcripts", incomplete="")
    # A CDS lacks the ends that its transcript is said to lack.
    lacks = wholes.drop_duplicates(KEY, keep="last").set_index(KEY)["incomplete"]
    coding = table[table["element"] == "CDS"]
    told = lacks[lacks != ""].reindex(_keys(coding)).to_numpy()
    table.loc[coding.index, "incomplete"] = np.where(pd.isna(told), coding["incomplete"], told)
    return pd.concat([table, exons], ignore_index=True), pd.concat([transcripts, genes], ignore_index=True)


def _apart(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in which transcripts of one identifier with parts at several places have one each: t, t_dup1, as UCSC writes them."""
    lines = table[table["element"] == "transcript"]
    repeated = lines[lines.duplicated(KEY)]
    if repeated.empty:
        return table
    own = table[table["element"].isin(PARTS | {"transcript"}) & _keys(table).isin(_keys(repeated))]
    for _, rows in own.groupby(KEY, sort=False):
        line = rows[rows["element"] == "transcript"]
        starts, ends = merge(line["start"].to_numpy(), line["end"].to_numpy())
        at = np.maximum(np.searchsorted(starts, rows["start"], side="right") - 1, 0)
        at = np.where((starts[at] <= rows["start"]) & (rows["end"] <= ends[at]), at, 0)
        full = set(at[rows["element"].isin(["exon", "CDS"])])
        if 0 in full and len(full) > 1:
            copies = rows["transcript"] + [f"_dup{n}" if n else "" for n in at]
            table.loc[rows.index, "transcript"] = copies
    return table


def _stop_in_cds(table: pd.DataFrame, writers: str, source: str) -> tuple[bool, str]:
    """Whether the CDS of a GTF ends with the stop codon, against GTF's own rule, and a sentence that says why.

    What the file says decides: its stop codons, its 3' UTRs, the program (`writers`), and whether transcripts have room after the CDS.
    """
    table = turned(table[table["element"].isin(PARTS | {"transcript"})])
    coding = table[table["element"] == "CDS"]
    if coding.empty:
        return False, ""
    taken = f"CDS of {source} is taken to end with the stop codon"

    def beside(rows: pd.DataFrame) -> pd.DataFrame:
        """Ends of the CDS and (_other) of `rows` of each transcript that has both, from small to large along it."""
        cds, other = (part.groupby(KEY, sort=False).agg(start=("start", "min"), end=("end", "max")) for part in (coding, rows))  # fmt: skip
        return cds.join(other.add_suffix("_other"), how="inner")

    both = beside(table[table["element"] == "stop_codon"])
    votes = Counter(((both["start"] <= both["start_other"]) & (both["end_other"] <= both["end"])).tolist())
    if votes:
        inside = votes[True] > votes[False]
        lie, end = ("in", "with") if inside else ("behind", "before")
        where = f"{votes[inside]:,} of {votes.total():,} stop codons of {source} lie {lie} the CDS"
        note = f"{where}, so it is taken to end {end} them."
        return inside, note if votes[True] else ""
    both = beside(table[table["element"] == "three_prime_utr"])
    behind = both["start_other"] - both["end"]
    votes = Counter((behind[behind.isin([0, 3])] == 0).tolist())
    if votes:
        inside = votes[True] > votes[False]
        return inside, f"{taken}: 3' UTR begins right behind it." if inside else ""
    writer = next((name for name in _STOP_IN_CDS if name in writers), "")
    if writer:
        return True, f"{taken}, as {writer} writes it."
    both = beside(table)
    length = (coding["end"] - coding["start"]).groupby([coding[name] for name in KEY]).sum()
    whole = length.reindex(both.index) % 3 == 0
    votes = Counter((both["end_other"] - both["end"] < 3)[whole].tolist())
    if votes[True] > votes[False]:
        return True, f"{taken}: most transcripts end with their CDS."
    silent = (f"{source} does not say whether its CDS holds the stop codon; it is taken to end before it, as GTF defines.")  # fmt: skip
    return False, silent if votes else ""
