"""How a model reads a sequence: pieces with ids, vectors of these that are differentiated, and what comes out. One `Reader` a kind.

A reader is to attribution what a tokenizer is to a model: words of a vocabulary and one-hot bases are the same to all that follows, ids
that a table turns into vectors.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ntviz.attribution import asking
from ntviz.tokens import Tokenizer, Tokens

_WORDS = "word_embeddings"
_KEPT_IN_TRAINING = 1 - 0.15 * 0.8  # tokens of ESM that were not dropped, as transformers has it
_AT_ONCE = 48  # variants of a sequence


class Reader:
    """A model as it is asked here.

    Attributes
    ----------
    model
        What was given, which targets see.
    module
        The torch module; its mode and gradients are put back as they were.
    table
        Vectors of the ids [id, channel]: the embedding of words, or one-hot bases.
    pieces_are_bases
        Whether a piece is a base, in one-hot bases.
    gives
        "states", hidden states one a layer, or "scores" of outputs: what a target is told.
    """

    pieces_are_bases = False
    gives = "states"

    def __init__(self, model: Any, module: Any, table: torch.Tensor) -> None:
        self.model, self.module, self.table = model, module, table

    @property
    def name(self) -> str:
        """Of the model, for messages."""
        return str(getattr(self.model, "name", type(self.model).__name__))

    def tokenize(self, sequence: str, phase: int = 0) -> Tokens:
        """The pieces of a sequence."""
        return self.model.tokenize(sequence, phase=phase) if phase else self.model.tokenize(sequence)

    def asked(self, tokens: Tokens) -> Tokens:
        """The tokens that a target speaks of, those of the model's output."""
        return tokens

    @property
    def hidden_id(self) -> int:
        """Id that hides a piece.

        Raises
        ------
        ValueError
            The model has none.
        """
        return self.model.mask_id

    def n_id(self, tokens: Tokens) -> int:
        """Id of N; a byte-pair encoding has a word for what it does not know."""
        return int(getattr(tokens.vocabulary, "n_id", None) or tokens.vocabulary.unk_id)

    def vectors(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors of ids [..., piece] as the model reads them, [..., piece, channel]."""
        return self.table[ids]

    def given(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens) -> Any:
        """Hidden states or scores of vectors [sequence, piece, channel], whose ids [sequence, piece] the model may look at too."""
        raise TypeError("A reader must say what its model gives.")

    def answer(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens, target: Any) -> torch.Tensor:
        """The target of each row [sequence] of equal tokens."""
        return target.score(self.model, self.given(vectors, ids, tokens), self.asked(tokens))

    def values(self, sequences: Sequence[str], target: Any) -> np.ndarray:
        """The target of sequences, float64 [sequence], without gradients.

        Sequences are tokenised one by one and passed together where their spans are alike.
        """
        found = np.empty(len(sequences))
        rows: dict[bytes, list[int]] = {}
        tokenised = [self.tokenize(sequence) for sequence in sequences]
        for row, tokens in enumerate(tokenised):
            rows.setdefault(tokens.spans.tobytes(), []).append(row)
        for together in rows.values():
            ids = np.stack([asking.masked_ids(self, tokenised[row], target) for row in together])
            found[together] = asking.ask(self, ids, target, tokenised[together[0]])
        return found


class EmbeddingReader(Reader):
    """A model with an embedding of words.

    ESM's embeddings, those of the Nucleotide Transformer, do more than look words up: with token dropout, as all v1 have it, vectors
    of masks are zero and the others are scaled by how many are masked. `vectors` are behind that step, and stand in for it.
    """

    def __init__(self, model: Any, module: nn.Module, encoder: Any, name: str) -> None:
        self.layer = embedding_of(encoder, name)
        super().__init__(model, module, self.layer.weight)
        self.embeddings: Any = next(
            (part for part in encoder.modules() if type(part).__name__ == "EsmEmbeddings"), None
        )

    def vectors(self, ids: torch.Tensor) -> torch.Tensor:
        found = self.table[ids]
        if not getattr(self.embeddings, "token_dropout", False):
            return found
        masked = ids == self.embeddings.mask_token_id
        kept = 1 - masked.float().mean(-1)[..., None, None]
        return (found.masked_fill(masked[..., None], 0) * _KEPT_IN_TRAINING / kept).to(found.dtype)

    @contextmanager
    def read(self, vectors: torch.Tensor) -> Generator[None]:
        """The model reads these vectors."""
        if self.embeddings is None:
            layer, given = self.layer, vectors
        else:
            layer, given = self.embeddings, self.embeddings(inputs_embeds=vectors)
        with replaced(layer, given):
            yield


class WordReader(EmbeddingReader):
    """A Nucleotide Transformer, or a peer with an embedding of words."""

    def __init__(self, model: Any) -> None:
        super().__init__(model, model.module, model.module, getattr(model, "name", type(model).__name__))

    def given(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens) -> Sequence[torch.Tensor]:
        with self.read(vectors):
            if hasattr(self.module, "esm"):
                return self.module.esm(input_ids=ids, output_hidden_states=True).hidden_states
            return self.module.states(ids, torch.ones_like(ids, dtype=torch.bool)).hidden


class TunedReader(EmbeddingReader):
    """What `finetuning.tune` gives: an encoder with a head."""

    gives = "scores"

    def __init__(self, tuned: Any) -> None:
        self.learner = tuned.learner
        super().__init__(tuned, self.learner, self.learner.encoder, self.learner.model.name)

    @property
    def name(self) -> str:
        return f"{self.learner.model.name}, tuned"

    @property
    def hidden_id(self) -> int:
        return self.learner.model.mask_id

    def tokenize(self, sequence: str, phase: int = 0) -> Tokens:
        base = self.learner.model
        return base.tokenize(sequence, phase=phase) if phase else base.tokenize(sequence)

    def given(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens) -> torch.Tensor:
        (prepared,) = self.learner.prepare([tokens.sequence])
        rows = [prepared._replace(item=replace(tokens, ids=row)) for row in ids.cpu().numpy()]
        with self.read(vectors):
            return self.learner(rows)


class BaseReader(Reader):
    """A network on one-hot bases: forward(bases [sequence, 4, base], mask [sequence, base]) to scores."""

    pieces_are_bases = True
    gives = "scores"
    _cut = Tokenizer("single-base")

    def __init__(self, model: Any, module: nn.Module) -> None:
        vocabulary = self._cut.vocabulary
        one = next(
            (part for part in (*module.parameters(), *module.buffers()) if part.is_floating_point()),
            torch.zeros(()),
        )
        table = torch.zeros(len(vocabulary), 4, dtype=one.dtype, device=one.device)
        # What is no base is zeros: N, and what is hidden.
        table[vocabulary.single_ids.tolist(), range(4)] = 1
        super().__init__(model, module, table)

    @property
    def hidden_id(self) -> int:
        return self._cut.vocabulary.n_id

    def tokenize(self, sequence: str, phase: int = 0) -> Tokens:
        return self._cut(sequence, phase=phase)

    def given(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens) -> Any:
        mask = torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)
        return self.module(vectors.transpose(1, 2), mask)


class ConvolutionReader(BaseReader):
    """BPNet as published: hidden states by base."""

    gives = "states"

    def asked(self, tokens: Tokens) -> Tokens:
        return self.model.tokenize(tokens.sequence)

    def given(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens) -> Sequence[torch.Tensor]:
        def instead(_: nn.Module, __: Any) -> torch.Tensor:
            return vectors.transpose(1, 2)

        handle = self.module.iconv.register_forward_pre_hook(instead)
        try:
            return self.module.states(ids, torch.ones_like(ids, dtype=torch.bool)).hidden
        finally:
            handle.remove()


class BinReader(ConvolutionReader):
    """Enformer: hidden states by bin, of bases filled up with N to whole bins as the model does it."""

    def given(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens) -> Sequence[torch.Tensor]:
        beyond = -vectors.shape[1] % self.module.bin
        return self.module.read(nn.functional.pad(vectors, (0, 0, 0, beyond))).hidden


class SpliceReader(BaseReader):
    """A splice network: logits [network, sequence, class] of one position, with N beyond the ends of the sequence."""

    gives = "sites"

    def answer(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens, target: Any) -> torch.Tensor:
        x = self._around(vectors, target.position)
        logits = [network.site(*network.near(x, self.model.context)) for network in self.module.networks]
        return target.score(self.model, torch.stack(logits), tokens)

    def values(self, sequences: Sequence[str], target: Any) -> np.ndarray:
        """As of any reader; of sequences of one length the first eight blocks are run whole for the first alone.

        For the others they are run where these differ from it: no state farther than 200 bp from a changed base changes.
        """
        if len({len(sequence) for sequence in sequences}) > 1:
            return super().values(sequences, target)
        ids = np.stack([asking.masked_ids(self, self.tokenize(text), target) for text in sequences])
        bases = self._around(self.table[torch.from_numpy(ids).to(self.table.device)], target.position)
        found, context = np.empty(len(ids)), self.model.context
        with torch.inference_mode(), asking.steady(self):
            whole = [network.near(bases[:1], context) for network in self.module.networks]
            for start in range(0, len(ids), _AT_ONCE):
                some = bases[start : start + _AT_ONCE]
                at = torch.nonzero((some != bases[:1]).any(0).any(0)).flatten().tolist() or [context]
                low, high = max(0, at[0] - 400), min(bases.shape[2], at[-1] + 401)
                logits = []
                for network, (states, summed) in zip(self.module.networks, whole, strict=True):
                    part, sums = network.near(some[:, :, low:high], context - low)
                    mixed = states.repeat(len(some), 1, 1)
                    mixed[:, :, low : low + part.shape[2]] = part
                    near = low + 200 <= context < high - 200
                    logits.append(network.site(mixed, sums if near else summed.expand(len(some), -1)))
                scores = target.score(self.model, torch.stack(logits), None)
                found[start : start + len(some)] = scores.double().cpu().numpy()
        return found

    def _around(self, vectors: torch.Tensor, position: int) -> torch.Tensor:
        """Bases [sequence, 4, 10,001] with the position in the middle."""
        return nn.functional.pad(vectors.transpose(1, 2), (self.model.context, self.model.context))[
            :, :, position : position + 2 * self.model.context + 1
        ]


def reader(model: Any) -> Reader:
    """How a model is read.

    Raises
    ------
    ValueError
        Nothing in it can be differentiated.
    """
    learner, module = getattr(model, "learner", None), getattr(model, "module", None)
    if hasattr(learner, "network"):
        return BaseReader(model, learner.network)
    if hasattr(learner, "encoder"):
        return TunedReader(model)
    if isinstance(model, nn.Module):
        return BaseReader(model, model)
    if hasattr(module, "networks"):
        return SpliceReader(model, module)
    if hasattr(module, "iconv"):
        return ConvolutionReader(model, module)
    if hasattr(module, "read"):
        return BinReader(model, module)
    return WordReader(model)


def embedding_of(module: Any, name: str) -> nn.Embedding:
    """The layer that turns ids into vectors.

    Raises
    ------
    ValueError
        There is none, so that nothing can be differentiated.
    """
    for part, found in module.named_modules() if isinstance(module, nn.Module) else ():
        if part.endswith(_WORDS) and isinstance(found, nn.Embedding):
            return found
    raise ValueError(
        f"Attribution needs an embedding of words or one-hot bases to differentiate; {name} has neither. Pass a model of "
        "`models.load`, what `finetuning.tune` gives, or a network called with bases [sequence, 4, base] and a mask."
    )


@contextmanager
def replaced(layer: nn.Module, vectors: torch.Tensor) -> Generator[None]:
    """The layer gives these vectors instead of its own."""
    handle = layer.register_forward_hook(lambda *_: vectors)
    try:
        yield
    finally:
        handle.remove()
