"""What kind of head each is: attention on simple templates, beside what the same distances give by chance.

A head that looks near will touch the same k-mer, or GC-rich words, more often than one that looks anywhere. So what a
template would get by chance is computed for each head from its own distances: the share of pairs that match the
template at each offset, weighted by the attention the head gives that offset on the same sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ntviz import environment
from ntviz.attention.blocks import Block, Context, Observer
from ntviz.attention.interface import observe
from ntviz.attention.observers import Distance, Entropy
from ntviz.sequence import reverse_complement
from ntviz.tokens import Tokens

if TYPE_CHECKING:
    import pandas as pd

PERIODS = {"codon period": 3.0, "helix period": 10.5}
"""bp between maxima that the periodicity templates look for."""
OFFSETS = 32
"""Tokens on either side among which a fixed offset is looked for."""
NEAR = 3
"""Tokens on either side that count as the diagonal."""
CONTENT = ("same k-mer", "reverse complement", "GC")
"""Templates made of bases."""


@dataclass(frozen=True)
class Habits(Observer):
    """How much attention falls on simple templates, and on each offset. Result: `Habits.Result`.

    Only base queries count. Keys are base tokens, but for the template "first token": `<cls>` where there is one.
    """

    @dataclass(frozen=True)
    class Result:
        """Sums over base queries.

        Attributes
        ----------
        by_offset
            [layer, head, offset] weight on base keys, offsets (key minus query, in base tokens) from 1 - n to n - 1.
        content
            [layer, head, template] weight on keys that match the templates `CONTENT`; for GC, weight times the
            key's share of G and C. NaN where the bases are not known.
        first
            [layer, head] weight on the first token.
        special
            [layer, head] weight on special tokens.
        content_by_offset
            [template, offset] pairs that match the template at each offset (for GC, sums of shares).
        n
            Base tokens.
        """

        by_offset: np.ndarray
        content: np.ndarray
        first: np.ndarray
        special: np.ndarray
        content_by_offset: np.ndarray
        n: int

    def start(self, context: Context) -> _HabitSums:
        """An accumulator for one sequence."""
        return _HabitSums(self, context)


class _HabitSums:
    def __init__(self, observer: Observer, context: Context) -> None:
        self.context, self.grid = context, context.grid(observer.layers, observer.heads)
        self.n = n = len(context.base)
        device = context.device
        self.rank = torch.cumsum(context.is_base, 0).long() - 1
        self.offsets = torch.zeros(*self.grid.shape, 2 * n - 1, dtype=torch.float64, device=device)
        self.content = torch.zeros(*self.grid.shape, len(CONTENT), dtype=torch.float64, device=device)
        self.first = torch.zeros(self.grid.shape, dtype=torch.float64, device=device)
        self.special = torch.zeros(self.grid.shape, dtype=torch.float64, device=device)
        self.by_offset = torch.zeros(len(CONTENT), 2 * n - 1, dtype=torch.float64, device=device)
        self.words = None if context.tokens is None else _words(context.tokens, device)
        self.counted: set[int] = set()

    def see(self, block: Block) -> None:
        queries = torch.arange(*block.queries, device=self.context.device)
        queries = queries[self.context.is_base[queries] > 0]
        if not len(queries):
            return
        layer, heads = self.grid.place(block)
        rows = block.probabilities[:, queries - block.queries[0]]
        placed = rows[..., self.context.base]
        self.first[layer, heads] += rows[..., 0].sum(1).double()
        self.special[layer, heads] += rows[..., self.context.special].sum((1, 2)).double()
        ranks = self.rank[queries]
        self.offsets[layer, heads] += self._diagonals(placed, ranks)
        if self.words is None:
            return
        masks = self._masks(ranks)
        for kind, mask in enumerate(masks):
            self.content[layer, heads, kind] += torch.einsum("hqk,qk->h", placed, mask).double()
        new = [row for row, rank in enumerate(ranks.tolist()) if rank not in self.counted]
        if new:
            self.counted.update(ranks[new].tolist())
            self.by_offset += self._diagonals(torch.stack(masks)[:, new], ranks[new])

    def _diagonals(self, values: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
        """Sums along diagonals, [.., offset], of [.., query, key] for queries of these ranks."""
        where = torch.arange(self.n, device=values.device)[None] - ranks[:, None] + self.n - 1
        sums = torch.zeros(len(values), 2 * self.n - 1, device=values.device)
        sums.index_add_(1, where.flatten(), values.flatten(1))
        return sums.double()

    def _masks(self, ranks: torch.Tensor) -> list[torch.Tensor]:
        assert self.words is not None  # for the type checker: callers ask before
        words, turned, gc = self.words
        apart = torch.arange(self.n, device=ranks.device)[None] != ranks[:, None]
        same = (words[ranks, None] == words[None]) & apart
        pairing = (turned[ranks, None] == words[None]) & apart
        return [same.float(), pairing.float(), gc.expand(len(ranks), -1)]

    def finish(self) -> Habits.Result:
        content = self.content.cpu().numpy()
        if self.words is None:
            content[:] = np.nan
        sums = (part.cpu().numpy() for part in (self.first, self.special, self.by_offset))
        return Habits.Result(self.offsets.cpu().numpy(), content, *sums, self.n)


@dataclass(frozen=True)
class Detection:
    """Every head against every template; made by `detect`.

    Attributes
    ----------
    table
        One row a layer, head and template: [layer, head, template, score, expected, ratio, low, high, detail, status].
        `score` is a share of attention ("GC": mean share of G and C of the keys; periods: share of the variation with
        distance that has the period), `expected` what chance gives, `ratio` their quotient with its 95 % interval over
        sequences. `status` is "ok", "not resolvable" (tokens too long for the period), "needs bases" or "nothing".
    heads
        One row a head: [layer, head, entropy, distance_bp, to_special, label]; entropy in nats, means over base
        queries and sequences. Labels: the first template that fits, else "diffuse", "nearby" or "other".
    sequences
        Number of sequences read.
    """

    table: pd.DataFrame
    heads: pd.DataFrame
    sequences: int

    def __repr__(self) -> str:
        counts = self.heads["label"].str.replace(r" [-+−\d].*", "", regex=True).value_counts()
        said = ", ".join(f"{number} {label}" for label, number in counts.items())
        return f"{len(self.heads)} heads over {self.sequences} sequences: {said}"


def detect(model: Any, sequences: Iterable[str | Tokens]) -> Detection:
    """Scores of every head against templates of simple habits, each beside what chance gives.

    Parameters
    ----------
    model
        A `models.DNAModel`.
    sequences
        Upper-case sequences or their tokens; several, for intervals.

    Raises
    ------
    ValueError
        There is no sequence, or one has fewer than 8 tokens.

    Notes
    -----
    Templates, with what is expected of them: "fixed offset" (the weight at the best offset of at most 32 tokens; the
    mean of the other offsets), "diagonal" (share within 3 tokens; even attention), "first token" (share on `<cls>`, or on
    the first token where there is none; even attention), "same k-mer" elsewhere, "reverse complement" and "GC" (the same attention by distance on
    these bases), "codon period" and "helix period" (3 and 10.5 bp: power of the profile over distances 1 to 63 bp, after
    its trend; the mean of all periods). Tokens of k bp know distances in steps of k: periods below 2 k are not
    resolvable, so a 6-mer model says nothing about either.
    """
    import pandas as pd

    given = [sequences] if isinstance(sequences, (str, Tokens)) else sequences
    several = [one if isinstance(one, Tokens) else model.tokenize(one) for one in given]
    short = min((len(one) for one in several), default=0)
    if short < 8:
        raise ValueError(
            f"Heads are told apart on at least one sequence of 8 tokens or more; received {len(several)} sequences, the "
            f"shortest of {short} tokens. Pass longer windows."
        )
    habits, heads = [], []
    for one in environment.progress(several, what="habits of heads"):
        seen = observe(model, one, habits=Habits(), entropy=Entropy(), distance=Distance())
        habits.append(seen.habits)
        heads.append((seen.entropy.mean, seen.distance.mean, seen.habits.special / seen.habits.n))
    k = int(np.median(np.concatenate([np.diff(one.spans[~one.is_special], axis=1)[:, 0] for one in several])))
    best = _best_offsets(habits)
    scored = [_scores(one, best, k) for one in habits]
    shape = best.shape
    rows = []
    for template in scored[0]:
        score, expected = (np.stack([one[template][i] for one in scored]) for i in (0, 1))
        mean, chance = score.mean(0), expected.mean(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = mean / chance
            # The interval of a ratio of means, by the delta method over sequences.
            spread = (score - ratio * expected).std(0, ddof=1) if len(scored) > 1 else np.full(shape, np.nan)
            error = 1.96 * spread / np.sqrt(len(scored)) / chance
        status = "ok"
        if np.isnan(mean).all():
            status = "not resolvable" if template in PERIODS else "needs bases"
        for layer, head in np.ndindex(*shape):
            detail = f"{best[layer, head]:+d}" if template == "fixed offset" else ""
            own = "nothing" if status == "ok" and not chance[layer, head] > 0 else status
            at = (layer, head)
            rows.append((*at, template, mean[at], chance[at], ratio[at], (ratio - error)[at], (ratio + error)[at], detail, own))  # fmt: skip
    columns = ["layer", "head", "template", "score", "expected", "ratio", "low", "high", "detail", "status"]
    table = pd.DataFrame(rows, columns=columns)
    means = [np.mean(part, axis=0).ravel() for part in zip(*heads, strict=True)]
    layers, numbers = (part.ravel() for part in np.indices(shape))
    about = pd.DataFrame(dict(zip(("layer", "head", "entropy", "distance_bp", "to_special"), (layers, numbers, *means), strict=True)))  # fmt: skip
    # Of attention that is alike on all tokens: its entropy, and a third of the sequence as its mean distance.
    even = float(np.mean([np.log(len(one)) for one in several]))
    far = float(np.mean([len(one.sequence) / 3 for one in several]))
    shares = about[["entropy", "distance_bp"]].to_numpy() / (even, far)
    about["label"] = [
        _label(rows, *shares[place]) for place, (_, rows) in enumerate(table.groupby(["layer", "head"]))
    ]
    return Detection(table, about, len(several))


def _best_offsets(habits: Sequence[Habits.Result]) -> np.ndarray:
    """[layer, head] offset with the largest mean weight, over all sequences."""
    total, pairs = 0.0, 0.0
    for one in habits:
        reach = min(OFFSETS, one.n - 1)
        near = slice(one.n - 1 - reach, one.n + reach)
        pad = OFFSETS - reach
        total = total + np.pad(one.by_offset[..., near], ((0, 0), (0, 0), (pad, pad)))
        pairs = pairs + np.pad(_pairs(one.n)[near], pad)
    return (total / np.maximum(pairs, 1)).argmax(-1) - OFFSETS


def _pairs(n: int) -> np.ndarray:
    """[offset] pairs of n tokens at each offset from 1 - n to n - 1."""
    return n - np.abs(np.arange(1 - n, n))


def _scores(one: Habits.Result, best: np.ndarray, k: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Score and expectation [layer, head] of each template on one sequence."""
    n, pairs = one.n, _pairs(one.n)
    profile = one.by_offset / pairs
    middle = n - 1
    reach = min(OFFSETS, n - 1)
    near = profile[..., middle - reach : middle + reach + 1]
    place = np.clip(best + reach, 0, 2 * reach)[..., None]
    at = np.take_along_axis(near, place, -1)[..., 0]
    scores = {"fixed offset": (at, (near.sum(-1) - at) / (2 * reach))}
    close = slice(max(middle - NEAR, 0), middle + NEAR + 1)
    scores["diagonal"] = one.by_offset[..., close].sum(-1) / n, np.full_like(at, pairs[close].sum() / n**2)
    placed = one.by_offset.sum(-1)
    scores["first token"] = one.first / n, np.full_like(at, 1 / (n + 1))
    expected = np.einsum("lho,to->lht", one.by_offset, one.content_by_offset / pairs)
    for kind, name in enumerate(CONTENT):
        whole = placed if name == "GC" else n
        scores[name] = one.content[..., kind] / whole, expected[..., kind] / whole
    for name, bp in PERIODS.items():
        scores[name] = _period(profile, middle, bp, k)
    return scores


def _period(profile: np.ndarray, middle: int, bp: float, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of the detrended profile's power at a period, and the mean share of all periods."""
    steps = 63 // k
    if bp < 2 * k or profile.shape[-1] < 2 * steps + 1:
        return np.full(profile.shape[:2], np.nan), np.full(profile.shape[:2], np.nan)
    far = np.arange(1, steps + 1)
    line = (profile[..., middle + far] + profile[..., middle - far]) / 2
    slope = np.stack([np.ones(steps), far], axis=1)
    trend = line @ slope @ np.linalg.inv(slope.T @ slope) @ slope.T
    power = np.abs(np.fft.rfft(line - trend, axis=-1))[..., 1:] ** 2
    total = np.maximum(power.sum(-1), 1e-300)
    return power[..., round(steps * k / bp) - 1] / total, np.full(profile.shape[:2], 1 / power.shape[-1])


_LEAST = {
    "first token": (0.5, 2.0), "fixed offset": (0.3, 4.0), "same k-mer": (0.1, 2.0), "reverse complement": (0.1, 2.0),
    "codon period": (0.4, 4.0), "helix period": (0.4, 4.0), "diagonal": (0.5, 2.0), "GC": (0.0, 1.2),
}  # fmt: skip
"""Score and ratio from which a head is named after a template, in the order in which they are asked."""


def _label(rows: pd.DataFrame, evenness: float, nearness: float) -> str:
    found = rows.set_index("template")
    for template, (score, ratio) in _LEAST.items():
        row = found.loc[template]
        sure = not row["low"] <= 1  # with one sequence there is no interval
        if row["status"] == "ok" and row["score"] >= score and row["ratio"] >= ratio and sure:
            return f"offset {row['detail']}" if template == "fixed offset" else template
    return "diffuse" if evenness > 0.9 else "nearby" if nearness < 0.5 else "other"


def _words(tokens: Tokens, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Numbers of the base tokens' words and of their reverse complements, and their shares of G and C."""
    words = [tokens.sequence[start:end] for start, end in tokens.spans[~tokens.is_special]]
    # A word with N is like no other.
    numbers: dict[str, int] = {}
    own = [numbers.setdefault(word if "N" not in word else f"{word} {place}", len(numbers)) for place, word in enumerate(words)]  # fmt: skip
    turned = [numbers.get(reverse_complement(word), -1) if "N" not in word else -1 for word in words]
    gc = [sum(base in "GC" for base in word) / len(word) for word in words]
    own, turned, gc = (torch.tensor(values, device=device) for values in (own, turned, gc))
    return own, turned, gc
