"""What is explained: one number that a model gives for a sequence, as a function that can be differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from ntviz.models.protocol import SPLICE_CLASSES
from ntviz.sequence import BASES, reverse_complement
from ntviz.tokens import Tokens

if TYPE_CHECKING:
    import torch


class Target(Protocol):
    """One number a sequence. `masked` says which tokens are hidden from the model while it is asked.

    A class over scores of outputs instead of hidden states says so by `of = "scores"`.
    """

    def masked(self, tokens: Tokens) -> list[int]:
        """Indices of the tokens that the mask token replaces."""
        ...

    def score(self, model: Any, states: Any, tokens: Tokens, /) -> torch.Tensor:
        """The number for each row [sequence] of hidden states [sequence, token, hidden], one a layer and the embedding first.

        Of scores where `of` says so.
        """
        ...

    def mirrored(self, n: int) -> Target:
        """The same question about the other strand of a sequence of n bp."""
        ...

    def edited(self, start: int, end: int, by: int) -> Target:
        """The same question once the bases start to end, 0-based half-open, became longer by so many."""
        ...

    def unit(self, model: Any) -> str:
        """Of the number, in words; empty where it has none."""
        ...


@dataclass(frozen=True)
class SpliceSite:
    """Log-odds, in nats, of a splice site at a position, by the mean probability of a splice model's networks.

    Attributes
    ----------
    kind
        "acceptor" (the first base of an exon) or "donor" (the last base of one).
    position
        0-based, in bp within the sequence. The bases that lie up to 5,000 bp from it are read; N lies beyond the ends.

    Notes
    -----
    Of a site that is there a probability is nearly 1 and moves no more; log-odds do.
    """

    kind: str
    position: int

    of: ClassVar[str] = "sites"

    def __post_init__(self) -> None:
        if self.kind not in ("acceptor", "donor"):
            raise ValueError(
                f"A splice site must be an acceptor or a donor; received {self.kind!r}. Choose one of the two."
            )

    def masked(self, tokens: Tokens) -> list[int]:
        """None.

        Raises
        ------
        ValueError
            The position is outside the sequence.
        """
        if not 0 <= self.position < len(tokens.sequence):
            raise ValueError(
                f"The position of a target must lie in the sequence, 0 to {len(tokens.sequence) - 1:,}; received {self.position:,}. "
                "Subtract the interval's start from a genome position."
            )
        return []

    def score(self, model: Any, logits: torch.Tensor, tokens: Tokens) -> torch.Tensor:
        """[sequence], of logits [network, sequence, class]."""
        logs = logits.float().log_softmax(2)
        index = SPLICE_CLASSES.index(self.kind)
        others = [other for other in range(len(SPLICE_CLASSES)) if other != index]
        return logs[:, :, index].logsumexp(0) - logs[:, :, others].logsumexp((0, 2))

    def mirrored(self, n: int) -> SpliceSite:
        """Raises a ValueError: a site lies on one strand."""
        raise ValueError(
            "A splice site lies on one strand. Leave both_strands out, and take the interval on the strand of the gene."
        )

    def edited(self, start: int, end: int, by: int) -> SpliceSite:
        """Itself, moved where it lies behind the bases that changed."""
        return replace(self, position=moved(self.position, start, end, by))

    def unit(self, model: Any) -> str:
        """Natural logarithms."""
        return "log-odds (nats)"


@dataclass(frozen=True)
class BaseProbability:
    """Log probability, in nats, of a base where its token is masked: what the model expects there from the rest.

    Attributes
    ----------
    position
        0-based, in bp within the sequence.
    base
        A, C, G or T.
    against
        Another base: then the target is the difference of the two log probabilities, `base` less `against`, such as that of an
        alternative allele and the reference.

    Notes
    -----
    The marginal over the k-mers of the token, as in `tokens.base_log_probs`. The bases of the token are hidden together, so none of them
    can have an attribution.
    """

    position: int
    base: str
    against: str | None = None

    def __post_init__(self) -> None:
        for base in (self.base, *([self.against] if self.against is not None else [])):
            if base not in BASES or len(base) != 1:
                raise ValueError(f"A base must be one of A, C, G, T; received {base!r}.")
        if self.base == self.against:
            raise ValueError(
                f"The two bases of a contrast must differ; received {self.base} twice. Give the other allele."
            )

    def masked(self, tokens: Tokens) -> list[int]:
        """The token that covers the position.

        Raises
        ------
        ValueError
            The position is outside the sequence, or N.
        """
        n = len(tokens.sequence)
        if not 0 <= self.position < n:
            raise ValueError(
                f"The position of a target must lie in the sequence, 0 to {n - 1:,}; received {self.position:,}. "
                "Subtract the interval's start from a genome position."
            )
        index = int(tokens.token_at(self.position))
        if tokens.is_n[index]:
            raise ValueError(
                f"The base at {self.position:,} is N, which no model expects. Take another position."
            )
        return [index]

    def score(self, model: Any, states: Sequence[torch.Tensor], tokens: Tokens) -> torch.Tensor:
        """[sequence], in nats."""
        import torch

        (index,) = self.masked(tokens)
        vocabulary = tokens.vocabulary
        words = vocabulary.kmer_ids  # a byte-pair encoding has none, and says so
        logits = model.module.lm_head(states[-1][:, index]).float()
        if tokens.is_kmer[index]:
            logits = logits[:, words]
            place = self.position - tokens.bases_of(index)[0]
            codes = torch.from_numpy(vocabulary.kmer_base_codes[:, place].copy()).to(logits.device)
        else:
            logits = logits[:, torch.from_numpy(vocabulary.single_ids.copy()).to(logits.device)]
            codes = torch.arange(4, device=logits.device)

        def log_probability(base: str) -> torch.Tensor:
            chosen = logits[:, codes == BASES.index(base)]
            return chosen.logsumexp(1) - logits.logsumexp(1)

        found = log_probability(self.base)
        return found if self.against is None else found - log_probability(self.against)

    def mirrored(self, n: int) -> BaseProbability:
        """The complementary base, counted from the other end."""
        other = None if self.against is None else reverse_complement(self.against)
        return BaseProbability(n - 1 - self.position, reverse_complement(self.base), other)

    def edited(self, start: int, end: int, by: int) -> BaseProbability:
        """Itself, moved where it lies behind the bases that changed."""
        return replace(self, position=moved(self.position, start, end, by))

    def unit(self, model: Any) -> str:
        """Natural logarithms."""
        return "log probability (nats)" if self.against is None else "log ratio of probabilities (nats)"


@dataclass(frozen=True, eq=False)
class Direction:
    """The product of a mean hidden state with a vector: how far a sequence lies along a direction.

    The mean is over the tokens that cover bases, as probes see it, so that the coefficients of a linear probe, on its scaler's scale, are
    a direction.

    Attributes
    ----------
    vector
        [hidden].
    layer
        0 (the embedding) to the number of layers; -1 for the last.
    offset
        Added to the product.
    """

    vector: np.ndarray
    layer: int = -1
    offset: float = 0.0

    def masked(self, tokens: Tokens) -> list[int]:
        """None."""
        return []

    def score(self, model: Any, states: Sequence[torch.Tensor], tokens: Tokens) -> torch.Tensor:
        """[sequence], without unit.

        Raises
        ------
        ValueError
            A layer that is not there, or a vector that does not fit it.
        """
        import torch

        mean = mean_state(model, states, tokens, self.layer)
        vector = np.asarray(self.vector, dtype=np.float32)
        if vector.shape != (mean.shape[-1],) or not np.isfinite(vector).all():
            raise ValueError(
                f"A direction in {model.name} must have {mean.shape[-1]} finite numbers; received shape {vector.shape}"
                + (" with others among them." if vector.shape == (mean.shape[-1],) else ".")
            )
        return mean @ torch.from_numpy(vector).to(mean.device) + self.offset

    def mirrored(self, n: int) -> Direction:
        """Itself: a direction has no place."""
        return self

    def edited(self, start: int, end: int, by: int) -> Direction:
        """Itself."""
        return self

    def unit(self, model: Any) -> str:
        """None."""
        return ""


def mean_state(model: Any, states: Sequence[torch.Tensor], tokens: Tokens, layer: int) -> torch.Tensor:
    """The mean over the tokens that cover bases of a layer's hidden states, float32 [sequence, hidden].

    Raises
    ------
    ValueError
        The model has no such layer.
    """
    import torch

    if not -1 <= layer < len(states):
        raise ValueError(
            f"The layer of a target must lie in 0 (the embedding) to {len(states) - 1} for {model.name}, or be -1 for the "
            f"last; received {layer}."
        )
    covering = torch.from_numpy(~np.asarray(tokens.is_special)).to(states[layer].device)
    return states[layer][:, covering].float().mean(1)


def moved(position: int, start: int, end: int, by: int) -> int:
    """Where a base lies once those from start to end, 0-based half-open, became longer by so many.

    Raises
    ------
    ValueError
        It is among those that changed in number, so that it has no counterpart.
    """
    if start <= position < end and by:
        raise ValueError(
            f"The position of a target must lie outside of an insertion or deletion, here {start:,} to {end:,}; received {position:,}. "
            "Give alternative_target."
        )
    return position if position < end or not by else position + by
