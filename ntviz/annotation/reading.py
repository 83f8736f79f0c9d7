"""GTF, GFF3 and BED, plain or gzip, line by line: what can be read, and what cannot with its line number."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ntviz.annotation.elements import COLUMNS, Annotation
from ntviz.annotation.formats import Gff3, LineError, Row, bed, gtf, sided
from ntviz.genome import Interval, canonical_contig

_SUFFIXES = {
    ".gtf": "gtf", ".gff": "gff3", ".gff3": "gff3", ".bed": "bed", ".narrowpeak": "bed", ".broadpeak": "bed",
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
        GTF, GFF3 or BED with 3 to 12 columns, narrowPeak and broadPeak too; plain or gzip.
    format
        ``"gtf"``, ``"gff3"`` or ``"bed"`` when the name of the file does not say.
    on_error
        ``"collect"`` puts broken lines into `Annotation.broken`; ``"raise"`` stops at the first.
    within
        Keep the features that overlap this interval only, which saves memory with a file of a whole genome.
    element
        Element of the features of a BED file with fewer than 12 columns; ``"region"`` when not given. The classes of
        ENCODE's cCREs are recognised. Twelve columns are transcripts: exons, CDS and UTRs come of them.
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
    GTF 2.2 (Brent lab), GFF3 (Sequence Ontology), BED (UCSC). UTR of GENCODE's GTF, which does not say of which end,
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
    kinds: dict[str, None] = {}
    wanted = _Wanted(within)
    names = rename or {}
    for number, line in lines_of(path):
        if line.startswith("##FASTA"):
            break
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        features += 1
        try:
            for row in parse(line):
                if row.element in names:
                    row = row._replace(element=names[row.element])
                # Elements elsewhere in the file are known here too: that there are none of them is an answer.
                kinds[row.element] = None
                if wanted(row):
                    rows.append(row)
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
            f"{broken[0].line}: {broken[0].reason}. Check the format, and pass format= when the name says another."
        )
    if isinstance(parse, Gff3):
        rows = list(parse.resolved(rows))
    return Annotation(
        pd.DataFrame(sided(rows), columns=list(COLUMNS)),
        broken=pd.DataFrame(broken, columns=["line", "reason", "text"]),
        source=path.name,
        lines=features,
        kinds=[
            side
            for kind in kinds
            for side in (("five_prime_utr", "three_prime_utr") if kind == "UTR" else (kind,))
        ],
        # GTF's CDS ends before the stop codon; that of GFF3, and the thick part of BED, ends with it.
        stop_in_cds=parse is not gtf,
    )


def _parser(path: Path, format: str | None, element: str | None) -> Callable[[str], Iterable[Row]]:  # noqa: A002
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".bgz")]
    known = format or _SUFFIXES.get(suffixes[-1] if suffixes else "")
    if known not in ("gtf", "gff3", "bed"):
        raise ValueError(
            f"An annotation must be GTF, GFF3 or BED; the name {path.name} says neither"
            f"{'' if format is None else f', and format={format!r} is none of them'}. Pass format='gtf', 'gff3' or 'bed'."
        )
    if known == "bed":
        return lambda line: bed(line, element)
    if element is not None:
        raise ValueError(
            f"element is for BED files; {path.name} is {known.upper()}, whose lines say what they are. Leave it out."
        )
    return gtf if known == "gtf" else Gff3()


class _Wanted:
    """Whether a row overlaps an interval."""

    def __init__(self, within: Interval | None) -> None:
        self._within = within
        self._contig = canonical_contig(within.chrom) if within is not None else ""
        self._same: dict[str, bool] = {}

    def __call__(self, row: Row) -> bool:
        if self._within is None:
            return True
        if row.chrom not in self._same:
            self._same[row.chrom] = canonical_contig(row.chrom) == self._contig
        return self._same[row.chrom] and row.start < self._within.end and row.end > self._within.start


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of each line of a file, plain or gzip."""
    with open(path, "rb") as handle:
        zipped = handle.read(2) == b"\x1f\x8b"
    number = 0
    try:
        with gzip.open(path, "rb") if zipped else open(path, "rb") as handle:
            for number, line in enumerate(handle, start=1):
                yield number, line.decode("utf-8", "replace").rstrip("\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path.name} must be a whole gzip file, but reading it ended after line {number:,} with '{error}'. It is "
            f"truncated or corrupt: fetch it again."
        ) from error
