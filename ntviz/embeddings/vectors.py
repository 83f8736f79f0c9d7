"""Vectors of sequences: which are known already, the rest read in batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment
from ntviz.embeddings.store import Shelf, Store, fingerprint, sequence_digests
from ntviz.sequence import listed, reverse_complement

if TYPE_CHECKING:
    from ntviz.models.protocol import Embedder
    from ntviz.tokens import Tokens

POOLINGS = ("mean", "cls", "max")
BATCH_TOKENS = 8_192
"""Tokens of a forward pass, padding included."""
_FLUSH = 2_048
"""Sequences after which finished rows are written."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of sequences.

    Attributes
    ----------
    values
        float32 [sequence, layer, hidden].
    layers
        Which layers these are: 0 is the embedding, the last is after the final LayerNorm.
    pooling
        "mean", "cls" or "max".
    model
        The model's `info`, plain data.
    computed, reused
        Distinct sequences (and strands) that were read, and that were known already.
    ignored
        [file, why] of what the store holds and could not be used.
    """

    values: np.ndarray
    layers: tuple[int, ...]
    pooling: str
    model: dict[str, Any]
    computed: int
    reused: int
    ignored: list[tuple[str, str]] = field(default_factory=list)

    def __repr__(self) -> str:
        n, _, width = self.values.shape
        damaged = f", {len(self.ignored)} files of the store ignored" if self.ignored else ""
        return (
            f"Vectors({n:,} sequences x {len(self.layers)} layers x {width}, {self.pooling} over tokens of "
            f"{self.model.get('name')}; {self.computed:,} read, {self.reused:,} known before{damaged})"
        )

    def layer(self, layer: int) -> np.ndarray:
        """The vectors of one layer, float32 [sequence, hidden].

        Raises
        ------
        ValueError
            The layer was not asked for.
        """
        if layer not in self.layers:
            raise ValueError(
                f"The layer must be one of {', '.join(map(str, self.layers))}; received {layer}."
            )
        return self.values[:, self.layers.index(layer)]


def embed(
    model: Embedder,
    sequences: Sequence[str],
    *,
    layers: Sequence[int] | None = None,
    pooling: str = "mean",
    both_strands: bool = False,
    store: Store | None = None,
    weights: str | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> Vectors:
    """One vector a sequence and layer; what the store has is not computed again.

    Parameters
    ----------
    model
        See `models.Embedder`.
    sequences
        Upper-case A, C, G, T, N; lengths may differ. Equal ones are read once.
    layers
        0 (the embedding) to `model.layers`; default: all.
    pooling
        "mean" or "max" over the tokens that cover bases (padding and special tokens are out), or "cls", the first token.
    both_strands
        Mean of the vectors of the sequence and of its reverse complement.
    store
        Where vectors are kept, by weights, sequence, layer, pooling and dtype; None keeps none.
    weights
        The model's `fingerprint`, where the caller has it and the model has not changed since; default: computed here.
    batch_tokens
        Tokens of a forward pass, padding included. Sequences of like length go together, so that little is padded.

    Raises
    ------
    ValueError
        No sequences, one that the model does not take (it is named), an unknown pooling or layer.
    FloatingPointError
        The model gives vectors that are not finite.

    Notes
    -----
    Mean pooling over tokens weighs a single letter beside an N like a 6-mer. The batch a sequence is read in
    may move the last digit.
    """
    sequences = listed(sequences)
    chosen = tuple(range(model.layers + 1) if layers is None else layers)
    _check(model, sequences, chosen, pooling)
    texts = list(dict.fromkeys(sequences))
    if both_strands:
        texts = list(dict.fromkeys([*texts, *map(reverse_complement, texts)]))
    place = {text: row for row, text in enumerate(texts)}
    values = np.empty((len(texts), len(chosen), model.hidden_size), dtype=np.float32)
    digests = sequence_digests(texts) if store is not None else np.zeros((0, 0), dtype=np.uint8)
    known = np.zeros((len(texts), len(chosen)), dtype=bool)
    shelves = []
    if store is not None:
        weights = weights or fingerprint(model)
        shelves = [_shelf(store, model, weights, layer, pooling) for layer in chosen]
        for column, shelf in enumerate(shelves):
            rows, which = shelf.find(digests)
            if len(which):
                values[which, column] = rows
                known[which, column] = True
    missing = np.flatnonzero(~known.all(axis=1))
    wanted = [column for column in range(len(chosen)) if not known[missing, column].all()]
    finished: list[np.ndarray] = []
    with environment.progress(total=len(missing), what=f"reading with {model.name}", unit="sequences") as bar:
        for rows, tokens in _batches(model, texts, missing, batch_tokens):
            found = model.embed(tokens, layers=[chosen[column] for column in wanted], poolings=(pooling,))[
                :, :, 0
            ]
            if not np.isfinite(found).all():
                raise FloatingPointError(
                    f"Vectors must be finite; {model.name} gave others for {texts[rows[0]][:20]}… Read with float32."
                )
            values[rows[:, None], np.array(wanted)] = found
            bar.update(len(rows))
            finished.append(rows)
            if sum(map(len, finished)) >= _FLUSH:
                _keep(shelves, wanted, digests, values, known, finished)
                finished = []
        _keep(shelves, wanted, digests, values, known, finished)
    index = np.array([place[text] for text in sequences], dtype=np.int64)
    result = values[index]
    if both_strands:
        other = np.array([place[reverse_complement(text)] for text in sequences], dtype=np.int64)
        result = (result + values[other]) / 2
    return Vectors(
        result,
        chosen,
        pooling,
        dict(model.info),
        computed=len(missing),
        reused=len(texts) - len(missing),
        ignored=[entry for shelf in shelves for entry in shelf.ignored],
    )


def _check(model: Embedder, sequences: list[str], layers: tuple[int, ...], pooling: str) -> None:
    if not sequences:
        raise ValueError("There must be at least one sequence; received none.")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; received {pooling!r}.")
    odd = [layer for layer in layers if not 0 <= layer <= model.layers]
    if odd or not layers or len(set(layers)) < len(layers):
        raise ValueError(
            f"layers must be distinct numbers from 0 (the embedding) to {model.layers} for {model.name}; "
            f"received {list(layers)}."
        )


def _shelf(store: Store, model: Embedder, weights: str, layer: int, pooling: str) -> Shelf:
    return store.shelf(
        {"weights": weights, "layer": int(layer), "pooling": pooling, "dtype": model.info.get("dtype")}
    )


def _keep(
    shelves: list[Shelf],
    columns: list[int],
    digests: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    finished: list[np.ndarray],
) -> None:
    """Writes finished rows to their shelves, those that were not there."""
    if not shelves or not finished:
        return
    rows = np.concatenate(finished)
    for column in columns:
        new = rows[~known[rows, column]]
        if len(new):
            shelves[column].add(digests[new], values[new, column])


def _batches(
    model: Embedder, texts: list[str], missing: np.ndarray, batch_tokens: int
) -> Iterator[tuple[np.ndarray, list[Tokens]]]:
    """Rows and tokens of sequences to read together: from the longest down, so that too much fails at once."""
    order = missing[np.argsort([-len(texts[row]) for row in missing], kind="stable")]
    for start in range(0, len(order), _FLUSH):
        rows = order[start : start + _FLUSH]
        tokens = []
        for row in rows:
            try:
                tokens.append(model.tokenize(texts[row]))
            except ValueError as error:
                raise ValueError(f"Sequence {row} of {len(texts):,} distinct ones: {error}") from error
        by_length = np.argsort([-len(entry) for entry in tokens], kind="stable")
        first = 0
        while first < len(by_length):
            longest = len(tokens[by_length[first]])
            batch = by_length[first : first + max(1, batch_tokens // longest)]
            yield rows[batch], [tokens[index] for index in batch]
            first += len(batch)
