"""`Tokenizer`: sequence to tokens, by the published rule, without a loop over bases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ntviz.sequence import require
from ntviz.tokens.tokens import Tokens
from ntviz.tokens.vocabulary import LETTERS, VOCABULARIES, Vocabulary, frozen

# Code of each byte: the place of its letter in the order of the vocabularies, N last. Others are refused.
_N = len(LETTERS)
_CODE = np.zeros(256, dtype=np.uint8)
_CODE[np.frombuffer((LETTERS + "N").encode("ascii"), dtype=np.uint8)] = np.arange(_N + 1)


class Batch(NamedTuple):
    """Padded inputs of a model: `input_ids` and `attention_mask`, both int64 [sequence, token].

    The mask is 1 on tokens and 0 on padding, which is on the right. Always pass it on: without it the model
    attends to the padding, and no error says so.
    """

    input_ids: np.ndarray
    attention_mask: np.ndarray


class Tokenizer:
    """Cuts sequences into the tokens of a vocabulary.

    Parameters
    ----------
    vocabulary
        A `Vocabulary`, or the name of one in `VOCABULARIES`.

    Raises
    ------
    ValueError
        If no vocabulary has the name.

    Examples
    --------
    >>> Tokenizer("nt-v1")("ATTCCGATTCCGATTCCG").ids.tolist()
    [3, 367, 367, 367]
    >>> Tokenizer("nt-v2")("ATTCCGANATTCCGC").strings
    ['<cls>', 'ATTCCG', 'A', 'N', 'ATTCCG', 'C']
    """

    def __init__(self, vocabulary: Vocabulary | str) -> None:
        if isinstance(vocabulary, str):
            if vocabulary not in VOCABULARIES:
                raise ValueError(
                    f"A vocabulary must be one of {', '.join(VOCABULARIES)}; received {vocabulary!r}. "
                    f"Use one of these, or Vocabulary.from_file on a vocab.txt."
                )
            vocabulary = VOCABULARIES[vocabulary]
        self.vocabulary = vocabulary
        singles = [vocabulary.id_of(letter) for letter in (*LETTERS, "N")]
        self._single_ids = np.array(singles, dtype=np.int64)

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocabulary.name!r})"

    def __call__(self, sequence: str, *, max_tokens: int | None = None, phase: int = 0) -> Tokens:
        """The tokens of a clean sequence.

        Parameters
        ----------
        sequence
            Upper-case A, C, G, T, N. Other text goes through `sequence.clean` first: the published
            tokenizers turn a lower-case run into one `<unk>` and lose its coordinates.
        max_tokens
            Limit of the model, `<cls>` included; None for no limit.
        phase
            Number of bases, 0 to k - 1, cut as single letters before the k-mers begin: it shifts the frame.
            The published tokenizer is phase 0.

        Raises
        ------
        ValueError
            If the sequence is empty or holds other letters, the phase is not in the range, or the limit is
            exceeded.
        """
        vocabulary = self.vocabulary
        k = vocabulary.k
        if not 0 <= phase < k:
            raise ValueError(
                f"The phase of {vocabulary.name} must be in 0 to {k - 1}; received {phase}. Take it modulo "
                f"{k}."
            )
        codes = _CODE[np.frombuffer(require(sequence).encode("ascii"), dtype=np.uint8)]
        sizes = _token_sizes(codes, k, min(phase, len(codes)))
        n_special = vocabulary.n_special
        n_tokens = len(sizes) + n_special
        if max_tokens is not None and n_tokens > max_tokens:
            raise ValueError(
                f"A sequence must fit into {max_tokens:,} tokens ({vocabulary.max_bases(max_tokens):,} bp as "
                f"whole {k}-mers); received {n_tokens:,} tokens ({len(sequence):,} bp). "
                f"Narrow the interval, or cut it into windows."
            )
        spans = np.zeros((n_tokens, 2), dtype=np.int64)
        ends = np.cumsum(sizes)
        starts = ends - sizes
        spans[n_special:, 0] = starts
        spans[n_special:, 1] = ends
        ids = np.empty(n_tokens, dtype=np.int64)
        ids[:n_special] = -1 if vocabulary.cls_id is None else vocabulary.cls_id
        covering = ids[n_special:]
        covering[:] = self._single_ids[codes[starts]]
        if k > 1:
            full = np.flatnonzero(sizes == k)
            covering[full] = vocabulary.kmer_ids.start + _kmer_codes(codes, starts[full], k)
        is_special = np.arange(n_tokens) < n_special
        return Tokens(vocabulary, sequence, frozen(ids), frozen(spans), frozen(is_special))

    def batch(self, sequences: Sequence[Tokens]) -> Batch:
        """The ids of several tokenized sequences, padded on the right to the longest, and their mask.

        Raises
        ------
        ValueError
            If there is no sequence, or one comes from another vocabulary.

        Examples
        --------
        >>> tokenizer = Tokenizer("nt-v2")
        >>> tokenizer.batch([tokenizer("ATTCCG"), tokenizer("N")]).attention_mask.tolist()
        [[1, 1], [1, 1]]
        """
        sequences = list(sequences)
        if not sequences:
            raise ValueError("A batch must hold at least one sequence; received none. Tokenize one first.")
        for index, tokens in enumerate(sequences):
            if tokens.vocabulary.name != self.vocabulary.name:
                raise ValueError(
                    f"All sequences of a batch must be tokenized by {self.vocabulary.name}; received "
                    f"{tokens.vocabulary.name} at index {index}. Tokenize them with this tokenizer."
                )
        lengths = np.array([len(tokens) for tokens in sequences])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.vocabulary.pad_id, dtype=np.int64)
        ids[mask] = np.concatenate([tokens.ids for tokens in sequences])
        return Batch(ids, mask.astype(np.int64))


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


def _kmer_codes(codes: np.ndarray, starts: np.ndarray, k: int) -> np.ndarray:
    """The k bases from each start as a number in base 4, the first base leading, int64 [start]."""
    result = np.zeros(len(starts), dtype=np.int64)
    for offset in range(k):
        result *= 4
        result += codes[starts + offset]
    return result
