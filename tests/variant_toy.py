"""A model over k-mers on numpy alone, whose every number follows from a token and its two neighbours: for exact tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ntviz.models import Forward
from ntviz.reference import Reference
from ntviz.tokens import VOCABULARIES, Tokenizer, Tokens

WIDTH = 12
REACH = 4


class ToyModel:
    """Implements `models.DNAModel`. Hidden states are sums of the embeddings of the tokens within 4 tokens, each weighed
    by its distance, through a tanh; logits are their products with a second table."""

    layers, heads, hidden_size = 2, 1, WIDTH

    def __init__(self, vocabulary: str = "nt-v1", max_tokens: int = 64, seed: int = 0) -> None:
        self.name, self.tokenizer, self.max_tokens = f"toy of {vocabulary}", Tokenizer(vocabulary), max_tokens
        known, rng = VOCABULARIES[vocabulary], np.random.default_rng(seed)
        self.embedding = rng.normal(size=(len(known.tokens), WIDTH))
        self.output = rng.normal(size=(known.n_logits, WIDTH))
        self.weights = rng.normal(size=2 * REACH + 1)
        self.forwards = self.sequences = 0

    max_bp = property(lambda self: self.tokenizer.vocabulary.max_bases(self.max_tokens))
    mask_id = property(lambda self: self.tokenizer.vocabulary.mask_id)

    @property
    def info(self) -> dict[str, Any]:
        about = {"weights_sha256": f"toy {self.embedding.sum():.6f}", "vocabulary": self.tokenizer.vocabulary.name}
        return {"name": self.name, "revision": None, "licence": "none", **about}

    def tokenize(self, sequence: str, *, phase: int = 0) -> Tokens:
        return self.tokenizer(sequence, max_tokens=self.max_tokens, phase=phase)

    def forward(self, batch: Any, *, outputs: Sequence[str] = ("logits",), at: Any = None, layers: Any = None) -> Forward:  # fmt: skip
        ids, mask = self.tokenizer.batch([batch] if isinstance(batch, Tokens) else list(batch))
        mask = mask.astype(bool)
        self.forwards += 1
        self.sequences += len(ids)
        first = self.embedding[ids] * mask[..., None]
        padded = np.pad(first, ((0, 0), (REACH, REACH), (0, 0)))
        mixed = sum(weight * padded[:, at_ : at_ + ids.shape[1]] for at_, weight in enumerate(self.weights))
        states = np.stack([first, np.tanh(mixed), np.tanh(0.5 * mixed) + first], axis=1)
        hidden = states[:, list(range(3)) if layers is None else list(layers)]
        last = states[:, -1]
        if at is not None:
            last = last[np.arange(len(last))[:, None], at]
        logits = (last @ self.output.T).astype(np.float32)
        kept = {"logits": logits, "hidden_states": hidden.astype(np.float32)}
        return Forward(ids, mask, **{name: kept[name] for name in outputs})


def toy_reference(folder: Path, seed: int = 0, contigs: dict[str, int] | None = None, n: Sequence[tuple] = ()) -> Reference:  # fmt: skip
    """Random bases, with N over the stretches (contig, start, end) of `n`, 0-based half-open."""
    rng = np.random.default_rng(seed)
    lines = []
    for name, length in (contigs or {"20": 6_000}).items():
        bases = bytearray("".join(rng.choice(list("ACGT"), size=length)).encode())
        for contig, start, end in n:
            if contig == name:
                bases[start:end] = b"N" * (end - start)
        text = bases.decode()
        lines += [f">{name}", *(text[at : at + 60] for at in range(0, length, 60))]
    path = Path(folder) / "toy.fa"
    path.write_text("\n".join(lines) + "\n")
    return Reference(path)


def fasta(path: Path, contig: str, name: str = "20") -> Reference:
    path.write_text(f">{name}\n{contig}\n")
    return Reference(path)


def another(base: str, by: int = 1) -> str:
    return "ACGT"[("ACGT".index(base) + by) % 4]
