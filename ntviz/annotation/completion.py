"""What a file of genes leaves to be inferred: exons of CDS, transcripts of exons, genes of transcripts, and where CDS ends."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from ntviz.annotation.formats import PARTS, Row

_STOP_IN_CDS = ("augustus", "gffread", "agat", "orfanage", "sqanti", "pacbio", "transdecoder")
"""Programs whose GTF keeps the stop codon in the CDS, by what column 2 or a comment calls them; SQANTI3 writes PacBio."""
Key = tuple[str, str, str, str]


def _key(row: Row) -> Key:
    return row.chrom, row.strand, row.gene_id, row.transcript


def joined(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Intervals (start, end), sorted; those that overlap or touch become one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def completed(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """The rows and, after them, exons that follow; and transcripts and genes that follow. `origin` says from what.

    A transcript with CDS and without exons has exons where its CDS, UTRs and codons are; exons without a transcript have one, and
    transcripts without a gene have one in each place where those of its identifier overlap.
    """
    rows = _apart(rows)
    parts: dict[Key, list[Row]] = defaultdict(list)
    whole: dict[Key, Row] = {}
    wholes: list[Row] = []
    genes = {(row.chrom, row.gene_id) for row in rows if row.element == "gene"}
    for row in rows:
        if row.element in PARTS and row.transcript:
            parts[_key(row)].append(row)
        elif row.element == "transcript":
            whole[_key(row)] = row
            wholes.append(row)
    exons, added = [], []
    for key, own in parts.items():
        kinds = {row.element for row in own}
        model = own[0]._replace(name="", phase=-1, incomplete="")
        if "exon" not in kinds and "CDS" in kinds:
            exons += [
                model._replace(element="exon", start=start, end=end, origin="from CDS and UTR")
                for start, end in joined((row.start, row.end) for row in own)
            ]
        if key not in whole and kinds & {"exon", "CDS"}:
            start, end = min(row.start for row in own), max(row.end for row in own)
            whole[key] = model._replace(element="transcript", start=start, end=end, origin="from exons")
            added.append(whole[key])
            wholes.append(whole[key])
    missing: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in wholes:
        if row.gene_id and (row.chrom, row.gene_id) not in genes:
            missing[row.chrom, row.strand, row.gene_id].append(row)
    for own in missing.values():
        model = own[0]._replace(
            element="gene", transcript="", name="", origin="from transcripts", incomplete=""
        )
        added += [
            model._replace(start=start, end=end) for start, end in joined((row.start, row.end) for row in own)
        ]
    return _incomplete(rows, whole) + exons, added


def _apart(rows: list[Row]) -> list[Row]:
    """Rows in which transcripts of one identifier at several places have one each: t, t_dup1, t_dup2, as UCSC writes them.

    Places are told by the lines of the transcripts, and only where parts of it lie in more than one.
    """
    lines: dict[Key, list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        if row.element == "transcript":
            lines[_key(row)].append((row.start, row.end))
    places = {key: found for key, own in lines.items() if len(own) > 1 and len(found := joined(own)) > 1}
    if not places:
        return rows
    at = [
        next(
            (
                n
                for n, (start, end) in enumerate(places.get(_key(row), ()))
                if start <= row.start and row.end <= end
            ),
            0,
        )
        if row.element in PARTS or row.element == "transcript"
        else 0
        for row in rows
    ]
    full = {(_key(row), n) for row, n in zip(rows, at, strict=True) if row.element in ("exon", "CDS")}
    several = {key for key, n in full if n and (key, 0) in full}
    return [
        row._replace(transcript=f"{row.transcript}_dup{n}") if n and _key(row) in several else row
        for row, n in zip(rows, at, strict=True)
    ]


def _incomplete(rows: list[Row], whole: dict[Key, Row]) -> list[Row]:
    """Rows in which a CDS lacks the ends that its transcript is said to lack."""
    said = {key: row.incomplete for key, row in whole.items() if row.incomplete}
    if not said:
        return rows
    return [
        row._replace(incomplete=said.get(_key(row), row.incomplete)) if row.element == "CDS" else row
        for row in rows
    ]


def stop_in_cds(rows: list[Row], writers: str, source: str) -> tuple[bool, str]:
    """Whether the CDS of a GTF ends with the stop codon, and a sentence that says why.

    GTF's own rule is that it ends before. Programs break it, so what the file says decides, in this order: its stop codons, its 3'
    UTRs, the program (`writers`: names in the file, in lower case), and whether transcripts have room for a codon after the CDS.
    """
    hulls: dict[str, dict[Key, tuple[int, int]]] = {
        kind: {} for kind in ("CDS", "stop_codon", "three_prime_utr", "")
    }
    length: Counter[Key] = Counter()
    for row in rows:
        key = _key(row)
        if row.element in PARTS or row.element == "transcript":
            for kind in {row.element, ""} & set(hulls):
                start, end = hulls[kind].get(key, (row.start, row.end))
                hulls[kind][key] = min(start, row.start), max(end, row.end)
        if row.element == "CDS":
            length[key] += row.end - row.start
    coding, stops, utrs, wholes = hulls.values()
    votes: Counter[bool] = Counter()
    for key, (start, end) in stops.items():
        if key in coding:
            votes[coding[key][0] <= start and end <= coding[key][1]] += 1
    if votes:
        inside = votes[True] > votes[False]
        said = f"{votes[inside]:,} of {votes.total():,} stop codons of {source} lie {'in' if inside else 'behind'} the CDS"
        return inside, f"{said}, so it is taken to end {'with' if inside else 'before'} them." if votes[
            True
        ] else ""
    for key, (start, end) in utrs.items():
        if key in coding:
            behind = start - coding[key][1] if key[1] == "+" else coding[key][0] - end
            if behind in (0, 3):
                votes[behind == 0] += 1
    if votes:
        inside = votes[True] > votes[False]
        return (
            inside,
            f"CDS of {source} is taken to end with the stop codon: 3' UTR begins right behind it."
            if inside
            else "",
        )
    if not coding:
        return False, ""
    writer = next((name for name in _STOP_IN_CDS if name in writers), "")
    if writer:
        return True, f"CDS of {source} is taken to end with the stop codon, as {writer} writes it."
    for key, (start, end) in coding.items():
        if length[key] % 3 == 0:
            room = wholes[key][1] - end if key[1] == "+" else start - wholes[key][0]
            votes[room < 3] += 1
    if votes[True] > votes[False]:
        return (
            True,
            f"CDS of {source} is taken to end with the stop codon: most transcripts end with their CDS.",
        )
    return False, (
        f"{source} does not say whether its CDS holds the stop codon; it is taken to end before it, as GTF defines."
        if votes
        else ""
    )
