"""Seqlets: short stretches of a sequence whose bases contribute more than chance would put together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntviz import environment
from ntviz.motifs.stretches import Stretches, maximal
from ntviz.sequence import codes, require

if TYPE_CHECKING:
    import pandas as pd

SIGNS = (1, -1)
_AT_A_TIME = 1 << 19  # bases of copies of the null
Contributions = Sequence[np.ndarray] | np.ndarray


def seqlets(
    sequences: Sequence[str],
    contributions: Contributions,
    *,
    null: Contributions | None = None,
    outputs: Sequence[int] | np.ndarray | None = None,
    q: float = 0.05,
    drift: float = 0.5,
    widths: tuple[int, int] = (4, 40),
    together: int = 1,
    permutations: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Stretches whose contributions add up to more than stretches of the null do, with p and q.

    What chance expects of a base is taken off each contribution, so that sums of nothing fall. A seqlet is a stretch
    of the largest sum of what is left, then of the largest beside it, and so on. Its length comes of that.

    Parameters
    ----------
    sequences
        Upper-case A, C, G, T, N. No stretch spans an N, whatever contributes there.
    contributions
        Of each sequence, float [base], or of all, [sequence, base], in any unit: attributions, effects of exchanging
        a base, attention received. Above 0 and below it are looked at apart.
    null
        Contributions by the same method of sequences where there is nothing to find, such as these after
        `sequence.shuffle`: the null to prefer, since a model answers to chance matches in them too. When not given,
        contributions are permuted among the bases of their own sequence. That assumes that neighbours have nothing to do
        with each other unless there is a site: false of methods that smear, of tokens of several bases, see `together`,
        and of chance matches, which then are seqlets.
    outputs
        What was asked of each sequence, [sequence] numbers, where it was not the same of all: outputs of a network, say.
        Contributions are then divided by the standard deviation of those of their output (of the null's, where there is
        one), or the output with the largest sets the limit for all. A null must hold whole copies of the sequences, in
        their order. Numbering each sequence by itself calls its best stretches even where it has next to nothing.
    q
        Largest false discovery rate.
    drift
        What is taken off each contribution: the null's mean, where it has the same sign, and this many of its standard
        deviations. More of it makes seqlets shorter.
    widths
        Fewest and most bases. What is shorter is not tested; what is longer is parted at its own mean.
    together
        Bases that are permuted as one: 6 where tokens of 6 bases share their contribution evenly among them.
    permutations
        How often. The smallest p is one in the number of stretches that all of them hold.
    seed
        Of the permutations.

    Returns
    -------
    One row a seqlet, by place: sequence (number from 0), start and end (0-based half-open, in the sequence), sign (1
    above 0, -1 below), sum (of the contributions), score (what they have beyond the drift, in their unit or scale), p
    (share of the null's stretches of this sign with as high a score) and q (false discovery rate, by sign: how many
    stretches of the null are as high in as many bases, one more counted in all, for each that is; the least over lower
    limits). A null with fewer stretches is thereby part of the evidence, which p leaves out. Where seqlets of both signs
    overlap, the one of the smaller p stays. `attrs`: q, n_tests and n_null (stretches), smallest_q (of all stretches),
    and expected: how many seqlets the null has in as many bases by the same limits.

    Raises
    ------
    ValueError
        If sequences and contributions do not fit, a contribution is not finite, or a setting is out of range.

    References
    ----------
    Karlin & Altschul, PNAS 1990, for sums beyond a drift; Ruzzo & Tompa, ISMB 1999, for all maximal stretches.
    Elias & Gygi, Nature Methods 2007, for rates from decoys; Barber & Candès, Annals of Statistics 2015, for the one more.
    TF-MoDISco (Shrikumar et al., arXiv:1811.00416) takes windows of one width and a fitted null.

    Examples
    --------
    >>> values = np.tile([0.0, 0.1], 50)
    >>> values[40:48] = 2
    >>> found = seqlets(["ACGT" * 25], [values])
    >>> found[["start", "end", "sign", "sum"]].values.tolist()
    [[40.0, 48.0, 1.0, 16.0]]
    """
    import pandas as pd

    _check_settings(q, drift, widths, together, permutations)
    values = matched(sequences, contributions)
    known = [codes(text) < 4 for text in sequences]
    given = values
    of_null = None if null is None else [_finite(each, row, "null") for row, each in enumerate(null)]
    if outputs is not None:
        values, of_null = _on_one_scale(values, known, of_null, np.asarray(outputs))
    if of_null is None:
        copies, times = _permuted(values, known, together, permutations, seed), permutations
        at_a_time = max(1, _AT_A_TIME // max(1, sum(map(len, values))))
        of_null = [each[real] for each, real in zip(values, known, strict=True)]
    else:
        copies, times, at_a_time = iter([of_null]), 1, 1
    pooled = np.concatenate([*of_null, np.zeros(0)])
    if not len(pooled):
        if null is not None:
            raise ValueError(
                "A null must hold a number; received none. Leave it out, and contributions are permuted."
            )
        return _empty(q)
    mean, above = float(pooled.mean()), drift * float(pooled.std())
    scores: dict[int, list[np.ndarray]] = {sign: [] for sign in SIGNS}
    with environment.progress(total=times, what="stretches of the null", unit="copies") as bar:
        while some := list(itertools.islice(copies, at_a_time)):
            rows = [each for copy in some for each in copy]
            for sign in SIGNS:
                scores[sign].append(_stretches(rows, sign, mean, above, widths).score)
            bar.update(len(some))
    share = sum(int(real.sum()) for real in known) / (len(pooled) * times)
    walled = [np.where(real, each, np.nan) for each, real in zip(values, known, strict=True)]
    tables, chance = [], {}
    for sign in SIGNS:
        found = _stretches(walled, sign, mean, above, widths)
        chance[sign] = np.sort(np.concatenate(scores[sign]))
        p = (1 + _as_high(chance[sign], found.score)) / (1 + len(chance[sign]))
        rate = rates_of_false(chance[sign], found.score, share)
        columns = {"sequence": found.row, "start": found.start, "end": found.end, "sign": sign, "sum": 0.0}
        tables.append(pd.DataFrame({**columns, "score": found.score, "p": p, "q": rate}))
    table = pd.concat(tables, ignore_index=True)
    passing = _apart(table[table["q"] <= q])
    sums = [given[row][start:end].sum() for row, start, end in _places(passing)]
    passing["sum"] = np.array(sums, dtype=np.float64)
    limits = passing.groupby("sign")["score"].min()
    expected = sum(int(_as_high(chance[sign], limit)) for sign, limit in limits.items())
    passing.attrs = {
        "q": q,
        "n_tests": len(table),
        "n_null": sum(map(len, chance.values())),
        "smallest_q": float(table["q"].min()) if len(table) else float("nan"),
        "expected": expected * share,
    }
    return passing


def matched(sequences: Sequence[str], contributions: Contributions) -> list[np.ndarray]:
    """Contributions as float64 [base] each, once it is known that they are finite and of these sequences.

    Raises
    ------
    ValueError
        If they are not, or a sequence is not clean.
    """
    if len(sequences) != len(contributions):
        raise ValueError(
            f"There must be contributions for each sequence; received {len(sequences):,} sequences and "
            f"{len(contributions):,} arrays. Pass one array a sequence, in the same order."
        )
    values = [_finite(each, row, "contributions") for row, each in enumerate(contributions)]
    for row, (text, each) in enumerate(zip(sequences, values, strict=True)):
        if len(require(text)) != len(each):
            raise ValueError(
                f"There must be a contribution for each base; received {len(each):,} for the {len(text):,} bases of "
                f"sequence {row}. Bring them to bases first, for example by Attribution.per_base."
            )
    return values


def _finite(values: np.ndarray, row: int, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(
            f"Each array of {name} must be [base]; received {list(array.shape)} for sequence {row}. Of contributions "
            f"[base, 4] take those of the bases that are there."
        )
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        raise ValueError(
            f"Numbers of {name} must be finite; received {array[wrong[0]]} at base {int(wrong[0]) + 1:,} of sequence {row}. "
            f"Put 0 where nothing is known."
        )
    return array


def _on_one_scale(
    values: list[np.ndarray], known: list[np.ndarray], null: list[np.ndarray] | None, outputs: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Contributions and those of the null in units of the standard deviation of their output; of no spread, as they are."""
    if outputs.shape != (len(values),) or (null is not None and len(null) % max(1, len(values))):
        raise ValueError(
            f"There must be an output for each of {len(values):,} sequences, and a null of whole copies of them; received "
            f"outputs of shape {list(outputs.shape)} and {0 if null is None else len(null):,} arrays of a null. Number what "
            f"was asked of each sequence."
        )
    base = [each[real] for each, real in zip(values, known, strict=True)] if null is None else null
    spread = np.ones(len(values))
    for output in np.unique(outputs):
        rows = np.flatnonzero(outputs == output)
        own = np.concatenate(
            [base[row] for start in range(0, len(base), len(values)) for row in start + rows]
        )
        spread[rows] = own.std() if len(own) and own.std() > 0 else 1
    scaled = [each / width for each, width in zip(values, spread, strict=True)]
    return scaled, None if null is None else [
        each / spread[row % len(values)] for row, each in enumerate(null)
    ]


def _check_settings(
    q: float, drift: float, widths: tuple[int, int], together: int, permutations: int
) -> None:
    if not 0 < q <= 1:
        raise ValueError(f"q must be a rate above 0, at most 1; received {q}. Common is 0.05.")
    if not drift > 0:
        raise ValueError(f"drift must be above 0, so that sums of nothing fall; received {drift}. Take 0.5.")
    if not 1 <= widths[0] <= widths[1]:
        raise ValueError(f"widths must be fewest and most bases, 1 <= fewest <= most; received {widths}.")
    for name, value in (("together", together), ("permutations", permutations)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more; received {value}.")


def _permuted(
    values: list[np.ndarray], known: list[np.ndarray], together: int, times: int, seed: int
) -> Iterator[list[np.ndarray]]:
    """Copies of the contributions, permuted within each sequence among bases that are known; NaN at N."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        copy = []
        for each, real in zip(values, known, strict=True):
            mixed = np.full(len(each), np.nan)
            places = np.flatnonzero(real)
            whole = len(places) // together * together
            blocks = rng.permutation(places[:whole].reshape(-1, together))
            mixed[places] = each[np.r_[blocks.ravel(), places[whole:]]]
            copy.append(mixed)
        yield copy


def _stretches(
    values: Sequence[np.ndarray], sign: int, mean: float, above: float, widths: tuple[int, int]
) -> Stretches:
    """Maximal stretches of what is beyond the drift; NaN is a wall."""
    # Where the mean is of the other sign, chance is 0: less than usual is not against.
    expected = max(sign * mean, 0) + above
    beyond = [np.where(np.isnan(each), -np.inf, sign * each - expected) for each in values]
    return maximal(beyond, shortest=widths[0], longest=widths[1])


def _as_high(chance: np.ndarray, score: np.ndarray | float) -> np.ndarray:
    """How many of the sorted scores are as high, up to rounding."""
    low = np.asarray(score) * (1 - 1e-9)
    return len(chance) - np.searchsorted(chance, low, side="left")


def rates_of_false(chance: np.ndarray, score: np.ndarray, share: float) -> np.ndarray:
    """Rate of false ones among all scores that are as high: what the null has in as many bases, one more in all, at most 1."""
    expected = (1 + _as_high(chance, score)) * share
    order = np.argsort(score, kind="stable")
    found = len(score) - np.searchsorted(score[order], score * (1 - 1e-9), side="left")
    rate = np.minimum(expected / np.maximum(found, 1), 1)
    # The limit that lets a score in may be any that is not above it.
    rate[order] = np.minimum.accumulate(rate[order])
    return rate


def _places(table: pd.DataFrame) -> zip[tuple[int, int, int]]:
    return zip(*(table[name].tolist() for name in ("sequence", "start", "end")), strict=True)


def _apart(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that do not overlap: the best first, then what it leaves; by place."""
    best = table.sort_values(["p", "score"], ascending=[True, False], kind="stable")
    taken: dict[int, set[int]] = {}
    kept = []
    for index, (row, start, end) in zip(best.index, _places(best), strict=True):
        used = taken.setdefault(row, set())
        if used.isdisjoint(range(start, end)):
            used.update(range(start, end))
            kept.append(index)
    return table.loc[kept].sort_values(["sequence", "start"], ignore_index=True)


def _empty(q: float) -> pd.DataFrame:
    import pandas as pd

    kinds = {
        "sequence": int,
        "start": int,
        "end": int,
        "sign": int,
        "sum": float,
        "score": float,
        "p": float,
        "q": float,
    }
    table = pd.DataFrame({name: np.zeros(0, dtype=kind) for name, kind in kinds.items()})
    table.attrs = {
        "q": q,
        "n_tests": 0,
        "n_null": 0,
        "smallest_q": float("nan"),
        "expected": 0.0,
    }
    return table
