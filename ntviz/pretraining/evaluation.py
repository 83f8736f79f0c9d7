"""Held-out loss and accuracy of a masked language model, token by token on genome coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from transformers import EsmForMaskedLM

from ntviz.genome import Interval
from ntviz.pretraining import masking
from ntviz.pretraining.corpus import Corpus, decode
from ntviz.tokens import Tokenizer


@dataclass(frozen=True)
class Evaluation:
    """Held-out results.

    Attributes
    ----------
    table
        One row a masked token: sequence (row of the held-out table), chrom, start, end (0-based half-open, bp),
        target (id of the original), loss (nats), correct (the most probable token is the original).
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

    def interval(self, column: str = "loss", *, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
        """95 % interval of a column's mean by bootstrap over sequences (tokens of one sequence are not independent)."""
        return bootstrap(self.table, column, draws=draws, seed=seed)


def bootstrap(table: pd.DataFrame, column: str, *, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of a column's mean, drawing whole sequences: tokens of one sequence are not independent."""
    grouped = table.groupby("sequence")[column].agg(["sum", "count"]).to_numpy(float)
    picks = np.random.default_rng(seed).integers(0, len(grouped), (draws, len(grouped)))
    sums = grouped[picks].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return float(low), float(high)


def by_element(
    result: Evaluation,
    region: Interval,
    indicators: Mapping[str, np.ndarray],
    *,
    columns: Sequence[str] = ("loss",),
) -> pd.DataFrame:
    """Means by genomic element: element, measure, value, low, high (95 % interval over sequences), tokens.

    A token belongs to an element when any of its bases does, so one token may count in several; the first row of each
    measure, "all", counts every token once.

    Parameters
    ----------
    result
        Predictions; tokens outside the region are left out.
    region
        Where the indicators lie.
    indicators
        By element: bool [base] over the region, as `Annotation.indicator` gives.
    columns
        Columns of `result.table` to average.

    Raises
    ------
    ValueError
        An indicator has another length than the region.
    """
    wrong = [name for name, inside in indicators.items() if len(inside) != len(region)]
    if wrong:
        raise ValueError(
            f"Each indicator must cover the {len(region):,} bp of {region}; {wrong[0]!r} covers "
            f"{len(indicators[wrong[0]]):,}. Make it with annotation.indicator(region, {wrong[0]!r})."
        )
    table = result.table[(result.table["start"] >= region.start) & (result.table["end"] <= region.end)]
    start, end = table["start"].to_numpy() - region.start, table["end"].to_numpy() - region.start
    members = {"all": np.ones(len(table), bool)}
    for name, inside in indicators.items():
        count = np.concatenate([[0], np.cumsum(inside)])
        members[name] = count[end] > count[start]
    rows = []
    for column in columns:
        for name, chosen in members.items():
            part = table[chosen]
            if part.empty:
                rows.append((name, column, np.nan, np.nan, np.nan, 0))
            else:
                rows.append((name, column, float(part[column].mean()), *bootstrap(part, column), len(part)))
    return pd.DataFrame(rows, columns=["element", "measure", "value", "low", "high", "tokens"])


def evaluate(
    module: EsmForMaskedLM,
    corpus: Corpus,
    held_out: pd.DataFrame,
    tokenizer: Tokenizer,
    *,
    rate: float = 0.15,
    batch_tokens: int = 32_000,
    seed: int = 0,
) -> Evaluation:
    """Predictions at masked positions of held-out chunks.

    Parameters
    ----------
    held_out
        Rows of `corpus.held_out`, all of one length and free of N.
    rate
        Share of tokens masked; every selected token becomes `<mask>`. The same seed masks the same tokens.
    batch_tokens
        Tokens a forward pass.
    """
    sequences = [tokenizer(decode(corpus.codes[r.contig][r.start : r.end])) for r in held_out.itertuples()]
    ids = np.stack([s.ids for s in sequences])
    rng = np.random.default_rng((seed, 3))
    selected = np.isin(ids, masking.predictable_ids(tokenizer.vocabulary)) & (rng.random(ids.shape) < rate)
    masked_ids = np.where(selected, tokenizer.vocabulary.mask_id, ids)
    size = max(1, batch_tokens // ids.shape[1])
    losses, correct = [], []
    training = module.training
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
    start = held_out["start"].to_numpy()[sequence]
    return Evaluation(
        pd.DataFrame(
            {
                "sequence": sequence,
                "chrom": held_out["chrom"].to_numpy()[sequence],
                "start": start + spans[:, 0],
                "end": start + spans[:, 1],
                "target": ids[selected],
                "loss": np.concatenate(losses).astype(np.float64),
                "correct": np.concatenate(correct),
            }
        )
    )


def masked_logits(
    module: EsmForMaskedLM,
    attention_mask: np.ndarray,
    masked: masking.Masked,
) -> tuple[torch.Tensor, torch.Tensor]:
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
