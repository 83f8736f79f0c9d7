"""Seqlets: short stretches of a sequence whose bases contribute more than chance would put together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntviz import environment
from ntviz.genome.sequence import codes, require

if TYPE_CHECKING:
    import pandas as pd

SIGNS = (1, -1)
_AT_A_TIME = 1 << 19  # bases of copies of the null
_PADDED = 1 << 20  # numbers of padded rows
_ROUNDING = 1e-9  # of the largest number: sums below it are no sums
_PLACE = ["sequence", "start", "end"]
_STRETCH = np.dtype([("row", "i8"), ("start", "i8"), ("end", "i8"), ("score", "f8")])
Contributions = Sequence[np.ndarray] | np.ndarray


def seqlets(
    sequences: Sequence[str], contributions: Contributions, *, null: Contributions | None = None,
    outputs: Sequence[int] | np.ndarray | None = None, q: float = 0.05, drift: float = 0.5, widths: tuple[int, int] = (4, 40),
    together: int = 1, permutations: int = 50, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Stretches whose contributions add up to more than stretches of the null do, with p and q.

    What chance expects of a base is taken off each contribution. A seqlet is a stretch of the largest sum of what is left,
    then of the largest beside it, and so on.

    Parameters
    ----------
    sequences
        Upper-case A, C, G, T, N. No stretch spans an N.
    contributions
        Float [base] of each sequence, or [sequence, base], in any unit. Above 0 and below it are looked at apart.
    null
        Contributions by the same method of sequences without anything to find, such as these after `sequence.shuffle`: the
        null to prefer, since a model answers to chance matches in them too. When not given, contributions are permuted
        within their sequence, which takes neighbours for independent: false of tokens of several bases, see `together`.
    outputs
        Number of the output that was asked of each sequence, where it was not the same of all: contributions are divided by
        the standard deviation of those of their output (of the null's, where there is one: whole copies of the sequences).
        Numbering each sequence by itself calls what chance gives.
    drift
        What is taken off: the null's mean, where it has the same sign, and so many of its standard deviations.
    widths
        Fewest and most bases. What is shorter is not tested; what is longer is parted at its own mean.
    together, permutations
        Bases that are permuted as one (6 where tokens of 6 bases share their contribution evenly), and how often.

    Returns
    -------
    One row a seqlet, by place: sequence (number from 0), start and end (0-based half-open, in the sequence), sign (1
    above 0, -1 below), sum (of the contributions), score (what they have beyond the drift), p (share of the null's
    stretches of this sign with as high a score) and q (by sign: stretches of the null as high in as many bases, one more
    counted, for each that is). Where seqlets of both signs overlap, the one of the smaller p stays. `attrs`: q, n_tests and
    n_null (stretches), smallest_q (of all), and expected: seqlets that the null has in as many bases by the same limits.

    References
    ----------
    Karlin & Altschul, PNAS 1990, for sums beyond a drift; Ruzzo & Tompa, ISMB 1999, for all maximal stretches.
    Elias & Gygi, Nature Methods 2007, for rates from decoys; Barber & Candès, Annals of Statistics 2015, for the one more.

    Examples
    --------
    >>> values = np.tile([0.0, 0.1], 50)
    >>> values[40:48] = 2
    >>> seqlets(["ACGT" * 25], [values])[["start", "end", "sign", "sum"]].values.tolist()
    [[40.0, 48.0, 1.0, 16.0]]
    """
    import pandas as pd

    for holds, wrong in (
        (0 < q <= 1, f"q must be a rate above 0, at most 1; received {q}. Common is 0.05."),
        (drift > 0, f"drift must be above 0, so that sums of nothing fall; received {drift}. Take 0.5."),
        (1 <= widths[0] <= widths[1], f"widths must be fewest and most bases, 1 <= fewest <= most; received {widths}."),
        (together >= 1, f"together must be 1 or more; received {together}."),
        (permutations >= 1, f"permutations must be 1 or more; received {permutations}."),
    ):
        if not holds:
            raise ValueError(wrong)
    given = values = matched(sequences, contributions)
    known = [codes(text) < 4 for text in sequences]
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
    if null is not None and not len(pooled):
        raise ValueError("A null must hold a number; received none. Leave it out.")
    mean, above = (float(pooled.mean()), drift * float(pooled.std())) if len(pooled) else (0.0, 0.0)

    def stretches(rows: Sequence[np.ndarray], sign: int) -> np.ndarray:
        # Where the mean is of the other sign, chance is 0: less than usual is not against. NaN is a wall.
        expected = max(sign * mean, 0) + above
        beyond = [np.where(np.isnan(row), -np.inf, sign * row - expected) for row in rows]
        return maximal(beyond, shortest=widths[0], longest=widths[1])

    scores: dict[int, list[np.ndarray]] = {sign: [] for sign in SIGNS}
    with environment.progress(total=times, what="stretches of the null", unit="copies") as bar:
        while some := list(itertools.islice(copies, at_a_time)):
            rows = [each for copy in some for each in copy]
            for sign in SIGNS:
                scores[sign].append(stretches(rows, sign)["score"])
            bar.update(len(some))
    share = sum(int(real.sum()) for real in known) / (max(len(pooled), 1) * times)
    walled = [np.where(real, each, np.nan) for each, real in zip(values, known, strict=True)]
    tables, chance = [], {}
    for sign in SIGNS:
        table = pd.DataFrame(stretches(walled, sign)).rename(columns={"row": "sequence"})
        score = table["score"].to_numpy()
        chance[sign] = np.sort(np.concatenate(scores[sign]))
        table["p"] = (1 + _as_high(chance[sign], score)) / (1 + len(chance[sign]))
        tables.append(table.assign(sign=sign, sum=0.0, q=rates_of_false(chance[sign], score, share)))
    table = pd.concat(tables, ignore_index=True)[[*_PLACE, "sign", "sum", "score", "p", "q"]]
    passing = _apart(table[table["q"] <= q])
    places = passing[_PLACE].itertuples(index=False, name=None)
    passing["sum"] = np.array([given[row][start:end].sum() for row, start, end in places], dtype=np.float64)
    limits = passing.groupby("sign")["score"].min()
    expected = sum(int(_as_high(chance[sign], limit)) for sign, limit in limits.items())
    smallest = float(table["q"].min()) if len(table) else float("nan")
    passing.attrs = {"q": q, "n_tests": len(table), "n_null": sum(map(len, chance.values())), "smallest_q": smallest}
    passing.attrs["expected"] = expected * share
    return passing


def matched(sequences: Sequence[str], contributions: Contributions) -> list[np.ndarray]:
    """Contributions as float64 [base] each, once it is known that they are finite and of these clean sequences."""
    if len(sequences) != len(contributions):
        raise ValueError(
            "There must be an array of contributions for each sequence; received "
            f"{len(sequences):,} sequences and {len(contributions):,} arrays."
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
    n = len(values)
    if outputs.shape != (n,) or (null is not None and len(null) % max(1, n)):
        raise ValueError(
            f"There must be an output for each of {n:,} sequences, and a null of whole copies of them; received outputs of "
            f"shape {list(outputs.shape)} and {0 if null is None else len(null):,} arrays of a null."
        )
    base = [each[real] for each, real in zip(values, known, strict=True)] if null is None else null
    spread = np.ones(n)
    for output in np.unique(outputs):
        rows = np.flatnonzero(outputs == output)
        own = np.concatenate([base[row] for start in range(0, len(base), n) for row in start + rows])
        spread[rows] = own.std() if len(own) and own.std() > 0 else 1
    scaled = [each / width for each, width in zip(values, spread, strict=True)]
    return scaled, None if null is None else [each / spread[row % n] for row, each in enumerate(null)]


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


def _as_high(chance: np.ndarray, score: np.ndarray | float) -> np.ndarray:
    """How many of the sorted scores are as high, up to rounding."""
    return len(chance) - np.searchsorted(chance, np.asarray(score) * (1 - 1e-9), side="left")


def rates_of_false(chance: np.ndarray, score: np.ndarray, share: float) -> np.ndarray:
    """Rate of false ones among all scores as high: what the null has in as many bases, one more in all, at most 1."""
    order = np.argsort(score, kind="stable")
    rate = np.minimum((1 + _as_high(chance, score)) * share / np.maximum(_as_high(score[order], score), 1), 1)
    # The limit that lets a score in may be any that is not above it.
    rate[order] = np.minimum.accumulate(rate[order])
    return rate


def _apart(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that do not overlap: the best first, then what it leaves; by place."""
    best = table.sort_values(["p", "score"], ascending=[True, False], kind="stable")
    taken: dict[int, set[int]] = {}
    kept = []
    for index, row, start, end in best[_PLACE].itertuples(name=None):
        used = taken.setdefault(row, set())
        if used.isdisjoint(range(start, end)):
            used.update(range(start, end))
            kept.append(index)
    return table.loc[kept].sort_values(["sequence", "start"], ignore_index=True)


def maximal(rows: Sequence[np.ndarray], *, shortest: int = 1, longest: int | None = None) -> np.ndarray:
    """Of each row [base] the stretch of the largest sum, then the largest on either side of it, while sums are positive.

    Fields row, start and end (0-based half-open) and score, the sum; by row and start. No stretch reaches over -inf. What has
    fewer numbers than `shortest` is left out; from what has more than `longest` its own mean is taken off, and it is searched
    again.

    Examples
    --------
    >>> maximal([np.array([2.0, -1, 2, -9, 1, -1, 3])]).tolist()
    [(0, 0, 3, 3.0), (0, 4, 5, 1.0), (0, 6, 7, 3.0)]
    """
    lengths = np.array([len(each) for each in rows], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    parts = [np.zeros(0, dtype=_STRETCH)]
    first = 0
    while first < len(order):
        # Rows of like length go together, so that padding stays small.
        last = first + 1
        while last < len(order) and (last + 1 - first) * (lengths[order[last]] + 1) <= _PADDED:
            last += 1
        chosen = order[first:last]
        found = _parted(_table([rows[row] for row in chosen]), longest)
        found = found[found["end"] - found["start"] >= shortest]
        found["row"] = chosen[found["row"]]
        parts.append(found)
        first = last
    found = np.concatenate(parts)
    return found[np.lexsort((found["start"], found["row"]))]


def _table(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows [row, base] with -inf behind their ends."""
    table = np.full((len(rows), max(map(len, rows), default=0)), -np.inf)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table


def _parted(table: np.ndarray, longest: int | None) -> np.ndarray:
    """Stretches of the rows of a table [row, base], none longer than the limit; scores are sums in the table."""
    upto = _upto(np.where(np.isfinite(table), table, 0))
    least = _ROUNDING * float(np.abs(table[np.isfinite(table)]).max(initial=0))
    found, done = _peaks(table, least), []
    while longest is not None and found.shape[1]:
        wide = found[2] - found[1] > longest
        done.append(found[:, ~wide])
        row, start, end = found[:, wide]
        inside = [table[place] for place in zip(row, map(slice, start, end), strict=True)]
        within, begin, stop = _peaks(_table([values - values.mean() for values in inside]), least)
        found = np.stack([row[within], start[within] + begin, start[within] + stop])
    row, start, end = np.concatenate([*done, found], axis=1)
    score = upto[row, end] - upto[row, start]
    return np.rec.fromarrays([row, start, end, score], dtype=_STRETCH).view(np.ndarray)


def _upto(table: np.ndarray) -> np.ndarray:
    """Sum [row, base + 1] of what is before each place."""
    return np.pad(np.cumsum(table, axis=1), ((0, 0), (1, 0)))


def _peaks(table: np.ndarray, least: float) -> np.ndarray:
    """Row, start and end [3, stretch] of all maximal stretches whose sum is more than `least`; -inf is a wall.

    The sum up to each place is followed from its smallest value so far. Where it comes to a new smallest, no stretch of
    the largest sum goes on, so the peaks in between are all found in one pass; the next pass looks behind the peaks.
    """
    found = [np.zeros((3, 0), dtype=np.int64)]
    numbers = np.arange(len(table))
    walls = ~np.isfinite(table)
    while len(numbers) and table.shape[1]:
        # A wall as high as the highest rise: behind it, each sum is a new smallest.
        rise = np.where(walls, 0, np.maximum(table, 0)).sum(1, keepdims=True) + 1
        sums = _upto(np.where(walls, -rise, table))
        height = sums - np.minimum.accumulate(sums, axis=1)
        width = height.shape[1]
        height = height.ravel()
        fresh = height <= 0
        begins = np.flatnonzero(fresh)
        peak = np.maximum.reduceat(height, begins)
        kept = peak > least
        if not kept.any():
            break
        excursion = np.cumsum(fresh) - 1
        top = np.flatnonzero((height == peak[excursion]) & kept[excursion])
        _, first = np.unique(excursion[top], return_index=True)
        top = top[first]
        begin = begins[excursion[top]]
        row, start, end = begin // width, begin % width, top % width
        found.append(np.stack([numbers[row], start, end]))
        edges = np.zeros((len(table), width), dtype=np.int8)
        edges[row, start] += 1
        edges[row, end] -= 1
        walls = walls | (np.cumsum(edges, axis=1, dtype=np.int8)[:, :-1] > 0)
        active = np.unique(row)
        table, walls, numbers = table[active], walls[active], numbers[active]
    return np.concatenate(found, axis=1)
