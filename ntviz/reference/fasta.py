"""Random access to the bases of a FASTA."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntviz.genome import Interval, accession_assembly, canonical_contig, resolve_contig
from ntviz.reference.files import (
    build_index,
    check_extent,
    check_fasta,
    corrupt,
    find_index,
    quiet_htslib,
    read_fai,
)
from ntviz.sequence import clean, reverse_complement

# Lengths in bp of the human chromosomes 1 to 22, X, Y; they name the assembly.
_NAMES = (*map(str, range(1, 23)), "X", "Y")
_LENGTHS = {
    "GRCh37": (
        249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022, 141213431, 135534747,
        135006516, 133851895, 115169878, 107349540, 102531392, 90354753, 81195210, 78077248, 59128983, 63025520,
        48129895, 51304566, 155270560, 59373566,
    ),
    "GRCh38": (
        248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636, 138394717, 133797422,
        135086622, 133275309, 114364328, 107043718, 101991189, 90338345, 83257441, 80373285, 58617616, 64444167,
        46709983, 50818468, 156040895, 57227415,
    ),
}  # fmt: skip
_ASSEMBLY_OF_LENGTH = {
    (name, length): assembly
    for assembly, lengths in _LENGTHS.items()
    for name, length in zip(_NAMES, lengths, strict=True)
}


@dataclass(frozen=True, slots=True)
class ReferenceSequence:
    """Bases of one interval, and what had to be done to them.

    Parameters
    ----------
    interval
        The region that was asked for, 0-based half-open, with its strand.
    sequence
        Upper-case A, C, G, T, N, as long as the interval; the reverse complement when the strand is "-".
    padded
        Number of N added before the contig's start and after its end, in genome orientation.
    soft_masked
        Number of lower-case letters that were upper-cased.
    ambiguous
        Number of IUPAC letters (R, Y, M, ...) and gaps (-, *, X) that became N.
    """

    interval: Interval
    sequence: str
    padded: tuple[int, int]
    soft_masked: int
    ambiguous: int

    def __len__(self) -> int:
        """Number of bases."""
        return len(self.sequence)

    @property
    def note(self) -> str:
        """What was done to the bases, in words; empty when nothing was."""
        parts = []
        if any(self.padded):
            left, right = self.padded
            parts.append(
                f"The region goes beyond the contig: {left:,} N added before its start and {right:,} after its end."
            )
        if self.soft_masked:
            parts.append(f"{self.soft_masked:,} soft-masked (lower-case) letters were upper-cased.")
        if self.ambiguous:
            parts.append(f"{self.ambiguous:,} IUPAC letters or gaps became N.")
        return " ".join(parts)


class Reference:
    r"""Random access to a FASTA file, plain or compressed with bgzip.

    The index (`.fai`, and `.gzi` for bgzip) is looked for beside the file. When there is none it is made, beside the
    file or, in a folder that cannot be written to, in the cache folder. One that is older than the file is compared
    with a fresh one. Copies in other processes, forked or pickled, open the file again.

    Parameters
    ----------
    path
        The FASTA file.
    index
        Its `.fai` when it is elsewhere; the `.gzi` is then looked for beside that.

    Raises
    ------
    FileNotFoundError
        If the file, or the index that was named, does not exist.
    ValueError
        If the file is not FASTA, is truncated, is compressed with plain gzip (see `recompress`), has lines that cannot
        be indexed, or the index does not describe it.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "toy.fa"
    >>> _ = file.write_text(">chr1\nACGTacgtRN\n")
    >>> found = Reference(file).fetch("chr1:7-12")
    >>> found.sequence, found.padded, found.soft_masked, found.ambiguous
    ('GTNNNN', (0, 2), 2, 1)
    """

    def __init__(self, path: str | Path, *, index: str | Path | None = None) -> None:
        self.path = Path(path)
        self._compressed = check_fasta(self.path)
        self._fai, self._gzi = find_index(self.path, index, self._compressed)
        self.contigs: dict[str, int] = {name: length for name, length, *_ in read_fai(self._fai)}
        check_extent(self.path, self._fai, self._gzi)
        self._resolved: dict[str, str] = {}
        self._file: Any = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        total = sum(self.contigs.values())
        return f"Reference({self.path.name}: {len(self.contigs)} contigs, {total:,} bp, {self.assembly or 'unknown assembly'})"

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_file", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _file=None, _lock=threading.Lock())

    def close(self) -> None:
        """Close the file; the next fetch opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    @property
    def assembly(self) -> str | None:
        """`GRCh37` or `GRCh38` when the lengths of the human chromosomes present say so, else None."""
        return _assembly(self.contigs)

    def whole(self, chrom: str) -> Interval:
        """The whole contig, under whatever alias, as an interval without strand.

        Raises
        ------
        ValueError
            If there is no such contig.
        """
        return Interval(chrom, 0, self.contigs[self._name(chrom)])

    def fetch(self, interval: Interval | str) -> ReferenceSequence:
        """Bases of a region, as long as the region: N beyond the contig's ends.

        Parameters
        ----------
        interval
            An Interval (0-based half-open; its start may be negative) or text such as `chr20:1,000-2,000` (1-based
            closed). On the strand "-" the reverse complement comes back.

        Raises
        ------
        ValueError
            If the contig is unknown or of another assembly, the region has no base on it, or the file is corrupt.
        """
        if isinstance(interval, str):
            interval = Interval.from_str(interval)
        name = self._name(interval.chrom)
        length = self.contigs[name]
        if interval.end <= 0 or interval.start >= length:
            raise ValueError(
                f"A region must have at least one base on its contig; received {interval.label()}, and {name} has "
                f"{length:,} bp. Check the coordinates, and whether they are of this assembly "
                f"({self.assembly or 'unknown'})."
            )
        start, end = max(interval.start, 0), min(interval.end, length)
        cleaned = clean(self._read(name, start, end), typed=False)
        padded = (start - interval.start, interval.end - end)
        bases = "N" * padded[0] + cleaned.sequence + "N" * padded[1]
        if interval.strand == "-":
            bases = reverse_complement(bases)
        return ReferenceSequence(interval, bases, padded, cleaned.lowered, cleaned.ambiguous)

    def _name(self, chrom: str) -> str:
        if chrom not in self._resolved:
            asked = accession_assembly(chrom)
            if asked is not None and self.assembly not in (None, asked):
                raise ValueError(
                    f"A contig must be of the reference's assembly; received {chrom}, which is of {asked}, and "
                    f"{self.path.name} is {self.assembly}. Use a FASTA of {asked}, or coordinates of {self.assembly}."
                )
            self._resolved[chrom] = resolve_contig(chrom, self.contigs)
        return self._resolved[chrom]

    def _read(self, name: str, start: int, end: int) -> str:
        import pysam

        with self._lock, quiet_htslib():
            try:
                if self._file is None or self._pid != os.getpid():
                    # A forked process shares the parent's file position, so it needs a file of its own.
                    self._pid = os.getpid()
                    self._file = pysam.FastaFile(
                        str(self.path),
                        filepath_index=str(self._fai),
                        filepath_index_compressed=None if self._gzi is None else str(self._gzi),
                    )
                letters = self._file.fetch(name, start, end)
            except (ValueError, OSError) as error:
                raise corrupt(self.path, name, start, end) from error
        if len(letters) != end - start:
            raise corrupt(self.path, name, start, end)
        return letters

    @staticmethod
    def build_index(path: str | Path) -> Path:
        """Make the index of a FASTA file anew; the same as `ntviz.reference.build_index`."""
        return build_index(path)


def _assembly(contigs: dict[str, int]) -> str | None:
    votes = {
        _ASSEMBLY_OF_LENGTH.get((canonical_contig(name), length))
        for name, length in contigs.items()
        if canonical_contig(name) in _NAMES
    }
    return votes.pop() if len(votes) == 1 else None
