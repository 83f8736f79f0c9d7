"""Vectors of sequences: known ones found by what they were made from, the rest read in batches of like length; k-mer frequencies."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment
from ntviz.genome.sequence import codes, kmer_numbers, listed, reverse_complement
from ntviz.storage import AnyPath, Pieces

if TYPE_CHECKING:
    from ntviz.models.protocol import Embedder
    from ntviz.tokens import Tokens

FORMAT = 2
"""Of what the store holds; raised whenever what a vector means or how it is kept changes, so that older ones are not read."""
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
    layers
        Which layers these are: 0 is the embedding, the last is after the final LayerNorm.
    model
        The model's `info`, plain data.
    computed, reused
        Distinct sequences (and strands) that were read, and that were known already.
    ignored
        [file, why] of what the store holds and could not be used.
    """

    values: np.ndarray  # float32 [sequence, layer, hidden]
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
        """The vectors of one layer, float32 [sequence, hidden]."""
        if layer not in self.layers:
            raise ValueError(f"The layer must be one of {str(self.layers)[1:-1]}; received {layer}.")
        return self.values[:, self.layers.index(layer)]


class Store:
    """A folder of vectors; embeddings/ in ntviz's cache (`NTVIZ_CACHE`) unless given."""

    def __init__(self, folder: AnyPath | None = None) -> None:
        self.folder = Path(folder) if folder is not None else environment.cache_dir() / "embeddings"

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    def shelf(self, about: Mapping[str, Any]) -> Pieces:
        """The vectors made as `about` says: weights, layer, pooling, dtype; plain data."""
        return Pieces.keyed(self.folder, {"format": FORMAT, **about})


def fingerprint(model: Any) -> str:
    """Digest of a model's weights, shape and vocabulary as they are in memory, 32 hexadecimal digits.

    A model trained on in place is another one, a copy under another name is not. Without a `module`,
    `info["weights_sha256"]` stands for its tensors.
    """
    digest, info, module = hashlib.blake2b(digest_size=16), dict(model.info), getattr(model, "module", None)
    shape = {key: info.get(key) for key in ("layers", "heads", "hidden_size", "vocabulary", "dtype")}
    vocabulary = getattr(getattr(model, "tokenizer", None), "vocabulary", None)
    shape["tokens"] = getattr(vocabulary, "tokens", None)
    digest.update(json.dumps([type(module).__name__, shape], sort_keys=True).encode())
    if module is None and not info.get("weights_sha256"):
        raise ValueError(
            f"A model must have a `module` or info['weights_sha256'] for its vectors to be kept; {model.name} has "
            "neither. Pass store=None."
        )
    if module is None:
        digest.update(str(info["weights_sha256"]).encode())
        return digest.hexdigest()
    import torch

    config = getattr(module, "config", None)
    if hasattr(config, "to_dict"):
        # Where a checkpoint lay and who wrote it says nothing about its numbers.
        settings = {key: value for key, value in config.to_dict().items() if not key.startswith("_")}
        settings.pop("transformers_version", None)
        digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        flat = tensor.detach().to("cpu").contiguous().reshape(-1)
        if flat.numel():
            digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def embed(
    model: Embedder, sequences: Sequence[str], *, layers: Sequence[int] | None = None, pooling: str = "mean",
    both_strands: bool = False, store: Store | None = None, weights: str | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> Vectors:  # fmt: skip
    """One vector a sequence and layer; what the store has is not computed again.

    Mean pooling weighs a single letter beside an N like a 6-mer. The batch of a sequence may move the last digit.

    Parameters
    ----------
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
    """
    sequences = listed(sequences)
    chosen = tuple(range(model.layers + 1) if layers is None else layers)
    if not sequences:
        raise ValueError("There must be at least one sequence; received none.")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; received {pooling!r}.")
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(model.layers + 1)):
        raise ValueError(
            f"layers must be distinct numbers from 0 (the embedding) to {model.layers} for {model.name}; "
            f"received {list(chosen)}."
        )
    texts = list(dict.fromkeys(sequences))
    if both_strands:
        texts = list(dict.fromkeys([*texts, *map(reverse_complement, texts)]))
    place = {text: row for row, text in enumerate(texts)}
    values = np.empty((len(texts), len(chosen), model.hidden_size), dtype=np.float32)
    known = np.zeros((len(texts), len(chosen)), dtype=bool)
    joined = b"".join(hashlib.blake2b(text.encode("ascii"), digest_size=16).digest() for text in texts)
    digests, shelves = np.frombuffer(joined, dtype=np.uint8).reshape(-1, 16), list[Pieces]()
    if store is not None:
        weights = weights or fingerprint(model)
        about = {"weights": weights, "pooling": pooling, "dtype": model.info.get("dtype")}
        shelves = [store.shelf({**about, "layer": int(layer)}) for layer in chosen]
        for column, shelf in enumerate(shelves):
            _find(shelf, digests, values[:, column], known[:, column])
    missing = np.flatnonzero(~known.all(axis=1))
    wanted = np.flatnonzero(~known[missing].all(axis=0))
    asked = [chosen[column] for column in wanted]
    # From the longest down, so that too much fails at once.
    order = missing[np.argsort([-len(texts[row]) for row in missing], kind="stable")]
    with environment.progress(total=len(missing), what=f"reading with {model.name}", unit="sequences") as bar:
        for start in range(0, len(order), _FLUSH):
            block = order[start : start + _FLUSH]
            for rows, tokens in _batches(model, texts, block, batch_tokens):
                vectors = model.embed(tokens, layers=asked, poolings=(pooling,))[:, :, 0]
                if not np.isfinite(vectors).all():
                    raise FloatingPointError(
                        f"Vectors must be finite; {model.name} gave others for {texts[rows[0]][:20]}… Read with float32."
                    )
                values[rows[:, None], wanted] = vectors
                bar.update(len(rows))
            for column in wanted if shelves else ():
                new = block[~known[block, column]]
                # Under a name of its own, so that several processes may fill one shelf. Floats hardly shrink.
                if len(new):
                    arrays = {"digests": digests[new], "values": values[new, column]}
                    shelves[column].write(secrets.token_hex(8), None, arrays, compress=False)
    result = values[[place[text] for text in sequences]]
    if both_strands:
        result = (result + values[[place[reverse_complement(text)] for text in sequences]]) / 2
    damaged = [entry for shelf in shelves for entry in shelf.damaged]
    reused = len(texts) - len(missing)
    return Vectors(result, chosen, pooling, dict(model.info), len(missing), reused, damaged)


def _find(shelf: Pieces, digests: np.ndarray, values: np.ndarray, known: np.ndarray) -> None:
    """Fills in the rows [sequence, hidden] that a shelf has, and says which; damaged files are left out."""
    wanted = {digest.tobytes(): row for row, digest in enumerate(digests)}
    for path in shelf.files():
        _, arrays = shelf.read(path.stem, ("digests", "values")) or (None, {})
        for key, vector in zip(arrays.get("digests", ()), arrays.get("values", ()), strict=True):
            row = wanted.pop(key.tobytes(), None)
            if row is not None:
                values[row], known[row] = vector, True


def _batches(
    model: Embedder, texts: list[str], rows: np.ndarray, batch_tokens: int
) -> Iterator[tuple[np.ndarray, list[Tokens]]]:
    """Rows and tokens of sequences to read together, of like length."""
    tokens = []
    for row in rows:
        try:
            tokens.append(model.tokenize(texts[row]))
        except ValueError as error:
            raise ValueError(f"Sequence {row} of {len(texts):,} distinct ones: {error}") from error
    by_length = np.argsort([-len(entry) for entry in tokens], kind="stable")
    while len(by_length):
        n = max(1, batch_tokens // len(tokens[by_length[0]]))
        yield rows[by_length[:n]], [tokens[index] for index in by_length[:n]]
        by_length = by_length[n:]


def kmer_frequencies(sequences: Sequence[str], k: int) -> np.ndarray:
    """Share of each k-mer among those of a sequence, float32 [sequence, 4 ** k], in the order AA, AC, AG, ….

    k-mers with an N count nowhere; a sequence without any k-mer gets zeros. Strands are kept apart, since most tasks are
    stranded.

    >>> kmer_frequencies(["ACAC"], 2)[0].nonzero()[0].tolist(), kmer_frequencies(["ACAC"], 2)[0].max().round(2)
    ([1, 4], np.float32(0.67))
    """
    if not 1 <= k <= 8:
        raise ValueError(f"k must be from 1 to 8; received {k}: 4 ** k numbers are kept for each sequence.")
    texts = listed(sequences)
    result = np.zeros((len(texts), 4**k), dtype=np.float32)
    for row, text in enumerate(texts):
        number, clean = kmer_numbers(codes(text), k)
        result[row] = np.bincount(number[clean], minlength=4**k) / max(int(clean.sum()), 1)
    return result
