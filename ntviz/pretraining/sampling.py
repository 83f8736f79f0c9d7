"""Which chunk is read when, and its tokens: each row of a step follows from the seed, the step and its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ntviz.pretraining.bases import decode, reverse
from ntviz.pretraining.shards import Track
from ntviz.tokens import Tokenizer

if TYPE_CHECKING:
    from ntviz.pretraining.corpus import Corpus

_CYCLE = 20_000


class Source(Protocol):
    """What a run can train on: `Corpus`, or `Haplotypes` over one."""

    @property
    def judged_on(self) -> Corpus:
        """The corpus whose held-out chunks judge the run."""
        ...

    @property
    def facts(self) -> dict[str, list[list[str]]]:
        """What decides which bases are read how often, as [fingerprint, words] by name."""
        ...

    def sampler(
        self, tokenizer: Tokenizer, *, max_tokens: int, sequences: int, seed: int, both_strands: bool = True
    ) -> Sampler:
        """Its training sequences as token ids."""
        ...


class Order:
    """The chunk that stands at each position of an endless, shuffled reading, computed without reading up to it.

    Every chunk of a group comes once before any comes again. Groups are mixed by their shares: in each cycle of at
    least 20,000 positions each has the slots nearest to its share, and at least one.

    Parameters
    ----------
    sizes
        Chunks of each group; chunk numbers run through the groups in turn.
    shares
        Share of the positions that each group gets; their sum is 1.
    seed
        Another seed, another order.

    Examples
    --------
    >>> order = Order([2, 8], [0.5, 0.5], seed=0)
    >>> sum(order.chunk(position) < 2 for position in range(20_000))
    10000
    """

    def __init__(self, sizes: Sequence[int], shares: Sequence[float], *, seed: int) -> None:
        self.seed, self.sizes = seed, np.asarray(sizes, np.int64)
        self._first = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self.slots = _slots(np.asarray(shares, float), max(_CYCLE, 20 * len(self.sizes)))
        self._cycle: tuple[int, np.ndarray, np.ndarray] = (-1, np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._epochs: dict[int, tuple[int, np.ndarray]] = {}

    def chunk(self, position: int) -> int:
        """Number of the chunk at a position."""
        if len(self.sizes) == 1:
            return self._of_group(0, position)
        cycle, slot = divmod(position, int(self.slots.sum()))
        if self._cycle[0] != cycle:
            group = np.random.default_rng((self.seed, 5, cycle)).permutation(
                np.repeat(np.arange(len(self.slots)), self.slots)
            )
            visit = np.empty(len(group), np.int64)
            by_group = np.argsort(group, kind="stable")
            visit[by_group] = np.arange(len(group)) - np.repeat(
                np.cumsum(self.slots) - self.slots, self.slots
            )
            self._cycle = (cycle, group, visit)
        group = int(self._cycle[1][slot])
        return self._of_group(group, cycle * int(self.slots[group]) + int(self._cycle[2][slot]))

    def _of_group(self, group: int, visit: int) -> int:
        epoch, index = divmod(visit, int(self.sizes[group]))
        if self._epochs.get(group, (-1,))[0] != epoch:
            key = (self.seed, 0, epoch) if len(self.sizes) == 1 else (self.seed, 0, epoch, group)
            self._epochs[group] = (epoch, np.random.default_rng(key).permutation(int(self.sizes[group])))
        return int(self._first[group] + self._epochs[group][1][index])


def _slots(shares: np.ndarray, cycle: int) -> np.ndarray:
    """Slots of each group in a cycle: largest remainders, at least one each."""
    exact = shares / shares.sum() * cycle
    slots = np.floor(exact).astype(np.int64)
    left = cycle - int(slots.sum())
    slots[np.argsort(slots - exact, kind="stable")[:left]] += 1
    return np.maximum(slots, 1)


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
        tokenizer: Tokenizer,
        *,
        max_tokens: int,
        sequences: int,
        seed: int,
        both_strands: bool = True,
    ) -> None:
        self.corpus, self.tokenizer = corpus, tokenizer
        self.max_tokens, self.sequences, self.seed = max_tokens, sequences, seed
        self.both_strands = both_strands
        self.bases = (max_tokens - 1) * tokenizer.vocabulary.k
        self._contig, self._start, self._end = (
            corpus.chunks[name].to_numpy() for name in ("contig", "start", "end")
        )
        self.order = Order(*_groups(corpus.chunks["source"].to_numpy(), corpus.weights), seed=seed)

    def batch(self, step: int) -> str:
        """The chunks of a step in words, for errors: 1-based closed."""
        chunks = [self.order.chunk(step * self.sequences + row) for row in range(self.sequences)]
        rows = self.corpus.chunks.iloc[chunks[:3]].itertuples()
        shown = ", ".join(f"{row.chrom}:{row.start + 1:,}-{row.end:,} of {row.source}" for row in rows)
        return (
            f"{self.sequences:,} sequences from the chunks {shown}{' and others' if len(chunks) > 3 else ''}"
        )

    @property
    def steps_per_epoch(self) -> float:
        """Steps that read every chunk once, when all sources are read alike."""
        return len(self._start) / self.sequences

    def rows(self, step: int, rows: range) -> np.ndarray:
        """Token ids [row, token] of some rows of a step, padded on the right where N or a contig's end left room."""
        out = np.full((len(rows), self.max_tokens), self.tokenizer.vocabulary.pad_id, np.int64)
        for index, row in enumerate(rows):
            rng = np.random.default_rng((self.seed, 1, step, row))
            ids = self._ids(self.order.chunk(step * self.sequences + row), rng)[: self.max_tokens]
            out[index, : len(ids)] = ids
        return out

    def _ids(self, chunk: int, rng: np.random.Generator) -> np.ndarray:
        """Token ids of a chunk, from a random start on a random strand."""
        start, end, backwards = self._place(chunk, rng)
        codes = self.corpus.codes[self._contig[chunk]]
        if isinstance(codes, Track):
            return codes.tokens(start, end, backwards, self.tokenizer)
        part = codes[start:end]
        return self.tokenizer(decode(reverse(part) if backwards else part)).ids

    def _place(self, chunk: int, rng: np.random.Generator) -> tuple[int, int, bool]:
        """Start and end on the contig, and whether the other strand is read."""
        start, end = int(self._start[chunk]), int(self._end[chunk])
        start += int(rng.integers(0, max(0, end - start - self.bases) + 1))
        return start, min(end, start + self.bases), self.both_strands and rng.random() < 0.5


def _groups(sources: np.ndarray, weights: Mapping[str, float] | None) -> tuple[list[int], list[float]]:
    """Chunks and share of each source; one group of all where no weights were given."""
    if weights is None:
        return [len(sources)], [1.0]
    # Chunks of a source stand together: a corpus is read file by file.
    first = np.flatnonzero(np.concatenate([[True], sources[1:] != sources[:-1]]))
    sizes = np.diff(np.append(first, len(sources)))
    return sizes.tolist(), [float(weights[sources[index]]) for index in first]
