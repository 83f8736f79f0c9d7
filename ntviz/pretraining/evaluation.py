"""Held-out loss and accuracy of a masked language model, token by token on genome coordinates, and of counting alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from transformers import EsmForMaskedLM

from ntviz.genome import Interval
from ntviz.genome.sequence import kmer_numbers
from ntviz.pretraining import masking
from ntviz.pretraining.bases import decode, reverse, token_numbers
from ntviz.pretraining.corpus import Corpus
from ntviz.statistics import draw_groups, middle, ratio
from ntviz.tokens import Tokenizer, Vocabulary


@dataclass(frozen=True)
class Evaluation:
    """Held-out results, in `table` one row a masked token.

    Columns: sequence (row of the held-out table), chrom, start, end (0-based half-open, bp), target (id of the original), loss (nats),
    correct (the most probable token is the original).
    """

    table: pd.DataFrame

    @property
    def loss(self) -> float:
        """Mean loss in nats per masked token."""
        return float(self.table["loss"].mean())

    @property
    def accuracy(self) -> float:
        """Share of masked tokens whose most probable prediction is the original."""
        return float(self.table["correct"].mean())


def by_element(
    result: Evaluation, region: Interval, indicators: Mapping[str, np.ndarray], *, columns: Sequence[str] = ("loss",)
) -> pd.DataFrame:
    """Means by genomic element: element, measure, value, low, high (95 % interval over sequences), tokens.

    A token belongs to each element that any of its bases is in; the first row of each measure, "all", counts every token once.

    Tokens outside of `region` are left out. `indicators` are bool [base] over it, by element, as `Annotation.indicator` gives: others
    are a ValueError. `columns` of `result.table` are averaged.
    """
    for name, inside in indicators.items():
        if len(inside) != len(region):
            raise ValueError(f"Each indicator must cover the {len(region):,} bp of {region}; {name!r} covers {len(inside):,}. "
                             f"Make it with annotation.indicator(region, {name!r}).")  # fmt: skip
    table = result.table[(result.table["start"] >= region.start) & (result.table["end"] <= region.end)]
    start, end = table["start"].to_numpy() - region.start, table["end"].to_numpy() - region.start
    members = {"all": np.ones(len(table), bool)}
    for name, inside in indicators.items():
        count = np.concatenate([[0], np.cumsum(inside)])
        members[name] = count[end] > count[start]
    rows = []
    for column in columns:
        for name, chosen in members.items():
            part, low, high = table[chosen], np.nan, np.nan
            if len(part):
                # Whole sequences are drawn: tokens of one are not independent.
                grouped = part.groupby("sequence")[column].agg(["sum", "count"]).to_numpy(float)
                drawn = draw_groups(len(grouped), 1000, np.random.default_rng(0))
                low, high = middle(ratio(*grouped[drawn].sum(axis=1).T))
            rows.append((name, column, float(part[column].mean()), low, high, len(part)))
    return pd.DataFrame(rows, columns=["element", "measure", "value", "low", "high", "tokens"])


def evaluate(
    module: EsmForMaskedLM, corpus: Corpus, held_out: pd.DataFrame, tokenizer: Tokenizer, *, batch_tokens: int = 32_000
) -> Evaluation:
    """Predictions at masked positions of held-out chunks: 15 % of their tokens, always the same, become `<mask>`.

    `held_out` are rows of `corpus.held_out`, all of one length and free of N; `batch_tokens` are read in a forward pass.
    """
    sequences = [tokenizer(decode(corpus.codes[r.contig][r.start : r.end])) for r in held_out.itertuples()]
    ids = np.stack([s.ids for s in sequences])
    rng = np.random.default_rng((0, 3))
    selected = masking.predictable(tokenizer.vocabulary)[ids] & (rng.random(ids.shape) < 0.15)
    masked_ids = np.where(selected, tokenizer.vocabulary.mask_id, ids)
    size = max(1, batch_tokens // ids.shape[1])
    losses, correct, training = [], [], module.training
    module.eval()
    try:
        # No inference mode: parameters in shards are gathered into tensors that training uses again.
        with torch.no_grad():
            for begin in range(0, len(ids), size):
                rows = slice(begin, begin + size)
                part = masking.Masked(masked_ids[rows], selected[rows], ids[rows][selected[rows]])
                logits, targets = masked_logits(module, np.ones_like(selected[rows]), part)
                loss = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
                losses.append(loss.cpu().numpy())
                correct.append((logits.argmax(-1) == targets).cpu().numpy())
    finally:
        module.train(training)
    sequence, token = np.nonzero(selected)
    spans = np.stack([s.spans for s in sequences])[sequence, token]
    start, chrom = held_out["start"].to_numpy()[sequence], held_out["chrom"].to_numpy()[sequence]
    return Evaluation(pd.DataFrame({
        "sequence": sequence, "chrom": chrom, "start": start + spans[:, 0], "end": start + spans[:, 1], "target": ids[selected],
        "loss": np.concatenate(losses).astype(np.float64), "correct": np.concatenate(correct),
    }))  # fmt: skip


def masked_logits(module: EsmForMaskedLM, attention_mask: np.ndarray, masked: masking.Masked) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Logits [selected, vocab] and targets [selected]; the output layer runs at the masked positions only."""
    device = module.device
    everything = bool(attention_mask.all())
    hidden = module.esm(
        input_ids=torch.from_numpy(masked.input_ids).to(device, non_blocking=True),
        # Without padding no mask: fused attention takes its fastest kernel.
        attention_mask=None if everything else torch.from_numpy(attention_mask.astype(np.int64)).to(device),
    ).last_hidden_state
    selected = torch.from_numpy(np.flatnonzero(masked.selected)).to(device)
    logits = module.lm_head(hidden.reshape(-1, hidden.shape[-1])[selected])
    return logits, torch.from_numpy(masked.targets).to(device)


def baselines(corpus: Corpus, *, k: int = 6, orders: Sequence[int] = (0, 1, 2, 3, 5, 8, 10, 11)) -> pd.DataFrame:
    """Loss of each counting model on the held-out chunks: model, order, nats (per k-mer), trained_on (bases).

    A unigram over k-mers sees no context, a Markov chain the whole left one, of `orders` bases, 0 to 12. Counts are of the
    training chunks on both strands, plus one. Nothing held out is a ValueError.
    """
    if corpus.held_out.empty:
        raise ValueError("Baselines need held-out chunks; the corpus has none. Pass held_out=[...] to corpus.read.")
    if min(orders, default=0) < 0 or max(orders, default=0) > 12:
        raise ValueError(f"Markov orders must lie in 0 to 12; got {list(orders)}.")
    train = list(corpus.runs())
    test = [corpus.codes[row.contig][row.start : row.end] for row in corpus.held_out.itertuples(index=False)]
    rows = [("unigram", k, unigram(train, test, k=k))]
    rows += [("Markov", n, k * markov(train, test, order=n)) for n in orders]
    table = pd.DataFrame(rows, columns=["model", "order", "nats"])
    return table.assign(trained_on=sum(len(run) for run in train))


def unigram(train: Iterable[np.ndarray], test: Iterable[np.ndarray], *, k: int = 6) -> float:
    """Mean negative log-likelihood, in nats per k-mer, of the test runs cut in k-mers; counts are of all frames."""
    loss = _losses(_counts(train, k))
    return float(np.concatenate([loss[_kmers(run, k, step=k)] for run in test]).mean())


def unigram_losses(corpus: Corpus, vocabulary: Vocabulary) -> np.ndarray:
    """Negative log-likelihood [id], in nats, of each k-mer token under the unigram of the training chunks; NaN for other ids.

    Beside a model's loss it says how much of a difference between elements is composition alone.
    """
    out = np.full(vocabulary.n_ids, np.nan)
    out[vocabulary.kmer_ids] = _losses(_counts(corpus.runs(), vocabulary.k))[token_numbers(vocabulary)]
    return out


def markov(train: Iterable[np.ndarray], test: Iterable[np.ndarray], *, order: int) -> float:
    """Mean negative log-likelihood, in nats per base, of each base given the `order` bases to its left."""
    loss = _losses(_counts(train, order + 1, np.float32).reshape(-1, 4)).ravel()
    return float(np.concatenate([loss[_kmers(run, order + 1)] for run in test]).mean(dtype=np.float64))


def _losses(counts: np.ndarray) -> np.ndarray:
    return -np.log(counts / counts.sum(axis=-1, keepdims=True))


def _counts(train: Iterable[np.ndarray], k: int, dtype: type = np.float64) -> np.ndarray:
    """Count of each k-mer by its base-4 number, in all frames and on both strands, plus one."""
    counts = np.ones(4**k, dtype)
    for run in train:
        for strand in (run, reverse(run)):
            counts += np.bincount(_kmers(strand, k), minlength=4**k).astype(dtype)
    return counts


def _kmers(run: np.ndarray, k: int, *, step: int = 1) -> np.ndarray:
    """Base-4 number of every k-mer free of N, `step` apart."""
    number, clean = kmer_numbers(run, k)
    return number[::step][clean[::step]]
