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
    chunks
        One row a chunk: contig (index into `codes`), source (stem or name), chrom, start, end; 0-based half-open.
    held_out
        Same columns: the chunks of the held-out regions, without overlap.
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
        """What decides which bases are read how often, as [fingerprint, words] by name."""
        rows, shares = self.report.itertuples(), (self.weights or {}).items()
        total = sum(share for _, share in shares)
        return {
            "contig": [[row.fingerprint, f"{row.chrom} of {row.source} ({row.bases:,} bp)"] for row in rows],
            "weight": [[f"{share / total:.9f}", f"{share:g} of {name}"] for name, share in shares],
        }


def read(
    fastas: Sequence[AnyPath] | Mapping[str, AnyPath],
    *,
    held_out: Sequence[Interval] | Mapping[str, Sequence[Interval]] = (),
    chunk_bp: int = 6100,
    overlap_bp: int = 50,
    tokens_bp: int = 5994,
    max_n: float = 0.1,
    store: str = "memory",
    folder: AnyPath | None = None,
    k: int = 6,
) -> Corpus:
    """Chunks of every contig of the FASTA files, but for the held-out regions.

    Parameters
    ----------
    fastas
        FASTA files (plain or bgzip), one or several species; by name when file stems would not tell them apart.
    held_out
        Regions for evaluation, of the first file that has the contig, or by source; no training chunk touches one.
    chunk_bp, overlap_bp
        Length of a chunk, and how much of it the next repeats, in bp.
    tokens_bp
        Bases of a chunk that become tokens: the start inside the chunk is drawn anew each epoch.
    max_n
        Chunks with a larger share of N are skipped.
    store
        All bases in "memory", by the FASTA's "index", or as "shards" tokenised once. What is read is the same.
    folder, k
        Of "shards": see `bases.shards`.

    Raises
    ------
    ValueError
        Lengths that do not fit, a held-out region without a whole sequence, or nothing left to train on.

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
    pairs = (
        fastas.items()
        if isinstance(fastas, Mapping)
        else ((Path(path).name.split(".")[0], path) for path in fastas)
    )
    files = [(name, Path(path)) for name, path in pairs]
    by_source = held_out if isinstance(held_out, Mapping) else {None: held_out}
    pending = [(name, region) for name, regions in by_source.items() for region in regions]
    codes: list[Codes] = []
    train, test, report = [], [], []
    for name, path in files:
        for chrom, contig in _contigs(path, store, folder, k):
            taken = [
                (owner, region) for owner, region in pending
                if owner in (None, name) and canonical_contig(region.chrom) == canonical_contig(chrom)
            ]  # fmt: skip
            pending = [entry for entry in pending if entry not in taken]
            regions = [region for _, region in taken]
            unknown, mark = unknown_runs(contig)
            starts = np.arange(0, max(1, len(contig) - chunk_bp + 1), chunk_bp - overlap_bp)
            ends = np.minimum(starts + chunk_bp, len(contig))
            n = unknown_before(unknown, ends) - unknown_before(unknown, starts)
            clean = (n <= max_n * (ends - starts)) & (ends - starts >= min(tokens_bp, 60))
            free = np.ones(len(starts), bool)
            for region in regions:
                free &= (ends <= region.start) | (starts >= region.end)
                begin = _whole_sequences(region, path, chrom, len(contig), unknown, tokens_bp)
                test.append(_rows(len(codes), name, chrom, begin, begin + tokens_bp))
            train.append(_rows(len(codes), name, chrom, starts[clean & free], ends[clean & free]))
            report.append(
                {
                    "source": path.name, "chrom": chrom, "bases": len(contig),
                    "n": int((unknown[:, 1] - unknown[:, 0]).sum()),
                    "chunks": int((clean & free).sum()), "skipped": int((~clean & free).sum()),
                    "held_out": sum(len(region) for region in regions), "fingerprint": mark,
                }
            )  # fmt: skip
            codes.append(contig)
    if pending:
        raise ValueError(
            f"Each held-out region must lie on a contig of the corpus; {pending[0][1]} does not "
            f"(contigs: {', '.join(str(r['chrom']) for r in report[:10])})."
        )
    chunks = pd.concat(train, ignore_index=True) if train else pd.DataFrame()
    if chunks.empty:
        raise ValueError(
            f"The corpus must have a chunk of {chunk_bp:,} bp outside the held-out regions with at most "
            f"{max_n:.0%} N; {', '.join(str(path) for _, path in files)} has none. Use shorter chunks or another FASTA."
        )
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
    ValueError
        The sheet is not as above, with the number of the line, or a genome gives no chunk.
    FileNotFoundError
        A FASTA is not there.

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
            raise FileNotFoundError(
                f"Each fasta of {path} must be there; line {number} names {files[name]}. Mend the path."
            )
        try:
            if text := row.get("weight"):
                weights[name] = float(text)
                if not 0 < weights[name] < math.inf:
                    raise ValueError(f"A weight must be a number above 0; got {text!r}.")
            regions = filter(None, map(str.strip, row.get("held_out", "").split(";")))
            held_out[name] = [Interval.from_str(text) for text in regions]
        except ValueError as error:
            raise ValueError(f"Line {number} of {path}: {error}") from error
    if weights and len(weights) < len(rows):
        bare = next(number for number, row in rows if row["name"] not in weights)
        raise ValueError(
            f"Weights of {path} must be on all rows or on none; line {bare} has none. Add it, or empty the column."
        )
    whole = read(files, held_out=held_out, store=store, **options)
    chunks = whole.chunks["source"].value_counts()
    empty = [name for name in files if name not in chunks.index]
    if empty:
        raise ValueError(
            f"Each genome of {path} must give a chunk; {empty[0]!r} gives none: its contigs are too short, held out or "
            "unknown. Remove it, or use shorter chunks."
        )
    return dataclasses.replace(whole, weights=weights or {name: float(chunks[name]) for name in files})


def sheet_rows(
    path: AnyPath, required: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """Number of the line and cells of each row of a sheet whose first column names it; see `environment.rows_of`."""
    try:
        lines = rows_of(path, required)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    header, columns = lines[0] if lines else (1, [])
    wrong = [f"lacks {name!r}" for name in required if name not in columns]
    for name in columns:
        if name not in (*required, *optional) or columns.count(name) > 1:
            wrong.append(f"has {name!r}, unknown or twice")
    if wrong:
        raise ValueError(
            f"{path} must have the tab-separated columns {', '.join(required)}"
            f"{' and may have ' + ', '.join(optional) if optional else ''}; it {wrong[0]}. Mend its line {header}."
        )
    rows, seen = [], {}
    for number, cells in lines[1:]:
        row = dict(zip(columns, cells, strict=True))
        if empty := [name for name in required if not row[name]]:
            raise ValueError(f"Each row of {path} must have a {empty[0]}; line {number} has none. Add it.")
        name = row[required[0]]
        if (first := seen.setdefault(name, number)) != number:
            raise ValueError(
                f"A {required[0]} of {path} must be there once; {name!r} is on lines {first} and {number}. Remove one."
            )
        rows.append((number, row))
    if not rows:
        raise ValueError(f"{path} must have a row below its column names; it has none. Add one.")
    return rows


def _whole_sequences(
    region: Interval, path: Path, chrom: str, length: int, unknown: np.ndarray, tokens_bp: int
) -> np.ndarray:
    """Starts of the held-out sequences of a region: end to end, free of N."""
    where = f"{chrom} of {path.name}"
    if region.start < 0 or region.end > length:
        raise ValueError(
            f"A held-out region must lie in its contig; {region} leaves {where}, which has {length:,} bp."
        )
    begin = np.arange(region.start, region.end - tokens_bp + 1, tokens_bp)
    known = unknown_before(unknown, begin + tokens_bp) == unknown_before(unknown, begin)
    if not known.any():
        raise ValueError(
            f"A held-out region must hold a sequence of {tokens_bp:,} bp without N; {region.label()} of {path.name} has "
            f"{len(region):,} bp and none. Choose another region, or shorter sequences."
        )
    return begin[known]


def _rows(contig: int, source: str, chrom: str, starts: np.ndarray, ends: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"contig": contig, "source": source, "chrom": chrom, "start": starts, "end": ends})


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
    """The held-out chunks, evenly spaced when there are more than `limit`: contig, source, chrom, start, end (0-based).

    Raises
    ------
    ValueError
        Nothing was held out.
    """
    table = corpus.held_out
    if table.empty:
        raise ValueError(
            "The corpus must have held-out chunks free of N; it has none. Pass held_out= as long as a sequence."
        )
    if limit is not None and len(table) > limit:
        table = table.iloc[np.linspace(0, len(table) - 1, limit).astype(int)]
    return table.reset_index(drop=True)


# Which chunk is read when ---------------------------------------------------------------------------------------------


class Order:
    """The chunk that stands at each position of an endless, shuffled reading, computed without reading up to it.

    Every chunk of a group comes once before any comes again. Groups are mixed by their shares: in each cycle of at
    least 20,000 positions each has the slots nearest to its share, and at least one.

    Parameters
    ----------
    sizes, shares
        Chunks of each group, numbered through the groups in turn, and its share of the positions.

    Examples
    --------
    >>> order = Order([2, 8], [0.5, 0.5], seed=0)
    >>> sum(order.chunk(position) < 2 for position in range(20_000))
    10000
    """

    def __init__(self, sizes: Sequence[int], shares: Sequence[float], *, seed: int) -> None:
        self.seed, self.sizes = seed, np.asarray(sizes, np.int64)
        self._first = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        cycle, parts = max(_CYCLE, 20 * len(self.sizes)), np.asarray(shares, float)
        # Largest remainders, at least one slot each.
        exact = parts / parts.sum() * cycle
        slots = np.floor(exact).astype(np.int64)
        left = cycle - int(slots.sum())
        slots[np.argsort(slots - exact, kind="stable")[:left]] += 1
        self.slots = np.maximum(slots, 1)
        self._cycle: tuple[int, np.ndarray, np.ndarray] = (-1, np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._epochs: dict[int, tuple[int, np.ndarray]] = {}

    def chunk(self, position: int) -> int:
        """Number of the chunk at a position."""
        if len(self.sizes) == 1:
            return self._of_group(0, position)
        cycle, slot = divmod(position, int(self.slots.sum()))
        if self._cycle[0] != cycle:
            rng = np.random.default_rng((self.seed, 5, cycle))
            groups = rng.permutation(np.repeat(np.arange(len(self.slots)), self.slots))
            self._cycle = (cycle, groups, pd.Series(groups).groupby(groups).cumcount().to_numpy())
        group = int(self._cycle[1][slot])
        return self._of_group(group, cycle * int(self.slots[group]) + int(self._cycle[2][slot]))

    def _of_group(self, group: int, visit: int) -> int:
        epoch, index = divmod(visit, int(self.sizes[group]))
        if self._epochs.get(group, (-1,))[0] != epoch:
            key = (self.seed, 0, epoch) if len(self.sizes) == 1 else (self.seed, 0, epoch, group)
            self._epochs[group] = (epoch, np.random.default_rng(key).permutation(int(self.sizes[group])))
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
