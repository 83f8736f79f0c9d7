"""From whole numbers to the table: shares, ratios with their intervals, and what each null says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntviz.attention import statistics

if TYPE_CHECKING:
    import pandas as pd

ONE = 1 << 40
"""What a ratio of 1 is as a whole number."""
WHOLE = (
    *("shift_copies", "shift_by_bin", "distance_copies", "distance_by_bin"),
    *("element_by_bin", "positions_by_bin"),
)
"""Sums over all windows; the others are kept for each group of windows."""
Arrays = dict[str, np.ndarray]


def tabulate(
    sums: Arrays, kinds: tuple[str, ...], shape: tuple[int, int], *, bootstrap: int, alpha: float, seed: int
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """The table of an enrichment, one row for each layer, head and element, and the shares under each shift.

    Parameters
    ----------
    sums
        By name, as `counting.tally` describes them, summed over the windows of a group (axis 0) or of all.
    kinds
        Names of the elements.
    shape
        Numbers of layers and of heads in each.
    bootstrap
        Resamples of groups.
    alpha
        Level of the two columns that say significant.
    seed
        Of resamples and sign flips.

    Returns
    -------
    table, null
        The columns are described by `attention.Enrichment`. The null is float64 [shift, layer, head, element], None
        without shifts.
    """
    import pandas as pd

    heads, elements = shape[0] * shape[1], len(kinds)
    total = {name: values.sum(0) for name, values in sums.items() if name not in WHOLE}
    above, on = total["above"][:, None], total["on"]
    element, positions = total["element"][None], total["positions"]
    status = np.full((heads, elements), "ok", dtype=object)
    status[np.broadcast_to(element == positions, status.shape)] = "covers everything"
    status[np.broadcast_to(element == 0, status.shape)] = "nothing there"
    status[np.broadcast_to(above == 0, status.shape)] = "nothing above"
    ok = status == "ok"
    columns: Arrays = {
        "layer": np.repeat(np.arange(shape[0]), shape[1])[:, None],
        "head": np.tile(np.arange(shape[1]), shape[0])[:, None],
        "element": np.array(kinds, dtype=object)[None],
        "status": status,
    }
    speaking = total["speaking"][:, None]
    columns["p_mean"] = _ratio(total["ratio"] / ONE, speaking)
    columns["p_pooled"] = _ratio(on, above)
    columns["background"] = _ratio(element, positions)
    columns["ratio"] = _ratio(columns["p_pooled"], columns["background"])
    weights = statistics.resamples(len(sums["above"]), bootstrap, seed)
    columns["ratio_low"], columns["ratio_high"] = _ratio_interval(sums, weights)
    columns["n_on"], columns["n_above"] = on, above
    columns["n_element"], columns["n_positions"] = element, positions
    columns["n_sequences"] = total["sequences"]
    columns["n_silent"] = total["sequences"] - speaking
    columns["to_special"] = _ratio(total["special"], total["pairs"])[:, None]
    columns |= _published(on, above, element, positions, ok, alpha)
    null = None
    if "shift_copies" in sums:
        shifted, null = _shift(sums, on, above, ok)
        columns |= shifted
    for name in ("shuffle", "twin"):
        if f"{name}_on" in sums:
            columns |= _other(name, sums, total, weights, columns["background"])
    if "paired" in sums:
        columns |= _distance(sums, total, ok)
    columns["significant"] = columns.get("q_shift", np.ones_like(ok, dtype=float)) <= alpha
    flat = {name: np.broadcast_to(values, (heads, elements)).ravel() for name, values in columns.items()}
    table = pd.DataFrame(flat)
    for name in ("element", "status", "shuffle_status", "twin_status"):
        if name in table:
            table[name] = table[name].astype("str")
    return table, None if null is None else null.reshape(-1, *shape, elements)


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """Quotient; NaN where nothing stands below the line, which the status explains."""
    over, under = np.broadcast_arrays(np.asarray(over, dtype=float), np.asarray(under, dtype=float))
    return np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)


def _ratio_interval(sums: Arrays, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    above, share = (
        weights @ sums["above"],
        _ratio(weights @ sums["element"], (weights @ sums["positions"])[:, None]),
    )
    low, high = np.full((2, *sums["on"].shape[1:]), np.nan)
    if weights.shape[1] > 1:
        for kind in range(low.shape[1]):
            drawn = _ratio(_ratio(weights @ sums["on"][..., kind], above), share[:, kind, None])
            low[:, kind], high[:, kind] = statistics.middle(drawn)
    return low, high


def _published(
    on: np.ndarray,
    above: np.ndarray,
    element: np.ndarray,
    positions: np.ndarray,
    ok: np.ndarray,
    alpha: float,
) -> Arrays:
    z, p = statistics.two_proportion_z(on, above, element, positions)
    z, p = np.where(ok, z, np.nan), np.where(ok, p, np.nan)
    bonferroni = np.minimum(p * len(ok), 1)
    q = statistics.benjamini_hochberg(p.ravel()).reshape(p.shape)
    return {
        "z": z,
        "p_z": p,
        "p_bonferroni": bonferroni,
        "q_z": q,
        "significant_published": bonferroni <= alpha,
    }


def _joint(copies: np.ndarray, ok: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z, p and q [head, element] from copies [copy, head, element]; NaN where the status is not ok."""
    z, p, q = np.full((3, *ok.shape), np.nan)
    if ok.any():
        answer = statistics.joint(copies[:, ok])
        z[ok], p[ok], q[ok] = answer.z, answer.p, answer.q
    return z, p, q


def _turned(name: str, sums: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Counts on elements after each turn [copy, head, element], and what position alone would put there.

    Heads that look at places in the window, such as its ends, meet elements that stand at certain places more or less
    often than turned ones, whatever these elements are. That share is what the counts by position, all windows taken
    together, put on the elements' positions. One group alone can't tell the two apart; there it is 0.
    """
    copies = sums[f"{name}_copies"].astype(np.float64)
    if len(sums["above"]) < 2:
        return copies, np.zeros_like(copies)
    share = sums["element_by_bin"] / np.maximum(sums["positions_by_bin"], 1)
    by_bin = sums[f"{name}_by_bin"].astype(np.float64)
    return copies, np.einsum("hb,keb->khe", by_bin, share, optimize=True)


def _shift(sums: Arrays, on: np.ndarray, above: np.ndarray, ok: np.ndarray) -> tuple[Arrays, np.ndarray]:
    copies, usual = _turned("shift", sums)
    z, p, q = _joint(copies - usual, ok)
    null = _ratio(copies[1:] - usual[1:] + usual[0], above[None])
    expected = null.mean(0)
    columns = {
        "shift_mean": np.where(ok, expected, np.nan),
        "shift_ratio": np.where(ok, _ratio(_ratio(on, above), expected), np.nan),
        "z_shift": z,
        "p_shift": p,
        "q_shift": q,
    }
    return columns, null


def _other(name: str, sums: Arrays, total: Arrays, weights: np.ndarray, background: np.ndarray) -> Arrays:
    """The same share elsewhere (shuffled bases, or the twin), and the difference of the logarithms."""
    above, on = total[f"{name}_above"][:, None], total[f"{name}_on"]
    status = np.where(above > 0, "ok", "nothing above").astype(object)

    def logs(on: np.ndarray, above: np.ndarray) -> np.ndarray:
        # Half a pair on the element and half a pair off it, so that none has a logarithm too.
        return np.log((on + 0.5) / (above + 1))

    told = (above > 0) & (total["above"][:, None] > 0) & (total["element"] > 0)
    difference = logs(total["on"], total["above"][:, None]) - logs(on, above)
    low, high = np.full((2, *on.shape), np.nan)
    if weights.shape[1] > 1:
        drawn_above, drawn_other = weights @ sums["above"], weights @ sums[f"{name}_above"]
        for kind in range(on.shape[1]):
            drawn = logs(weights @ sums["on"][..., kind], drawn_above)
            drawn -= logs(weights @ sums[f"{name}_on"][..., kind], drawn_other)
            low[:, kind], high[:, kind] = statistics.middle(drawn)
    return {
        f"{name}_status": status,
        f"{name}_n_above": above,
        f"{name}_ratio": _ratio(_ratio(on, above), background),
        f"{name}_difference": np.where(told, difference, np.nan),
        f"{name}_difference_low": np.where(told, low, np.nan),
        f"{name}_difference_high": np.where(told, high, np.nan),
    }


def _distance(sums: Arrays, total: Arrays, ok: np.ndarray) -> Arrays:
    paired, mirrored = total["paired"], total["mirrored"]
    tested = ok & ((paired > 0) | (mirrored > 0))
    copies, usual = _turned("distance", sums)
    _, p, q = _joint(copies - usual, tested)
    return {
        "distance_n": paired,
        "distance_ratio": np.where(tested, (paired + 0.5) / (mirrored + 0.5), np.nan),
        "distance_p": p,
        "distance_q": q,
    }
