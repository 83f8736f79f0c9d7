"""`Enrichment`: the table of which heads look at which elements, and how it follows from what was counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ntviz import statistics
from ntviz.genome import Interval
from ntviz.statistics import ratio

if TYPE_CHECKING:
    from ntviz.attention.counts import Part

ONE = 1 << 40
"""What a ratio of 1 is as a whole number."""
WHOLE = (
    *("shift_copies", "shift_by_bin", "distance_copies", "distance_by_bin"),
    *("element_by_bin", "positions_by_bin"),
)
"""Sums over all windows; the others are kept for each group of windows."""
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Enrichment:
    """How much of each head's attention above a threshold falls on each element; made by `attention.enrichment`.

    Attributes
    ----------
    table
        One row for each layer, head and element, zero-based. Columns:

        - `status`: "ok"; "nothing above" where the head never exceeds the threshold; "nothing there" where no window
          holds the element; "covers everything" where all positions are in it. Without "ok" there is no test, and what
          can't be computed is NaN.
        - `p_mean`, `p_pooled`: share of pairs above the threshold that fall on the element, as the mean over windows
          that have any, and pooled. `background`: share of positions on it. `ratio`: p_pooled / background, with the
          ends of its 95 % interval, `ratio_low` and `ratio_high`, from resampling groups of neighbouring windows.
        - `n_on`, `n_above`: pairs on the element, in all. `n_element`, `n_positions`: positions on it, in all.
          `n_sequences`, `n_silent`: windows counted, and those of them where the head has nothing above the threshold.
          `to_special`: share of all pairs above the threshold whose key is a special token, `<cls>`.
        - `z`, `p_z`, `p_bonferroni` (over heads), `q_z` (Benjamini-Hochberg over the table), `significant_published`:
          the two-proportion z-test, two-sided.
        - `shift_mean`: share expected on elements that are turned around their window, which holds what is due to places
          in the window. `shift_ratio`: p_pooled / shift_mean. `z_shift`, `p_shift`, `q_shift`: two-sided, see
          `statistics.joint`. z is NaN and p is 1 where turning changes nothing.
        - `shuffle_ratio`, `twin_ratio`: the ratio on shuffled bases and of the randomly initialised model; `..._difference`: natural
          log of the ratio over that ratio, with `..._low` and `..._high` as above, half a pair added on and off the
          element; `..._n_above` and `..._status` as above.
        - `distance_n`: pairs on the element whose mirror image, as far from the same query, lies in the window too;
          `distance_ratio`: those over mirror images on the element (half a pair added to both); `distance_p`,
          `distance_q`: two-sided, of the difference between the two, whose null are the turned elements again.
        - `significant`: q_shift is at most the level asked for. This is the answer to stand by; without the shift
          null it is False throughout.
    sequences
        One row a window, in the order given: `chrom`, `start`, `end` (0-based half-open), `strand`, `region` (1-based,
        both ends included), `status`, `n_tokens`, `note`.
    about
        Everything the table depends on, as plain data.
    """

    table: pd.DataFrame
    sequences: pd.DataFrame
    about: dict[str, Any]

    def __repr__(self) -> str:
        return self.summary

    @property
    def summary(self) -> str:
        """What was found, in a paragraph."""
        about, table = self.about, self.table
        alpha, heads, groups = about["alpha"], about["layers"] * about["heads"], about["groups_used"]
        tested = table["status"] == "ok"
        bad = self.sequences.loc[self.sequences["status"] != "ok", "status"]
        dropped = f"; {len(bad):,} dropped{_listed(bad)}" if len(bad) else ""
        few = "; too few groups of windows for intervals" if groups < 2 else ""
        n = len(self.sequences)
        text = [
            f"{n - len(bad):,} of {n:,} windows in {groups:,} groups{dropped}{few}.",
            f"{heads:,} heads x {len(about['kinds'])} elements at {about['threshold']}: {tested.sum():,} of {len(table):,} "
            f"pairs can be tested{_listed(table.loc[~tested, 'status'])}.",
        ]
        silent = table.drop_duplicates(["layer", "head"])["n_silent"]
        if len(silent) and silent.any():
            text.append(
                f"Heads have nothing above the threshold in {silent.mean() / (n - len(bad)):.0%} of windows on average; "
                f"{(silent == n - len(bad)).sum():,} never have."
            )
        text.append(
            f"The published z-test calls {table['significant_published'].sum():,} significant (Bonferroni over "
            f"{heads:,} heads, {alpha})."
        )
        if "q_shift" not in table:
            text.append("Elements were not shifted, so nothing is called significant here.")
        else:
            significant = table[table["significant"]]
            more = significant[significant["shift_ratio"] > 1]
            text.append(
                f"Shifting elements within their windows leaves {len(significant):,}: {len(more):,} enriched, "
                f"{len(significant) - len(more):,} depleted (false discovery rate {alpha})."
            )
            nulls = [
                f"{(more[f'{name}_difference_low'] > 0).sum():,} more so than {words}"
                for name, words in (("shuffle", "on shuffled bases"), ("twin", "in the random twin"))
                if f"{name}_ratio" in more
            ]
            if "distance_q" in more:
                beyond = ((more["distance_q"] <= alpha) & (more["distance_ratio"] > 1)).sum()
                nulls.append(f"{beyond:,} more than at the same distance on the query's other side")
            if len(more) and nulls:
                text.append(f"Of those enriched, {', '.join(nulls)}.")
        if (lost := about["elements"])["strangers"]:
            text.append(
                f"{lost['strangers']:,} of {lost['features']:,} features lie on contigs that the reference lacks "
                f"({', '.join(lost['contigs'])})."
            )
        return " ".join(text)


def _listed(words: pd.Series) -> str:
    counts = words.value_counts()
    return f" ({', '.join(f'{count:,} {word}' for word, count in counts.items())})" if len(counts) else ""


def concluded(total: Part, about: dict[str, Any], *, bootstrap: int, alpha: float) -> Enrichment:
    """The enrichment from all that was counted; ValueError if no window could be used."""
    sequences = pd.DataFrame(sorted(total.rows, key=lambda row: row["index"])).drop(columns="index")
    places = sequences[["chrom", "start", "end", "strand"]].itertuples(index=False)
    sequences.insert(4, "region", [Interval(*place).label() for place in places])
    if not total.sums:
        raise ValueError(
            f"At least one window must be usable; of {len(sequences):,} none is{_listed(sequences['status'])}. The first: "
            f"{sequences['region'].iloc[0]} {sequences['note'].iloc[0]} Choose windows on the reference, within the model's "
            "context."
        )
    used = total.sums["sequences"] > 0
    sums = {name: values if name in WHOLE else values[used] for name, values in total.sums.items()}
    shape = (about["layers"], about["heads"])
    table = tabulate(sums, about["kinds"], shape, bootstrap=bootstrap, alpha=alpha, seed=about["seed"])
    about = {**about, "bootstrap": bootstrap, "alpha": alpha, "groups_used": int(used.sum())}
    return Enrichment(table, sequences, about)


def tabulate(
    sums: Arrays, kinds: Any, shape: tuple[int, int], *, bootstrap: int, alpha: float, seed: int
) -> pd.DataFrame:
    """The table of an enrichment from `counts.tally`, summed over the windows of a group (axis 0) or of all."""
    heads, elements = shape[0] * shape[1], len(kinds)
    total = {name: values.sum(0) for name, values in sums.items() if name not in WHOLE}
    above, on = total["above"][:, None], total["on"]
    element, positions = total["element"][None], total["positions"]
    status = np.select(
        [above == 0, element == 0, element == positions], ["nothing above", "nothing there", "covers everything"], "ok"
    )
    ok = status == "ok"
    speaking = total["speaking"][:, None]
    weights = statistics.draw_weights(len(sums["above"]), bootstrap, np.random.default_rng(seed))
    drawn_above = weights @ sums["above"]
    drawn_share = ratio(weights @ sums["element"], (weights @ sums["positions"])[:, None])

    def draws(kind: int) -> np.ndarray:
        return ratio(ratio(weights @ sums["on"][..., kind], drawn_above), drawn_share[:, kind, None])

    low, high = _bounds(draws, ok.shape, weights)
    pooled, background = ratio(on, above), ratio(element, positions)
    z, p = (np.where(ok, values, np.nan) for values in statistics.two_proportion_z(on, above, element, positions))
    bonferroni = np.minimum(p * heads, 1)
    columns: Arrays = {
        "layer": np.repeat(np.arange(shape[0]), shape[1])[:, None],
        "head": np.tile(np.arange(shape[1]), shape[0])[:, None],
        "element": np.array(kinds, dtype=object)[None], "status": status,
        "p_mean": ratio(total["ratio"] / ONE, speaking), "p_pooled": pooled, "background": background,
        "ratio": ratio(pooled, background), "ratio_low": low, "ratio_high": high,
        "n_on": on, "n_above": above, "n_element": element, "n_positions": positions,
        "n_sequences": total["sequences"], "n_silent": total["sequences"] - speaking,
        "to_special": ratio(total["special"], total["pairs"])[:, None],
        "z": z, "p_z": p, "p_bonferroni": bonferroni, "q_z": statistics.false_discovery(p),
        "significant_published": bonferroni <= alpha,
    }  # fmt: skip
    if "shift_copies" in sums:
        columns |= _shift(sums, on, above, ok)
    for name in ("shuffle", "twin"):
        if f"{name}_on" in sums:
            columns |= _other(name, sums, total, weights, background)
    if "paired" in sums:
        columns |= _distance(sums, total, ok)
    columns["significant"] = columns.get("q_shift", np.ones_like(ok, dtype=float)) <= alpha
    flat = {name: np.broadcast_to(values, (heads, elements)).ravel() for name, values in columns.items()}
    table = pd.DataFrame(flat)
    words = [name for name in ("element", "status", "shuffle_status", "twin_status") if name in table]
    return table.astype(dict.fromkeys(words, "str"))


def _bounds(
    draws: Callable[[int], np.ndarray], shape: tuple[int, ...], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the middle 95 % of what is drawn for each element, [head, element]; NaN where there is one group only."""
    low, high = np.full((2, *shape), np.nan)
    for kind in range(shape[1] if weights.shape[1] > 1 else 0):
        low[:, kind], high[:, kind] = statistics.middles(draws(kind))
    return low, high


def _turned(name: str, sums: Arrays, tested: np.ndarray) -> tuple[np.ndarray, np.ndarray, Arrays]:
    """Counts on elements after each turn [copy, head, element], what position alone would put there, and the test.

    Heads that look at places in the window, such as its ends, meet elements that stand at certain places more or less
    often than turned ones, whatever these elements are. That share is what the counts by position, all windows taken
    together, put on the elements' positions. One group alone can't tell the two apart; there it is 0.
    """
    copies = sums[f"{name}_copies"].astype(np.float64)
    usual = np.zeros_like(copies)
    if len(sums["above"]) > 1:
        share = sums["element_by_bin"] / np.maximum(sums["positions_by_bin"], 1)
        by_bin = sums[f"{name}_by_bin"].astype(np.float64)
        usual = np.einsum("hb,keb->khe", by_bin, share, optimize=True)
    test = {name: np.full(tested.shape, np.nan) for name in "zpq"}
    if tested.any():
        answer = statistics.joint((copies - usual)[:, tested])
        for name, values in test.items():
            values[tested] = getattr(answer, name)
    return copies, usual, test


def _shift(sums: Arrays, on: np.ndarray, above: np.ndarray, ok: np.ndarray) -> Arrays:
    copies, usual, test = _turned("shift", sums, ok)
    expected = ratio(copies[1:] - usual[1:] + usual[0], above[None]).mean(0)
    return {
        "shift_mean": np.where(ok, expected, np.nan),
        "shift_ratio": np.where(ok, ratio(ratio(on, above), expected), np.nan),
        **{f"{name}_shift": values for name, values in test.items()},
    }


def _other(name: str, sums: Arrays, total: Arrays, weights: np.ndarray, background: np.ndarray) -> Arrays:
    """The same share elsewhere (shuffled bases, or the twin), and the difference of the logarithms."""
    above, on = total[f"{name}_above"][:, None], total[f"{name}_on"]
    drawn_above, drawn_other = weights @ sums["above"], weights @ sums[f"{name}_above"]

    def logs(on: np.ndarray, above: np.ndarray) -> np.ndarray:
        # Half a pair on the element and half a pair off it, so that none has a logarithm too.
        return np.log((on + 0.5) / (above + 1))

    def draws(kind: int) -> np.ndarray:
        own = logs(weights @ sums["on"][..., kind], drawn_above)
        return own - logs(weights @ sums[f"{name}_on"][..., kind], drawn_other)

    low, high = _bounds(draws, on.shape, weights)
    both = (above > 0) & (total["above"][:, None] > 0) & (total["element"] > 0)
    difference = logs(total["on"], total["above"][:, None]) - logs(on, above)
    return {
        f"{name}_status": np.where(above > 0, "ok", "nothing above"),
        f"{name}_n_above": above,
        f"{name}_ratio": ratio(ratio(on, above), background),
        f"{name}_difference": np.where(both, difference, np.nan),
        f"{name}_difference_low": np.where(both, low, np.nan),
        f"{name}_difference_high": np.where(both, high, np.nan),
    }


def _distance(sums: Arrays, total: Arrays, ok: np.ndarray) -> Arrays:
    paired, mirrored = total["paired"], total["mirrored"]
    tested = ok & ((paired > 0) | (mirrored > 0))
    *_, test = _turned("distance", sums, tested)
    return {
        "distance_n": paired,
        "distance_ratio": np.where(tested, (paired + 0.5) / (mirrored + 0.5), np.nan),
        **{f"distance_{name}": test[name] for name in "pq"},
    }
