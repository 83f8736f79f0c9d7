"""What kind of head each is: attention on simple templates, beside what the same distances give by chance; an atlas.

A head that looks near will touch the same k-mer, or GC-rich k-mers, more often than one that looks anywhere. So chance is
computed for each head from its own distances: the share of pairs that match a template at each offset, weighted by the
attention the head gives that offset on the same sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from ntviz import environment
from ntviz.attention.blocks import Block, Context, Observer, Sums, tokens_of
from ntviz.attention.observation import observe
from ntviz.attention.observers import Distance, Entropy, Received
from ntviz.genome.sequence import reverse_complement
from ntviz.tokens import Tokens

PERIODS = {"codon period": 3.0, "helix period": 10.5}
"""bp between maxima that the periodicity templates look for."""
OFFSETS = 32
"""Tokens on either side among which a fixed offset is looked for."""
NEAR = 3
"""Tokens on either side that count as the diagonal."""
CONTENT = ("same k-mer", "reverse complement", "GC")
"""Templates made of bases."""
_LEAST = {
    "first token": (0.5, 2.0), "fixed offset": (0.3, 4.0), "same k-mer": (0.1, 2.0), "reverse complement": (0.1, 2.0),
    "codon period": (0.4, 4.0), "helix period": (0.4, 4.0), "diagonal": (0.5, 2.0), "GC": (0.0, 1.2),
}  # fmt: skip
"""Score and ratio from which a head is named after a template, in the order in which they are asked."""
LEAST_RATIO = 1.2
"""Ratio to its share of the windows from which an element names a head: less may be sure, and says little."""


@dataclass(frozen=True)
class Habits(Observer):
    """How much attention of base queries on base keys falls on simple templates, and on each offset. Result: `Habits.Result`."""

    @dataclass(frozen=True)
    class Result:
        """Sums over base queries; offsets are key minus query, in base tokens, from 1 - n to n - 1.

        Of GC, content is weight times the key's share of G and C; it is NaN where the bases are not known.
        """

        by_offset: np.ndarray  # [layer, head, offset] weight on base keys
        content: np.ndarray  # [layer, head, template] weight on keys that match the templates `CONTENT`
        content_by_offset: np.ndarray  # [template, offset] pairs that match (for GC, sums of shares)
        n: int  # base tokens

    class _Sums(Sums):
        def __init__(self, observer: Any, context: Context) -> None:
            super().__init__(observer, context)
            self.n = len(context.base)
            self.by_offset, self.content = self.zeros(2 * self.n - 1), self.zeros(len(CONTENT))
            self.kmers = None if context.tokens is None else _kmers(context.tokens, context.device)

        def see(self, block: Block) -> None:
            queries = self.context.base_queries(*block.queries)
            if not len(queries):
                return
            layer, heads = self.grid.place(block)
            rows = block.probabilities[:, queries - block.queries[0]]
            placed, ranks = rows[..., self.context.base], self.context.rank[queries]
            self.by_offset[layer, heads] += self.diagonals(placed, ranks)
            for kind, mask in enumerate(self.masks(ranks)):
                self.content[layer, heads, kind] += torch.einsum("hqk,qk->h", placed, mask).double()

        def diagonals(self, values: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
            """Sums along diagonals, [.., offset], of [.., query, key] for queries of these ranks."""
            where = torch.arange(self.n, device=values.device)[None] - ranks[:, None] + self.n - 1
            sums = torch.zeros(len(values), 2 * self.n - 1, device=values.device)
            return sums.index_add_(1, where.flatten(), values.flatten(1)).double()

        def masks(self, ranks: torch.Tensor) -> list[torch.Tensor]:
            """Which keys match each template of `CONTENT`, [query, key], for queries of these ranks."""
            if self.kmers is None:
                return []
            own, turned, gc = self.kmers
            apart = torch.arange(self.n, device=ranks.device)[None] != ranks[:, None]
            same, pairing = ((words[ranks, None] == own[None]) & apart for words in (own, turned))
            return [same.float(), pairing.float(), gc.expand(len(ranks), -1)]

        def finish(self) -> Habits.Result:
            device = self.context.device
            pairs = torch.zeros(len(CONTENT), 2 * self.n - 1, dtype=torch.float64, device=device)
            for ranks in torch.arange(self.n, device=device).split(256):
                if masks := self.masks(ranks):
                    pairs += self.diagonals(torch.stack(masks), ranks)
            if self.kmers is None:
                self.content[:] = torch.nan
            sums = (self.by_offset, self.content, pairs)
            return Habits.Result(*(part.cpu().numpy() for part in sums), self.n)


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
    """

    table: pd.DataFrame
    heads: pd.DataFrame
    sequences: int  # how many

    def __repr__(self) -> str:
        counts = self.heads["label"].str.replace(r" [-+−\d].*", "", regex=True).value_counts()
        labels = ", ".join(f"{number} {label}" for label, number in counts.items())
        return f"{len(self.heads)} heads over {self.sequences} sequences: {labels}"


def detect(model: Any, sequences: Iterable[str | Tokens]) -> Detection:
    """Scores of every head against templates of simple habits, each beside what chance gives.

    Templates, with what is expected of them: "fixed offset" (the weight at the best offset of at most 32 tokens; the
    mean of the other offsets), "diagonal" (share within 3 tokens; even attention), "first token" (share on `<cls>`, or on
    the first token where there is none; even attention), "same k-mer" elsewhere, "reverse complement" and "GC" (the same
    attention by distance on these bases), "codon period" and "helix period" (3 and 10.5 bp: power of the profile over
    distances 1 to 63 bp, after its trend; the mean of all periods). Tokens of k bp know distances in steps of k: periods
    below 2 k are not resolvable, so a 6-mer model says nothing about either.

    Parameters
    ----------
    model
        A `models.DNAModel`.
    sequences
        Upper-case sequences or their tokens, 8 tokens or more each; several, for intervals.
    """
    given = [sequences] if isinstance(sequences, (str, Tokens)) else sequences
    several = [tokens_of(model, one) for one in given]
    short = min((len(one) for one in several), default=0)
    if short < 8:
        raise ValueError(
            f"There must be a sequence, and each must have 8 tokens or more; received {len(several)} sequences, the shortest "
            f"of {short} tokens. Pass longer windows."
        )
    asked = {"habits": Habits(), "entropy": Entropy(), "distance": Distance(), "received": Received()}
    passes = [observe(model, one, **asked) for one in environment.progress(several, what="habits of heads")]
    k = int(np.median(np.concatenate([np.diff(one.spans[~one.is_special], axis=1)[:, 0] for one in several])))
    best = _best_offsets([seen.habits for seen in passes])
    scored = [_scores(seen.habits, seen.received.by_token[..., 0], best, k) for seen in passes]
    shape = best.shape
    places = pd.DataFrame(dict(zip(("layer", "head"), np.indices(shape).reshape(2, -1), strict=True)))
    tables = []
    for template in scored[0]:
        score, expected = (np.stack([one[template][i] for one in scored]) for i in (0, 1))
        mean, chance = score.mean(0), expected.mean(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = mean / chance
            # The interval of a ratio of means, by the delta method over sequences.
            spread = (score - ratio * expected).std(0, ddof=1) if len(scored) > 1 else np.full(shape, np.nan)
            error = 1.96 * spread / np.sqrt(len(scored)) / chance
        status = np.where(chance > 0, "ok", "nothing").astype(object)
        if np.isnan(mean).all():
            status[:] = "not resolvable" if template in PERIODS else "needs bases"
        own = places.assign(template=template, score=mean.ravel(), expected=chance.ravel(), ratio=ratio.ravel())
        own["low"], own["high"] = (ratio - error).ravel(), (ratio + error).ravel()
        own["detail"] = [f"{one:+d}" if template == "fixed offset" else "" for one in best.ravel()]
        tables.append(own.assign(status=status.ravel()))
    table = pd.concat(tables, ignore_index=True)
    heads = np.mean([(seen.entropy.mean, seen.distance.mean, seen.received.special) for seen in passes], axis=0)
    about = places.assign(**dict(zip(("entropy", "distance_bp", "to_special"), heads.reshape(3, -1), strict=True)))
    # Of attention that is alike on all tokens: its entropy, and a third of the sequence as its mean distance.
    even = float(np.mean([np.log(len(one)) for one in several]))
    far = float(np.mean([len(one.sequence) / 3 for one in several]))
    shares = about[["entropy", "distance_bp"]].to_numpy() / (even, far)
    by_head = (rows for _, rows in table.groupby(["layer", "head"]))
    about["label"] = [_label(rows, *share) for rows, share in zip(by_head, shares, strict=True)]
    return Detection(table, about, len(several))


def _best_offsets(habits: Sequence[Habits.Result]) -> np.ndarray:
    """[layer, head] offset with the largest mean weight, over all sequences."""
    total, pairs = 0.0, 0.0
    for one in habits:
        reach = min(OFFSETS, one.n - 1)
        near, pad = slice(one.n - 1 - reach, one.n + reach), (OFFSETS - reach,) * 2
        total = total + np.pad(one.by_offset[..., near], ((0, 0), (0, 0), pad))
        pairs = pairs + np.pad(_pairs(one.n)[near], pad)
    return (total / np.maximum(pairs, 1)).argmax(-1) - OFFSETS


def _pairs(n: int) -> np.ndarray:
    """[offset] pairs of n tokens at each offset from 1 - n to n - 1."""
    return n - np.abs(np.arange(1 - n, n))


def _scores(
    one: Habits.Result, first: np.ndarray, best: np.ndarray, k: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Score and expectation [layer, head] of each template on one sequence."""
    n, pairs, middle = one.n, _pairs(one.n), one.n - 1
    profile = one.by_offset / pairs
    reach = min(OFFSETS, n - 1)
    near = profile[..., middle - reach : middle + reach + 1]
    at = np.take_along_axis(near, np.clip(best + reach, 0, 2 * reach)[..., None], -1)[..., 0]
    close = slice(max(middle - NEAR, 0), middle + NEAR + 1)
    scores = {
        "fixed offset": (at, (near.sum(-1) - at) / (2 * reach)),
        "diagonal": (one.by_offset[..., close].sum(-1) / n, np.full_like(at, pairs[close].sum() / n**2)),
        "first token": (first / n, np.full_like(at, 1 / (n + 1))),
    }
    expected = np.einsum("lho,to->lht", one.by_offset, one.content_by_offset / pairs)
    for kind, name in enumerate(CONTENT):
        whole = one.by_offset.sum(-1) if name == "GC" else n
        scores[name] = one.content[..., kind] / whole, expected[..., kind] / whole
    return scores | {name: _period(profile, middle, bp, k) for name, bp in PERIODS.items()}


def _period(profile: np.ndarray, middle: int, bp: float, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of the detrended profile's power at a period, and the mean share of all periods."""
    steps = 63 // k
    if bp < 2 * k or profile.shape[-1] < 2 * steps + 1:
        return np.full(profile.shape[:2], np.nan), np.full(profile.shape[:2], np.nan)
    from scipy.signal import detrend

    far = np.arange(1, steps + 1)
    line = detrend((profile[..., middle + far] + profile[..., middle - far]) / 2)
    power = np.abs(np.fft.rfft(line, axis=-1))[..., 1:] ** 2
    total = np.maximum(power.sum(-1), 1e-300)
    return power[..., round(steps * k / bp) - 1] / total, np.full(profile.shape[:2], 1 / power.shape[-1])


def _label(rows: pd.DataFrame, evenness: float, nearness: float) -> str:
    by_template = rows.set_index("template")
    for template, (score, ratio) in _LEAST.items():
        row = by_template.loc[template]
        sure = not row["low"] <= 1  # with one sequence there is no interval
        if row["status"] == "ok" and row["score"] >= score and row["ratio"] >= ratio and sure:
            return f"offset {row['detail']}" if template == "fixed offset" else template
    return "diffuse" if evenness > 0.9 else "nearby" if nearness < 0.5 else "other"


def _kmers(tokens: Tokens, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Numbers of the base tokens' k-mers and of their reverse complements, and their shares of G and C."""
    kmers = [tokens.sequence[start:end] for start, end in tokens.spans[~tokens.is_special]]
    # A k-mer with N is like no other.
    names = [kmer if "N" not in kmer else f"{kmer} {place}" for place, kmer in enumerate(kmers)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    turned = [numbers.get(reverse_complement(kmer), -1) if "N" not in kmer else -1 for kmer in kmers]
    shares = [sum(base in "GC" for base in kmer) / len(kmer) for kmer in kmers]
    own = [numbers[name] for name in names]
    return tuple(torch.tensor(values, device=device) for values in (own, turned, shares))


@dataclass(frozen=True)
class Atlas:
    """What is known of each head, one row a head of `table`; made by `atlas`.

    Columns layer, head, label, habit, entropy, distance_bp, to_special, element, element_ratio, effect, effect_q, and the ratio to
    chance of each template under its name. `element` is that with the largest ratio, at least `LEAST_RATIO`, among those that stand
    against the shift null; empty where none does. `effect` is what changes without the head, with its false discovery rate.
    """

    table: pd.DataFrame

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores that `grid` takes."""
        return tuple(self.table.select_dtypes("number").columns.drop(["layer", "head"]))

    def grid(self, score: str) -> np.ndarray:
        """[layer, head] values of a score, for colouring."""
        if score not in self.scores:
            raise ValueError(
                f"A score must be one of {', '.join(self.scores)}; received {score!r}. Choose one of these."
            )
        return self._square(score).astype(float)

    @property
    def labels(self) -> list[list[str]]:
        """Short words for each [layer][head]."""
        return self._square("label").tolist()

    def _square(self, column: str) -> np.ndarray:
        return self.table.pivot(index="layer", columns="head", values=column).to_numpy()

    def __repr__(self) -> str:
        looking = int((self.table["element"] != "").sum())
        counts = self.table["habit"].str.replace(r" [+-]\d+$", "", regex=True).value_counts()
        habits = ", ".join(f"{number} {habit}" for habit, number in counts.items())
        return f"{len(self.table)} heads: {habits}; {looking} look at an element more than chance"


def atlas(detection: Detection, enrichment: Any = None, ablation: Any = None) -> Atlas:
    """One row for each head: its habit, how it scores against each template, the element it looks at most, and whether it matters.

    `detection` is from `detect`, `enrichment` from `enrichment`, `ablation` from `ablate` of all heads, of the same model; without
    the second no element is named, without the third effects are missing.
    """
    heads = detection.heads.rename(columns={"label": "habit"})
    ratios = detection.table.pivot(index=["layer", "head"], columns="template", values="ratio").reset_index()
    table = heads.merge(ratios, on=["layer", "head"])
    pair, known = ["layer", "head"], set(zip(table["layer"], table["head"], strict=True))
    for name, tested in (("enrichment", enrichment), ("ablation", ablation)):
        own = known if tested is None else set(tested.table[pair].dropna().itertuples(index=False, name=None))
        if own != known:
            raise ValueError(
                f"Detection and {name} must be of the same model, and of all its heads; received {len(known)} and {len(own)} "
                f"heads, {len(own & known)} of them in both. Run both on one model."
            )
    best = alone = table.head(0).assign(element="", ratio=np.nan, effect=np.nan, q=np.nan)
    if enrichment is not None:
        best = enrichment.table[enrichment.table["significant"] & (enrichment.table["ratio"] >= LEAST_RATIO)]
        best = best.sort_values("ratio", ascending=False).drop_duplicates(pair)
    if ablation is not None:
        alone = ablation.table[ablation.table["element"] == "all"].dropna(subset=pair).astype(dict.fromkeys(pair, int))
    best = best[[*pair, "element", "ratio"]].rename(columns={"ratio": "element_ratio"})
    alone = alone[[*pair, "effect", "q"]].rename(columns={"q": "effect_q"})
    table = table.merge(best, how="left", on=pair).merge(alone, how="left", on=pair)
    table = table.fillna({"element": ""})
    labels = []
    for habit, element, ratio in table[["habit", "element", "element_ratio"]].itertuples(index=False):
        name = element.replace("_", " ").replace("cpg", "CpG").replace("utr", "UTR")
        words = [habit] * (habit != "other" or not name) + [f"{name} {ratio:.1f}x"] * bool(name)
        labels.append(", ".join(words))
    table.insert(2, "label", labels)
    return Atlas(table)
