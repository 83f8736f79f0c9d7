"""Training sequences: FASTA files cut into overlapping chunks, held-out regions left out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ntviz import tokens
from ntviz.genome import Interval, canonical_contig
from ntviz.pretraining import shards
from ntviz.pretraining.bases import Codes, Indexed, N, decode, encode, unknown_before, unknown_runs
from ntviz.pretraining.sampling import Sampler
from ntviz.reference import Reference

__all__ = ["STORES", "Corpus", "N", "Sampler", "decode", "encode", "held_out_ids", "held_out_table", "read"]

STORES = ("memory", "index", "shards")
"""Where bases are kept: in memory, in the FASTA, or tokenised on disk."""


@dataclass(frozen=True)
class Corpus:
    """Chunks of one or several genomes, as base codes.

    Attributes
    ----------
    codes
        One uint8 array [base] a contig, A C G T N as 0 to 4, or what reads one when sliced.
    chunks
        One row a chunk: contig (index into `codes`), source (file stem, or the name that was given), chrom, start, end;
        0-based half-open.
    held_out
        Same columns: the chunks of the held-out regions, without overlap.
    report
        One row a contig: source, chrom, bases, n (unknown bases), chunks, skipped (chunks with too much N),
        held_out (bases), fingerprint (of its bases).
    weights
        Share of the training sequences that comes from each source; None reads every chunk equally often.
    """

    codes: Sequence[Codes]
    chunks: pd.DataFrame
    held_out: pd.DataFrame
    report: pd.DataFrame
    weights: Mapping[str, float] | None = None

    @property
    def judged_on(self) -> Corpus:
        """The corpus whose held-out chunks judge a run: this one."""
        return self

    def sampler(
        self,
        tokenizer: tokens.Tokenizer,
        *,
        max_tokens: int,
        sequences: int,
        seed: int,
        both_strands: bool = True,
    ) -> Sampler:
        """Training sequences as token ids; see `Sampler`."""
        return Sampler(
            self, tokenizer, max_tokens=max_tokens, sequences=sequences, seed=seed, both_strands=both_strands
        )

    @property
    def bases(self) -> int:
        """Bases that training chunks cover, overlaps counted once."""
        return sum(len(run) for run in self.runs())

    def runs(self) -> Iterator[np.ndarray]:
        """Stretches that training chunks cover, as base codes [base], each base once."""
        for contig, start, end in self.covered(self.chunks):
            yield self.codes[contig][start:end]

    def covered(self, chunks: pd.DataFrame) -> list[tuple[int, int, int]]:
        """Stretches that chunks cover, each base once: contig, start, end (0-based half-open)."""
        table = chunks[["contig", "start", "end"]].sort_values(["contig", "start"])
        reach = table.groupby("contig")["end"].cummax()
        same = table["contig"].eq(table["contig"].shift()) & table["start"].le(reach.shift())
        merged = table.groupby((~same).cumsum()).agg({"contig": "first", "start": "min", "end": "max"})
        return list(zip(*(merged[name].tolist() for name in merged), strict=True))

    @property
    def facts(self) -> dict[str, list[list[str]]]:
        """What decides which bases are read how often, as [fingerprint, words] by name; see `identity`."""
        contigs = [
            [row.fingerprint, f"{row.chrom} of {row.source} ({row.bases:,} bp)"]
            for row in self.report.itertuples()
        ]
        shares = self.weights or {}
        weights = [
            [f"{weight / sum(shares.values()):.9f}", f"{weight:g} of {name}"]
            for name, weight in shares.items()
        ]
        return {"contig": contigs, "weight": weights}


def read(
    fastas: Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    *,
    held_out: Sequence[Interval] | Mapping[str, Sequence[Interval]] = (),
    chunk_bp: int = 6100,
    overlap_bp: int = 50,
    tokens_bp: int = 5994,
    max_n: float = 0.1,
    store: str = "memory",
    folder: str | os.PathLike[str] | None = None,
    k: int = 6,
) -> Corpus:
    """Chunks of every contig of the FASTA files, but for the held-out regions.

    Parameters
    ----------
    fastas
        FASTA files (plain or bgzip), one or several species; by name when file stems would not tell them apart.
    held_out
        Regions kept for evaluation, 0-based half-open; a training chunk that touches one is left out. Contig names
        may be aliases (chr20 for 20); a region applies to the first file that has its contig, or by name of a source
        to that one.
    chunk_bp, overlap_bp
        Length of a chunk, and how much of it the next repeats, in bp.
    tokens_bp
        Bases of a chunk that become tokens: the start inside the chunk is drawn anew each epoch.
    max_n
        Chunks with a larger share of N are skipped.
    store
        "memory" holds every base; "index" fetches each chunk from its FASTA; "shards" tokenises each FASTA once
        into a file that is mapped into memory. What is read is the same.
    folder, k
        Of "shards": see `shards.write`.

    Raises
    ------
    ValueError
        Lengths that do not fit each other, a held-out region that no file has or that holds no whole sequence, an
        unknown store, or nothing left to train on.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, Methods: chunks of 6,100 nt that overlap, with a random start.
    """
    if not tokens_bp <= chunk_bp or not 0 <= overlap_bp < chunk_bp:
        raise ValueError(
            f"A chunk must hold its tokens and be longer than its overlap; got chunk_bp={chunk_bp}, "
            f"tokens_bp={tokens_bp}, overlap_bp={overlap_bp}."
        )
    if store not in STORES:
        raise ValueError(f"store must be one of {', '.join(STORES)}; got {store!r}.")
    if isinstance(fastas, Mapping):
        files = [(name, Path(path)) for name, path in fastas.items()]
    else:
        files = [(path.name.split(".")[0], path) for path in map(Path, fastas)]
    if isinstance(held_out, Mapping):
        pending = [(name, region) for name, regions in held_out.items() for region in regions]
    else:
        pending = [(None, region) for region in held_out]
    codes: list[Codes] = []
    train, test, report = [], [], []
    for name, path in files:
        for chrom, encoded in _contigs(path, store, folder, k):
            taken = [
                (owner, r) for owner, r in pending
                if owner in (None, name) and canonical_contig(r.chrom) == canonical_contig(chrom)
            ]  # fmt: skip
            pending = [entry for entry in pending if entry not in taken]
            here = [region for _, region in taken]
            unknown, mark = unknown_runs(encoded)
            starts, ends, clean, free = _cut(
                len(encoded), unknown, here, chunk_bp, overlap_bp, tokens_bp, max_n
            )
            train.append(_rows(len(codes), name, chrom, starts[clean & free], ends[clean & free]))
            for region in here:
                begin = _whole_sequences(region, path, chrom, len(encoded), unknown, tokens_bp)
                test.append(_rows(len(codes), name, chrom, begin, begin + tokens_bp))
            report.append(
                {
                    "source": path.name, "chrom": chrom, "bases": len(encoded),
                    "n": int((unknown[:, 1] - unknown[:, 0]).sum()),
                    "chunks": int((clean & free).sum()), "skipped": int((~clean & free).sum()),
                    "held_out": sum(len(r) for r in here), "fingerprint": mark,
                }
            )  # fmt: skip
            codes.append(encoded)
    if pending:
        raise ValueError(
            f"Each held-out region must lie on a contig of the corpus; {pending[0][1]} does not "
            f"(contigs: {', '.join(str(r['chrom']) for r in report[:10])})."
        )
    chunks = pd.concat(train, ignore_index=True) if train else _rows(0, "-", "-", np.zeros(0), np.zeros(0))
    if chunks.empty:
        raise ValueError(
            f"The corpus must have a chunk of {chunk_bp:,} bp outside the held-out regions with at most "
            f"{max_n:.0%} N; {', '.join(str(path) for _, path in files)} has none. Use shorter chunks or another FASTA."
        )
    tests = pd.concat(test, ignore_index=True) if test else chunks.iloc[:0]
    return Corpus(codes, chunks, tests, pd.DataFrame(report))


def _cut(
    length: int,
    unknown: np.ndarray,
    held_out: Sequence[Interval],
    chunk_bp: int,
    overlap_bp: int,
    tokens_bp: int,
    max_n: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Starts and ends of a contig's chunks, which have few enough N, and which touch no held-out region."""
    starts = np.arange(0, max(1, length - chunk_bp + 1), chunk_bp - overlap_bp)
    ends = np.minimum(starts + chunk_bp, length)
    n = unknown_before(unknown, ends) - unknown_before(unknown, starts)
    clean = (n <= max_n * (ends - starts)) & (ends - starts >= min(tokens_bp, 60))
    free = np.ones(len(starts), bool)
    for region in held_out:
        free &= (ends <= region.start) | (starts >= region.end)
    return starts, ends, clean, free


def _whole_sequences(
    region: Interval, path: Path, chrom: str, length: int, unknown: np.ndarray, tokens_bp: int
) -> np.ndarray:
    """Starts of the held-out sequences of a region: end to end, free of N."""
    if region.start < 0 or region.end > length:
        raise ValueError(
            f"A held-out region must lie in its contig; {region} ends beyond {chrom} of {path.name}, which has "
            f"{length:,} bp."
        )
    begin = np.arange(region.start, region.end - tokens_bp + 1, tokens_bp)
    known = unknown_before(unknown, begin + tokens_bp) == unknown_before(unknown, begin)
    if not known.any():
        raise ValueError(
            f"A held-out region must hold a sequence of {tokens_bp:,} bp without N; {region.label()} of "
            f"{path.name} has {len(region):,} bp and none. Choose another region, or shorter sequences."
        )
    return begin[known]


def _rows(contig: int, source: str, chrom: str, starts: np.ndarray, ends: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "contig": contig,
            "source": source,
            "chrom": chrom,
            "start": starts.astype(np.int64),
            "end": ends.astype(np.int64),
        }
    )


def _contigs(
    path: Path, store: str, folder: str | os.PathLike[str] | None, k: int
) -> Iterator[tuple[str, Codes]]:
    if store == "shards":
        yield from shards.read(shards.write(path, folder, k=k)).items()
        return
    with Reference(path) as reference:
        contigs = dict(reference.contigs)
    for chrom, length in contigs.items():
        indexed = Indexed(path, chrom, length)
        yield chrom, indexed[:] if store == "memory" else indexed


def held_out_ids(corpus: Corpus, tokenizer: tokens.Tokenizer, *, limit: int | None = None) -> np.ndarray:
    """Token ids [sequence, token] of the held-out chunks, evenly spaced when there are more than `limit`.

    Raises
    ------
    ValueError
        Nothing was held out.
    """
    table = held_out_table(corpus, limit=limit)
    return np.stack(
        [tokenizer(decode(corpus.codes[r.contig][r.start : r.end])).ids for r in table.itertuples()]
    )


def held_out_table(corpus: Corpus, *, limit: int | None = None) -> pd.DataFrame:
    """The held-out chunks that `held_out_ids` returns, in its order: contig, source, chrom, start, end (0-based)."""
    table = corpus.held_out
    if table.empty:
        raise ValueError(
            "The corpus must have held-out chunks free of N; it has none. Pass held_out=[Interval(...)] at least as "
            "long as one training sequence."
        )
    if limit is not None and len(table) > limit:
        table = table.iloc[np.linspace(0, len(table) - 1, limit).astype(int)]
    return table.reset_index(drop=True)
