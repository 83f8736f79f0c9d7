"""`Tokenizer`: sequence to tokens, by the published rule, without a loop over bases; `BinTokenizer`: bins of equal width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ntviz.genome.sequence import require
from ntviz.tokens.tokens import Batch, Tokens, padded
from ntviz.tokens.vocabulary import LETTERS, VOCABULARIES, Vocabulary

# Code of each byte: the place of its letter in the order of the vocabularies, N last. Others are refused.
_N = len(LETTERS)
_CODE = np.zeros(256, dtype=np.uint8)
_CODE[np.frombuffer((LETTERS + "N").encode("ascii"), dtype=np.uint8)] = np.arange(_N + 1)


class Tokenizer:
    """Cuts sequences into the tokens of a `Vocabulary`, or of the one of that name in `VOCABULARIES`.

    >>> Tokenizer("nt-v1")("ATTCCGATTCCGATTCCG").ids.tolist()
    [3, 367, 367, 367]
    >>> Tokenizer("nt-v2")("ATTCCGANATTCCGC").strings
    ['<cls>', 'ATTCCG', 'A', 'N', 'ATTCCG', 'C']
    """

    def __init__(self, vocabulary: Vocabulary | str) -> None:
        if isinstance(vocabulary, str):
            if vocabulary not in VOCABULARIES:
                raise ValueError(f"A vocabulary must be one of {', '.join(VOCABULARIES)}; received {vocabulary!r}.")
            vocabulary = VOCABULARIES[vocabulary]
        self.vocabulary = vocabulary
        singles = [vocabulary.id_of(letter) for letter in (*LETTERS, "N")]
        self._single_ids = np.array(singles, dtype=np.int64)

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocabulary.name!r})"

    def __call__(self, sequence: str, *, max_tokens: int | None = None, phase: int = 0) -> Tokens:
        """The tokens of a clean sequence, upper-case A, C, G, T, N, at most `max_tokens`, special ones included.

        Other text goes through `sequence.clean` first: the published tokenizers turn a lower-case run into one `<unk>`. `phase` bases,
        0 to k - 1, are cut as single letters before the k-mers begin; the published tokenizer is phase 0.
        """
        vocabulary, k = self.vocabulary, self.vocabulary.k
        if not 0 <= phase < k:
            raise ValueError(f"The phase of {vocabulary.name} must be in 0 to {k - 1}; received {phase}.")
        codes = _CODE[np.frombuffer(require(sequence).encode("ascii"), dtype=np.uint8)]
        sizes = _token_sizes(codes, k, min(phase, len(codes)))
        ends = np.cumsum(sizes)
        starts = ends - sizes
        ids = self._single_ids[codes[starts]]
        if k > 1:
            full = np.flatnonzero(sizes == k)
            ids[full] = vocabulary.kmer_ids.start + codes[starts[full, None] + np.arange(k)] @ 4 ** np.arange(k)[::-1]
        cls, sep = ([] if index is None else [index] for index in (vocabulary.cls_id, vocabulary.sep_id))
        covering = slice(len(cls), len(cls) + len(ids))
        all_ids = np.concatenate((np.array(cls, np.int64), ids, np.array(sep, np.int64)))
        spans, is_special = np.zeros((len(all_ids), 2), dtype=np.int64), np.ones(len(all_ids), dtype=bool)
        spans[covering, 0], spans[covering, 1], is_special[covering] = starts, ends, False
        return Tokens.within(max_tokens, vocabulary, sequence, all_ids, spans, is_special)

    def batch(self, sequences: Sequence[Tokens]) -> Batch:
        """The ids of several tokenized sequences, padded on the right to the longest, and their mask.

        >>> tokenizer = Tokenizer("nt-v2")
        >>> tokenizer.batch([tokenizer("ATTCCG"), tokenizer("N")]).attention_mask.tolist()
        [[1, 1], [1, 1]]
        """
        return padded(list(sequences), self.vocabulary)


def _token_sizes(codes: np.ndarray, k: int, phase: int) -> np.ndarray:
    """Bases in each token, int64 [token]: `phase` single ones, then the runs between N in order."""
    n = len(codes)
    if k == 1:
        return np.ones(n, dtype=np.int64)
    breaks = np.flatnonzero(codes[phase:] == _N) + phase
    run_starts = np.concatenate(([phase], breaks + 1))
    full, rest = np.divmod(np.concatenate((breaks, [n])) - run_starts, k)
    # Stretches of size k and of size 1 alternate; the N after a run lengthens the latter by one.
    stretches = np.empty(2 * len(full) + 1, dtype=np.int64)
    stretches[0] = phase
    stretches[1::2] = full
    stretches[2::2] = rest + 1
    stretches[-1] -= 1
    sizes = np.ones(len(stretches), dtype=np.int64)
    sizes[1::2] = k
    return np.repeat(sizes, stretches)


class Bins(Tokens):
    """A sequence in bins: tokens of one width, the last one shorter where the sequence ends within it.

    All ids are 0, as a bin is no k-mer: a model reads the bases of `sequence`.
    """

    @property
    def strings(self) -> list[str]:
        """The bases of each bin."""
        return [self.sequence[start:end] for start, end in self.spans.tolist()]


class BinTokenizer:
    """Cuts sequences into bins of a width in bp, for models that read bases and answer by bin.

    >>> BinTokenizer(4)("ACGTACGTAN").spans.tolist()
    [[0, 4], [4, 8], [8, 10]]
    """

    def __init__(self, width: int) -> None:
        self.vocabulary = Vocabulary(f"bins-{width}bp", width, ("<bin>", "<pad>"), None, n_logits=0)

    def __repr__(self) -> str:
        return f"BinTokenizer({self.vocabulary.k})"

    def __call__(self, sequence: str, *, max_tokens: int | None = None) -> Bins:
        """The bins, at most `max_tokens`, of a clean sequence, upper-case A, C, G, T, N."""
        edges = np.append(np.arange(0, len(require(sequence)), self.vocabulary.k), len(sequence))
        spans, none = np.stack((edges[:-1], edges[1:]), axis=1), np.zeros(len(edges) - 1, bool)
        return Bins.within(max_tokens, self.vocabulary, sequence, none.astype(np.int64), spans, none)
