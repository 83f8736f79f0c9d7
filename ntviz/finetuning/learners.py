"""What learns: a model with a head and adapters by peft, or a network on one-hot bases; and the loss of their scores.

References
----------
Liu et al. (2022) NeurIPS, for IA3: vectors on keys, values and the hidden state of the FFN, ones at first. Dalla-Torre et al.
(2025) tune the Nucleotide Transformer with it. In v2's gated FFN the vector acts on the gated product, which is what enters
the last linear layer; the paper does not say, and the number of parameters, layers x (2 x hidden + ffn), is the same. Hu
et al. (2021) arXiv:2106.09685, for LoRA.

Avsec et al. (2021) Nature Genetics 53:354, for BPNet. Dalla-Torre et al. (2025) train it in two sizes, 121 thousand and 28
million parameters; the widths here follow from these numbers: 64 and 1,024 channels, a convolution of 25 bp, and nine
dilated ones of 3 bp.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ntviz import environment
from ntviz.genome.sequence import codes, listed, reverse_complement
from ntviz.tokens import Tokens

if TYPE_CHECKING:
    from ntviz.finetuning.fit import Recipe

METHODS = ("ia3", "lora", "full", "head")
_LAYER = r"(.*\.)?encoder\.layer\.\d+\."
_KEY_VALUE, _QUERY_VALUE = (rf"{_LAYER}attention\.self\.({first}|value)" for first in ("key", "query"))
# Not attention.output.dense: the last linear layer of the FFN alone, whose input is the hidden state.
_FFN = rf"{_LAYER}output\.dense"
WIDTHS = {"bpnet": 64, "bpnet-large": 1024}
NETWORKS = (*WIDTHS, "cnn")
DILATED = 9
STEM = 25


class Alleles(NamedTuple):
    """Windows with the reference and the alternative of one change, on the forward strand, and the bases [start, end) compared.

    An example is a tuple of these: the mean over them and over both strands is compared, as in `variants.Scorer.vectors`.
    """

    reference: str
    alternative: str
    start: int
    end: int


class Prepared(NamedTuple):
    """A sequence as a learner takes it: tokens or codes of bases, and its length in bp; or tokens and places of both alleles."""

    item: Any
    length: int


def examples(given: Sequence[Any]) -> list[Any]:
    """What is learned from as a list: sequences, or changes, each a tuple of `Alleles`."""
    several = [given] if isinstance(given, str) else list(given)
    return several if several and all(isinstance(one, tuple) for one in several) else listed(several)


# Models with a head -------------------------------------------------------------------------------------------------


class Head(nn.Module):
    """Hidden states [sequence, token, hidden] to scores, in float32 whatever the states are.

    For tasks with one answer a sequence: a linear layer on the mean over tokens that cover bases, [sequence, outputs]. By
    base: a linear layer gives each token the scores of up to `widest` bases, in order, [sequence, base, outputs]; as
    the paper's six nucleotides by three classes for SpliceAI's task.
    """

    def __init__(self, hidden: int, outputs: int, *, widest: int = 0) -> None:
        super().__init__()
        self.outputs, self.widest = outputs, widest
        self.linear = nn.Linear(hidden, outputs * max(1, widest))

    def forward(self, states: torch.Tensor, covering: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
        """Scores of `states`; `covering` bool [sequence, token]: tokens that cover bases.

        `places`, by base: int64 [sequence, base], the token of each base times `widest` plus its place in the token.
        """
        states = states.float()
        if places is None:
            return self.linear(_mean(states, covering, 1))
        scores = self.linear(states).reshape(len(states), -1, self.outputs)
        return scores.gather(1, places[..., None].expand(-1, -1, self.outputs))


def _mean(values: torch.Tensor, real: torch.Tensor, axis: int) -> torch.Tensor:
    """Mean over the tokens or positions that are real, bool [sequence, position]."""
    weights = real.to(values.dtype).unsqueeze(3 - axis)
    return (values * weights).sum(axis) / weights.sum(axis).clamp(min=1)


class ModelLearner(nn.Module):
    """A copy of the encoder of a `models.NucleotideTransformer` or a peer, with a head.

    Of changes the head sees the vectors of the reference and of alternative minus reference, [example, 2 x hidden].
    """

    def __init__(self, model: Any, outputs: int, *, per_base: bool, paired: bool = False) -> None:
        super().__init__()
        self.model, self.per_base = model, per_base
        self.encoder = copy.deepcopy(getattr(model.module, "esm", model.module))
        vocabulary = model.tokenizer.vocabulary
        self.pad_id = int(vocabulary.pad_id)
        widest = int(getattr(vocabulary, "k", 1)) if per_base else 0
        self.paired = paired
        self.head = Head((1 + paired) * model.hidden_size, outputs, widest=widest)
        self.head.to(next(self.encoder.parameters()).device)

    def prepare(self, sequences: Sequence[Any]) -> list[Prepared]:
        """Tokens of each sequence; of changes tokens, and which are compared, of both alleles on both strands."""
        if not self.paired:
            return [Prepared(self.model.tokenize(text), len(text)) for text in listed(sequences)]
        return [
            Prepared([read for one in change for read in self._both(one)], sum(len(one.reference) for one in change))
            for change in sequences
        ]

    def _both(self, one: Alleles) -> list[tuple[Tokens, np.ndarray]]:
        reads, length = [], len(one.reference)
        for start, end, turn in ((one.start, one.end, str), (length - one.end, length - one.start, reverse_complement)):
            for text in (one.reference, one.alternative):
                tokens = self.model.tokenize(turn(text))
                reads.append((tokens, ~tokens.is_special & (tokens.spans[:, 0] < end) & (tokens.spans[:, 1] > start)))
        return reads

    def compared(self, batch: Sequence[Prepared]) -> torch.Tensor:
        """Vectors of the reference and of alternative minus reference, float32 [example, 2 x hidden]."""
        reads, device = [read for entry in batch for read in entry.item], self.head.linear.weight.device
        ids, mask = _padded([tokens.ids for tokens, _ in reads], self.pad_id, device)
        touched, _ = _padded([at for _, at in reads], 0, device)
        means = _mean(self._states(ids, mask).float(), touched.bool(), 1).unflatten(0, (-1, 2))
        parts = means.split([len(entry.item) // 2 for entry in batch])
        reference, alternative = torch.stack([part.mean(0) for part in parts]).unbind(1)
        return torch.cat([reference, alternative - reference], 1)

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        if self.paired:
            return self.head.linear(self.compared(batch))
        tokens: list[Tokens] = [entry.item for entry in batch]
        device = self.head.linear.weight.device
        ids, mask = _padded([part.ids for part in tokens], self.pad_id, device)
        covering, _ = _padded([~part.is_special for part in tokens], 0, device)
        places = None
        if self.per_base:
            widest, rows = self.head.widest, []
            for part in tokens:
                bases = np.arange(len(part.sequence))
                token = np.asarray(part.token_at(bases))
                # A token wider than the head's widest gives its last bases the scores of its last place.
                rows.append(token * widest + np.minimum(bases - part.spans[token, 0], widest - 1))
            places, _ = _padded(rows, 0, device)
        return self.head(self._states(ids, mask), covering.bool(), places)

    def _states(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if hasattr(self.model.module, "esm"):
            found = self.encoder(input_ids=ids, attention_mask=None if bool(mask.all()) else mask.long())
            return found.last_hidden_state
        return self.encoder.states(ids, mask).hidden[-1]


def _padded(rows: Sequence[np.ndarray], fill: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows as one int64 [row, longest], filled up, and bool: where they are."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    numbers = np.full(mask.shape, fill, dtype=np.int64)
    numbers[mask] = np.concatenate(rows)
    return torch.from_numpy(numbers).to(device), torch.from_numpy(mask).to(device)


# Adapters ------------------------------------------------------------------------------------------------------------


def adapted(encoder: nn.Module, method: str, recipe: Recipe, *, name: str) -> nn.Module:
    """The encoder of a model of that name, with adapters put in, or all ("full") or nothing of it ("head") trainable; changed in place.

    What is trained is float32. The rest stays as it was loaded, but for float16, in which gradients on their way become zero: all
    of that is float32 then.
    """
    if method not in METHODS:
        raise ValueError(f"The method must be one of {', '.join(METHODS)}; received {method!r}.")
    if method == "full" or next(encoder.parameters()).dtype == torch.float16:
        encoder.float()
    encoder.requires_grad_(method == "full")
    for unused in ("contact_head", "pooler"):
        if getattr(encoder, unused, None) is not None:
            getattr(encoder, unused).requires_grad_(False)
    if method in ("full", "head"):
        return encoder
    peft = environment.need("peft", "benchmark")
    size: dict[str, Any] = {"r": recipe.rank, "lora_alpha": recipe.alpha, "lora_dropout": recipe.dropout}
    config: Any = peft.LoraConfig(**size, target_modules=_QUERY_VALUE)
    if method == "ia3":
        config = peft.IA3Config(target_modules=f"({_KEY_VALUE})|({_FFN})", feedforward_modules=_FFN)
    try:
        with quiet():
            return peft.get_peft_model(encoder, config)
    except ValueError as error:
        raise ValueError(
            f"{method} needs separate key, value and FFN layers; {name} has none by the names of the Nucleotide Transformer. "
            "Use method='full' or 'head'."
        ) from error


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Without what peft triggers in transformers: it asks for a property by its older name, which still works."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield


def trainable(module: nn.Module) -> int:
    """Number of parameters that are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


# Networks that learn a task from nothing ------------------------------------------------------------------------------


class NetworkLearner(nn.Module):
    """A network on one-hot bases."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def prepare(self, sequences: Sequence[str]) -> list[Prepared]:
        """Codes of the bases of each sequence: 0 to 3 for A, C, G, T, 4 for N."""
        return [Prepared(codes(text), len(text)) for text in listed(sequences)]

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        device = next(self.network.parameters()).device
        numbers, mask = _padded([entry.item for entry in batch], 4, device)
        # The fifth column, N and padding, is cut off.
        return self.network(nn.functional.one_hot(numbers, 5)[..., :4].transpose(1, 2).float(), mask)


Learner = ModelLearner | NetworkLearner


class BPNet(nn.Module):
    """One-hot bases [sequence, 4, bp] to [sequence, outputs], or [sequence, bp, outputs] by base.

    A convolution of 25 bp, nine residual convolutions of 3 bp whose dilation doubles from 2, then a linear layer: on the mean
    over real positions, as BPNet's count head, or on each position. All keep the length; positions beyond the mask are zero
    before each convolution, so that padding changes nothing.
    """

    def __init__(self, width: int, outputs: int, *, per_base: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, width, STEM, padding="same")
        self.dilated = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding="same", dilation=2**layer) for layer in range(1, DILATED + 1)
        )
        self.head = nn.Linear(width, outputs)
        self.per_base = per_base

    def forward(self, bases: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        real = mask[:, None].to(bases.dtype)
        x = torch.relu(self.stem(bases)) * real
        for layer in self.dilated:
            x = x + torch.relu(layer(x)) * real
        return self.head(x.transpose(1, 2) if self.per_base else _mean(x, mask, 2))


class ConvolutionalNetwork(nn.Module):
    """One-hot bases [sequence, 4, bp] to [sequence, outputs], or [sequence, bp, outputs] by base.

    Three convolutions (19, 11 and 7 bp; 64 channels), then the largest value over real positions and a linear layer, or a
    linear layer on each position.
    """

    def __init__(self, outputs: int, *, per_base: bool = False) -> None:
        super().__init__()
        shapes = ((4, 19), (64, 11), (64, 7))
        self.layers = nn.ModuleList(nn.Conv1d(width, 64, bp, padding="same") for width, bp in shapes)
        self.head = nn.Linear(64, outputs)
        self.per_base = per_base

    def forward(self, bases: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        real = mask[:, None].to(bases.dtype)
        for layer in self.layers:
            bases = torch.relu(layer(bases)) * real
        # Behind a rectifier nothing is below zero: what is masked cannot be the largest.
        return self.head(bases.transpose(1, 2) if self.per_base else bases.amax(2))


def network(name: str, *, outputs: int, per_base: bool = False) -> nn.Module:
    """A network with fresh random weights: "bpnet" (121 thousand parameters), "bpnet-large" (28 million) or "cnn" (79 thousand).

    `outputs`: classes, tracks or targets; `per_base`: one answer a base.
    """
    if name not in NETWORKS:
        raise ValueError(f"A network must be one of {', '.join(NETWORKS)}; received {name!r}.")
    if name == "cnn":
        return ConvolutionalNetwork(outputs, per_base=per_base)
    return BPNet(WIDTHS[name], outputs, per_base=per_base)


# By kind of task ----------------------------------------------------------------------------------------------------


def loss(kind: str, scores: torch.Tensor, labels: torch.Tensor, positive_weight: float = 1.0) -> torch.Tensor:
    """The mean loss of a batch: cross-entropy, binary cross-entropy by track, squared error, or cross-entropy by base."""
    scores = scores.float()
    if kind in ("binary", "multiclass"):
        return nn.functional.cross_entropy(scores, labels)
    if kind == "multilabel":
        weight = torch.full((scores.shape[-1],), positive_weight, device=scores.device)
        return nn.functional.binary_cross_entropy_with_logits(scores, labels.float(), pos_weight=weight)
    if kind == "regression":
        return nn.functional.mse_loss(scores, labels.float())
    return nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten().long(), ignore_index=-1)


def answers(kind: str, scores: torch.Tensor) -> np.ndarray:
    """Probabilities, or values of a regression, float32, in the shape of the scores."""
    scores = scores.float()
    if kind == "multilabel":
        scores = scores.sigmoid()
    elif kind != "regression":
        scores = scores.softmax(-1)
    return scores.cpu().numpy()
