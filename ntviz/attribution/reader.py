"""`Reader`: a model as attribution reads it, ids of tokens or bases, vectors of these to differentiate, and a target's value."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from ntviz import environment
from ntviz.attribution.target import Target
from ntviz.tokens import Tokenizer, Tokens

PIECES = {"cpu": 8_192, "cuda": 65_536}
"""Pieces in a pass at first by kind of device, as far as memory is free; halved where it ends."""
_ADVICE = {"states": "BaseProbability, Direction or Probe", "sites": "SpliceSite", "scores": "Output"}
_KEPT_IN_TRAINING = 1 - 0.15 * 0.8  # tokens of ESM that were not dropped, as transformers has it
_AT_ONCE = 48  # variants of a sequence

Made = TypeVar("Made")


class Reader:
    """A model as it is read here, tokens and one-hot bases alike.

    `model` is what was given, which targets see; `module` the torch module; `table` the vectors of the ids [id, channel];
    `tokenizes` the model with its tokenizer; `gives` what a target gets: hidden "states" of each layer, "scores" of
    outputs, or splice "sites".
    """

    pieces_are_bases = False
    gives = "states"

    def __init__(self, model: Any, module: Any, table: torch.Tensor) -> None:
        self.model, self.module, self.table = model, module, table
        self.tokenizes = model

    @property
    def name(self) -> str:
        return str(getattr(self.model, "name", type(self.model).__name__))

    def tokenize(self, sequence: str, phase: int = 0) -> Tokens:
        return self.tokenizes.tokenize(sequence, **({"phase": phase} if phase else {}))

    def asked(self, tokens: Tokens) -> Tokens:
        """The tokens that a target speaks of, those of the model's output."""
        return tokens

    @property
    def hidden_id(self) -> int:
        """Id that hides a piece; a ValueError where the model has none."""
        return self.tokenizes.mask_id

    def n_id(self, tokens: Tokens) -> int:
        """Id of N; a byte-pair encoding has a token for what it does not know."""
        return int(getattr(tokens.vocabulary, "n_id", None) or tokens.vocabulary.unk_id)

    def vectors(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors of ids [..., piece] as the model reads them, [..., piece, channel]."""
        return self.table[ids]

    def given(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens) -> Any:
        """Hidden states or scores of vectors [sequence, piece, channel], whose ids [sequence, piece] the model may look at too."""
        raise NotImplementedError

    def answer(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens, target: Any) -> torch.Tensor:
        """The target of each row [sequence] of equal tokens."""
        return target.score(self.model, self.given(vectors, ids, tokens), self.asked(tokens))

    def masked_ids(self, tokens: Tokens, target: Target) -> np.ndarray:
        """Ids of a sequence with the target's tokens masked, int64 [piece]."""
        if target.of != self.gives:
            raise ValueError(
                f"{type(target).__name__} is a target over {target.of}; {self.name} gives {self.gives}. Ask for {_ADVICE[self.gives]}."
            )
        ids = tokens.ids.copy()
        places = target.masked(self.asked(tokens))
        if places and self.pieces_are_bases:
            raise ValueError(
                f"{type(target).__name__} needs a mask token; {self.name} reads bases and has none: ask for another target."
            )
        if places:
            ids[places] = self.hidden_id
        return ids

    def values(self, sequences: Sequence[str], target: Any) -> np.ndarray:
        """The target of sequences, float64 [sequence]; those that are cut alike are passed together."""
        values = np.empty(len(sequences))
        rows: dict[bytes, list[int]] = {}
        tokenised = [self.tokenize(sequence) for sequence in sequences]
        for row, tokens in enumerate(tokenised):
            rows.setdefault(tokens.spans.tobytes(), []).append(row)
        for together in rows.values():
            ids = np.stack([self.masked_ids(tokenised[row], target) for row in together])
            values[together] = self.ask(ids, target, tokenised[together[0]])
        return values

    def ask(self, ids: np.ndarray, target: Target, tokens: Tokens, vectors: torch.Tensor | None = None) -> np.ndarray:
        """The target [sequence] of ids [sequence, piece] of equal tokens, or of `vectors` [sequence, piece, channel] for them."""
        with torch.inference_mode(), self.steady():
            return self._passes(ids, target, tokens, vectors, sloped=False)[0]

    def gradients(self, ids: np.ndarray, target: Target, tokens: Tokens) -> tuple[np.ndarray, torch.Tensor]:
        """The target of each row [sequence], and its gradient at each vector [sequence, piece, channel]."""
        with torch.enable_grad(), self.steady():
            values, slopes = self._passes(ids, target, tokens, None, sloped=True)
        return values, self.finite(torch.cat(slopes))

    def _passes(
        self, ids: np.ndarray, target: Target, tokens: Tokens, vectors: torch.Tensor | None, *, sloped: bool
    ) -> tuple[np.ndarray, list[torch.Tensor]]:
        def passed(size: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
            values, slopes = [], []
            for start in range(0, len(ids), size):
                some = torch.from_numpy(ids[start : start + size]).to(self.table.device)
                given = self.vectors(some) if vectors is None else vectors[start : start + size]
                given = given.detach().requires_grad_() if sloped else given
                value = self.answer(given, some, tokens, target)
                if sloped:
                    slopes.append(torch.autograd.grad(value.sum(), given)[0])
                values.append(value.detach())
            return torch.cat(values), slopes

        (values, slopes), _ = within_memory(passed, self.at_once(ids.shape[1]))
        return values.double().cpu().numpy(), slopes

    def finite(self, slopes: torch.Tensor) -> torch.Tensor:
        """The gradients, once they are known to be finite."""
        wrong = ~torch.isfinite(slopes)
        if wrong.any():
            raise ValueError(
                f"Gradients must be finite; {int(wrong.flatten(2).any(-1).sum()):,} of {slopes.shape[0] * slopes.shape[1]:,} "
                f"tokens of {self.name} have others. Load the model with dtype='float32', and check its weights."
            )
        return slopes

    def at_once(self, pieces: int) -> int:
        """Sequences of so many pieces in a pass at first: as many as memory should hold, by what the layers put out."""
        device = self.table.device
        widths = sum(
            getattr(part, "out_features", 0) or getattr(part, "out_channels", 0)
            for part in self.module.modules()
            if isinstance(part, (nn.Linear, nn.Conv1d))
        )
        # Each output is kept for the way back, and once more behind what follows it.
        each = 2 * max(widths, 1) * self.table.element_size()
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else environment.free_memory()
        return max(1, min(PIECES.get(device.type, PIECES["cpu"]), free // 2 // each) // pieces)

    @contextmanager
    def steady(self) -> Generator[None]:
        """The module in eval mode and its weights without gradients, each put back as it was."""
        modes = [(part, part.training) for part in self.module.modules()]
        asked = [weight for weight in self.module.parameters() if weight.requires_grad]
        try:
            self.module.eval()
            for weight in asked:
                weight.requires_grad_(False)
            yield
        finally:
            for part, training in modes:
                part.training = training
            for weight in asked:
                weight.requires_grad_(True)


def within_memory(make: Callable[[int], Made], size: int) -> tuple[Made, int]:
    """What `make` gives with the largest batch that fits, and that size."""
    while True:
        try:
            return make(size), size
        except RuntimeError as error:
            # A GPU has an error of its own for it; the CPU says it in words.
            ended = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
            if not ended or size == 1:
                raise
            size = max(1, size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class TokenReader(Reader):
    """A model with an embedding of tokens, or what `finetuning.tune` made of one.

    ESM's embeddings, those of the Nucleotide Transformer, do more than look tokens up: with token dropout, as all v1 have
    it, vectors of masks are zero and the others are scaled by how many are masked. `vectors` are behind that step.
    """

    def __init__(self, model: Any) -> None:
        self.learner = learner = getattr(model, "learner", None)
        encoder = model.module if learner is None else learner.encoder
        parts = dict(encoder.named_modules()) if isinstance(encoder, nn.Module) else {}
        self.layer: Any = next(
            (part for at, part in parts.items() if at.endswith(("word_embeddings", "embed_layer")) and isinstance(part, nn.Embedding)), None
        )  # fmt: skip
        if self.layer is None:
            name = getattr(model if learner is None else learner.model, "name", type(model).__name__)
            raise ValueError(
                f"Attribution needs an embedding of tokens or one-hot bases to differentiate; {name} has neither. Pass a "
                "model of `models.load`, what `finetuning.tune` gives, or a network called with bases [sequence, 4, base] "
                "and a mask."
            )
        super().__init__(model, encoder if learner is None else learner, self.layer.weight)
        if learner is not None:
            self.tokenizes, self.gives = learner.model, "scores"
        self.embeddings: Any = next((part for part in parts.values() if type(part).__name__ == "EsmEmbeddings"), None)

    @property
    def name(self) -> str:
        return super().name if self.learner is None else f"{self.learner.model.name}, tuned"

    def vectors(self, ids: torch.Tensor) -> torch.Tensor:
        looked_up = self.table[ids]
        if not getattr(self.embeddings, "token_dropout", False):
            return looked_up
        masked = ids == self.embeddings.mask_token_id
        kept = 1 - masked.float().mean(-1)[..., None, None]
        return (looked_up.masked_fill(masked[..., None], 0) * _KEPT_IN_TRAINING / kept).to(looked_up.dtype)

    def given(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens) -> Any:
        layer, read = self.layer, vectors
        if self.embeddings is not None:
            layer, read = self.embeddings, self.embeddings(inputs_embeds=vectors)
        handle = layer.register_forward_hook(lambda *_: read)
        try:
            if self.learner is not None:
                (prepared,) = self.learner.prepare([tokens.sequence])
                rows = [prepared._replace(item=replace(tokens, ids=row)) for row in ids.cpu().numpy()]
                return self.learner(rows)
            if hasattr(self.module, "esm"):
                return self.module.esm(input_ids=ids, output_hidden_states=True).hidden_states
            if hasattr(self.model, "read"):
                return self.model.read(ids).hidden
            return self.module.states(ids, torch.ones_like(ids, dtype=torch.bool)).hidden
        finally:
            handle.remove()


class BaseReader(Reader):
    """A network on one-hot bases: forward(bases [sequence, 4, base], mask [sequence, base]) to scores."""

    pieces_are_bases = True
    gives = "scores"
    _cut = Tokenizer("single-base")

    def __init__(self, model: Any, module: nn.Module) -> None:
        vocabulary = self._cut.vocabulary
        weights = (*module.parameters(), *module.buffers(), torch.zeros(()))
        like = next(weight for weight in weights if weight.is_floating_point())
        table = torch.zeros(len(vocabulary), 4, dtype=like.dtype, device=like.device)
        table[vocabulary.single_ids.tolist(), range(4)] = 1  # N, and what is hidden, are zeros
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
    """Hidden states by base of BPNet as published, and by bin of Enformer, filled up with N to whole bins."""

    gives = "states"

    def asked(self, tokens: Tokens) -> Tokens:
        return self.model.tokenize(tokens.sequence)

    def given(self, vectors: torch.Tensor, ids: torch.Tensor, tokens: Tokens) -> Sequence[torch.Tensor]:
        if not hasattr(self.module, "iconv"):
            beyond = -vectors.shape[1] % self.module.bin
            return self.module.read(nn.functional.pad(vectors, (0, 0, 0, beyond))).hidden
        handle = self.module.iconv.register_forward_pre_hook(lambda *_: vectors.transpose(1, 2))
        try:
            return self.module.states(ids, torch.ones_like(ids, dtype=torch.bool)).hidden
        finally:
            handle.remove()


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
        ids = np.stack([self.masked_ids(self.tokenize(text), target) for text in sequences])
        bases = self._around(self.table[torch.from_numpy(ids).to(self.table.device)], target.position)
        values, context = np.empty(len(ids)), self.model.context
        with torch.inference_mode(), self.steady():
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
                values[start : start + len(some)] = scores.double().cpu().numpy()
        return values

    def _around(self, vectors: torch.Tensor, position: int) -> torch.Tensor:
        """Bases [sequence, 4, 10,001] with the position in the middle."""
        context = self.model.context
        padded = nn.functional.pad(vectors.transpose(1, 2), (context, context))
        return padded[:, :, position : position + 2 * context + 1]


def reader(model: Any) -> Reader:
    """How a model is read; a ValueError where nothing in it can be differentiated."""
    learner, module = (getattr(model, name, None) for name in ("learner", "module"))
    if hasattr(learner, "network"):
        return BaseReader(model, learner.network)
    if isinstance(model, nn.Module):
        return BaseReader(model, model)
    kinds: dict[str, Any] = {"networks": SpliceReader, "iconv": ConvolutionReader, "read": ConvolutionReader}
    kind = next((kind for part, kind in kinds.items() if hasattr(module, part)), None)
    return TokenReader(model) if kind is None or hasattr(learner, "encoder") else kind(model, module)
