"""Training sequences: FASTA files cut into overlapping chunks, held-out regions left out, and which chunk is read when."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ntviz.environment import rows_of
from ntviz.genome import Interval, canonical_contig
from ntviz.pretraining.bases import Codes, Indexed, Track, shards, token_ids, unknown_before, unknown_runs
from ntviz.pretraining.recipe import Recipe
from ntviz.reference import Reference
from ntviz.storage import AnyPath
from ntviz.tokens import Tokenizer

STORES = ("memory", "index", "shards")
"""Where bases are kept: in memory, in the FASTA, or tokenised on disk."""
_CYCLE = 20_000


@dataclass(frozen=True)
class Corpus:
    """Chunks of one or several genomes, as base codes.

    Attributes
    ----------
    codes
        One uint8 array [base] a contig, A C G T N as 0 to 4, or what reads one when sliced.
    chunks, held_out
        One row a chunk: contig (index into `codes`), source (stem or name), chrom, start, end; 0-based half-open. Those of the
        held-out regions do not overlap.
    report
        One row a contig: source, chrom, bases, n, chunks, skipped (too much N), held_out (bases), fingerprint.
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

    def sampler(self, recipe: Recipe) -> Sampler:
        """Training sequences as token ids."""
        return Sampler(self, recipe)

    @property
    def bases(self) -> int:
        """Bases that training chunks cover, overlaps counted once."""
        return sum(end - start for _, start, end in self.covered(self.chunks))

    def runs(self) -> Iterator[np.ndarray]:
        """Stretches that training chunks cover, as base codes [base], each base once."""
        return (self.codes[contig][start:end] for contig, start, end in self.covered(self.chunks))

    def covered(self, chunks: pd.DataFrame) -> list[tuple[int, int, int]]:
        """Stretches that chunks cover, each base once: contig, start, end (0-based half-open)."""
        table = chunks[["contig", "start", "end"]].sort_values(["contig", "start"])
        reach = table.groupby("contig")["end"].cummax()
        same = table["contig"].eq(table["contig"].shift()) & table["start"].le(reach.shift())
        merged = table.groupby((~same).cumsum()).agg({"contig": "first", "start": "min", "end": "max"})
        return list(zip(*(merged[name].tolist() for name in merged), strict=True))

    @property
    def facts(self) -> dict[str, list[list[str]]]:
        """What decides which bases are read how often, as [fingerprint, words] by name."""
        rows, shares = self.report.itertuples(), (self.weights or {}).items()
        total = sum(share for _, share in shares)
        return {
            "contig": [[row.fingerprint, f"{row.chrom} of {row.source} ({row.bases:,} bp)"] for row in rows],
            "weight": [[f"{share / total:.9f}", f"{share:g} of {name}"] for name, share in shares],
        }


def read(
    fastas: Sequence[AnyPath] | Mapping[str, AnyPath], *, held_out: Sequence[Interval] | Mapping[str, Sequence[Interval]] = (),
    chunk_bp: int = 6100, overlap_bp: int = 50, tokens_bp: int = 5994, max_n: float = 0.1, store: str = "memory",
    folder: AnyPath | None = None, k: int = 6,
) -> Corpus:  # fmt: skip
    """Chunks of every contig of the FASTA files, but for the held-out regions.

    Parameters
    ----------
    fastas, held_out
        FASTA files (plain or bgzip), by name where stems would not tell them apart; regions for evaluation, of the first file that
        has the contig, or by source: no training chunk touches one.
    chunk_bp, overlap_bp, tokens_bp, max_n
        bp of a chunk, and how many of them the next repeats; bp that become tokens, from a start inside the chunk that is drawn anew
        each epoch; share of N in a chunk at most.
    store, folder, k
        All bases in "memory", by the FASTA's "index", or as "shards" tokenised once: what is read is the same; see `bases.shards`.

    Raises
    ------
    ValueError
        Lengths that do not fit, a held-out region without a whole sequence, or nothing left to train on.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, Methods: chunks of 6,100 nt that overlap, with a random start.
    """
    if not tokens_bp <= chunk_bp or not 0 <= overlap_bp < chunk_bp:
        got = f"chunk_bp={chunk_bp}, tokens_bp={tokens_bp}, overlap_bp={overlap_bp}"
        raise ValueError(f"A chunk must hold its tokens and be longer than its overlap; got {got}.")
    if store not in STORES:
        raise ValueError(f"store must be one of {', '.join(STORES)}; got {store!r}.")
    pairs = [(name, Path(fastas[name])) for name in fastas] if isinstance(fastas, Mapping) else None
    files = pairs or [(Path(path).name.split(".")[0], Path(path)) for path in fastas]
    by_source = held_out if isinstance(held_out, Mapping) else {None: held_out}
    pending = [(name, region) for name, regions in by_source.items() for region in regions]
    codes: list[Codes] = []
    train, test, report = [], [], []
    for name, path in files:
        for chrom, contig in _contigs(path, store, folder, k):
            own, alias = [entry for entry in pending if entry[0] in (None, name)], canonical_contig(chrom)
            taken = [entry for entry in own if canonical_contig(entry[1].chrom) == alias]
            pending = [entry for entry in pending if entry not in taken]
            (unknown, mark), length = unknown_runs(contig), len(contig)
            starts = np.arange(0, max(1, length - chunk_bp + 1), chunk_bp - overlap_bp)
            ends = np.minimum(starts + chunk_bp, length)
            n = unknown_before(unknown, ends) - unknown_before(unknown, starts)
            clean = (n <= max_n * (ends - starts)) & (ends - starts >= min(tokens_bp, 60))
            free, place = np.ones(len(starts), bool), {"contig": len(codes), "source": name, "chrom": chrom}
            for _, region in taken:
                free &= (ends <= region.start) | (starts >= region.end)
                begin = _whole_sequences(region, path, chrom, length, unknown, tokens_bp)
                test.append(pd.DataFrame({**place, "start": begin, "end": begin + tokens_bp}))
            train.append(pd.DataFrame({**place, "start": starts[clean & free], "end": ends[clean & free]}))
            report.append({
                "source": path.name, "chrom": chrom, "bases": length, "n": int(np.diff(unknown).sum()),
                "chunks": int((clean & free).sum()), "skipped": int((~clean & free).sum()),
                "held_out": sum(len(region) for _, region in taken), "fingerprint": mark,
            })  # fmt: skip
            codes.append(contig)
    if pending:
        known = ", ".join(str(row["chrom"]) for row in report[:10])
        raise ValueError(f"Each held-out region must lie on a contig of the corpus; {pending[0][1]} does not ({known}).")  # fmt: skip
    chunks = pd.concat(train, ignore_index=True) if train else pd.DataFrame()
    if chunks.empty:
        raise ValueError(f"The corpus must have a chunk of {chunk_bp:,} bp outside the held-out regions with at most {max_n:.0%} N; "
                         f"{', '.join(str(path) for _, path in files)} has none. Use shorter chunks or another FASTA.")  # fmt: skip
    tests = pd.concat(test, ignore_index=True) if test else chunks.iloc[:0]
    return Corpus(codes, chunks, tests, pd.DataFrame(report))


def read_sheet(sheet: AnyPath, *, store: str = "shards", **options: Any) -> Corpus:
    """The corpus of all genomes of a sheet, each with its share of the training sequences.

    Parameters
    ----------
    sheet
        Tab-separated: name (unique), fasta (path from the sheet's folder), and optionally weight (relative share, on
        all rows or none: then by number of chunks) and held_out (chr20:1,000-2,000, 1-based closed, ";" between).
    store, options
        See `read`.

    Raises
    ------
    ValueError, FileNotFoundError
        The sheet is not as above, with the number of the line, or a genome gives no chunk; a FASTA is not there.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025: 850 genomes of all kingdoms but plants and viruses, 174 billion bases.
    """
    path = Path(sheet)
    rows = sheet_rows(path, ("name", "fasta"), ("weight", "held_out"))
    files: dict[str, Path] = {}
    weights: dict[str, float] = {}
    held_out: dict[str, list[Interval]] = {}
    for number, row in rows:
        name = row["name"]
        files[name] = path.parent / row["fasta"]
        if not files[name].is_file():
            raise FileNotFoundError(f"Each fasta of {path} must be there; line {number} names {files[name]}. Mend the path.")  # fmt: skip
        try:
            if text := row.get("weight"):
                weights[name] = float(text)
                if not 0 < weights[name] < math.inf:
                    raise ValueError(f"A weight must be a number above 0; got {text!r}.")
            regions = filter(None, map(str.strip, row.get("held_out", "").split(";")))
            held_out[name] = [Interval.from_str(text) for text in regions]
        except ValueError as error:
            raise ValueError(f"Line {number} of {path}: {error}") from error
    if bare := [number for number, row in rows if weights and row["name"] not in weights]:
        raise ValueError(f"Weights of {path} must be on all rows or on none; line {bare[0]} has none. Add it, or empty the column.")  # fmt: skip
    whole = read(files, held_out=held_out, store=store, **options)
    chunks = whole.chunks["source"].value_counts()
    if empty := [name for name in files if name not in chunks.index]:
        raise ValueError(f"Each genome of {path} must give a chunk; {empty[0]!r} gives none: its contigs are too short, held out or "
                         "unknown. Remove it, or use shorter chunks.")  # fmt: skip
    return dataclasses.replace(whole, weights=weights or {name: float(chunks[name]) for name in files})


def sheet_rows(path: AnyPath, required: Sequence[str], optional: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:  # fmt: skip
    """Number of the line and cells of each row of a sheet whose first column names it; see `environment.rows_of`."""
    try:
        lines = rows_of(path, required)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    header, columns = lines[0] if lines else (1, [])
    wrong = [f"lacks {name!r}" for name in required if name not in columns]
    known = {*required, *optional}
    wrong += [f"has {name!r}, unknown or twice" for name in columns if name not in known or columns.count(name) > 1]
    if wrong:
        may = f" and may have {', '.join(optional)}" if optional else ""
        what = f"{', '.join(required)}{may}; it {wrong[0]}"
        raise ValueError(f"{path} must have the tab-separated columns {what}. Mend its line {header}.")
    rows = [(number, dict(zip(columns, cells, strict=True))) for number, cells in lines[1:]]
    seen: dict[str, int] = {}
    for number, row in rows:
        if empty := [name for name in required if not row[name]]:
            raise ValueError(f"Each row of {path} must have a {empty[0]}; line {number} has none. Add it.")
        name = row[required[0]]
        if (first := seen.setdefault(name, number)) != number:
            raise ValueError(f"A {required[0]} of {path} must be there once; {name!r} is on lines {first} and {number}. Remove one.")  # fmt: skip
    if not rows:
        raise ValueError(f"{path} must have a row below its column names; it has none. Add one.")
    return rows


def _whole_sequences(region: Interval, path: Path, chrom: str, length: int, unknown: np.ndarray, tokens_bp: int) -> np.ndarray:  # fmt: skip
    """Starts of the held-out sequences of a region: end to end, free of N."""
    if region.start < 0 or region.end > length:
        where = f"{chrom} of {path.name}, which has {length:,} bp"
        raise ValueError(f"A held-out region must lie in its contig; {region} leaves {where}.")
    begin = np.arange(region.start, region.end - tokens_bp + 1, tokens_bp)
    known = unknown_before(unknown, begin + tokens_bp) == unknown_before(unknown, begin)
    if not known.any():
        raise ValueError(f"A held-out region must hold a sequence of {tokens_bp:,} bp without N; {region.label()} of {path.name} has "
                         f"{len(region):,} bp and none. Choose another region, or shorter sequences.")  # fmt: skip
    return begin[known]


def _contigs(path: Path, store: str, folder: AnyPath | None, k: int) -> Iterator[tuple[str, Codes]]:
    if store == "shards":
        yield from shards(path, folder, k=k).items()
        return
    with Reference(path) as reference:
        contigs = dict(reference.contigs)
    for chrom, length in contigs.items():
        indexed = Indexed(path, chrom, length)
        yield chrom, indexed[:] if store == "memory" else indexed


def held_out_table(corpus: Corpus, *, limit: int | None = None) -> pd.DataFrame:
    """The held-out chunks, evenly spaced when there are more than `limit`; ValueError where nothing was held out."""
    table = corpus.held_out
    if table.empty:
        raise ValueError("The corpus must have held-out chunks free of N; it has none. Pass held_out= as long as a sequence.")  # fmt: skip
    if limit is not None and len(table) > limit:
        table = table.iloc[np.linspace(0, len(table) - 1, limit).astype(int)]
    return table.reset_index(drop=True)


class Order:
    """The chunk that stands at each position of an endless, shuffled reading, computed without reading up to it.

    Every chunk of a group comes once before any comes again. Groups are mixed by their shares: in each cycle of at
    least 20,000 positions each has the slots nearest to its share, and at least one.

    `sizes` are the chunks of each group, numbered through the groups in turn, `shares` those of the positions.

    >>> order = Order([2, 8], [0.5, 0.5], seed=0)
    >>> sum(order.chunk(position) < 2 for position in range(20_000))
    10000
    """

    def __init__(self, sizes: Sequence[int], shares: Sequence[float], *, seed: int) -> None:
        self.seed, self.sizes = seed, np.asarray(sizes, np.int64)
        self._first = np.cumsum(self.sizes) - self.sizes
        cycle, parts = max(_CYCLE, 20 * len(self.sizes)), np.asarray(shares, float)
        # Largest remainders, at least one slot each.
        exact = parts / parts.sum() * cycle
        slots = np.floor(exact).astype(np.int64)
        slots[np.argsort(slots - exact, kind="stable")[: cycle - int(slots.sum())]] += 1
        self.slots = np.maximum(slots, 1)
        # The groups of a cycle and the visits of each group, and the order of a group in an epoch: each of the last asked for.
        self._cycle: tuple[int, np.ndarray, np.ndarray] = (-1, np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._epochs: dict[int, tuple[int, np.ndarray]] = {}

    def chunk(self, position: int) -> int:
        """Number of the chunk at a position."""
        group, visit = 0, position
        if len(self.sizes) > 1:
            cycle, slot = divmod(position, int(self.slots.sum()))
            if self._cycle[0] != cycle:
                rng = np.random.default_rng((self.seed, 5, cycle))
                groups = rng.permutation(np.repeat(np.arange(len(self.slots)), self.slots))
                self._cycle = (cycle, groups, pd.Series(groups).groupby(groups).cumcount().to_numpy())
            group = int(self._cycle[1][slot])
            visit = cycle * int(self.slots[group]) + int(self._cycle[2][slot])
        epoch, index = divmod(visit, size := int(self.sizes[group]))
        if self._epochs.get(group, (-1,))[0] != epoch:
            key = (self.seed, 0, epoch) if len(self.sizes) == 1 else (self.seed, 0, epoch, group)
            self._epochs[group] = (epoch, np.random.default_rng(key).permutation(size))
        return int(self._first[group] + self._epochs[group][1][index])


class Sampler:
    """Training sequences as token ids: each row of a step depends on the recipe's seed, the step and its number alone.

    So a resumed run continues exactly, whatever the number of processes and of accumulation steps.
    """

    def __init__(self, corpus: Corpus, recipe: Recipe) -> None:
        self.corpus, self.recipe, self.tokenizer = corpus, recipe, Tokenizer(recipe.vocabulary)
        self.bases = (recipe.max_tokens - 1) * self.tokenizer.vocabulary.k
        columns = (corpus.chunks[name].to_numpy() for name in ("contig", "start", "end"))
        self._contig, self._start, self._end = columns
        sizes, shares = [len(corpus.chunks)], [1.0]
        if corpus.weights is not None:
            # Chunks of a source stand together: a corpus is read file by file.
            by_source = corpus.chunks.groupby("source", sort=False).size()
            sizes, shares = by_source.tolist(), [float(corpus.weights[name]) for name in by_source.index]
        self.order = Order(sizes, shares, seed=recipe.seed)

    def batch(self, step: int) -> str:
        """The chunks of a step in words, for errors: 1-based closed."""
        total = self.recipe.sequences
        chunks = [self.order.chunk(step * total + row) for row in range(min(total, 3))]
        rows = self.corpus.chunks.iloc[chunks].itertuples()
        shown = ", ".join(f"{row.chrom}:{row.start + 1:,}-{row.end:,} of {row.source}" for row in rows)
        return f"{total:,} sequences from the chunks {shown}{' and others' if total > 3 else ''}"

    def rows(self, step: int, rows: range) -> np.ndarray:
        """Token ids [row, token] of some rows of a step, padded on the right where N or a contig's end left room."""
        longest = self.recipe.max_tokens
        out = np.full((len(rows), longest), self.tokenizer.vocabulary.pad_id, np.int64)
        for index, row in enumerate(rows):
            rng = np.random.default_rng((self.recipe.seed, 1, step, row))
            ids = self._ids(self.order.chunk(step * self.recipe.sequences + row), rng)[:longest]
            out[index, : len(ids)] = ids
        return out

    def _ids(self, chunk: int, rng: np.random.Generator) -> np.ndarray:
        """Token ids of a chunk, from a random start on a random strand."""
        start, end, backwards = self._place(chunk, rng)
        codes = self.corpus.codes[self._contig[chunk]]
        if isinstance(codes, Track):
            return codes.tokens(start, end, backwards, self.tokenizer)
        return token_ids(codes[start:end], backwards, self.tokenizer)

    def _place(self, chunk: int, rng: np.random.Generator) -> tuple[int, int, bool]:
        """Start and end on the contig, and whether the other strand is read."""
        start, end = int(self._start[chunk]), int(self._end[chunk])
        start += int(rng.integers(0, max(0, end - start - self.bases) + 1))
        return start, min(end, start + self.bases), self.recipe.both_strands and rng.random() < 0.5
