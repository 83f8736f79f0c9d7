"""Sites put into sequences: whether a model answers to a motif, and where a method that finds motifs should find some."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ntviz import environment
from ntviz.genome.sequence import require, reverse_complement
from ntviz.motifs.matrix import Motif, listed
from ntviz.statistics import draw_groups, middle

if TYPE_CHECKING:
    import pandas as pd

Ask = Callable[[list[str]], np.ndarray]
"""Sequences to one number each, [sequence]: a model's score, probability or prediction."""

_POOL = 20  # sites to draw for one of more than one base
_ALL_SIGNS = 14  # backgrounds up to which every pattern of signs is counted


@dataclass(frozen=True, eq=False)
class Insertion:
    """What `insertion` measured; every number has the unit of `ask`.

    `effect` is the mean over backgrounds of what the site adds to the mean of its shuffles, `low` and `high` its 95 % interval
    by bootstrap over backgrounds (nan for a single one), and `p` the chance of a mean as far from 0 if each background's effect
    were as likely to have the other sign; `with_site` and `with_shuffles` are means of the answers. `table` has a row a
    background: site, with_site, with_shuffles, effect, and that on each strand, `plus` and `minus` (nan where not asked for).
    """

    effect: float
    low: float
    high: float
    p: float
    with_site: float
    with_shuffles: float
    table: pd.DataFrame

    def __repr__(self) -> str:
        effect = f"effect {self.effect:.3g} [{self.low:.3g}, {self.high:.3g}], p {self.p:.2g}"
        return f"Insertion({effect}, {len(self.table):,} backgrounds)"


def insertion(
    ask: Ask, motif: Motif, backgrounds: Sequence[str], *, site: Literal["best", "drawn"] = "best", shuffles: int = 10,
    both_strands: bool = True, bootstrap: int = 2_000, batch: int = 64, seed: int = 0,
) -> Insertion:  # fmt: skip
    """Effect of a motif's site on a model's answer, over that of the same bases in another order.

    As in Avsec et al., Nature Genetics 2021 (BPNet), with controls of the same composition.

    Parameters
    ----------
    ask
        Takes a list of sequences, gives one number for each. It should answer to the middle of a sequence, or to all of it.
    motif, backgrounds
        Its site takes the place of as many bases in the middle of each background: independent sequences of the kind that
        the model reads, upper-case A, C, G, T, N, as long as the motif or longer.
    site
        ``best`` is the most probable base at each position; ``drawn`` a site by the motif's probabilities a background.
    shuffles
        Copies of the site with its positions in another order; none is the site itself or, on both strands, its reverse.
    both_strands
        Whether to ask for reverse complements of the site and its shuffles too, and take the mean.
    bootstrap, batch
        Resamples of the backgrounds; sequences passed to `ask` at a time.

    Examples
    --------
    >>> motif = Motif.from_sites("toy", ["GATTACA"])
    >>> found = insertion(lambda some: np.array([one.count("GATTACA") for one in some]), motif, ["C" * 20, "G" * 31])
    >>> found.effect, found.table["plus"].tolist(), found.table["minus"].tolist()
    (0.5, [1.0, 1.0], [0.0, 0.0])
    """
    import pandas as pd

    if isinstance(backgrounds, str) or not len(backgrounds):
        received = "one text" if isinstance(backgrounds, str) else "none"
        raise ValueError(
            f"Backgrounds must be one or more sequences; received {received}. Pass a list, such as windows around elements."
        )
    if site not in ("best", "drawn"):
        raise ValueError(f"site must be 'best' or 'drawn'; received {site!r}. Use one of them.")
    if min(shuffles, bootstrap, batch) < 1:
        raise ValueError(f"shuffles, bootstrap and batch must be at least 1; received {shuffles}, {bootstrap} and {batch}.")  # fmt: skip
    for number, background in enumerate(backgrounds):
        try:
            require(background)
        except (TypeError, ValueError) as error:
            raise type(error)(f"Background {number}: {error}") from None
        if len(background) < len(motif):
            raise ValueError(
                f"A background must be as long as the motif; number {number} has {len(background)} bp, and {motif.id} {len(motif)}."
            )
    rng = np.random.default_rng(seed)
    count = len(backgrounds)
    sites = _sites(motif, site, count, rng)
    planted = []
    for background, bases in zip(backgrounds, sites, strict=True):
        start = (len(background) - len(bases)) // 2
        versions = [bases, *_orders(bases, shuffles, both_strands, rng)]
        if both_strands:
            versions += [reverse_complement(version) for version in versions]
        planted += [background[:start] + version + background[start + len(bases) :] for version in versions]
    answers = _asked(ask, planted, batch).reshape(count, 1 + both_strands, 1 + shuffles)
    differences = answers[:, :, 0] - answers[:, :, 1:].mean(axis=2)
    effects = differences.mean(axis=1)
    low = high = np.nan
    if count > 1:
        low, high = middle(effects[draw_groups(count, bootstrap, rng)].mean(axis=1))
    with_site, with_shuffles = answers[:, :, 0].mean(axis=1), answers[:, :, 1:].mean(axis=(1, 2))
    table = pd.DataFrame({"site": pd.Series(sites, dtype=str), "with_site": with_site, "with_shuffles": with_shuffles})
    table = table.assign(effect=effects, plus=differences[:, 0], minus=differences[:, 1] if both_strands else np.nan)
    means = float(with_site.mean()), float(with_shuffles.mean())
    return Insertion(float(effects.mean()), low, high, sign_flip(effects, rng), *means, table)


def sign_flip(effects: np.ndarray, rng: np.random.Generator, draws: int = 10_000) -> float:
    """Share of sign patterns whose mean is as far from 0: of all up to 14 effects, else of those drawn and the one that came."""
    exact = len(effects) <= _ALL_SIGNS
    if exact:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(effects))))
    else:
        signs = rng.choice((-1.0, 1.0), size=(draws, len(effects)))
    # Sums in another order differ by a rounding error.
    as_far = np.abs(signs @ effects) >= np.abs(effects.sum()) - 1e-9 * np.abs(effects).sum()
    return float(as_far.mean() if exact else (1 + as_far.sum()) / (1 + draws))


def _sites(motif: Motif, kind: str, count: int, rng: np.random.Generator) -> list[str]:
    """The site of each background, none of a single base, which has no other order."""
    pool = [motif.best_site] * count
    if kind == "drawn":
        pool = motif.drawn(_POOL * count, seed=int(rng.integers(2**32)))
    sites = [site for site in pool if len(set(site)) > 1][:count]
    if len(sites) < count:
        raise ValueError(f"A site must have another order of its bases to compare with; {pool[0]} has none. Take a longer motif.")  # fmt: skip
    return sites


def _orders(site: str, count: int, both_strands: bool, rng: np.random.Generator) -> list[str]:
    """So many other orders of a site's bases, drawn one by one; the same may come twice."""
    own = {site, reverse_complement(site)} if both_strands else {site}
    letters = np.array(list(site))
    found: list[str] = []
    while len(found) < count:
        other = "".join(rng.permutation(letters))
        if other not in own:
            found.append(other)
    return found


def _asked(ask: Ask, sequences: list[str], batch: int) -> np.ndarray:
    answers = np.empty(len(sequences))
    with environment.progress(total=len(sequences), what="insertion", unit="sequences") as bar:
        for first in range(0, len(sequences), batch):
            some = sequences[first : first + batch]
            answer = np.asarray(ask(list(some)), dtype=np.float64)
            fits = answer.shape == (len(some),)
            if not fits or not np.isfinite(answer).all():
                received = "some that are not finite" if fits else f"shape {list(answer.shape)}"
                raise ValueError(
                    f"ask must give one finite number for each sequence; received {received} for {len(some)} sequences."
                )
            answers[first : first + len(some)] = answer
            bar.update(len(some))
    return answers


@dataclass(frozen=True, eq=False)
class Planted:
    """Backgrounds with a site each, and where these are.

    `sites` has a row a sequence: sequence (number from 0), motif (identifier), start and end (0-based half-open) and strand.
    `labels` int64 [sequence, motif] are 1 for the motif that was planted, in the order of the motifs.
    """

    sequences: list[str]
    sites: pd.DataFrame
    labels: np.ndarray

    def __repr__(self) -> str:
        return f"Planted({len(self.sequences):,} sequences with sites of {self.labels.shape[1]:,} motifs)"

    @property
    def motif(self) -> np.ndarray:
        """Number of the motif of each sequence, from 0: [sequence]."""
        return self.labels.argmax(axis=1)


def plant(backgrounds: Sequence[str], motifs: Motif | Iterable[Motif], *, seed: int) -> Planted:
    """Sequences with one site each, of each motif in turn, at random places and on random strands.

    Sites are drawn base by base, so weak ones are among them; see `Motif.drawn`. No background, no motif, or a background
    shorter than its motif is a ValueError.

    Examples
    --------
    >>> planted = plant(["CCCCCCCCCC"] * 2, Motif.from_sites("toy", ["GATTACA"]), seed=0)
    >>> [planted.sequences[row][start:end] for row, start, end in planted.sites[["sequence", "start", "end"]].values]
    ['TGTAATC', 'GATTACA']
    """
    import pandas as pd

    chosen = listed(motifs)
    if not chosen or not len(backgrounds):
        raise ValueError(f"There must be a motif and a background; received {len(chosen)} and {len(backgrounds)}.")
    rng = np.random.default_rng(seed)
    sequences, rows = [], []
    for number, background in enumerate(backgrounds):
        motif = chosen[number % len(chosen)]
        room = len(require(background)) - len(motif)
        if room < 0:
            raise ValueError(
                f"A background must be as long as its site; received {len(background):,} bp for the {len(motif):,} bp of {motif.id}."
            )
        (site,) = motif.drawn(1, seed=int(rng.integers(1 << 31)))
        strand = "+-"[int(rng.integers(2))]
        start = int(rng.integers(room + 1))
        end = start + len(motif)
        site = site if strand == "+" else reverse_complement(site)
        sequences.append(background[:start] + site + background[end:])
        rows.append((number, motif.id, start, end, strand))
    labels = np.eye(len(chosen), dtype=np.int64)[np.arange(len(sequences)) % len(chosen)]
    columns = ["sequence", "motif", "start", "end", "strand"]
    return Planted(sequences, pd.DataFrame(rows, columns=columns), labels)
