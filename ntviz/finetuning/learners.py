"""What learns: a model with a head, or a network on one-hot bases. Both take prepared sequences and give scores."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ntviz.finetuning.heads import Head
from ntviz.sequence import codes, listed
from ntviz.tokens import Tokens


class Prepared(NamedTuple):
    """A sequence as a learner takes it: tokens or codes of bases, and its length in bp."""

    item: Any
    length: int


class ModelLearner(nn.Module):
    """A copy of a model's encoder, with a head.

    Parameters
    ----------
    model
        `models.NucleotideTransformer` or a peer; it is copied.
    outputs
        Classes, tracks or targets.
    per_base
        One answer a base.
    """

    def __init__(self, model: Any, outputs: int, *, per_base: bool) -> None:
        super().__init__()
        self.model, self.per_base = model, per_base
        module = getattr(model.module, "esm", model.module)
        self.encoder = copy.deepcopy(module)
        vocabulary = model.tokenizer.vocabulary
        self.pad_id = int(vocabulary.pad_id)
        self.head = Head(
            model.hidden_size, outputs, widest=int(getattr(vocabulary, "k", 1)) if per_base else 0
        )
        self.head.to(next(self.encoder.parameters()).device)

    def prepare(self, sequences: Sequence[str]) -> list[Prepared]:
        """Tokens of each sequence."""
        return [Prepared(self.model.tokenize(text), len(text)) for text in listed(sequences)]

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        tokens: list[Tokens] = [entry.item for entry in batch]
        longest = max(map(len, tokens))
        ids = np.full((len(tokens), longest), self.pad_id, dtype=np.int64)
        mask, covering = np.zeros(ids.shape, dtype=bool), np.zeros(ids.shape, dtype=bool)
        for row, one in enumerate(tokens):
            ids[row, : len(one)] = one.ids
            mask[row, : len(one)] = True
            covering[row, : len(one)] = ~one.is_special
        device = self.head.linear.weight.device
        states = self._states(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))
        places = None
        if self.per_base:
            bases = np.zeros((len(tokens), max(entry.length for entry in batch)), dtype=np.int64)
            for row, one in enumerate(tokens):
                token = np.asarray(one.token_at(np.arange(len(one.sequence))))
                within = np.arange(len(one.sequence)) - one.spans[token, 0]
                # A token wider than the head's widest gives its last bases the scores of its last place.
                bases[row, : len(token)] = token * self.head.widest + np.minimum(within, self.head.widest - 1)
            places = torch.from_numpy(bases).to(device)
        return self.head(states, torch.from_numpy(covering).to(device), places)

    def _states(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if hasattr(self.model.module, "esm"):
            found = self.encoder(input_ids=ids, attention_mask=None if bool(mask.all()) else mask.long())
            return found.last_hidden_state
        return self.encoder.states(ids, mask).hidden[-1]


class NetworkLearner(nn.Module):
    """A network on one-hot bases; see `networks`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def prepare(self, sequences: Sequence[str]) -> list[Prepared]:
        """Codes of the bases of each sequence: 0 to 3 for A, C, G, T, 4 for N."""
        return [Prepared(codes(text), len(text)) for text in listed(sequences)]

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        longest = max(entry.length for entry in batch)
        numbers = np.full((len(batch), longest), 4, dtype=np.int64)
        mask = np.zeros(numbers.shape, dtype=bool)
        for row, entry in enumerate(batch):
            numbers[row, : entry.length] = entry.item
            mask[row, : entry.length] = True
        device = next(self.network.parameters()).device
        # The fifth column, N and padding, is cut off.
        bases = (
            nn.functional.one_hot(torch.from_numpy(numbers).to(device), 5)[..., :4].transpose(1, 2).float()
        )
        return self.network(bases, torch.from_numpy(mask).to(device))


Learner = ModelLearner | NetworkLearner
