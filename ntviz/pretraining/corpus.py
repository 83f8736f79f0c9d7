"""Training sequences: FASTA files cut into overlapping chunks, held-out regions left out, tokenised on the fly."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ntviz import tokens
from ntviz.genome import Interval, canonical_contig
from ntviz.reference import Reference
from ntviz.sequence import codes as base_codes

_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
N = 4
"""Code of an unknown base; A, C, G, T are 0 to 3."""


@dataclass(frozen=True)
class Corpus:
    """Chunks of one or several genomes, as base codes.

    Attributes
    ----------
    codes
        One uint8 array [base] a contig, A C G T N as 0 to 4.
    chunks
        One row a chunk: contig (index into `codes`), source (file stem), chrom, start, end; 0-based half-open.
    held_out
        Same columns: the chunks of the held-out regions, without overlap.
    report
        One row a contig: source, chrom, bases, n (unknown bases), chunks, skipped (chunks with too much N),
        held_out (bases).
    """

    codes: list[np.ndarray]
    chunks: pd.DataFrame
    held_out: pd.DataFrame
    report: pd.DataFrame

    @property
    def bases(self) -> int:
        """Bases that training chunks cover, overlaps counted once."""
        return sum(len(run) for run in self.runs())

    def runs(self) -> Iterator[np.ndarray]:
        """Stretches that training chunks cover, as base codes [base], each base once."""
        for contig, codes in enumerate(self.codes):
            chunks = self.chunks.loc[self.chunks["contig"] == contig, ["start", "end"]].sort_values("start")
            start = end = 0
            for chunk_start, chunk_end in chunks.to_numpy():
                if chunk_start > end:
                    if end > start:
                        yield codes[start:end]
                    start = chunk_start
                end = max(end, chunk_end)
            if end > start:
                yield codes[start:end]


def read(
    fastas: Sequence[str | os.PathLike[str]],
    *,
    held_out: Sequence[Interval] = (),
    chunk_bp: int = 6100,
    overlap_bp: int = 50,
    tokens_bp: int = 5994,
    max_n: float = 0.1,
) -> Corpus:
    """Chunks of every contig of the FASTA files, but for the held-out regions.

    Parameters
    ----------
    fastas
        FASTA files (plain or bgzip), one or several species.
    held_out
        Regions kept for evaluation, 0-based half-open; a training chunk that touches one is left out. Contig names
        may be aliases (chr20 for 20); a region applies to the first file that has its contig.
    chunk_bp, overlap_bp
        Length of a chunk, and how much of it the next repeats, in bp.
    tokens_bp
        Bases of a chunk that become tokens: the start inside the chunk is drawn anew each epoch.
    max_n
        Chunks with a larger share of N are skipped.

    Raises
    ------
    ValueError
        Lengths that do not fit each other, a held-out region that no file has or that holds no whole sequence, or
        nothing left to train on.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, Methods: chunks of 6,100 nt that overlap, with a random start.
    """
    if not tokens_bp <= chunk_bp or not 0 <= overlap_bp < chunk_bp:
        raise ValueError(
            f"A chunk must hold its tokens and be longer than its overlap; got chunk_bp={chunk_bp}, "
            f"tokens_bp={tokens_bp}, overlap_bp={overlap_bp}."
        )
    codes: list[np.ndarray] = []
    train, test, report = [], [], []
    pending = list(held_out)
    for path in map(Path, fastas):
        for chrom, encoded in _contigs(path):
            here = [r for r in pending if canonical_contig(r.chrom) == canonical_contig(chrom)]
            pending = [r for r in pending if r not in here]
            outside = [r for r in here if r.start < 0 or r.end > len(encoded)]
            if outside:
                raise ValueError(
                    f"A held-out region must lie in its contig; {outside[0]} ends beyond {chrom} of {path.name}, "
                    f"which has {len(encoded):,} bp."
                )
            unknown = np.concatenate([[0], np.cumsum(encoded == N)])
            starts = np.arange(0, max(1, len(encoded) - chunk_bp + 1), chunk_bp - overlap_bp)
            ends = np.minimum(starts + chunk_bp, len(encoded))
            clean = (unknown[ends] - unknown[starts]) <= max_n * (ends - starts)
            clean &= ends - starts >= min(tokens_bp, 60)
            free = np.ones(len(starts), bool)
            for region in here:
                free &= (ends <= region.start) | (starts >= region.end)
            train.append(_rows(len(codes), path, chrom, starts[clean & free], ends[clean & free]))
            for region in here:
                begin = np.arange(region.start, region.end - tokens_bp + 1, tokens_bp)
                known = (unknown[begin + tokens_bp] - unknown[begin]) == 0
                if not known.any():
                    raise ValueError(
                        f"A held-out region must hold a sequence of {tokens_bp:,} bp without N; {region.label()} of "
                        f"{path.name} has {len(region):,} bp and none. Choose another region, or shorter sequences."
                    )
                test.append(_rows(len(codes), path, chrom, begin[known], begin[known] + tokens_bp))
            report.append(
                {
                    "source": path.name, "chrom": chrom, "bases": len(encoded), "n": int(unknown[-1]),
                    "chunks": int((clean & free).sum()), "skipped": int((~clean & free).sum()),
                    "held_out": sum(len(r) for r in here),
                }
            )  # fmt: skip
            codes.append(encoded)
    if pending:
        raise ValueError(
            f"Each held-out region must lie on a contig of the corpus; {pending[0]} does not "
            f"(contigs: {', '.join(str(r['chrom']) for r in report[:10])})."
        )
    chunks = (
        pd.concat(train, ignore_index=True) if train else _rows(0, Path("-"), "-", np.zeros(0), np.zeros(0))
    )
    if chunks.empty:
        raise ValueError(
            f"The corpus must have a chunk of {chunk_bp:,} bp outside the held-out regions with at most "
            f"{max_n:.0%} N; {', '.join(str(p) for p in fastas)} has none. Use shorter chunks or another FASTA."
        )
    tests = pd.concat(test, ignore_index=True) if test else chunks.iloc[:0]
    return Corpus(codes, chunks, tests, pd.DataFrame(report))


def _rows(contig: int, path: Path, chrom: str, starts: np.ndarray, ends: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "contig": contig,
            "source": path.name.split(".")[0],
            "chrom": chrom,
            "start": starts.astype(np.int64),
            "end": ends.astype(np.int64),
        }
    )


def _contigs(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    with Reference(path) as reference:
        for chrom, length in reference.contigs.items():
            yield chrom, encode(reference.fetch(Interval(chrom, 0, length)).sequence)


def encode(text: str) -> np.ndarray:
    """Codes [base] of an upper-case sequence: A C G T are 0 to 3, everything else is N, 4.

    >>> encode("ACGTN").tolist()
    [0, 1, 2, 3, 4]
    """
    return base_codes(text)


def decode(codes: np.ndarray) -> str:
    """The upper-case sequence of base codes [base]."""
    return _LETTERS[codes].tobytes().decode("ascii")


class Sampler:
    """Training sequences as token ids: each row depends on the seed, the step and its number alone.

    So a resumed run continues exactly, and neither the number of processes nor of accumulation steps changes what
    is read.

    Parameters
    ----------
    corpus
        Where chunks come from.
    tokenizer
        A k-mer tokenizer with `<cls>`.
    max_tokens
        Tokens a sequence, `<cls>` included.
    sequences
        Sequences a step, over all processes and accumulation steps.
    seed
        Order of chunks, random starts and strands follow from it.
    both_strands
        Each chunk is read from either strand with probability one half.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: tokens.Tokenizer,
        *,
        max_tokens: int,
        sequences: int,
        seed: int,
        both_strands: bool = True,
    ) -> None:
        self.corpus, self.tokenizer = corpus, tokenizer
        self.max_tokens, self.sequences, self.seed, self.both_strands = (
            max_tokens,
            sequences,
            seed,
            both_strands,
        )
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))
        self._contig, self._start, self._end = (
            corpus.chunks[name].to_numpy() for name in ("contig", "start", "end")
        )

    @property
    def steps_per_epoch(self) -> float:
        """Steps that read every chunk once."""
        return len(self._start) / self.sequences

    def rows(self, step: int, rows: range) -> np.ndarray:
        """Token ids [row, token] of some rows of a step, padded on the right where N or a contig's end left room."""
        out = np.full((len(rows), self.max_tokens), self.tokenizer.vocabulary.pad_id, np.int64)
        bases = (self.max_tokens - 1) * self.tokenizer.vocabulary.k
        for index, row in enumerate(rows):
            rng = np.random.default_rng((self.seed, 1, step, row))
            chunk = self._chunk(step * self.sequences + row)
            start, end = self._start[chunk], self._end[chunk]
            start += rng.integers(0, max(0, end - start - bases) + 1)
            codes = self.corpus.codes[self._contig[chunk]][start : min(end, start + bases)]
            if self.both_strands and rng.random() < 0.5:
                codes = np.where(codes < N, 3 - codes, N)[::-1]
            ids = self.tokenizer(decode(codes)).ids[: self.max_tokens]
            out[index, : len(ids)] = ids
        return out

    def _chunk(self, position: int) -> int:
        epoch, index = divmod(position, len(self._start))
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng((self.seed, 0, epoch)).permutation(len(self._start)))
        return int(self._order[1][index])


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
